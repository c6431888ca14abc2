"""How many seeds decide: the power of the paired t interval, of equivalence, and of the verdict as a whole."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special

from ablate.statistics.effects import FloatArray, check_alpha, check_margin

# A claim that needs more seeds than this is out of reach.
MAX_SEEDS = 10_000


@dataclass(frozen=True)
class SeedsNeeded:
    """The total number of seeds for each way of deciding, None where it would be above MAX_SEEDS.

    Args:
        difference: the interval excludes 0 with the target power if the true effect is the smallest one of interest.
        equivalence: no difference is shown with the target power if the true effect is 0.
    """

    difference: int | None
    equivalence: int | None

    @property
    def either_way(self) -> int | None:
        """The larger of the two, None if one of them is out of reach."""
        return None if self.difference is None or self.equivalence is None else max(self.difference, self.equivalence)


@dataclass(frozen=True)
class VerdictProbabilities:
    """What a study of this size would say; the four sum to 1.

    Args:
        greater: interval above 0 and estimate at or above the smallest effect.
        smaller: the mirror image.
        no_difference: equivalence shown.
        inconclusive: the rest.
    """

    greater: float
    smaller: float
    no_difference: float
    inconclusive: float


def difference_power(effect: float, sd: float, num_seeds: int, alpha: float = 0.05) -> float:
    """Return the probability that the two-sided paired t interval excludes 0.

    P(|T| > t_{1 - alpha/2}) with T noncentral t, num_seeds - 1 degrees of freedom, noncentrality
    effect sqrt(num_seeds) / sd.

    Args:
        effect: true mean difference.
        sd: standard deviation of a paired difference, above 0, in the same unit.
        num_seeds: at least 2.
        alpha: two-sided error level in (0, 1).
    """
    _check_design(sd, num_seeds, alpha)
    df, shift = num_seeds - 1, abs(effect) * num_seeds**0.5 / sd
    critical = -special.stdtrit(df, alpha / 2)
    # P(T > c; shift) = P(T < -c; -shift), and the left form does not cancel.
    return float(special.nctdtr(df, -shift, -critical) + special.nctdtr(df, shift, -critical))


def equivalence_power(
    smallest_effect: float, sd: float, num_seeds: int, alpha: float = 0.05, effect: float = 0.0
) -> float:
    """Return the probability that both one-sided tests reject, given the true `effect`.

    E_s[P(|mean| < smallest_effect - t_{1 - alpha} s / sqrt(num_seeds))] over the distribution of the sample's s.

    Args:
        smallest_effect: margin, at least 0.
        sd: standard deviation of a paired difference, above 0, in the same unit.
        num_seeds: at least 2.
        alpha: error level of each one-sided test, in (0, 1/2].
        effect: true mean difference.
    """
    _check_design(sd, num_seeds, alpha)
    check_margin(smallest_effect)
    se, df = sd / num_seeds**0.5, num_seeds - 1
    critical = -special.stdtrit(df, alpha)

    def chance(s: FloatArray) -> FloatArray:
        room = np.maximum(smallest_effect / se - critical * s, 0)
        return special.ndtr(room - effect / se) - special.ndtr(-room - effect / se)

    return _mean_over_spread(chance, df)


def verdict_probabilities(
    effect: float,
    sd: float,
    num_seeds: int,
    smallest_effect: float,
    alpha: float = 0.05,
    alpha_equivalence: float | None = None,
) -> VerdictProbabilities:
    """Return the probability of every verdict, given the true `effect`.

    A true effect of exactly the smallest effect is inconclusive about half of the time, with any number of seeds: the
    estimate then falls short of it as often as not, and equivalence does not hold either.

    Args:
        effect: true mean difference.
        sd: standard deviation of a paired difference, above 0, in the same unit.
        num_seeds: at least 2.
        smallest_effect: at least 0, in the same unit.
        alpha: two-sided error level of the difference, in (0, 1).
        alpha_equivalence: error level of each one-sided test; `alpha` if None.
    """
    _check_design(sd, num_seeds, alpha)
    check_margin(smallest_effect)
    se, df = sd / num_seeds**0.5, num_seeds - 1
    critical = -special.stdtrit(df, alpha / 2)

    def above(direction: int) -> float:
        needed = smallest_effect / se
        return _mean_over_spread(lambda s: special.ndtr(direction * effect / se - np.maximum(needed, critical * s)), df)

    greater, smaller = above(1), above(-1)
    equal = equivalence_power(smallest_effect, sd, num_seeds, alpha_equivalence or alpha, effect)
    return VerdictProbabilities(greater, smaller, equal, 1 - greater - smaller - equal)


def seeds_needed(
    sd: float,
    smallest_effect: float,
    alpha: float = 0.05,
    alpha_equivalence: float | None = None,
    power: float = 0.8,
) -> SeedsNeeded:
    """Return the total number of seeds that decide with probability `power`, whichever way the truth lies.

    Args:
        sd: standard deviation of a paired difference, above 0, e.g. the observed one, which is itself uncertain.
        smallest_effect: above 0, in the same unit.
        alpha: two-sided error level of the difference, in (0, 1).
        alpha_equivalence: error level of each one-sided test; `alpha` if None.
        power: target in (0, 1).

    Raises:
        ValueError: an argument outside its range.
    """
    if not smallest_effect > 0:
        raise ValueError(
            f"`smallest_effect` must be above 0, got {smallest_effect}; no seeds suffice for an effect of 0"
        )
    if not 0 < power < 1:
        raise ValueError(f"`power` must lie in (0, 1), got {power}; 0.8 is customary")
    level = alpha_equivalence or alpha
    return SeedsNeeded(
        difference=_first(lambda n: difference_power(smallest_effect, sd, n, alpha) >= power),
        equivalence=_first(lambda n: equivalence_power(smallest_effect, sd, n, level) >= power),
    )


def _first(decides: Callable[[int], bool]) -> int | None:
    """Return the least n in [2, MAX_SEEDS] for which the increasing predicate holds, None if there is none."""
    high = 2
    while not decides(high):
        if high == MAX_SEEDS:
            return None
        high = min(2 * high, MAX_SEEDS)
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if decides(middle) else (middle, high)
    return high


# Gauss-Legendre nodes and weights on [-1, 1].
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(200)


def _mean_over_spread(function: Callable[[FloatArray], FloatArray], df: int) -> float:
    """Return E[function(s)], where s is the sample's sd over the true one: df s^2 is chi-square with `df` degrees.

    The density of s is 2 df s chi2(df s^2).
    """
    low, high = np.sqrt(2 * special.gammaincinv(df / 2, [1e-14, 1 - 1e-14]) / df)
    s = (high - low) / 2 * _NODES + (high + low) / 2
    log_density = (
        np.log(2 * df * s) + special.xlogy(df / 2 - 1, df * s**2) - df * s**2 / 2
        - df / 2 * np.log(2) - special.gammaln(df / 2)
    )  # fmt: skip
    return float((high - low) / 2 * _WEIGHTS @ (np.exp(log_density) * function(s)))


def _check_design(sd: float, num_seeds: int, alpha: float) -> None:
    check_alpha(alpha)
    if not 0 < sd < np.inf:
        raise ValueError(
            f"`sd` must be finite and above 0, got {sd}; two differing seeds at least are needed to know it"
        )
    if num_seeds < 2:
        raise ValueError(f"`num_seeds` must be at least 2, got {num_seeds}; one seed says nothing about the spread")

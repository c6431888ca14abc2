"""Power and number of seeds: of the paired t interval, of equivalence, and of the verdict as a whole."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special

from ablate.statistics.effects import FloatArray, check_alpha, check_margin

# More seeds than this are not searched for.
MAX_SEEDS = 10_000
# A normal variable is outside this many standard deviations with probability 1e-15.
REACH = 8.0
# Gauss-Legendre nodes and weights on [-1, 1].
NODES, WEIGHTS = np.polynomial.legendre.leggauss(100)


@dataclass(frozen=True)
class SeedsNeeded:
    """The total number of seeds for each kind of verdict, None where it would be above MAX_SEEDS.

    Args:
        difference: the interval excludes 0 with the target power if the true effect is the smallest one of interest.
        equivalence: no difference is shown with the target power if the true effect is 0.
    """

    difference: int | None
    equivalence: int | None

    @property
    def either_way(self) -> int | None:
        """The larger of the two, None if one of them is None."""
        return None if self.difference is None or self.equivalence is None else max(self.difference, self.equivalence)


@dataclass(frozen=True)
class VerdictProbabilities:
    """Probabilities of the verdicts of a study of this size; the four sum to 1.

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

    P(|T| > t_{1 - alpha/2}), where T is noncentral t with num_seeds - 1 degrees of freedom and noncentrality
    effect sqrt(num_seeds) / sd.

    Args:
        effect: true mean difference.
        sd: standard deviation of a paired difference, above 0, in the same unit.
        num_seeds: at least 2.
        alpha: two-sided error level in (0, 1).

    Example:
        >>> round(difference_power(effect=1.0, sd=1.0, num_seeds=10), 3)
        0.803
    """
    _check_design(sd, num_seeds, alpha)
    shift, df = effect * num_seeds**0.5 / sd, num_seeds - 1
    critical = -special.stdtrit(df, alpha / 2)
    return _mean_over_spread(
        lambda s: special.ndtr(shift - critical * s) + special.ndtr(-shift - critical * s),
        df,
        abs(shift) / critical,
        (abs(shift) + REACH) / critical,
    )


def equivalence_power(
    smallest_effect: float, sd: float, num_seeds: int, alpha: float = 0.05, effect: float = 0.0
) -> float:
    """Return the probability that both one-sided tests reject, given the true `effect`.

    E_s[P(|mean| < smallest_effect - t_{1 - alpha} s / sqrt(num_seeds))] over the distribution of the sample's s.

    Args:
        smallest_effect: margin, at least 0.
        sd: standard deviation of a paired difference, above 0, in the same unit.
        num_seeds: at least 2.
        alpha: error level of each one-sided test, in (0, 1/2).
        effect: true mean difference.

    Example:
        >>> round(equivalence_power(smallest_effect=1.0, sd=1.0, num_seeds=10), 3)
        0.795
    """
    _check_design(sd, num_seeds, alpha)
    check_margin(smallest_effect)
    if alpha >= 0.5:
        raise ValueError(f"`alpha` of a one-sided test must lie in (0, 0.5), got {alpha}; 0.05 is customary")
    se, df = sd / num_seeds**0.5, num_seeds - 1
    critical = -special.stdtrit(df, alpha)

    def chance(s: FloatArray) -> FloatArray:
        room = np.maximum(smallest_effect / se - critical * s, 0)
        return special.ndtr(room - effect / se) - special.ndtr(-room - effect / se)

    return _mean_over_spread(chance, df, smallest_effect / se / critical)


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
    estimate is then below it in half of the studies, and equivalence does not hold either.

    Args:
        effect: true mean difference.
        sd: standard deviation of a paired difference, above 0, in the same unit.
        num_seeds: at least 2.
        smallest_effect: at least 0, in the same unit.
        alpha: two-sided error level of the difference, in (0, 1).
        alpha_equivalence: error level of each one-sided test; `alpha` if None.

    Example:
        >>> chances = verdict_probabilities(effect=1.5, sd=1.0, num_seeds=10, smallest_effect=1.0)
        >>> round(chances.greater, 3), round(chances.inconclusive, 3)
        (0.942, 0.058)
    """
    _check_design(sd, num_seeds, alpha)
    check_margin(smallest_effect)
    se, df = sd / num_seeds**0.5, num_seeds - 1
    critical = -special.stdtrit(df, alpha / 2)
    needed = smallest_effect / se

    def above(shift: float) -> float:
        return _mean_over_spread(
            lambda s: special.ndtr(shift - np.maximum(needed, critical * s)),
            df,
            needed / critical,
            abs(shift) / critical,
            (abs(shift) + REACH) / critical,
        )

    greater, smaller = above(effect / se), above(-effect / se)
    equal = equivalence_power(smallest_effect, sd, num_seeds, alpha_equivalence or alpha, effect)
    return VerdictProbabilities(greater, smaller, equal, max(0.0, 1 - greater - smaller - equal))


def seeds_needed(
    sd: float,
    smallest_effect: float,
    alpha: float = 0.05,
    alpha_equivalence: float | None = None,
    power: float = 0.8,
) -> SeedsNeeded:
    """Return the total number of seeds that decide with probability `power`, for a true effect of either size.

    Args:
        sd: standard deviation of a paired difference, above 0, e.g. the observed one, which is itself uncertain.
        smallest_effect: above 0, in the same unit.
        alpha: two-sided error level of the difference, in (0, 1).
        alpha_equivalence: error level of each one-sided test; `alpha` if None.
        power: target in (0, 1).

    Raises:
        ValueError: an argument outside its range.

    Example:
        >>> seeds_needed(sd=1.0, smallest_effect=1.0)
        SeedsNeeded(difference=10, equivalence=11)
    """
    if not smallest_effect > 0:
        raise ValueError(
            f"`smallest_effect` must be above 0, got {smallest_effect}; no seeds suffice for an effect of 0"
        )
    if not 0 < power < 1:
        raise ValueError(f"`power` must lie in (0, 1), got {power}; 0.8 is customary")
    one_sided = alpha_equivalence or alpha
    return SeedsNeeded(
        difference=_first(lambda n: difference_power(smallest_effect, sd, n, alpha) >= power),
        equivalence=_first(lambda n: equivalence_power(smallest_effect, sd, n, one_sided) >= power),
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


def _mean_over_spread(function: Callable[[FloatArray], FloatArray], df: int, *knots: float) -> float:
    """Return E[function(s)], where s is the sample's sd over the true one: df s^2 is chi-square with `df` degrees.

    A t statistic is a normal mean divided by an independent s, so its probabilities are such expectations; scipy's own
    noncentral t is nan in parts of the range used here. With x = df s^2, the density of s is 2 df s chi2(x).

    Args:
        function: smooth between the knots.
        df: degrees of freedom.
        knots: where the function has a kink or becomes 0; the quadrature is split there.
    """
    low, high = np.sqrt(2 * special.gammaincinv(df / 2, [1e-14, 1 - 1e-14]) / df)
    edges = np.sort(np.clip([low, *knots, high], low, high))[:, None]
    half_widths = np.diff(edges, axis=0) / 2
    s = edges[:-1] + half_widths * (1 + NODES)
    x = df * s**2
    log_chi2 = special.xlogy(df / 2 - 1, x / 2) - x / 2 - special.gammaln(df / 2) - np.log(2)
    return min(1.0, float(np.sum(half_widths * WEIGHTS * 2 * df * s * np.exp(log_chi2) * function(s))))


def _check_design(sd: float, num_seeds: int, alpha: float) -> None:
    check_alpha(alpha)
    if not 0 < sd < np.inf:
        raise ValueError(
            f"`sd` must be finite and above 0, got {sd}; at least two seeds that differ are needed to know it"
        )
    if num_seeds < 2:
        raise ValueError(f"`num_seeds` must be at least 2, got {num_seeds}; one seed has no spread")

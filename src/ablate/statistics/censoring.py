"""Censored effects: a threshold that was never reached is a value too large to observe, not a missing one."""

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ablate.statistics.effects import ROUNDING, FloatArray, Interval, check_alpha, check_margin, check_vector


@dataclass(frozen=True, eq=False)
class RankEffect:
    """The centre of symmetry of paired differences known up to bounds, judged by Wilcoxon's signed ranks.

    The signed-rank statistic is the number of Walsh averages (d_i + d_j) / 2, i <= j, above the tested value, hence
    monotone in every difference. Counting with the lower bounds and again with the upper bounds gives the least and
    the greatest value that it could have for any values of the censored differences; the test takes the worse one. It
    is therefore valid whatever the censored values are, and exact where nothing is censored or tied. The least p value
    it can reach is 2 / 2^num_seeds. Source: Hodges & Lehmann 1963 for the estimate and the interval.

    Args:
        lower_walsh: ascending Walsh averages of the lower bounds, n (n + 1) / 2 of them; may begin with -inf.
        upper_walsh: ascending Walsh averages of the upper bounds; may end with inf.
        num_seeds: number of pairs.
    """

    lower_walsh: FloatArray
    upper_walsh: FloatArray
    num_seeds: int

    @property
    def is_complete(self) -> bool:
        """Whether no pair is missing; censored pairs are not missing."""
        return self.num_seeds > 0 and not np.isnan(self.lower_walsh).any()

    @property
    def estimate(self) -> float:
        """The median Walsh average; the value nearest to 0 among those that the censored differences allow."""
        if not self.is_complete:
            return float("nan")
        low, high = float(np.median(self.lower_walsh)), float(np.median(self.upper_walsh))
        return max(low, 0.0) + min(high, 0.0)

    def p_value(self, value: float = 0.0) -> float:
        """Return the two-sided p value of "the differences are symmetric about `value`", in the worst case."""
        if not self.is_complete:
            return 1.0
        return min(1.0, 2 * min(self._p_above(value), self._p_below(value)))

    def interval(self, alpha: float) -> Interval:
        """Return the interval of confidence at least 1 - `alpha` that inverts the test.

        Args:
            alpha: error level in (0, 1); the interval excludes a value exactly when its `p_value` does not exceed it.
        """
        check_alpha(alpha)
        k = int(np.searchsorted(2 * signed_rank_cdf(self.num_seeds), alpha, side="right")) if self.is_complete else 0
        if k == 0:
            return Interval(-np.inf, np.inf, 1 - alpha)
        return Interval(float(self.lower_walsh[k - 1]), float(self.upper_walsh[-k]), 1 - alpha)

    def equivalence_p_value(self, margin: float) -> float:
        """Return the larger p value of the one-sided tests at -`margin` and `margin`, each in the worst case."""
        check_margin(margin)
        if not self.is_complete:
            return 1.0
        return max(self._p_above(-margin), self._p_below(margin))

    def _p_above(self, value: float) -> float:
        """Return the one-sided p value of "not above `value`"; a tie counts against the claim."""
        return float(signed_rank_cdf(self.num_seeds)[np.searchsorted(self.lower_walsh, value, side="right")])

    def _p_below(self, value: float) -> float:
        count = self.upper_walsh.size - np.searchsorted(self.upper_walsh, value, side="left")
        return float(signed_rank_cdf(self.num_seeds)[count])


def rank_effect(lower: ArrayLike, upper: ArrayLike) -> RankEffect:
    """Return the effect of paired differences that are known to lie between bounds.

    Args:
        lower: lower bound of each paired difference, shape (num_seeds,); -inf where there is none, nan where the pair
            is missing.
        upper: upper bound, shape (num_seeds,); inf where there is none; equal to `lower` where nothing is censored.

    Raises:
        ValueError: shapes differ, or a lower bound is above its upper bound or is inf.

    Example: six pairs, in the last of which the difference is known to be at least 2.

        >>> effect = rank_effect([1.0, 1.5, 2.5, 3.0, 4.0, 2.0], [1.0, 1.5, 2.5, 3.0, 4.0, np.inf])
        >>> effect.estimate, effect.p_value()
        (2.25, 0.03125)
    """
    low, high = check_vector("lower", lower), check_vector("upper", upper)
    if low.shape != high.shape or (low > high).any() or np.isposinf(low).any() or np.isneginf(high).any():
        raise ValueError(f"`lower` must not exceed `upper` and both need one entry per seed, got {low} and {high}")
    if np.isnan(low + np.where(np.isinf(high), 0, high)).any():
        low, high = np.full_like(low, np.nan), np.full_like(high, np.nan)
    return RankEffect(_walsh_averages(low), _walsh_averages(high), low.size)


def _walsh_averages(d: FloatArray) -> FloatArray:
    """Return the ascending (d_i + d_j) / 2, i <= j; those that differ from 0 by rounding alone are 0, hence ties."""
    i, j = np.triu_indices(d.size)
    averages = (d[i] + d[j]) / 2
    rounding = ROUNDING * np.abs(d[np.isfinite(d)]).max(initial=0.0)
    averages[np.abs(averages) <= rounding] = 0.0
    return np.sort(averages)


@functools.lru_cache(maxsize=64)
def signed_rank_cdf(num_seeds: int) -> FloatArray:
    """Return P(T <= t) for t = 0 .. n (n + 1) / 2, where T sums a random subset of the ranks 1 .. n = `num_seeds`."""
    mass = np.zeros(num_seeds * (num_seeds + 1) // 2 + 1)
    mass[0] = 1.0
    for rank in range(1, num_seeds + 1):
        mass[rank:] = (mass[rank:] + mass[:-rank]) / 2
        mass[:rank] /= 2
    cdf = np.minimum(np.cumsum(mass), 1.0)
    cdf.flags.writeable = False
    return cdf

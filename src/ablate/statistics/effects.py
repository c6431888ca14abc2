"""The paired t interval, which decides every claim without censored values.

An effect holds the sufficient statistics of paired differences and gives three results: the p value of "no effect",
the interval at a given confidence, and the p value of "not equivalent". Interval and p values come from the
same test, so they never disagree.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

FloatArray = NDArray[np.float64]

# Differences that agree to this relative precision differ by rounding alone.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Interval:
    """A confidence interval.

    Args:
        lower: lower limit, -inf where the data give none.
        upper: upper limit, inf where the data give none.
        confidence: 1 - alpha, in (0, 1).

    Example:
        >>> Interval(0.1, 0.3, confidence=0.95).excludes(0.0)
        True
    """

    lower: float
    upper: float
    confidence: float

    def excludes(self, value: float) -> bool:
        """Return whether `value` lies outside."""
        return value < self.lower or value > self.upper

    def within(self, margin: float) -> bool:
        """Return whether the interval lies strictly inside (-margin, margin)."""
        return -margin < self.lower and self.upper < margin


@dataclass(frozen=True)
class MeanEffect:
    """The mean of paired differences, judged by Student's t with num_seeds - 1 degrees of freedom.

    With one seed the spread is not known: p is 1 and the interval is the whole line. The same holds where a difference
    is missing. The standard error is never below the resolution of the metric, which more seeds do not improve, as all
    of them are measured on the same test images: a difference of one image is then never significant, and equal
    differences have a finite t. Where all differences are equal and the resolution is not known (0), the exact
    sign-flip test decides: its two-sided p is 2 / 2^num_seeds, and its interval is the common value or the whole line.

    Args:
        estimate: mean difference; nan where a difference is missing.
        sd: standard deviation of the differences, ddof = 1; nan with fewer than two seeds, 0 where all are equal.
        num_seeds: number of pairs, missing ones included.
        resolution: least standard error of the mean, at least 0, in the unit of the differences.
    """

    estimate: float
    sd: float
    num_seeds: int
    resolution: float = 0.0

    @property
    def is_complete(self) -> bool:
        """Whether there is at least one pair and none is missing."""
        return not np.isnan(self.estimate)

    @property
    def standard_error(self) -> float:
        """sd / sqrt(num_seeds), or the resolution where that is larger; nan where the spread is not known."""
        if np.isnan(self.sd) or not self.num_seeds:
            return float("nan")
        return max(self.sd / self.num_seeds**0.5, self.resolution)

    def p_value(self, value: float = 0.0) -> float:
        """Return the two-sided p value of "the mean difference is `value`"."""
        if np.isnan(self.sd) or self.estimate == value:
            return 1.0
        if self.standard_error == 0:
            return 2.0 ** (1 - self.num_seeds)
        return float(2 * special.stdtr(self.num_seeds - 1, -abs(self.estimate - value) / self.standard_error))

    def interval(self, alpha: float) -> Interval:
        """Return the interval estimate +- t_{1 - alpha/2} standard_error, of confidence 1 - `alpha`.

        Args:
            alpha: error level in (0, 1); the interval excludes a value exactly when its `p_value` does not exceed it.
        """
        check_alpha(alpha)
        if np.isnan(self.sd):
            half_width = np.inf
        elif self.standard_error == 0:
            half_width = 0.0 if 2.0 ** (1 - self.num_seeds) <= alpha else np.inf
        else:
            half_width = -float(special.stdtrit(self.num_seeds - 1, alpha / 2)) * self.standard_error
        middle = self.estimate if np.isfinite(half_width) else 0.0
        return Interval(middle - half_width, middle + half_width, 1 - alpha)

    def equivalence_p_value(self, margin: float) -> float:
        """Return the larger p value of the two one-sided tests against -`margin` and `margin` (Schuirmann 1987).

        It does not exceed alpha exactly when `interval(2 * alpha)` lies inside (-margin, margin).

        Args:
            margin: smallest effect of interest, at least 0, in the unit of the differences.
        """
        check_margin(margin)
        if np.isnan(self.sd):
            return 1.0
        room = margin - abs(self.estimate)
        if self.standard_error == 0:
            return 2.0**-self.num_seeds if room > 0 else 1.0
        return float(special.stdtr(self.num_seeds - 1, -room / self.standard_error))


def mean_effect(differences: ArrayLike, resolution: float = 0.0) -> MeanEffect:
    """Return the mean of paired differences with its spread.

    Args:
        differences: treatment minus control of equal seeds, shape (num_seeds,); nan marks a missing pair.
        resolution: least standard error of their mean, in their unit: 1 / num_images for an accuracy, see `MeanEffect`.

    Raises:
        ValueError: not one-dimensional, or infinite.

    Example:
        >>> effect = mean_effect([0.01, 0.02, 0.03])
        >>> round(effect.estimate, 3), round(effect.p_value(), 3)
        (0.02, 0.074)
    """
    d = check_vector("differences", differences)
    if np.isinf(d).any():
        raise ValueError(
            "`differences` must be finite or nan (missing), got an infinite value; "
            "score diverged runs before comparing them"
        )
    if d.size == 0 or np.isnan(d).any():
        return MeanEffect(float("nan"), float("nan"), d.size, resolution)
    if d.size == 1:
        return MeanEffect(float(d[0]), float("nan"), 1, resolution)
    if has_no_spread(d):
        return MeanEffect(float(d[0]), 0.0, d.size, resolution)
    return MeanEffect(float(d.mean()), float(d.std(ddof=1)), d.size, resolution)


def has_no_spread(differences: FloatArray) -> bool:
    """Return whether all differences, shape (num_seeds,), are equal up to rounding."""
    return bool(np.ptp(differences) <= ROUNDING * np.abs(differences).max())


def check_vector(name: str, values: ArrayLike) -> FloatArray:
    """Return `values` as a float64 vector, shape (num_seeds,).

    Raises:
        ValueError: `values` have another shape.
    """
    vector = np.asarray(values, dtype=np.float64)
    if vector.ndim != 1:
        raise ValueError(f"`{name}` must have shape (num_seeds,), got {vector.shape}; pass one claim at a time")
    return vector


def check_alpha(alpha: float) -> None:
    """Raise ValueError unless `alpha` lies in (0, 1)."""
    if not 0 < alpha < 1:
        raise ValueError(f"`alpha` must lie in (0, 1), got {alpha}; 0.05 is the error level of a 95 % interval")


def check_margin(margin: float) -> None:
    """Raise ValueError unless `margin` is a finite number of at least 0."""
    if not 0 <= margin < np.inf:
        raise ValueError(f"a smallest effect must be finite and at least 0, got {margin}; the direction gives the sign")

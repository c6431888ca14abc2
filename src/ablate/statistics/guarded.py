"""A mean effect for which Student's t is not enough: the exact sign-flip test has to agree."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ablate.statistics.description import sign_flip
from ablate.statistics.effects import Interval, MeanEffect, check_margin, check_vector, mean_effect


@dataclass(frozen=True)
class GuardedEffect:
    """The mean of paired differences for which the assumptions of t do not hold: a mixture, or few that are not 0.

    A mixture arises where some runs fail: most seeds have the difference of trained nets, the others one of another
    size. The p value is the larger one of Student's t and of the sign flips. The interval is that of t, extended to the
    tested value where the sign flips do not reject it, so that interval and p agree there. A mixture is never called
    equivalent.

    Args:
        mean: the effect judged by t alone.
        differences: one per pair, in the unit of the metric; zeros do not count in the sign flips.
        null: the value that the verdict tests, in the same unit.
        is_mixture: whether some runs failed and others did not; False where few differences are not 0.
    """

    mean: MeanEffect
    differences: tuple[float, ...]
    null: float = 0.0
    is_mixture: bool = True

    @property
    def estimate(self) -> float:
        return self.mean.estimate

    @property
    def sd(self) -> float:
        return self.mean.sd

    @property
    def num_seeds(self) -> int:
        return self.mean.num_seeds

    @property
    def is_complete(self) -> bool:
        return self.mean.is_complete

    def p_value(self, value: float = 0.0) -> float:
        """Return the larger of the two-sided p values of t and of the sign flips about `value`."""
        if not self.is_complete:
            return 1.0
        moved = np.array(self.differences) - value
        moved = moved[moved != 0]
        flips = sign_flip(moved, np.random.default_rng(0)).p if moved.size else 1.0
        return max(self.mean.p_value(value), flips)

    def interval(self, alpha: float) -> Interval:
        """Return the t interval of confidence 1 - `alpha`, extended to `null` where the sign flips do not reject it."""
        found = self.mean.interval(alpha)
        if found.excludes(self.null) and self.p_value(self.null) > alpha:
            return Interval(min(found.lower, self.null), max(found.upper, self.null), found.confidence)
        return found

    def equivalence_p_value(self, margin: float) -> float:
        """Return the p value of the two one-sided t tests against -`margin` and `margin`; 1 for a mixture."""
        check_margin(margin)
        return 1.0 if self.is_mixture else self.mean.equivalence_p_value(margin)


def guarded_effect(
    differences: ArrayLike, resolution: float = 0.0, null: float = 0.0, is_mixture: bool = True
) -> GuardedEffect:
    """Return the effect of paired differences, in which the sign-flip test has to agree with t.

    Args:
        differences: treatment minus control, shape (num_pairs,); nan marks a missing pair.
        resolution: least standard error of their mean, see `mean_effect`.
        null, is_mixture: see `GuardedEffect`.

    Example: t alone gives p < 0.001, but four seeds can reach no less than 2 / 2^4 by sign flips.

        >>> guarded_effect([0.30, 0.31, 0.30, 0.31]).p_value()
        0.125
    """
    d = check_vector("differences", differences)
    return GuardedEffect(mean_effect(d, resolution), tuple(d.tolist()), null, is_mixture)

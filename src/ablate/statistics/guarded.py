"""A mean effect that t alone may not decide: the exact sign-flip test has to agree."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ablate.statistics.description import sign_flip
from ablate.statistics.effects import Interval, MeanEffect, check_margin, check_vector, mean_effect


@dataclass(frozen=True)
class GuardedEffect:
    """The mean of differences whose distribution t does not fit: few that are not 0, or a mixture.

    A mixture is what comes of runs that fail now and then: a difference of trained nets in most seeds, one of another
    size in the others. The p value is the larger one of Student's t and of the sign flips, and the interval is that of
    t, drawn out to the tested value where the sign flips do not reject it, so that interval and p agree there. Nothing
    is called equivalent from a mixture.

    Args:
        mean: the effect as t sees it.
        differences: all of them; zeros flip to themselves.
        null: the value that the verdict tests.
        is_mixture: whether runs failed; False where differences are few.
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
        """Return the larger two-sided p value of t and of the sign flips about `value`."""
        if not self.is_complete:
            return 1.0
        moved = np.array(self.differences) - value
        moved = moved[moved != 0]
        flips = sign_flip(moved, np.random.default_rng(0)).p if moved.size else 1.0
        return max(self.mean.p_value(value), flips)

    def interval(self, alpha: float) -> Interval:
        """Return the t interval, drawn out to `null` where the sign flips do not reject that."""
        found = self.mean.interval(alpha)
        if found.excludes(self.null) and self.p_value(self.null) > alpha:
            return Interval(min(found.lower, self.null), max(found.upper, self.null), found.level)
        return found

    def equivalence_p_value(self, margin: float) -> float:
        """Return the p value of the two one-sided t tests; 1 of a mixture."""
        check_margin(margin)
        return 1.0 if self.is_mixture else self.mean.equivalence_p_value(margin)


def guarded_effect(
    differences: ArrayLike, resolution: float = 0.0, null: float = 0.0, is_mixture: bool = True
) -> GuardedEffect:
    """Return the effect of paired differences, shape (num_seeds,), that t alone does not decide.

    Args:
        differences: see `mean_effect`.
        resolution: see `mean_effect`.
        null, is_mixture: see `GuardedEffect`.
    """
    d = check_vector("differences", differences)
    return GuardedEffect(mean_effect(d, resolution), tuple(d.tolist()), null, is_mixture)

"""Runs that sometimes fail to train: an upper limit of their share, and how far they could move an effect."""

import math
from dataclasses import dataclass

from scipy import special

from ablate.statistics.effects import Interval, check_alpha

CONFIDENCE = 0.95  # of the upper limit of the share of runs that fail


@dataclass(frozen=True)
class Failures:
    """How many runs of an arm did not train.

    Args:
        failed: number of runs that failed, in [0, total].
        total: number of runs, at least 0.

    Example:
        >>> round(Failures(failed=0, total=6).at_most, 2), Failures(0, 29).excludes(0.1)
        (0.39, True)
    """

    failed: int
    total: int

    def __post_init__(self) -> None:
        if not 0 <= self.failed <= self.total:
            raise ValueError(f"`failed` must lie in [0, total = {self.total}], got {self.failed}")

    @property
    def at_most(self) -> float:
        """Upper limit of the share of runs that fail, one-sided 95 % (Clopper-Pearson), in [0, 1]; 1 without runs."""
        return clopper_pearson(self.failed, self.total, 2 * (1 - CONFIDENCE)).upper

    @property
    def is_mixture(self) -> bool:
        """Whether some runs failed and others did not."""
        return 0 < self.failed < self.total

    def excludes(self, share: float) -> bool:
        """Return whether the runs exclude a share of failures above `share`, in (0, 1): `at_most` is not above it."""
        return self.at_most <= share


@dataclass(frozen=True)
class Exposure:
    """How far an effect would move if as many runs failed as the seeds do not exclude, see `judging.trained.exposure`.

    Args:
        down: by how much the effect falls if runs of the treatment fail; at least 0, in the unit of the effect.
        up: by how much it rises if runs of the control fail; at least 0, in the same unit.
        is_known: whether the metric has a value for a run that failed, as an accuracy has that of guessing. Where it
            has none, only runs that train are compared, and an equivalence is always "if trained".

    Example: a tenth of the treatment's runs would lose 30 points.

        >>> Exposure(down=0.03)
        Exposure(down=0.03, up=0.0, is_known=True)
    """

    down: float = 0.0
    up: float = 0.0
    is_known: bool = True

    def __post_init__(self) -> None:
        if not (0 <= self.down < math.inf and 0 <= self.up < math.inf):
            raise ValueError(f"`down` and `up` must be finite and at least 0, got {self.down} and {self.up}")


def clopper_pearson(count: float, total: int, alpha: float) -> Interval:
    """Return the exact two-sided interval of a probability; its limits are quantiles of beta distributions.

    Args:
        count: successes in [0, total], ties counting half.
        total: number of trials; with none, the interval is [0, 1].
        alpha: error level in (0, 1), half of it on each side.

    Source: Clopper & Pearson 1934.

    Example:
        >>> interval = clopper_pearson(3, 10, alpha=0.05)
        >>> round(interval.lower, 3), round(interval.upper, 3)
        (0.067, 0.652)
    """
    check_alpha(alpha)
    lower = float(special.betaincinv(count, total - count + 1, alpha / 2)) if count > 0 else 0.0
    upper = float(special.betaincinv(count + 1, total - count, 1 - alpha / 2)) if count < total else 1.0
    return Interval(lower, upper, 1 - alpha)


def seeds_to_exclude(share: float) -> int:
    """Return how many seeds without any failure exclude a share of failures with 95 % confidence.

    The least n with (1 - share)^n <= 0.05: 29 seeds for a tenth, 14 for a fifth.

    Args:
        share: of runs that fail, in (0, 1).

    Example:
        >>> seeds_to_exclude(0.1)
        29
    """
    if not 0 < share < 1:
        raise ValueError(f"`share` of runs that fail must lie in (0, 1), got {share}; 0.1 is one run in ten")
    # 1e-9 absorbs rounding where the bound is met exactly.
    return math.ceil(math.log(1 - CONFIDENCE) / math.log(1 - share) - 1e-9)

"""Runs that fail now and then: how many may, given how many did, and how far that could move an effect."""

import math
from dataclasses import dataclass

from scipy import special

from ablate.statistics.effects import Interval, check_alpha

LEVEL = 0.95  # of the bound on the share of runs that fail


@dataclass(frozen=True)
class Failures:
    """How many runs of an arm did not train.

    Args:
        failed: in [0, total].
        total: number of runs, at least 0.
    """

    failed: int
    total: int

    def __post_init__(self) -> None:
        if not 0 <= self.failed <= self.total:
            raise ValueError(f"`failed` must lie in [0, total = {self.total}], got {self.failed}")

    @property
    def at_most(self) -> float:
        """Upper limit of the share of runs that fail, with LEVEL (Clopper-Pearson, one-sided); 1 without runs."""
        return clopper_pearson(self.failed, self.total, 2 * (1 - LEVEL)).upper

    @property
    def is_mixture(self) -> bool:
        """Whether some runs failed and others did not."""
        return 0 < self.failed < self.total

    def excludes(self, share: float) -> bool:
        """Return whether so few runs failed that a share of `share` or more is excluded with LEVEL."""
        return self.at_most <= share


@dataclass(frozen=True)
class Exposure:
    """How far an effect would move if a relevant share of the runs failed that the seeds do not exclude.

    Args:
        down, up: in the unit of the effect, at least 0: runs of the treatment fail, runs of the control fail.
        is_known: whether the metric has a value for a run that failed, as an accuracy has that of guessing. Where it
            has none, differences are of runs that train, and equivalence is never said without that condition.
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
    """
    check_alpha(alpha)
    lower = float(special.betaincinv(count, total - count + 1, alpha / 2)) if count > 0 else 0.0
    upper = float(special.betaincinv(count + 1, total - count, 1 - alpha / 2)) if count < total else 1.0
    return Interval(lower, upper, 1 - alpha)


def seeds_to_exclude(share: float) -> int:
    """Return the number of seeds without a failure that exclude a share of failures with LEVEL.

    (1 - share)^n <= 1 - LEVEL: 29 seeds for a tenth, 14 for a fifth.

    Args:
        share: in (0, 1).
    """
    if not 0 < share < 1:
        raise ValueError(f"`share` of runs that fail must lie in (0, 1), got {share}; 0.1 is one run in ten")
    # 1e-9 is for shares that are met exactly but for rounding.
    return math.ceil(math.log(1 - LEVEL) / math.log(1 - share) - 1e-9)

"""One claim, one verdict: effects and smallest effects of a family go in, verdicts come out.

Two kinds of false verdict are held at the family's alpha, each on its own: that any claim is called supported or
contradicted whose effect is 0, and that any is called equivalent whose effect reaches the smallest effect. The claims'
t (or signed-rank) tests against 0 form one Holm family, their two one-sided tests the other. No claim can suffer both
errors, as its effect cannot be 0 and large at once; a family that holds claims of both kinds errs with at most 2 alpha.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, get_args

from ablate.statistics.claims import Effect
from ablate.statistics.effects import ROUNDING, Interval, MeanEffect, check_margin
from ablate.statistics.families import holm, look_alpha
from ablate.statistics.power import MAX_SEEDS, seeds_needed

Direction = Literal["greater", "smaller", "equivalent"]


class Outcome(StrEnum):
    """What is said about a claim."""

    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    NO_DIFFERENCE = "no difference"
    INCONCLUSIVE = "inconclusive"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A claim as the statistics see it.

    Args:
        effect: treatment against control, from `difference`, `ratio`, `trend` or a factorial contrast.
        direction: what is claimed of the effect: "greater" than 0, "smaller" than 0, or "equivalent" to 0.
        smallest_effect: least size that matters, at least 0, in the effect's unit (a ratio's: log k).

    Raises:
        ValueError: unknown direction, or a smallest effect that is negative, or 0 for "equivalent".
    """

    effect: Effect
    direction: Direction
    smallest_effect: float

    def __post_init__(self) -> None:
        check_margin(self.smallest_effect)
        if self.direction not in get_args(Direction):
            raise ValueError(f"`direction` must be one of {', '.join(get_args(Direction))}, got {self.direction!r}")
        if self.direction == "equivalent" and self.smallest_effect == 0:
            raise ValueError(
                "`smallest_effect` must be above 0 for an equivalent claim, got 0; "
                "for runs that must agree to the last bit use identity"
            )


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The outcome of a claim with the numbers it rests on.

    Args:
        outcome: see `decide`.
        comparison: the claim.
        interval: of the effect, at the claim's Holm level; excludes 0 exactly when `p_adjusted` is within alpha.
        p: two-sided p value of "no effect", unadjusted.
        p_adjusted: the same, adjusted for the family and the looks; comparable with the study's alpha.
        equivalence_interval: of the effect, at 1 - 2 x the claim's Holm level; inside the smallest effect exactly when
            `equivalence_p_adjusted` is within alpha.
        equivalence_p: p value of the two one-sided tests, unadjusted.
        equivalence_p_adjusted: the same, adjusted for the family and the looks.
        seeds_needed: an inconclusive claim's total number of seeds to decide, None where unknown or out of reach.
    """

    outcome: Outcome
    comparison: Comparison
    interval: Interval
    p: float
    p_adjusted: float
    equivalence_interval: Interval
    equivalence_p: float
    equivalence_p_adjusted: float
    seeds_needed: int | None

    @property
    def further_seeds(self) -> int | None:
        """Seeds to add to those there are, None where unknown or out of reach."""
        return None if self.seeds_needed is None else self.seeds_needed - self.comparison.effect.num_seeds


def decide(
    comparisons: Sequence[Comparison],
    *,
    alpha: float = 0.05,
    look: int = 1,
    num_looks: int = 1,
    power: float = 0.8,
) -> list[Verdict]:
    """Return the verdict of every claim of one family, in order of precedence:

    incomplete: a run is missing; the claim still counts in the family, with the p value 1;
    supported or contradicted: the interval excludes 0 and the estimate reaches the smallest effect, on the claimed or
    on the other side (an "equivalent" claim is contradicted on both sides, and supported by equivalence);
    no difference: the equivalence interval lies inside the smallest effect;
    inconclusive: anything else, also an effect that is surely not 0 but perhaps too small to matter.

    Args:
        comparisons: the family.
        alpha: error level of the family over all looks, in (0, 0.5).
        look: which look at the growing data this is, from 1.
        num_looks: looks declared before the first run.
        power: probability with which `seeds_needed` seeds shall decide, in (0, 1).

    Raises:
        ValueError: alpha or power outside its range, or a look that was not declared.
    """
    if not 0 < alpha < 0.5:
        raise ValueError(f"`alpha` must lie in (0, 0.5), got {alpha}; 0.05 lets one family in twenty err")
    if not 0 < power < 1:
        raise ValueError(f"`power` must lie in (0, 1), got {power}; 0.8 is customary")
    spent = look_alpha(alpha, look, num_looks)
    if not comparisons:
        return []
    p = [c.effect.p_value() for c in comparisons]
    equivalence_p = [c.effect.equivalence_p_value(c.smallest_effect) for c in comparisons]
    differ, agree = holm(p, spent), holm(equivalence_p, spent)
    verdicts = []
    for i, c in enumerate(comparisons):
        level, equivalence_level = float(differ.levels[i]), float(agree.levels[i])
        interval, equivalence_interval = c.effect.interval(level), c.effect.interval(2 * equivalence_level)
        outcome = _outcome(c, interval, equivalence_interval)
        inconclusive = outcome is Outcome.INCONCLUSIVE
        verdicts.append(
            Verdict(
                outcome=outcome,
                comparison=c,
                interval=interval,
                p=p[i],
                p_adjusted=min(1.0, float(differ.adjusted[i]) * num_looks),
                equivalence_interval=equivalence_interval,
                equivalence_p=equivalence_p[i],
                equivalence_p_adjusted=min(1.0, float(agree.adjusted[i]) * num_looks),
                seeds_needed=_seeds_needed(c, level, equivalence_level, power) if inconclusive else None,
            )
        )
    return verdicts


def _outcome(comparison: Comparison, interval: Interval, equivalence_interval: Interval) -> Outcome:
    """Return the outcome by the precedence that `decide` documents."""
    effect, smallest = comparison.effect, comparison.smallest_effect
    claims_equivalence = comparison.direction == "equivalent"
    if not effect.is_complete:
        return Outcome.INCOMPLETE
    # 0.7 - 0.68 is a little less than 0.02.
    if interval.excludes(0) and abs(effect.estimate) >= smallest * (1 - ROUNDING):
        claimed = {"greater": effect.estimate > 0, "smaller": effect.estimate < 0, "equivalent": False}
        return Outcome.SUPPORTED if claimed[comparison.direction] else Outcome.CONTRADICTED
    if equivalence_interval.within(smallest):
        return Outcome.SUPPORTED if claims_equivalence else Outcome.NO_DIFFERENCE
    return Outcome.INCONCLUSIVE


def _seeds_needed(comparison: Comparison, level: float, equivalence_level: float, power: float) -> int | None:
    """Return the total number of seeds that would decide an inconclusive claim at the levels it has now.

    Planned for the target power at the observed spread, whichever way the truth lies. Where the study already has as
    many, the effect lies near the smallest one: then, and where the plan is out of reach, the number that decides if
    estimate and spread stay what they are.
    """
    effect, smallest = comparison.effect, comparison.smallest_effect
    if not isinstance(effect, MeanEffect) or effect.sd == 0:
        # The least p value of signed ranks and of equal differences is 2 / 2^num_seeds.
        least = math.ceil(1 - math.log2(min(level, 2 * equivalence_level)))
        return least if least > effect.num_seeds else None
    if math.isnan(effect.sd):
        return None
    planned = seeds_needed(effect.sd, smallest, level, equivalence_level, power).either_way if smallest > 0 else None
    if planned is not None and planned > effect.num_seeds:
        return planned
    return _seeds_if_unchanged(comparison, level, equivalence_level)


def _seeds_if_unchanged(comparison: Comparison, level: float, equivalence_level: float) -> int | None:
    """Return the least number of seeds at which the same estimate and spread would decide, None if out of reach."""
    effect = comparison.effect
    assert isinstance(effect, MeanEffect)

    def decides(num_seeds: int) -> bool:
        grown = MeanEffect(effect.estimate, effect.sd, num_seeds)
        outcome = _outcome(
            Comparison(effect=grown, direction=comparison.direction, smallest_effect=comparison.smallest_effect),
            grown.interval(level),
            grown.interval(2 * equivalence_level),
        )
        return outcome is not Outcome.INCONCLUSIVE

    low, high = effect.num_seeds, MAX_SEEDS
    if not decides(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if decides(middle) else (middle, high)
    return high

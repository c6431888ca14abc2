"""The verdicts of a family of claims, from the effect and the smallest effect of each.

Two kinds of false verdict have a probability of at most the family's alpha each: calling any claim supported or
contradicted whose effect is 0, and calling any equivalent whose effect reaches the smallest effect. The claims' t (or
signed-rank) tests against 0 form one Holm family, their two one-sided tests another. One claim cannot suffer both
errors, as its effect is not 0 and large at once; a family with claims of both kinds errs with at most 2 alpha.

These tests use the runs that were made. If one run in ten fails to train, four to six seeds seldom include one, so a
verdict has to hold even if a declared share of the runs failed, unless the seeds exclude so many failures (`Exposure`).
A verdict that does not hold then is "if trained": it is about nets that train only.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal, get_args

from ablate.statistics.censoring import RankEffect
from ablate.statistics.claims import Effect
from ablate.statistics.effects import ROUNDING, Interval, MeanEffect, check_margin
from ablate.statistics.failures import Exposure
from ablate.statistics.families import holm, look_alpha
from ablate.statistics.guarded import GuardedEffect
from ablate.statistics.power import MAX_SEEDS, seeds_needed
from ablate.statistics.sequential import Looks, holm_at_look

# Two seeds sometimes agree by chance, whatever the spread: equivalence needs a third.
MIN_SEEDS_OF_EQUIVALENCE = 3
NO_EXPOSURE = Exposure()

Direction = Literal["greater", "smaller", "equivalent"]


class Outcome(StrEnum):
    """The verdict on a claim, see `decide`."""

    SUPPORTED = "supported"
    SUPPORTED_IF_TRAINED = "supported if trained"
    CONTRADICTED = "contradicted"
    CONTRADICTED_IF_TRAINED = "contradicted if trained"
    NO_DIFFERENCE = "no difference"
    NO_DIFFERENCE_IF_TRAINED = "no difference if trained"
    NEITHER_TRAINS = "neither trains"
    INCONCLUSIVE = "inconclusive"
    INCOMPLETE = "incomplete"


IF_TRAINED = {
    Outcome.SUPPORTED: Outcome.SUPPORTED_IF_TRAINED,
    Outcome.CONTRADICTED: Outcome.CONTRADICTED_IF_TRAINED,
    Outcome.NO_DIFFERENCE: Outcome.NO_DIFFERENCE_IF_TRAINED,
}


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """An effect with what is claimed of it: what `decide` takes.

    Args:
        effect: treatment against control, from `difference`, `ratio` or `trend`.
        direction: what is claimed of the effect: "greater" than 0, "smaller" than 0, or "equivalent" to 0.
        smallest_effect: least size that matters, at least 0, in the effect's unit (a ratio's: log k).
        at_least: whether the claim names the smallest effect ("at least four times"): the effect is then tested
            against that number in place of 0 (a minimal-effect test), and equivalence is not tested.
        exposure: how far the effect would move if as many runs failed as the seeds do not exclude.
        neither_trains: whether no run of any arm trained.

    Raises:
        ValueError: unknown direction; a smallest effect that is negative, or 0 for "equivalent"; or `at_least` for
            "equivalent".

    Example:
        >>> from ablate.statistics import mean_effect
        >>> Comparison(effect=mean_effect([0.03, 0.05]), direction="smaller", smallest_effect=0.02, at_least=True).null
        -0.02
    """

    effect: Effect
    direction: Direction
    smallest_effect: float
    at_least: bool = False
    exposure: Exposure = NO_EXPOSURE
    neither_trains: bool = False

    def __post_init__(self) -> None:
        check_margin(self.smallest_effect)
        if self.direction not in get_args(Direction):
            raise ValueError(f"`direction` must be one of {', '.join(get_args(Direction))}, got {self.direction!r}")
        if self.direction == "equivalent" and self.smallest_effect == 0:
            raise ValueError(
                "`smallest_effect` must be above 0 for an equivalent claim, got 0; "
                "for runs that must agree to the last bit use identity"
            )
        if self.direction == "equivalent" and self.at_least:
            raise ValueError("`at_least` is for a claim that one side is greater or smaller, got it for 'equivalent'")

    @property
    def null(self) -> float:
        """The value that the effect is tested against."""
        if not self.at_least:
            return 0.0
        return self.smallest_effect if self.direction == "greater" else -self.smallest_effect


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The outcome of a claim with the numbers that it is based on.

    Args:
        outcome: see `decide`.
        comparison: the claim.
        interval: of the effect, at the claim's Holm error level; excludes the null (0, or the number that the claim
            names) exactly when `p_adjusted` is at most alpha.
        p: two-sided p value of the null, unadjusted.
        p_adjusted: the same, adjusted for the family and the looks; comparable with the study's alpha.
        equivalence_interval: of the effect, of confidence 1 - 2 x the claim's Holm error level; inside the smallest
            effect exactly when `equivalence_p_adjusted` is at most alpha.
        equivalence_p: p value of the two one-sided tests, unadjusted.
        equivalence_p_adjusted: the same, adjusted for the family and the looks.
        seeds_needed: total number of seeds that would decide an inconclusive claim; None where it is not known, or too
            large (MAX_SEEDS).
        differs: whether Holm's test of the nulls rejects the claim's; the verdict needs the smallest effect as well.
        agrees: whether Holm's test of equivalence rejects.
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
    differs: bool = False
    agrees: bool = False

    @property
    def further_seeds(self) -> int | None:
        """Seeds to add to the present ones; None where `seeds_needed` is None."""
        return None if self.seeds_needed is None else self.seeds_needed - self.comparison.effect.num_seeds


def decide(
    comparisons: Sequence[Comparison],
    *,
    alpha: float = 0.05,
    look: int = 1,
    num_looks: int = 1,
    declared: Looks | None = None,
    power: float = 0.8,
    plan: bool = True,
) -> list[Verdict]:
    """Return the verdict of every claim of one family. The first that applies is taken:

    incomplete: a run is missing; the claim still counts in the family, with the p value 1;
    neither trains: no run of any arm trained, so that there is nothing to compare;
    supported or contradicted: the interval excludes 0 and the estimate reaches the smallest effect, on the claimed or
    on the other side (an "equivalent" claim is contradicted on both sides, and supported by equivalence); with
    `at_least`, the whole interval lies above or below the number;
    no difference: the equivalence interval lies inside the smallest effect, with three seeds or more;
    inconclusive: anything else, also an effect that is clearly not 0 but perhaps too small to matter.

    "Supported", "contradicted" and "no difference" become "if trained" where they would not hold after the effect has
    moved by its `exposure` to runs that fail. Where runs did fail (a mixture), such a claim is inconclusive.

    Args:
        comparisons: the family.
        alpha: error level of the family over all looks, in (0, 0.5).
        look: which look at the growing data this is, from 1.
        num_looks: looks declared before the first run.
        declared: where the numbers of seeds of all looks are declared, these, and what earlier looks of the family have
            rejected; it takes the place of `num_looks`, and `comparisons` are the claims that this look tests.
        power: probability with which `seeds_needed` seeds decide, in (0, 1).
        plan: whether to compute `seeds_needed`, which takes most of the time.

    Returns:
        One verdict per comparison, in the same order.

    Raises:
        ValueError: alpha or power outside its range, or a look that was not declared.

    Example:
        >>> from ablate.statistics import mean_effect
        >>> effect = mean_effect([0.040, 0.050, 0.045])
        >>> (verdict,) = decide([Comparison(effect=effect, direction="greater", smallest_effect=0.02)])
        >>> str(verdict.outcome), round(verdict.interval.lower, 3)
        ('supported', 0.033)
    """
    if not 0 < alpha < 0.5:
        raise ValueError(
            f"`alpha` must lie in (0, 0.5), got {alpha}; 0.05 allows a false verdict in one family of twenty"
        )
    if not 0 < power < 1:
        raise ValueError(f"`power` must lie in (0, 1), got {power}; 0.8 is customary")
    spent = look_alpha(alpha, look, len(declared.seeds) if declared else num_looks)
    if not comparisons:
        return []
    p = [c.effect.p_value(c.null) for c in comparisons]
    equivalence_p = [_equivalence_p(c) for c in comparisons]
    if declared is None:
        differ, agree, factor = holm(p, spent), holm(equivalence_p, spent), num_looks
    else:
        left = declared.num_claims - declared.num_different, declared.num_claims - declared.num_equivalent
        differ, factor = holm_at_look(p, alpha, look, declared.seeds, left[0]), 1
        agree = holm_at_look(equivalence_p, alpha, look, declared.seeds, left[1], one_sided=True)
    verdicts = []
    for i, c in enumerate(comparisons):
        error, equivalence_error = float(differ.alphas[i]), float(agree.alphas[i])
        interval, equivalence_interval = c.effect.interval(error), _equivalence_interval(c, equivalence_error)
        outcome = _outcome(c, interval, equivalence_interval)
        inconclusive = outcome is Outcome.INCONCLUSIVE
        verdicts.append(
            Verdict(
                outcome=outcome,
                comparison=c,
                interval=interval,
                p=p[i],
                p_adjusted=min(1.0, float(differ.adjusted[i]) * factor),
                equivalence_interval=equivalence_interval,
                equivalence_p=equivalence_p[i],
                equivalence_p_adjusted=min(1.0, float(agree.adjusted[i]) * factor),
                seeds_needed=_seeds_needed(c, error, equivalence_error, power) if plan and inconclusive else None,
                differs=bool(differ.rejected[i]),
                agrees=bool(agree.rejected[i]),
            )
        )
    return verdicts


def _equivalence_p(comparison: Comparison) -> float:
    """Return the p value of the two one-sided tests; 1 where equivalence is not tested."""
    if comparison.at_least or comparison.effect.num_seeds < MIN_SEEDS_OF_EQUIVALENCE:
        return 1.0
    return comparison.effect.equivalence_p_value(comparison.smallest_effect)


def _equivalence_interval(comparison: Comparison, error: float) -> Interval:
    """Return the interval of confidence 1 - 2 x `error`; the whole line where equivalence is not tested."""
    effect = comparison.effect
    is_mixture = isinstance(effect, GuardedEffect) and effect.is_mixture
    if is_mixture or comparison.at_least or effect.num_seeds < MIN_SEEDS_OF_EQUIVALENCE:
        return Interval(-math.inf, math.inf, 1 - 2 * error)
    return effect.interval(2 * error)


def _outcome(comparison: Comparison, interval: Interval, equivalence_interval: Interval) -> Outcome:
    """Return the outcome by the precedence that `decide` documents."""
    effect, smallest, null, exposure = (
        comparison.effect, comparison.smallest_effect, comparison.null, comparison.exposure
    )  # fmt: skip
    if not effect.is_complete:
        return Outcome.INCOMPLETE
    if comparison.neither_trains:
        return Outcome.NEITHER_TRAINS
    # In floating point, 0.7 - 0.68 is a little less than 0.02.
    if interval.excludes(null) and (comparison.at_least or abs(effect.estimate) >= smallest * (1 - ROUNDING)):
        side = "greater" if effect.estimate > null else "smaller"
        outcome = Outcome.SUPPORTED if comparison.direction == side else Outcome.CONTRADICTED
        holds = interval.lower - exposure.down > null if side == "greater" else interval.upper + exposure.up < null
    elif equivalence_interval.within(smallest):
        outcome = Outcome.SUPPORTED if comparison.direction == "equivalent" else Outcome.NO_DIFFERENCE
        exposed = Interval(equivalence_interval.lower - exposure.down, equivalence_interval.upper + exposure.up, 0.5)
        holds = exposure.is_known and exposed.within(smallest)
        if not holds:
            return Outcome.NO_DIFFERENCE_IF_TRAINED
    else:
        return Outcome.INCONCLUSIVE
    if holds:
        return outcome
    return Outcome.INCONCLUSIVE if isinstance(effect, GuardedEffect) and effect.is_mixture else IF_TRAINED[outcome]


def _seeds_needed(comparison: Comparison, error: float, equivalence_error: float, power: float) -> int | None:
    """Return the total number of seeds that would decide an inconclusive claim at its present error levels.

    Planned for the target power at the observed spread, for a true effect of 0 and of the smallest size. Where the
    study already has as many seeds, the effect is near the smallest one: then, and where the plan needs too many, the
    number that decides if estimate and spread stay the same.
    """
    effect, smallest = comparison.effect, comparison.smallest_effect
    # The least p value of signed ranks, of sign flips and of equal differences is 2 / 2^num_seeds.
    least = math.ceil(1 - math.log2(min(error, 2 * equivalence_error)))
    planned_by_flips = isinstance(effect, GuardedEffect) or (isinstance(effect, MeanEffect) and not effect.resolution)
    if isinstance(effect, RankEffect) or (effect.sd == 0 and planned_by_flips):
        return least if least > effect.num_seeds else None
    if isinstance(effect, GuardedEffect):
        planned = (
            seeds_needed(effect.sd, smallest, error, equivalence_error, power).either_way if smallest > 0 else None
        )
        return None if planned is None or max(planned, least) <= effect.num_seeds else max(planned, least)
    if math.isnan(effect.sd):
        return None
    if comparison.at_least or effect.sd == 0:
        return _seeds_if_unchanged(comparison, error, equivalence_error)
    planned = seeds_needed(effect.sd, smallest, error, equivalence_error, power).either_way if smallest > 0 else None
    if planned is not None and planned > effect.num_seeds:
        return planned
    return _seeds_if_unchanged(comparison, error, equivalence_error)


def _seeds_if_unchanged(comparison: Comparison, error: float, equivalence_error: float) -> int | None:
    """Return the least number of seeds at which the same estimate and spread would decide, None above MAX_SEEDS."""
    effect = comparison.effect
    assert isinstance(effect, MeanEffect)

    def decides(num_seeds: int) -> bool:
        grown = replace(comparison, effect=replace(effect, num_seeds=num_seeds))
        outcome = _outcome(grown, grown.effect.interval(error), _equivalence_interval(grown, equivalence_error))
        return outcome is not Outcome.INCONCLUSIVE

    low, high = effect.num_seeds, MAX_SEEDS
    if not decides(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if decides(middle) else (middle, high)
    return high

"""Verdicts: precedence, agreement of interval, p and outcome, looks, and the seeds that would decide."""

import itertools
from typing import Any

import numpy as np
import pytest

from ablate.statistics import (
    Comparison,
    Direction,
    Effect,
    MeanEffect,
    Outcome,
    Verdict,
    decide,
    mean_effect,
    rank_effect,
    ratio,
    seeds_needed,
)

RNG = np.random.default_rng(6)


def judge(effect: Effect, direction: Direction = "greater", smallest: float = 1.0, **options: Any) -> Verdict:
    return decide([Comparison(effect=effect, direction=direction, smallest_effect=smallest)], **options)[0]


# t with 9 degrees: 97.5 % at 2.262, 95 % at 1.833; the standard error is sd / sqrt(10).
@pytest.mark.parametrize(
    ("estimate", "sd", "direction", "outcome"),
    [
        (2.0, 1.0, "greater", "supported"),
        (-2.0, 1.0, "greater", "contradicted"),
        (2.0, 1.0, "smaller", "contradicted"),
        (-2.0, 1.0, "smaller", "supported"),
        (2.0, 1.0, "equivalent", "contradicted"),
        (-2.0, 1.0, "equivalent", "contradicted"),
        (0.1, 1.0, "greater", "no difference"),
        (0.1, 1.0, "smaller", "no difference"),
        (0.1, 1.0, "equivalent", "supported"),
        (2.0, 9.0, "greater", "inconclusive"),
        (0.1, 9.0, "equivalent", "inconclusive"),
        # Clearly above 0, clearly below the smallest effect.
        (0.5, 0.1, "greater", "no difference"),
        # Clearly above 0, perhaps above the smallest effect.
        (0.95, 0.5, "greater", "inconclusive"),
        (0.95, 0.5, "equivalent", "inconclusive"),
        (np.nan, np.nan, "greater", "incomplete"),
    ],
)
def test_outcomes(estimate: float, sd: float, direction: Direction, outcome: str) -> None:
    verdict = judge(MeanEffect(estimate, sd, 10), direction)
    assert verdict.outcome == outcome
    assert (verdict.seeds_needed is not None) == (outcome == "inconclusive")


def test_estimate_reaches_the_smallest_effect_despite_rounding() -> None:
    effect = MeanEffect(0.7 - 0.68, 0.001, 10)
    assert effect.estimate < 0.02
    assert judge(effect, smallest=0.02).outcome is Outcome.SUPPORTED
    assert judge(MeanEffect(0.0199, 0.001, 10), smallest=0.02).outcome is Outcome.INCONCLUSIVE


def test_single_claim_is_unadjusted() -> None:
    effect = mean_effect(RNG.normal(1, 1, 8))
    verdict = judge(effect)
    assert verdict.p == verdict.p_adjusted == effect.p_value()
    assert verdict.equivalence_p == verdict.equivalence_p_adjusted == effect.equivalence_p_value(1.0)
    assert verdict.interval == effect.interval(0.05)
    assert verdict.equivalence_interval == effect.interval(0.1)


def test_family_by_hand() -> None:
    effects = [mean_effect([1.0, 2.0, 3.0]), mean_effect([9.0, 10.0, 11.0]), mean_effect([-1.0, 0.0, 1.0])]
    p = [effect.p_value() for effect in effects]
    family = decide([Comparison(effect=e, direction="greater", smallest_effect=0.5) for e in effects])
    # The second passes 0.05 / 3; the first, 0.074, fails 0.05 / 2, and that is the error level of the others.
    assert [v.interval.confidence for v in family] == pytest.approx([1 - 0.05 / 2, 1 - 0.05 / 3, 1 - 0.05 / 2])
    assert [v.p_adjusted for v in family] == pytest.approx([2 * p[0], 3 * p[1], 1.0])
    assert [v.outcome for v in family] == ["inconclusive", "supported", "inconclusive"]


@pytest.mark.parametrize("num_looks", [1, 3])
def test_interval_p_and_outcome_always_agree(num_looks: int) -> None:
    seen = set()
    for _ in range(150):
        means, sds, sizes = RNG.choice([0.0, 0.7, 2.5], 6), RNG.choice([0.2, 1.0], 6), RNG.integers(2, 12, 6)
        claims = [
            Comparison(
                effect=mean_effect(RNG.normal(means[k], sds[k], sizes[k])),
                direction=RNG.choice(["greater", "smaller", "equivalent"]),
                smallest_effect=RNG.choice([0.5, 1.0]),
            )
            for k in range(RNG.integers(1, 7))
        ]
        for claim, verdict in zip(claims, decide(claims, look=num_looks, num_looks=num_looks), strict=True):
            smallest, estimate = claim.smallest_effect, claim.effect.estimate
            assert verdict.interval.excludes(0) == (verdict.p_adjusted <= 0.05)
            assert verdict.equivalence_interval.within(smallest) == (verdict.equivalence_p_adjusted <= 0.05)
            different = verdict.p_adjusted <= 0.05 and abs(estimate) >= smallest
            equal = verdict.equivalence_p_adjusted <= 0.05
            side = {"greater": estimate > 0, "smaller": estimate < 0, "equivalent": False}[claim.direction]
            expected = (
                ("supported" if side else "contradicted") if different
                else ("supported" if claim.direction == "equivalent" else "no difference") if equal
                else "inconclusive"
            )  # fmt: skip
            assert verdict.outcome == expected
            assert not (different and equal)
            seen.add(verdict.outcome)
    # The other outcomes depend on which runs trained, which is not tested here.
    assert seen == {Outcome.SUPPORTED, Outcome.CONTRADICTED, Outcome.NO_DIFFERENCE, Outcome.INCONCLUSIVE}


def test_mirrored_claims_have_mirrored_verdicts() -> None:
    for _ in range(30):
        d = [RNG.normal(RNG.normal(0, 1.5), 0.7, 6) for _ in range(3)]
        up = decide([Comparison(effect=mean_effect(x), direction="greater", smallest_effect=0.5) for x in d])
        down = decide([Comparison(effect=mean_effect(-x), direction="smaller", smallest_effect=0.5) for x in d])
        assert [v.outcome for v in up] == [v.outcome for v in down]
        assert [v.seeds_needed for v in up] == [v.seeds_needed for v in down]


def test_order_of_the_claims_does_not_matter() -> None:
    claims = [
        Comparison(effect=mean_effect(RNG.normal(k, 1, 5)), direction="greater", smallest_effect=0.5) for k in range(3)
    ]
    reference = decide(claims)
    for order in itertools.permutations(range(3)):
        assert decide([claims[k] for k in order]) == [reference[k] for k in order]


def test_incomplete_claims_count_in_the_family() -> None:
    sure, missing = mean_effect([2.0, 2.1, 1.9, 2.2]), mean_effect([1.0, np.nan])
    alone = judge(sure)
    first, second = decide([Comparison(effect=e, direction="greater", smallest_effect=1.0) for e in (sure, missing)])
    assert first.p_adjusted == pytest.approx(2 * alone.p)
    assert second.outcome is Outcome.INCOMPLETE
    assert second.seeds_needed is None


def test_looks_divide_the_error_level() -> None:
    effect = mean_effect([0.8, 1.5, 2.6, 0.9])
    assert 0.05 / 3 < effect.p_value() < 0.05
    assert judge(effect, smallest=0.5).outcome is Outcome.SUPPORTED
    third = judge(effect, smallest=0.5, look=3, num_looks=3)
    assert third.outcome is Outcome.INCONCLUSIVE
    assert third.p_adjusted == pytest.approx(3 * effect.p_value())
    assert third.interval.confidence == pytest.approx(1 - 0.05 / 3)
    with pytest.raises(ValueError, match="undeclared look"):
        judge(effect, look=2)


def test_censored_ratio_is_decided_by_ranks() -> None:
    verdict = judge(ratio([4, 5, 6, 4, 5, 6, 5], [np.inf] * 7, budget=20), "smaller", smallest=np.log(2))
    assert verdict.outcome is Outcome.SUPPORTED
    assert verdict.p == 2 / 2**7
    # All that is known is "more than 20 / 5", which does not reach 10 times.
    assert judge(verdict.comparison.effect, "smaller", smallest=np.log(10)).outcome is Outcome.INCONCLUSIVE


def test_zero_smallest_effect_leaves_only_the_test() -> None:
    assert judge(MeanEffect(0.1, 0.1, 20), smallest=0.0).outcome is Outcome.SUPPORTED
    assert judge(MeanEffect(0.001, 0.1, 20), smallest=0.0).outcome is Outcome.INCONCLUSIVE


def test_seeds_needed_are_planned_for_the_target_power() -> None:
    verdict = judge(MeanEffect(0.3, 2.0, 5), power=0.9)
    assert verdict.seeds_needed == seeds_needed(2.0, 1.0, 0.05, 0.05, 0.9).either_way
    assert verdict.further_seeds == verdict.seeds_needed - 5
    family = decide([Comparison(effect=MeanEffect(0.3, 2.0, 5), direction="greater", smallest_effect=1.0)] * 2)
    assert family[0].seeds_needed == seeds_needed(2.0, 1.0, 0.025, 0.025).either_way


def test_seeds_needed_near_the_smallest_effect_extrapolate() -> None:
    # Enough seeds by the plan, but the estimate is just below the smallest effect.
    verdict = judge(MeanEffect(0.95, 1.0, 40))
    assert seeds_needed(1.0, 1.0).either_way < 40
    n = verdict.seeds_needed
    assert judge(MeanEffect(0.95, 1.0, n)).outcome is Outcome.NO_DIFFERENCE
    assert judge(MeanEffect(0.95, 1.0, n - 1)).outcome is Outcome.INCONCLUSIVE
    assert judge(MeanEffect(1 - 1e-6, 1.0, 40)).seeds_needed is None


def test_seeds_needed_are_always_more_than_there_are() -> None:
    for _ in range(200):
        effect = MeanEffect(RNG.normal(), RNG.exponential(), int(RNG.integers(2, 60)))
        verdict = judge(effect, smallest=RNG.choice([0.0, 0.5, 1.0]))
        assert verdict.further_seeds is None or verdict.further_seeds >= 1


@pytest.mark.parametrize(
    ("effect", "needed"),
    [
        (mean_effect([2.0]), None),
        (mean_effect([2.0, 2.0]), 6),
        (rank_effect([1.0, 2.0], [np.inf, np.inf]), 6),
        (rank_effect([-np.inf] * 9, [np.inf] * 9), None),
    ],
)
def test_seeds_needed_without_a_spread(effect: Effect, needed: int | None) -> None:
    # 2 / 2^6 is the first power below 0.05.
    verdict = judge(effect)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.seeds_needed == needed


def test_no_claims_no_verdicts() -> None:
    assert decide([]) == []


def test_refuses_claims_that_say_nothing() -> None:
    effect = mean_effect([1.0, 2.0])
    with pytest.raises(ValueError, match="`direction` must be one of greater, smaller, equivalent, got 'larger'"):
        judge(effect, "larger")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"above 0 for an equivalent claim, got 0.*use identity"):
        judge(effect, "equivalent", smallest=0)
    with pytest.raises(ValueError, match="at least 0, got -1"):
        judge(effect, smallest=-1)
    with pytest.raises(ValueError, match=r"`alpha` must lie in \(0, 0\.5\), got 0\.95"):
        judge(effect, alpha=0.95)
    with pytest.raises(ValueError, match=r"`power` must lie in \(0, 1\), got 80"):
        judge(effect, power=80)

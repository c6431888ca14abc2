"""Upper limits of the share of runs that fail, and verdicts that have to hold if so many fail."""

import math

import numpy as np
import pytest
from scipy import stats

from ablate.statistics import (
    Comparison,
    Exposure,
    Failures,
    MeanEffect,
    clopper_pearson,
    decide,
    guarded_effect,
    mean_effect,
    seeds_to_exclude,
)

RNG = np.random.default_rng(0)
# Nets of 60 % where 10 % is guessing: a tenth of failing runs costs five points.
FAILING_TREATMENT = Exposure(down=0.05)


def judge(effect, direction="greater", smallest=0.02, **changes):
    return decide([Comparison(effect=effect, direction=direction, smallest_effect=smallest, **changes)])[0]


@pytest.mark.parametrize(("count", "total"), [(0, 6), (1, 6), (6, 6), (3, 20), (0, 1)])
@pytest.mark.parametrize("alpha", [0.05, 0.1])
def test_the_interval_is_that_of_clopper_and_pearson(count: int, total: int, alpha: float) -> None:
    reference = stats.binomtest(count, total).proportion_ci(1 - alpha, method="exact")
    found = clopper_pearson(count, total, alpha)
    assert (found.lower, found.upper) == pytest.approx((reference.low, reference.high))


def test_none_of_six_failed_leaves_39_percent() -> None:
    assert Failures(0, 6).at_most == pytest.approx(1 - 0.05 ** (1 / 6))
    assert round(Failures(0, 6).at_most, 2) == 0.39
    # One-sided: P(at most 2 of 12 fail) is 5 % at the bound.
    assert stats.binom.cdf(2, 12, Failures(2, 12).at_most) == pytest.approx(0.05)
    assert (Failures(0, 0).at_most, Failures(4, 4).at_most) == (1.0, 1.0)


@pytest.mark.parametrize(("share", "seeds"), [(0.1, 29), (0.2, 14), (0.5, 5), (1 - 0.05 ** (1 / 7), 7)])
def test_the_seeds_that_exclude_a_share(share: float, seeds: int) -> None:
    assert seeds_to_exclude(share) == seeds
    assert Failures(0, seeds_to_exclude(share)).at_most <= share + 1e-12
    assert not Failures(0, seeds - 1).excludes(share)
    assert not Failures(1, seeds).excludes(share)


def test_a_mixture_is_neither_all_nor_none() -> None:
    assert [Failures(k, 3).is_mixture for k in range(4)] == [False, True, True, False]


def test_refuses_what_cannot_be() -> None:
    with pytest.raises(ValueError, match=r"`failed` must lie in \[0, total = 3\], got 4"):
        Failures(4, 3)
    with pytest.raises(ValueError, match=r"must lie in \(0, 1\), got 1"):
        seeds_to_exclude(1)
    with pytest.raises(ValueError, match="finite and at least 0, got -1"):
        Exposure(down=-1)
    with pytest.raises(ValueError, match=r"finite and at least 0, got 0\.0 and inf"):
        Exposure(up=math.inf)


@pytest.mark.parametrize(
    ("estimate", "direction", "exposure", "outcome"),
    [
        (0.30, "greater", Exposure(down=0.05), "supported"),
        (0.04, "greater", Exposure(down=0.05), "supported if trained"),
        (0.04, "smaller", Exposure(down=0.05), "contradicted if trained"),
        # If the control fails, a gain grows.
        (0.04, "greater", Exposure(up=0.05), "supported"),
        (-0.04, "greater", Exposure(up=0.05), "contradicted if trained"),
        (-0.04, "greater", Exposure(down=0.05), "contradicted"),
        (0.04, "equivalent", Exposure(down=0.05), "contradicted if trained"),
        (0.0, "greater", Exposure(down=0.05), "no difference if trained"),
        (0.0, "greater", Exposure(up=0.05), "no difference if trained"),
        (0.0, "equivalent", Exposure(up=0.05), "no difference if trained"),
        (0.0, "equivalent", Exposure(down=0.005, up=0.005), "supported"),
        (0.0, "equivalent", Exposure(is_known=False), "no difference if trained"),
        (0.04, "greater", Exposure(is_known=False), "supported"),
        (0.0, "greater", Exposure(), "no difference"),
    ],
)
def test_a_verdict_has_to_hold_if_runs_fail(estimate, direction, exposure, outcome) -> None:
    assert judge(MeanEffect(estimate, 0.001, 6), direction, exposure=exposure).outcome == outcome


def test_neither_trains_comes_before_all_but_missing_runs() -> None:
    assert judge(MeanEffect(0.0, 0.001, 6), neither_trains=True).outcome == "neither trains"
    assert judge(MeanEffect(0.1, 0.001, 6), neither_trains=True).outcome == "neither trains"
    assert judge(mean_effect([1.0, np.nan]), neither_trains=True).outcome == "incomplete"


def test_a_mixture_needs_the_sign_flips_to_agree() -> None:
    # Differences of a constant and of a net that is 30 points better or worse, by chance all on one side.
    d = [0.300, 0.301, 0.299, 0.300]
    assert judge(mean_effect(d)).outcome == "supported"
    effect = guarded_effect(d)
    assert effect.p_value() == 2 / 2**4
    assert (effect.interval(0.05).lower, effect.interval(2 / 2**4).lower > 0.29) == (0.0, True)
    found = judge(effect)
    assert (found.outcome, found.p) == ("inconclusive", 0.125)
    assert found.interval.excludes(0) == (found.p_adjusted <= 0.05)
    assert found.seeds_needed == 6


def test_a_mixture_is_decided_with_enough_seeds() -> None:
    found = judge(guarded_effect([0.30, 0.31, 0.29, 0.30, 0.32, 0.28, 0.31, 0.30]))
    assert (found.outcome, found.p) == ("supported", 2 / 2**8)
    # And not where it would not hold.
    small = guarded_effect([0.030, 0.031, 0.029, 0.030, 0.032, 0.028, 0.031, 0.030])
    assert judge(small, exposure=FAILING_TREATMENT).outcome == "inconclusive"


def test_nothing_is_equivalent_from_a_mixture() -> None:
    d = [0.001, -0.001, 0.0, 0.001, -0.001, 0.0]
    assert judge(guarded_effect(d)).outcome == "inconclusive"
    assert judge(guarded_effect(d), "equivalent").outcome == "inconclusive"
    assert judge(guarded_effect(d, is_mixture=False), "equivalent").outcome == "supported"


def test_the_guard_tests_the_number_that_is_named() -> None:
    effect = guarded_effect([0.11, 0.12, 0.13, 0.12, 0.11, 0.13, 0.12], null=0.1)
    assert effect.p_value(0.1) == pytest.approx(2 / 2**7)
    assert judge(effect, smallest=0.1, at_least=True).outcome == "supported"
    few = guarded_effect([0.11, 0.12, 0.13, 0.12], null=0.1)
    assert few.interval(0.05).lower == 0.1
    assert judge(few, smallest=0.1, at_least=True).outcome == "inconclusive"


def test_rare_failure_makes_no_false_verdict() -> None:
    """A treatment of +3.3 points that fails by 33 in one seed of ten has a mean of 0; at +0 its mean is -3."""
    num, accuracy, n = 2_000, 0.43, 6
    noise = 0.008 * RNG.standard_normal((num, n))
    failed = RNG.random((num, n)) < 0.1
    outcomes = {gain: [] for gain in (0.0, 0.033)}
    for gain, found in outcomes.items():
        for d, f in zip(noise + gain - failed * (accuracy - 0.1), failed, strict=True):
            failures = Failures(int(f.sum()), n)
            effect = guarded_effect(d) if failures.is_mixture else mean_effect(d)
            exposure = Exposure(down=0.1 * (accuracy - 0.1), up=0.1 * (accuracy - 0.1))
            found.append(judge(effect, exposure=exposure).outcome)
    assert outcomes[0.0].count("no difference") == 0
    assert outcomes[0.0].count("no difference if trained") > 0.4 * num
    # Half of the error level and three standard errors.
    assert outcomes[0.033].count("supported") <= num * (0.025 + 3 * (0.025 / num) ** 0.5)
    assert outcomes[0.033].count("supported if trained") > 0.4 * num

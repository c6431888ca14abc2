"""The paired t interval against hand-computed numbers and scipy."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.weightstats import ttost_paired

from ablate.statistics import MeanEffect, mean_effect
from ablate.statistics.effects import Interval


def samples(num: int = 20) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(rng.normal(), 0.5, size=rng.integers(2, 12)) for _ in range(num)]


def test_by_hand() -> None:
    # 1, 2, 3: mean 2, sd 1, t = 2 sqrt(3) = 3.4641 with 2 degrees: p = 1 - t / sqrt(t^2 + 2) = 1 - sqrt(12 / 14).
    effect = mean_effect([1.0, 2.0, 3.0])
    assert (effect.estimate, effect.sd, effect.num_seeds) == (2.0, 1.0, 3)
    assert effect.p_value() == pytest.approx(1 - (12 / 14) ** 0.5, abs=1e-14)
    # The 97.5 % point of t with 2 degrees is (2u - 1) sqrt(2 / (1 - (2u - 1)^2)), u = 0.975.
    half_width = 0.95 * (2 / (1 - 0.95**2)) ** 0.5 / 3**0.5
    interval = effect.interval(0.05)
    assert (interval.lower, interval.upper) == pytest.approx((2 - half_width, 2 + half_width), abs=1e-12)
    assert interval.confidence == 0.95


@pytest.mark.parametrize("d", samples())
def test_agrees_with_scipy(d: np.ndarray) -> None:
    reference = stats.ttest_rel(d + 1.0, np.ones_like(d))
    effect = mean_effect(d)
    assert effect.p_value() == pytest.approx(reference.pvalue, rel=1e-9)
    for alpha in (0.05, 0.001):
        limits = reference.confidence_interval(1 - alpha)
        interval = effect.interval(alpha)
        assert (interval.lower, interval.upper) == pytest.approx((limits.low, limits.high), rel=1e-9)


@pytest.mark.parametrize("d", samples())
@pytest.mark.parametrize("margin", [0.1, 1.0, 3.0])
def test_equivalence_agrees_with_statsmodels(d: np.ndarray, margin: float) -> None:
    reference, *_ = ttost_paired(d, np.zeros_like(d), -margin, margin)
    assert mean_effect(d).equivalence_p_value(margin) == pytest.approx(reference, rel=1e-9)


@pytest.mark.parametrize("d", samples())
def test_interval_and_p_values_tell_the_same(d: np.ndarray) -> None:
    effect = mean_effect(d)
    for alpha in (0.2, 0.05, 0.01, 1e-4):
        assert effect.interval(alpha).excludes(0) == (effect.p_value() <= alpha)
        for margin in (0.1, 1.0, 3.0):
            assert effect.interval(2 * alpha).within(margin) == (effect.equivalence_p_value(margin) <= alpha)


def test_p_is_the_level_at_which_the_interval_reaches_zero() -> None:
    effect = mean_effect([0.4, -0.1, 0.9, 0.3])
    assert effect.interval(effect.p_value()).lower == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("d", samples(5))
def test_sign_scale_and_shift(d: np.ndarray) -> None:
    effect, mirrored, scaled = mean_effect(d), mean_effect(-d), mean_effect(100 * d)
    interval = effect.interval(0.05)
    assert mirrored.p_value() == pytest.approx(effect.p_value(), rel=1e-12)
    assert mirrored.equivalence_p_value(1.0) == pytest.approx(effect.equivalence_p_value(1.0), rel=1e-12)
    assert mirrored.interval(0.05).lower == pytest.approx(-interval.upper)
    assert scaled.p_value() == pytest.approx(effect.p_value(), rel=1e-9)
    assert mean_effect(d + 5).interval(0.05).lower == pytest.approx(interval.lower + 5)


def test_one_seed_decides_nothing() -> None:
    effect = mean_effect([7.0])
    assert effect.estimate == 7
    assert np.isnan(effect.sd)
    assert effect.p_value() == 1
    assert effect.equivalence_p_value(100) == 1
    assert effect.interval(0.5) == Interval(-np.inf, np.inf, 0.5)


@pytest.mark.parametrize("d", [[], [1.0, np.nan, 2.0]])
def test_missing_pairs_decide_nothing(d: list[float]) -> None:
    effect = mean_effect(d)
    assert not effect.is_complete
    assert effect.num_seeds == len(d)
    assert effect.p_value() == 1
    assert effect.equivalence_p_value(100) == 1
    assert effect.interval(0.05) == Interval(-np.inf, np.inf, 0.95)


@pytest.mark.parametrize(("num_seeds", "p"), [(2, 0.5), (5, 1 / 16), (6, 1 / 32)])
def test_equal_differences_are_judged_by_sign_flips(num_seeds: int, p: float) -> None:
    # 0.7 - 0.6 and 0.8 - 0.7 differ in the last bit.
    effect = mean_effect(([0.7 - 0.6, 0.8 - 0.7] * num_seeds)[:num_seeds])
    assert effect.sd == 0
    assert effect.p_value() == p
    assert effect.equivalence_p_value(0.2) == p / 2
    assert effect.equivalence_p_value(0.05) == 1
    assert effect.interval(p).lower == effect.interval(p).upper == effect.estimate
    assert effect.interval(p * 0.99) == Interval(-np.inf, np.inf, 1 - p * 0.99)


def test_no_difference_at_all() -> None:
    effect = mean_effect(np.zeros(8))
    assert effect.p_value() == 1
    assert not effect.interval(0.05).excludes(0)
    assert effect.equivalence_p_value(0.01) == 2**-8


def test_standard_error() -> None:
    assert MeanEffect(1.0, 3.0, 9).standard_error == 1.0


def test_refuses_what_it_cannot_judge() -> None:
    with pytest.raises(ValueError, match=r"`differences` must be finite.*score diverged runs"):
        mean_effect([1.0, np.inf])
    with pytest.raises(ValueError, match=r"shape \(num_seeds,\), got \(2, 2\)"):
        mean_effect(np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"`alpha` must lie in \(0, 1\), got 5"):
        mean_effect([1.0, 2.0]).interval(5)
    with pytest.raises(ValueError, match=r"smallest effect must be finite and at least 0, got -1"):
        mean_effect([1.0, 2.0]).equivalence_p_value(-1)

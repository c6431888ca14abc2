"""Signed ranks on bounds: exact without censoring, valid for all censored values with it."""

import itertools

import numpy as np
import pytest
from scipy import stats

from ablate.statistics import rank_effect
from ablate.statistics.censoring import signed_rank_cdf
from ablate.statistics.effects import Interval

RNG = np.random.default_rng(1)


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_null_distribution_by_enumeration(n: int) -> None:
    sums = [sum(r * s for r, s in enumerate(signs, 1)) for signs in itertools.product((0, 1), repeat=n)]
    counts = np.bincount(sums)
    np.testing.assert_allclose(signed_rank_cdf(n), np.cumsum(counts) / 2**n, rtol=0, atol=1e-15)


@pytest.mark.parametrize("n", [4, 7, 12])
def test_agrees_with_wilcoxon_where_nothing_is_censored(n: int) -> None:
    d = RNG.normal(0.3, 1, n)
    assert rank_effect(d, d).p_value() == pytest.approx(stats.wilcoxon(d, method="exact").pvalue, rel=1e-12)


def test_estimate_and_interval_by_hand() -> None:
    # Walsh averages of 1, 2, 4: 1, 1.5, 2, 2.5, 3, 4. P(T = 0) = 1/8: the interval at alpha = 1/4 is their range.
    effect = rank_effect([1, 2, 4], [1, 2, 4])
    assert effect.estimate == 2.25
    assert effect.p_value() == 0.25
    assert effect.interval(0.25) == Interval(1.0, 4.0, 0.75)
    assert effect.interval(0.2) == Interval(-np.inf, np.inf, 0.8)


def test_least_p_value_is_that_of_sign_flips() -> None:
    assert rank_effect(np.arange(1, 8), np.full(7, np.inf)).p_value() == 2 / 2**7


def test_is_the_worst_case_over_completions() -> None:
    for _ in range(20):
        low = RNG.normal(0.5, 1, 7)
        high = np.where(RNG.random(7) < 0.4, low + RNG.exponential(2, 7), low)
        censored = rank_effect(low, high)
        interval = censored.interval(0.1)
        for _ in range(20):
            complete = rank_effect(*[low + RNG.random(7) * (high - low)] * 2)
            assert complete.p_value() <= censored.p_value()
            assert complete.equivalence_p_value(1.0) <= censored.equivalence_p_value(1.0)
            assert interval.lower <= complete.interval(0.1).lower
            assert complete.interval(0.1).upper <= interval.upper
            assert abs(censored.estimate) <= abs(complete.estimate) + 1e-15


def test_interval_and_p_values_tell_the_same() -> None:
    for n in (3, 6, 9):
        for _ in range(20):
            low = np.round(RNG.normal(0.4, 1, n), 1)
            high = np.where(RNG.random(n) < 0.3, np.inf, low)
            effect = rank_effect(low, high)
            for alpha in (0.25, 0.0625, 0.05, 2 / 2**n):
                assert effect.interval(alpha).excludes(0) == (effect.p_value() <= alpha)
                assert effect.interval(2 * alpha if alpha < 0.5 else 0.9).within(2.0) == (
                    effect.equivalence_p_value(2.0) <= (alpha if alpha < 0.5 else 0.45)
                )


def test_a_tie_counts_against_both_sides_despite_rounding() -> None:
    # log 2 - log 1 + log 1 - log 2 need not be 0 in floating point.
    for t in range(2, 30):
        d = np.log([10.0, 3.0 * t]) - np.log([t, 30.0])
        assert d.sum() == pytest.approx(0, abs=1e-14)
        assert rank_effect(d, d).p_value() == 1
        assert rank_effect(d, d).lower_walsh[1] == 0


def test_mirror_image() -> None:
    low, high = np.array([0.5, -0.2, 1.0, 2.0, -np.inf]), np.array([0.5, 0.3, np.inf, 2.0, 0.1])
    effect, mirrored = rank_effect(low, high), rank_effect(-high, -low)
    assert effect.p_value() == mirrored.p_value()
    assert effect.estimate == -mirrored.estimate
    assert effect.interval(0.3).lower == -mirrored.interval(0.3).upper


def test_nothing_known_decides_nothing() -> None:
    effect = rank_effect(np.full(9, -np.inf), np.full(9, np.inf))
    assert effect.is_complete
    assert effect.estimate == 0
    assert effect.p_value() == 1
    assert effect.equivalence_p_value(10) == 1
    assert not effect.interval(0.05).excludes(0)


@pytest.mark.parametrize(("low", "high"), [([], []), ([1, np.nan], [1, np.nan]), ([np.nan, 1], [np.inf, np.inf])])
def test_missing_pairs_decide_nothing(low: list[float], high: list[float]) -> None:
    effect = rank_effect(low, high)
    assert not effect.is_complete
    assert np.isnan(effect.estimate)
    assert effect.p_value() == effect.equivalence_p_value(10) == 1
    assert effect.interval(0.05) == Interval(-np.inf, np.inf, 0.95)


@pytest.mark.parametrize(("low", "high"), [([1.0], [0.0]), ([1.0], [1.0, 2.0]), ([np.inf], [np.inf])])
def test_refuses_bounds_that_are_none(low: list[float], high: list[float]) -> None:
    with pytest.raises(ValueError, match="`lower` must not exceed `upper`"):
        rank_effect(low, high)

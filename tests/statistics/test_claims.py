"""Scores to effects: differences, ratios with thresholds that were never reached, trends, identity."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from ablate.statistics import MeanEffect, RankEffect, difference, identity, mean_effect, ratio, trend

INF, NAN = math.inf, math.nan


def test_difference_is_treatment_minus_control() -> None:
    assert difference([3.0, 5.0], [1.0, 1.0]) == mean_effect([2.0, 4.0])


@pytest.mark.parametrize("form", [difference, ratio, identity])
def test_arms_must_have_the_same_seeds(form: Callable[..., object]) -> None:
    with pytest.raises(ValueError, match="same seeds, got 2 and 3"):
        form([1.0, 2.0], [1.0, 2.0, 3.0])


def test_ratio_is_geometric() -> None:
    effect = ratio([10.0, 40.0], [20.0, 20.0])
    assert isinstance(effect, MeanEffect)
    assert math.exp(effect.estimate) == pytest.approx(1.0)
    assert effect.sd == pytest.approx(math.log(4) / math.sqrt(2))
    assert ratio([20.0, 20.0], [10.0, 40.0]).estimate == pytest.approx(-effect.estimate)


def test_ratio_has_the_bounds_that_censoring_leaves() -> None:
    # Both reached it; control never; treatment never; neither.
    effect = ratio([5.0, 5.0, INF, INF], [10.0, INF, 10.0, INF], budget=20)
    assert isinstance(effect, RankEffect)
    lower = np.log([5 / 10, 0, 20 / 10, 0], where=[True, False, True, False], out=np.full(4, -INF))
    upper = np.log([5 / 10, 5 / 20, 1, 1])
    upper[2:] = INF
    i, j = np.triu_indices(4)
    np.testing.assert_allclose(effect.lower_walsh, np.sort((lower[i] + lower[j]) / 2), atol=1e-12)
    np.testing.assert_allclose(effect.upper_walsh, np.sort((upper[i] + upper[j]) / 2), atol=1e-12)


def test_a_control_that_never_reaches_it_makes_the_treatment_faster() -> None:
    effect = ratio([4, 5, 6, 4, 5, 6, 5, 4], [INF] * 8, budget=20)
    assert effect.p_value() == 2 / 2**8
    assert effect.interval(0.05).lower == -INF
    assert effect.interval(0.05).upper < 0
    # At least 20 / 5 times faster, in the middle.
    assert effect.estimate == pytest.approx(-math.log(4), abs=0.05)


def test_censored_ratio_does_not_depend_on_the_unit_of_time() -> None:
    t, c = np.array([4.0, 9.0, INF, 3.0]), np.array([8.0, 7.0, 12.0, INF])
    one, other = ratio(t, c, budget=15), ratio(100 * t, 100 * c, budget=1500)
    assert one.estimate == pytest.approx(other.estimate)
    assert one.p_value() == other.p_value()


@pytest.mark.parametrize("control", [[2.0, NAN, 3.0], [INF, NAN, 3.0], [NAN, INF, 3.0]])
def test_missing_is_not_censored(control: list[float]) -> None:
    assert not ratio([1.0, 2.0, INF if INF in control else 3.0], control, budget=10).is_complete


def test_ratio_refuses_what_has_no_logarithm_or_bound() -> None:
    with pytest.raises(ValueError, match=r"positive values, got 0\.0"):
        ratio([1.0], [0.0])
    with pytest.raises(ValueError, match="`budget` must be given"):
        ratio([1.0], [INF])
    with pytest.raises(ValueError, match=r"exceed `budget` = 10, got 12\.0"):
        ratio([12.0], [INF], budget=10)


def test_trend_is_the_slope_times_the_range() -> None:
    scores = np.array([[1.0, 3.0, 5.0], [2.0, 2.0, 8.0]])
    for positions in ([0, 1, 2], [10.0, 20.0, 30.0], [0.0, 0.5, 4.0]):
        slopes = np.polyfit(positions, scores.T, 1)[0]
        effect = trend(scores, positions)
        assert effect.estimate == pytest.approx(slopes.mean() * np.ptp(positions))
        assert effect.sd == pytest.approx(slopes.std(ddof=1) * np.ptp(positions))
    assert trend(scores) == trend(scores, [0, 1, 2])


def test_trend_of_two_arms_is_their_difference() -> None:
    scores = np.random.default_rng(0).normal(size=(6, 2))
    effect, reference = trend(scores, [3, 7]), difference(scores[:, 1], scores[:, 0])
    assert (effect.estimate, effect.sd) == pytest.approx((reference.estimate, reference.sd))


def test_trend_ignores_seed_offsets_and_sees_no_peak() -> None:
    scores = np.random.default_rng(0).normal(size=(6, 4))
    moved = trend(scores + np.arange(6)[:, None])
    assert (moved.estimate, moved.sd) == pytest.approx((trend(scores).estimate, trend(scores).sd))
    assert trend([[0.0, 5.0, 0.0], [1.0, 9.0, 1.0]]).estimate == 0


def test_trend_with_a_missing_run_is_incomplete() -> None:
    assert not trend([[1.0, NAN, 3.0], [1.0, 2.0, 3.0]]).is_complete


@pytest.mark.parametrize("positions", [[1, 1, 1], [1, 2], [0, 1, NAN]])
def test_trend_refuses_positions_that_order_nothing(positions: list[float]) -> None:
    with pytest.raises(ValueError, match="`positions` must be 3 finite numbers, not all equal"):
        trend(np.zeros((4, 3)), positions)


def test_trend_needs_arms() -> None:
    with pytest.raises(ValueError, match=r"at least 2 arms, got \(4, 1\)"):
        trend(np.zeros((4, 1)))


def test_identity() -> None:
    assert identity([1.0, 2.0], [1.0, 2.0]).holds is True
    assert identity([1.0, 2.0], [1.0, np.nextafter(2.0, 3.0)]).holds is False
    result = identity([1.0, 2.0], [1.25, 1.75], tolerance=0.25)
    assert (result.holds, result.largest_difference) == (True, 0.25)
    assert identity([1.0, NAN], [1.0, 1.0]).holds is None
    assert identity([], []).holds is None
    with pytest.raises(ValueError, match="at least 0, got -1"):
        identity([1.0], [1.0], tolerance=-1)

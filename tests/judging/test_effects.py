"""From scores to effects, with averaged arms and thresholds that were never reached."""

from typing import Any

import numpy as np
import pytest

from ablate.judging import judge
from ablate.judging.effects import Scores, bounds, effect_of, in_unit, unusable
from ablate.statistics import RankEffect, ratio
from ablate.study.claim import Claim

INF, NAN = np.inf, np.nan


def claim(form: str, **fields: Any) -> Claim:
    sides = {"treatment": {"a": 1}, "control": {"a": 2}}
    return Claim(**{"name": "it", "text": "", "form": form, "smallest_effect": 2.0, **sides, **fields})


def scores(values: Any, budgets: Any = 8.0) -> Scores:
    array = np.array(values, dtype=float)
    return Scores(values=array, budgets=np.broadcast_to(np.array(budgets, dtype=float), (*array.shape[:2], 1)))


FASTER = claim("ratio", direction="smaller", metric="epochs_to/x")


@pytest.mark.parametrize(
    ("treatment", "control"),
    [
        ([1, 2, 4, 8], [2, 2, 8, 8]),
        ([1, 2, INF, 8], [2, 2, 8, 8]),
        ([1, 2, 4, INF], [INF, 2, INF, INF]),
        ([1, NAN, 4, INF], [INF, 2, INF, INF]),
    ],
)
def test_single_arms_give_the_ratio_of_the_statistics(treatment: list[float], control: list[float]) -> None:
    mine, theirs = effect_of(FASTER, scores([[treatment], [control]])), ratio(treatment, control, budget=8)
    assert type(mine) is type(theirs)
    assert mine.estimate == pytest.approx(theirs.estimate, nan_ok=True)
    assert mine.p_value() == pytest.approx(theirs.p_value())
    assert mine.interval(0.4) == theirs.interval(0.4)
    assert mine.equivalence_p_value(0.5) == pytest.approx(theirs.equivalence_p_value(0.5))


def test_bounds_of_averaged_times_by_hand() -> None:
    # Two arms a side, logarithms to base 2 of treatment: (1, 2), (1, above 3); of control: (2, 3), (above 3, above 3).
    lower, upper = bounds(FASTER, scores([[[2, 2], [4, INF]], [[4, INF], [8, INF]]]))
    assert lower / np.log(2) == pytest.approx([1.5 - 2.5, -INF])
    assert upper / np.log(2) == pytest.approx([1.5 - 2.5, INF])
    lower, upper = bounds(FASTER, scores([[[2], [INF]], [[4], [8]]]))
    assert lower / np.log(2) == pytest.approx([(1 + 3) / 2 - 2.5])
    assert upper[0] == INF


def test_each_arm_is_censored_by_its_own_budget() -> None:
    # The treatment did not reach it in its 4 epochs, the control did after 8 of 16.
    lower, upper = bounds(FASTER, scores([[[INF]], [[8]]], [[[4]], [[16]]]))
    assert (lower[0], upper[0]) == (pytest.approx(np.log(4 / 8)), INF)


def test_missing_runs_stay_missing_beside_censored_ones() -> None:
    lower, upper = bounds(FASTER, scores([[[NAN, INF, 2]], [[INF, NAN, 2]]]))
    assert np.isnan(lower).tolist() == np.isnan(upper).tolist() == [True, True, False]
    effect = effect_of(FASTER, scores([[[NAN, INF, 2]], [[INF, NAN, 2]]]))
    assert isinstance(effect, RankEffect)
    assert not effect.is_complete


@pytest.mark.parametrize(
    ("it", "flags"),
    [
        (FASTER, [False, True, False, False]),
        (claim("ratio", direction="smaller", metric="test/loss"), [True, True, False, False]),
        (claim("greater", metric="test/loss"), [True, False, False, False]),
        (claim("greater", metric="epochs_to/x"), [True, False, False, False]),
    ],
)
def test_values_that_an_effect_cannot_use(it: Claim, flags: list[bool]) -> None:
    found = unusable(it, scores([[[INF, 0.0, NAN, 1.0]], [[1.0, 1.0, 1.0, 1.0]]]))
    assert found[0, 0].tolist() == flags
    assert not found[1].any()


def test_units() -> None:
    assert in_unit(FASTER, np.log(3)) == pytest.approx(3)
    assert in_unit(FASTER, -INF) == 0.0
    assert in_unit(FASTER, INF) == INF
    assert in_unit(claim("greater"), 0.25) == 0.25
    assert in_unit(claim("greater"), NAN) is None


@pytest.mark.parametrize(
    ("few", "many", "outcome"),
    [(0, 16, "supported"), (1, 14, "supported"), (0, 0, "inconclusive"), (16, 16, "inconclusive")],
)
def test_shares_of_runs_that_reach_a_number(make_results, few, many, outcome):
    """Equal shares of 0 or 1 in 16 runs do not exclude a difference of a tenth."""

    def scores(axes, seed, value):
        return {"test/accuracy": 0.99 if seed < (many if axes["net.hidden_width"] == 40 else few) else 0.9}

    claim = {
        "text": "A larger net finds it more often.",
        "form": "greater",
        "metric": "reaches/test/accuracy/0.985",
        "smallest_effect": 0.1,
        "treatment": {"net.hidden_width": 40},
        "control": {"net.hidden_width": 5},
    }
    grids = [{"product": {"net.hidden_width": [5, 40]}}]
    (found,) = judge(make_results({"grids": grids, "seeds": 16, "claims": {"it": claim}}, scores))
    assert found.outcome == outcome
    assert found.estimate == pytest.approx((many - few) / 16)

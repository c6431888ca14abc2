"""A claim on the tuning runs: equal values, sensitivity to the chosen ones, edges of the grid."""

from typing import Any

import numpy as np
import pytest

from ablate.judging import judge
from ablate.statistics import mean_effect
from ablate.study.study import TUNING_SEED

VALUES = [1, 2, 4, 8]
JITTER = [0.0, 0.001, -0.001]
CLAIM = {
    "text": "",
    "form": "greater",
    "smallest_effect": 0.05,
    "treatment": {"activation": "relu"},
    "control": {"activation": "tanh"},
}


def judge_curves(make_results: Any, relu: list[float], tanh: list[float], metrics: Any = None, **claim: Any) -> Any:
    """The judgement where validation accuracy over `VALUES` follows the curves, and test accuracy is 0.9 and 0.1."""
    curves = {"relu": relu, "tanh": tanh}

    def scored(axes: dict[str, str], seed: int, value: int) -> dict[str, float | None]:
        name, noise = axes["activation"], JITTER[seed % 3] * (axes["activation"] == "relu")
        accuracy = curves[name][VALUES.index(value)]
        return {"val/accuracy": accuracy + noise, "test/accuracy": {"relu": 0.9, "tanh": 0.1}[name]}

    definition = {
        "grids": [{"product": {"activation": ["relu", "tanh"]}}],
        "seeds": 4,
        "tuning": {"key": "optimizer.lr", "values": VALUES},
        "claims": {"it": {**CLAIM, **claim}},
    }
    (judgement,) = judge(make_results(definition, metrics or scored))
    return judgement


def test_at_equal_values_validation_scores_of_tuning_seeds_are_compared(make_results) -> None:
    found = judge_curves(make_results, [0.5, 0.7, 0.6, 0.1], [0.4, 0.5, 0.6, 0.3])
    assert found.estimate == pytest.approx(0.8)
    assert [at.value for at in found.at_values] == VALUES
    noise = np.array([JITTER[(TUNING_SEED + i) % 3] for i in range(3)])
    for at, difference in zip(found.at_values, [0.1, 0.2, 0.0, -0.2], strict=True):
        interval = mean_effect(difference + noise).interval(0.05)
        assert at.num_seeds == 3
        assert at.estimate == pytest.approx(difference, abs=1e-12)
        assert (at.low, at.high) == pytest.approx((interval.lower, interval.upper))


@pytest.mark.parametrize(
    ("relu", "tanh", "sensitive"),
    [
        # At the chosen values, the second of both, 0.7 - 0.5 = 0.2; neighbours keep it at 0.05 or more.
        ([0.6, 0.7, 0.56, 0.0], [0.4, 0.5, 0.45, 0.0], False),
        # One step up the treatment loses its lead; one step down it does.
        ([0.6, 0.7, 0.54, 0.0], [0.4, 0.5, 0.45, 0.0], True),
        ([0.52, 0.7, 0.6, 0.0], [0.4, 0.5, 0.45, 0.0], True),
        # It would fall behind.
        ([0.3, 0.7, 0.6, 0.0], [0.4, 0.5, 0.45, 0.0], True),
        # Two steps away does not count.
        ([0.6, 0.7, 0.6, 0.0], [0.4, 0.5, 0.4, 0.0], False),
        # Between at the chosen values; a neighbour of the control changes the category or does not.
        ([0.5, 0.52, 0.5, 0.5], [0.49, 0.5, 0.48, 0.0], False),
        ([0.5, 0.52, 0.5, 0.5], [0.49, 0.5, 0.46, 0.0], True),
        # At the edge there is one neighbour.
        ([0.0, 0.0, 0.6, 0.7], [0.5, 0.4, 0.0, 0.0], False),
        ([0.0, 0.0, 0.5, 0.7], [0.5, 0.4, 0.0, 0.0], True),
    ],
)
@pytest.mark.parametrize("form", ["greater", "smaller", "equivalent"])
def test_a_claim_is_sensitive_if_one_step_of_one_arm_changes_its_category(
    make_results, relu: list[float], tanh: list[float], sensitive: bool, form: str
) -> None:
    assert judge_curves(make_results, relu, tanh, form=form).value_sensitive is sensitive


@pytest.mark.parametrize(("dip", "sensitive"), [(0.4, False), (0.2, False), (0.0, True)])
def test_averaged_arms_move_one_at_a_time(make_results, dip: float, sensitive: bool) -> None:
    def metrics(axes: dict[str, str], seed: int, value: int) -> float:
        return 0.3 if axes["activation"] == "tanh" else 0.6 if value == 2 else dip

    definition = {
        "grids": [{"product": {"activation": ["relu", "tanh"], "normalization": ["none", "batch"]}}],
        "tuning": {"key": "optimizer.lr", "values": VALUES},
        "claims": {"it": CLAIM},
    }
    (found,) = judge(make_results(definition, metrics))
    # One of two arms away from its value: (0.6 + dip) / 2 - 0.3; both of them: dip - 0.3.
    assert found.value_sensitive is sensitive


def test_edges_are_named(make_results) -> None:
    assert judge_curves(make_results, [0.1, 0.2, 0.3, 0.4], [0.1, 0.4, 0.3, 0.2]).edges == ["activation=relu"]
    assert judge_curves(make_results, [0.1, 0.2, 0.3, 0.2], [0.1, 0.4, 0.3, 0.2]).edges == []
    both = judge_curves(make_results, [0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4])
    assert both.edges == ["activation=relu", "activation=tanh"]


def test_a_neighbour_that_diverged_without_a_score_counts_as_a_change(make_results) -> None:
    def metrics(axes: dict[str, str], seed: int, value: int) -> dict[str, float | None]:
        good = axes["activation"] == "relu"
        lost = good and value == 4
        return {
            "val/accuracy": (0.8 if good else 0.4) - 0.1 * abs(value - 2),
            "val/loss": None if lost else 1.0 if good else 2.0,
            "test/loss": 1.0 if good else 2.0,
        }

    found = judge_curves(make_results, [], [], metrics, metric="test/loss", form="smaller")
    assert found.value_sensitive is True
    assert [at.estimate for at in found.at_values] == [-1.0, -1.0, None, -1.0]


def test_while_tuning_is_not_complete_nothing_is_chosen(make_results) -> None:
    def metrics(axes: dict[str, str], seed: int, value: int) -> float | None:
        missing = axes["activation"] == "tanh" and seed >= TUNING_SEED + 1 and value == 8
        return None if missing else 0.5

    found = judge_curves(make_results, [], [], metrics)
    assert found.outcome == "incomplete"
    assert found.reason == "activation=tanh: 2 of 12 tuning runs are missing"
    assert (found.value_sensitive, found.num_seeds) == (None, 0)
    assert found.edges == ["activation=relu"]
    assert [(at.estimate, at.num_seeds) for at in found.at_values] == [(0.0, 3)] * 3 + [(None, 1)]


def test_a_metric_that_tuning_runs_do_not_have_leaves_the_verdict_alone(make_results) -> None:
    def metrics(axes: dict[str, str], seed: int, value: int) -> dict[str, float | None]:
        return {"val/accuracy": 0.5, "test/special": 0.9 if axes["activation"] == "relu" else 0.1}

    found = judge_curves(make_results, [], [], metrics, metric="test/special", smallest_effect=0.5)
    assert (found.estimate, found.value_sensitive) == (pytest.approx(0.8), None)
    assert all(at.estimate is at.low is None and at.num_seeds == 0 for at in found.at_values)


def test_a_ratio_at_equal_values_is_a_factor(make_results) -> None:
    def metrics(axes: dict[str, str], seed: int, value: int) -> dict[str, float | None]:
        return {"val/accuracy": 0.5, "epochs_to/x": 2.0 if axes["activation"] == "relu" else 2.0 * value}

    claim = {"form": "ratio", "direction": "smaller", "metric": "epochs_to/x", "smallest_effect": 1.5}
    definition_at_one = judge_curves(make_results, [], [], metrics, **claim)
    assert [at.estimate for at in definition_at_one.at_values] == pytest.approx([1, 1 / 2, 1 / 4, 1 / 8])
    # Equal accuracies choose the smallest value, where the arms are equal; one step on, the factor is 2.
    assert definition_at_one.value_sensitive is True


def test_an_identity_is_not_called_sensitive(make_results) -> None:
    found = judge_curves(make_results, [0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4], form="identity", tolerance=1.0)
    assert (found.outcome, found.value_sensitive) == ("supported", None)


def test_a_claim_that_earlier_tuning_runs_call_sensitive_is_so_at_fixed_values(make_results) -> None:
    labels = ["activation=relu", "activation=tanh"]
    sides = {"treatment": {"activation": "relu"}, "control": {"activation": "tanh"}}
    claim = {"text": "A claim.", "form": "greater", "smallest_effect": 0.05, **sides}

    def judged(fixed: dict[str, Any], **changes: Any) -> Any:
        definition = {
            "grids": [{"product": {"activation": ["relu", "tanh"]}}],
            "seeds": 3,
            "claims": {"it": {**claim, **changes}},
            "fixed": {"key": "optimizer.lr", **fixed},
        }
        (found,) = judge(make_results(definition, lambda axes, seed, value: {"test/accuracy": 0.5, "m/x": 0.5}))
        return found.value_sensitive

    own = dict.fromkeys(labels, 0.1)
    assert judged({"values": own, "sensitive": ["it"]}) is True
    assert judged({"values": own}) is False
    assert judged({"values": {labels[0]: 0.1}, "shared": 0.2}) is None  # one arm was never tuned
    assert judged({"values": own, "sensitive": ["it"]}, metric="m/x") is None

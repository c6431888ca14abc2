"""What a claim is decided from, and the obstacles that keep it from being decided."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ablate.judging import judge
from ablate.judging.evidence import Evidence, gather

GRIDS = [{"product": {"activation": ["relu", "tanh"]}}]
SIDES = {"treatment": {"activation": "relu"}, "control": {"activation": "tanh"}}
CLAIM = {"text": "", "form": "greater", "smallest_effect": 0.05, **SIDES}


def evidence(make_results: Any, score: Any, claim: dict[str, Any] = CLAIM, **options: Any) -> Evidence:
    results = make_results({"grids": GRIDS, "seeds": 3, "claims": {"it": claim}}, score, **options)
    return gather(results.study.claims[0], results)


def score(axes: dict[str, Any], seed: int, value: Any) -> float:
    return (0.6 if axes["activation"] == "relu" else 0.5) + seed / 100


def test_complete_runs_give_a_comparison_over_seeds(make_results) -> None:
    found = evidence(make_results, score)
    assert (found.obstacle, found.reason, found.num_images) == ("", "", None)
    assert found.scores is not None
    assert found.scores.values.shape == (2, 1, 3)
    assert [(f.failed, f.total) for f in found.failures] == [(0, 3), (0, 3)]
    assert found.comparison is not None
    assert found.comparison.effect.estimate == pytest.approx(0.1)
    # Ten equally frequent classes: a tenth of the treatment's runs would lose 0.61 - 0.1.
    assert found.comparison.exposure.down == pytest.approx(0.051)


def test_a_missing_run_is_incomplete(make_results) -> None:
    found = evidence(make_results, lambda axes, seed, value: None if seed == 2 else score(axes, seed, value))
    assert (found.obstacle, found.comparison) == ("incomplete", None)
    assert "activation=relu: 1 of 3 runs are missing" in found.reason
    assert found.scores is not None
    assert np.isnan(found.scores.values[..., 2]).all()


def test_an_undeclared_difference_gives_no_scores(make_results) -> None:
    def change(axes: dict[str, Any], settings: dict[str, Any]) -> None:
        settings["optimizer"]["lr"] = 0.1 if axes["activation"] == "relu" else 0.2

    found = evidence(make_results, score, change=change)
    assert (found.obstacle, found.scores, found.failures) == ("not comparable", None, [])
    assert "optimizer.lr is 0.1 against 0.2" in found.reason


def test_an_identity_is_not_tested(make_results) -> None:
    found = evidence(make_results, lambda axes, seed, value: 0.5, {"text": "", "form": "identity", **SIDES})
    assert (found.obstacle, found.comparison) == ("", None)


IDENTITY = {"text": "", "form": "identity", **SIDES}


def identity_over(make_results: Any, status: dict[str, list[str]], accuracy: float = 0.6, **claim: Any) -> Any:
    """Judge an identity of test accuracies whose runs ended as `status` says, diverged ones scored as guessing."""

    def scored(axes: dict[str, Any], seed: int, value: Any) -> float:
        return accuracy if status[axes["activation"]][seed] == "finished" else 0.1

    results = make_results({"grids": GRIDS, "seeds": 3, "claims": {"it": {**IDENTITY, **claim}}}, scored)
    for arm in results.arms:
        for seed, found in arm.records.items():
            arm.records[seed] = replace(found, status=status[arm.axes["activation"]][seed])
    return judge(results)[0]


GOOD, HALF, BAD = ["finished"] * 3, ["finished", "diverged", "finished"], ["diverged"] * 3


def test_an_identity_of_runs_that_finished_is_judged(make_results) -> None:
    assert identity_over(make_results, {"relu": GOOD, "tanh": GOOD}).outcome == "supported"


def test_an_identity_of_runs_that_all_diverged_compares_nothing(make_results) -> None:
    found = identity_over(make_results, {"relu": BAD, "tanh": BAD})
    assert (found.outcome, found.reason) == ("neither trains", "")


def test_an_identity_of_runs_that_all_guess_compares_nothing(make_results) -> None:
    assert identity_over(make_results, {"relu": GOOD, "tanh": GOOD}, accuracy=0.1).outcome == "neither trains"


def test_a_diverged_run_has_no_value_in_an_identity(make_results) -> None:
    found = identity_over(make_results, {"relu": HALF, "tanh": HALF})
    assert found.outcome == "incomplete"
    assert "activation=relu: 1 of 3 runs diverged" in found.reason
    assert "activation=tanh: 1 of 3 runs diverged" in found.reason
    found = identity_over(make_results, {"relu": GOOD, "tanh": BAD}, tolerance=1.0)
    assert found.reason.startswith("activation=tanh: 3 of 3 runs diverged")


def test_a_diverged_run_has_no_value_beside_a_number_either(make_results) -> None:
    claim = {"control": {}, "value": 0.1}
    assert identity_over(make_results, {"relu": BAD, "tanh": GOOD}, **claim).outcome == "incomplete"


def test_an_identity_before_training_does_not_depend_on_how_runs_end(make_results) -> None:
    def scored(axes: dict[str, Any], seed: int, value: Any) -> dict[str, float | None]:
        return {"initial/pre_activation/std": 1.0, "test/accuracy": 0.1, "test/loss": None}

    definition = {"grids": GRIDS, "seeds": 3, "claims": {"it": {**IDENTITY, "metric": "initial/pre_activation/std"}}}
    assert judge(make_results(definition, scored))[0].outcome == "supported"


@pytest.mark.parametrize("metric", ["val/accuracy", "dead_units/mean"])
def test_lost_predictions_leave_every_claim_about_trained_nets_incomplete(make_results, tmp_path, metric) -> None:
    def scored(axes: dict[str, Any], seed: int, value: Any) -> dict[str, float]:
        return dict.fromkeys(("test/accuracy", "initial/std/mean", metric), score(axes, seed, value))

    for asked, expected in ((metric, "incomplete"), ("initial/std/mean", "")):
        claim = {**CLAIM, "metric": asked}
        results = make_results({"grids": GRIDS, "seeds": 3, "claims": {"it": claim}}, scored, output_dir=tmp_path)
        assert gather(results.study.claims[0], results).obstacle == ""  # an early version's records name no file
        for arm in results.arms:
            for seed, found in arm.records.items():
                arm.records[seed] = replace(found, predictions="0" * 64)
        assert gather(results.study.claims[0], results).obstacle == expected

"""Claims that cannot be decided: missing runs, and runs without a value that the claim can use."""

from typing import Any

import pytest

from ablate.judging import judge

ACTIVATIONS = [{"product": {"activation": ["relu", "tanh"]}}]
SIDES = {"treatment": {"activation": "relu"}, "control": {"activation": "tanh"}}
MET = {"text": "A claim.", "form": "greater", "smallest_effect": 0.05, **SIDES}
NOISE = [0.0, 0.01, -0.01, 0.02, -0.02, 0.0]


def define(claims: dict[str, Any], grids: list[Any] = ACTIVATIONS, seeds: int = 6, **options: Any) -> dict[str, Any]:
    return {"grids": grids, "seeds": seeds, "claims": claims, **options}


def scores(relu: Any, tanh: Any, metric: str = "test/accuracy") -> Any:
    return lambda axes, seed, value: {metric: (relu if axes["activation"] == "relu" else tanh)[seed]}


def one(make_results: Any, claim: dict[str, Any], metrics: Any, seeds: int = 6, **options: Any) -> Any:
    (judgement,) = judge(make_results(define({"it": {**MET, **claim}}, seeds=seeds), metrics, **options))
    return judgement


def test_a_diverged_run_is_scored_as_guessing(make_results) -> None:
    def metrics(axes: dict[str, str], seed: int, value: Any) -> dict[str, float | None]:
        if axes["activation"] == "tanh":
            return {"test/accuracy": 0.1, "test/loss": None}
        return {"test/accuracy": 0.5 + NOISE[seed], "test/loss": 1.0}

    found = one(make_results, {}, metrics)
    assert found.outcome == "supported"
    assert found.control_mean == pytest.approx(0.1)
    lost = one(make_results, {"metric": "test/loss", "form": "smaller"}, metrics)
    assert lost.outcome == "incomplete"
    assert lost.reason == "activation=tanh: 6 of 6 runs have no test/loss, 6 diverged"
    assert (lost.estimate, lost.num_seeds, lost.differences) == (None, 0, [])


def test_a_null_is_censored_only_in_epochs_to_a_threshold(make_results) -> None:
    ratio = {"form": "ratio", "direction": "smaller", "smallest_effect": 1.5}
    values = ([1.0, 1.0, 1.0, 1.0, 1.0, 1.0], [1.5, 1.5, None, 1.5, 1.5, 1.5])
    lost = one(make_results, {**ratio, "metric": "test/loss"}, scores(*values, "test/loss"))
    assert (lost.outcome, lost.num_seeds) == ("incomplete", 5)
    assert lost.estimate == pytest.approx(1 / 1.5)
    assert "activation=tanh: 1 of 6 runs have no test/loss above 0, 1 diverged" in lost.reason
    late = one(make_results, {"form": "smaller", "metric": "epochs_to/x"}, scores(*values, "epochs_to/x"))
    assert (late.outcome, late.num_seeds) == ("incomplete", 5)


def test_a_ratio_of_nothing_is_incomplete(make_results) -> None:
    claim = {"form": "ratio", "direction": "greater", "smallest_effect": 1.5}
    found = one(make_results, claim, scores([0.5] * 6, [0.5, 0.0, 0.5, 0.5, 0.5, 0.5]))
    assert (found.outcome, found.reason) == ("incomplete", "activation=tanh: 1 of 6 runs have no test/accuracy above 0")


def test_missing_runs_are_counted(make_results) -> None:
    def metrics(axes: dict[str, str], seed: int, value: Any) -> float | None:
        if axes["activation"] == "relu":
            return None if seed == 5 else 0.6 + 0.01 * seed
        return None if seed in (1, 2) else 0.5

    failures = {"activation=tanh": {2: "out of memory"}, "activation=relu": {3: "failed, then finished"}}
    found = one(make_results, {}, metrics, failures=failures)
    assert found.outcome == "incomplete"
    assert (
        found.reason == "activation=relu: 1 of 6 runs are missing; activation=tanh: 2 of 6 runs are missing, 1 failed"
    )
    # Means of the finished runs are shown, without a conclusion.
    assert found.num_seeds == 3
    assert found.differences == pytest.approx([0.10, 0.13, 0.14])
    assert found.estimate == pytest.approx(0.37 / 3)
    assert found.treatment_mean == pytest.approx(0.5 + 0.37 / 3)
    assert (
        found.low is found.p is found.p_adjusted is found.further_seeds is found.bootstrap is found.sign_flip_p is None
    )


def test_a_study_without_any_run_is_incomplete(make_results) -> None:
    identity = {**MET, "form": "identity"}
    for found in judge(make_results(define({"a": MET, "b": identity}), lambda axes, seed, value: None)):
        assert (found.outcome, found.estimate, found.num_seeds) == ("incomplete", None, 0)
        assert found.reason.count("6 of 6 runs are missing") == 2


def test_an_unknown_metric_is_named_and_spoils_no_other_claim(make_results) -> None:
    claims = {"typo": {**MET, "metric": "test/acuracy"}, "right": MET}
    typo, right = judge(make_results(define(claims), scores([0.7 + e for e in NOISE], [0.5] * 6)))
    assert typo.outcome == "incomplete"
    assert "test/acuracy" in typo.reason and "test/accuracy" in typo.reason
    assert right.outcome == "supported"

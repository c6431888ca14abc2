"""What a claim is decided from, and the obstacles that keep it from being decided."""

from typing import Any

import numpy as np
import pytest

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

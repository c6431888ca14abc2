"""Families of claims and looks share one error level."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from scipy import stats

from ablate.judging import judge

ACTIVATIONS = [{"product": {"activation": ["relu", "tanh"]}}]
SIDES = {"treatment": {"activation": "relu"}, "control": {"activation": "tanh"}}
MET = {"text": "A claim.", "form": "greater", "smallest_effect": 0.05, **SIDES}
NOISE = [0.0, 0.01, -0.01, 0.02, -0.02, 0.0]


def define(claims: dict[str, Any], grids: list[Any] = ACTIVATIONS, seeds: int = 6, **options: Any) -> dict[str, Any]:
    return {"grids": grids, "seeds": seeds, "claims": claims, **options}


def scores(relu: Any, tanh: Any, metric: str = "test/accuracy") -> Any:
    return lambda axes, seed, value: {metric: (relu if axes["activation"] == "relu" else tanh)[seed]}


def test_claims_of_a_family_share_the_error_level(make_results) -> None:
    rng = np.random.default_rng(3)
    base = rng.normal(0, 0.01, 6)
    effects = {"relu": 0.0, "a": 0.08, "b": 0.025, "c": 0.001}
    noise = {name: rng.normal(0, 0.02, 6) for name in effects}
    claims = {
        name: {
            "text": "",
            "form": "greater",
            "smallest_effect": 0.01,
            "treatment": {"activation": name},
            "control": {"activation": "relu"},
        }
        for name in "abc"
    }
    definition = define(claims, [{"product": {"activation": list(effects)}}])

    def metrics(axes: dict[str, str], seed: int, value: Any) -> float:
        name = axes["activation"]
        return float(0.5 + base[seed] + effects[name] + noise[name][seed])

    together = judge(make_results(definition, metrics))
    p = [
        stats.ttest_1samp(
            [metrics({"activation": n}, s, 0) - metrics({"activation": "relu"}, s, 0) for s in range(6)], 0
        )
        for n in "abc"
    ]
    p = [test.pvalue for test in p]
    assert [j.p for j in together] == pytest.approx(p)
    # Holm: the ordered p times 3, 2, 1, and never below the one before.
    order = np.argsort(p)
    adjusted = np.minimum(np.maximum.accumulate(np.array(p)[order] * [3, 2, 1]), 1)
    assert [together[i].p_adjusted for i in order] == pytest.approx(adjusted)
    assert together[0].p_adjusted < 0.05 < together[2].p_adjusted
    assert together[order[0]].level == pytest.approx(1 - 0.05 / 3)
    for j in together:
        assert (j.low <= 0 <= j.high) == (j.p_adjusted > 0.05)

    apart = judge(make_results({**definition, "claims": {n: {**c, "family": n} for n, c in claims.items()}}, metrics))
    assert [j.p_adjusted for j in apart] == pytest.approx(p)
    assert [j.level for j in apart] == pytest.approx([0.95] * 3)
    # What is shown beside a verdict does not depend on the other claims.
    assert [j.bootstrap for j in apart] == [j.bootstrap for j in together]


def test_claims_that_cannot_be_decided_stay_in_their_family(make_results) -> None:
    grids = [{"product": {"activation": ["relu", "tanh", "elu", "selu"]}}]
    relu_over = {
        name: {**MET, "control": {"activation": level}}
        for name, level in zip("abc", ["tanh", "elu", "selu"], strict=True)
    }
    claims = {**relu_over, "same": {**MET, "form": "identity", "tolerance": 1.0}}

    def change(axes: dict[str, Any], settings: dict[str, Any]) -> None:
        settings["data"]["bits"] = 12 if axes["activation"] == "selu" else 8

    def metrics(axes: dict[str, str], seed: int, value: Any) -> float | None:
        return {"relu": 0.8 + NOISE[seed], "tanh": 0.5, "elu": None, "selu": 0.5}[axes["activation"]]

    judgements = judge(make_results(define(claims, grids), metrics, change=change))
    assert [j.outcome for j in judgements] == ["supported", "incomplete", "not comparable", "supported"]
    # Three claims, the identity not among them.
    assert judgements[0].level == pytest.approx(1 - 0.05 / 3)
    assert judgements[0].p_adjusted == pytest.approx(3 * judgements[0].p)


def test_the_error_level_is_divided_over_the_looks(make_results) -> None:
    results = make_results(
        define({"it": MET}, looks=2, alpha=0.04), scores([0.7 + e for e in NOISE], [0.5] * 6), look=2
    )
    (found,) = judge(results)
    assert found.level == pytest.approx(0.98)
    assert found.p_adjusted == pytest.approx(2 * found.p)
    with pytest.raises(ValueError, match="look"):
        judge(dataclasses.replace(results, study=dataclasses.replace(results.study, looks=1)))

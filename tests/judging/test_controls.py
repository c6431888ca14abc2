"""A claim gets a verdict only where the positive controls of its study have passed."""

import numpy as np
import pytest

from ablate.judging import check_claims, judge
from ablate.study.control import NOT_INTERPRETABLE
from ablate.study.study import parse

GRID = [{"product": {"activation": ["identity", "relu", "tanh"]}}]
SIDES = {"treatment": {"activation": "relu"}, "control": {"activation": "tanh"}}
CLAIMS = {
    "ranking": {"text": "ReLU wins.", "form": "greater", "smallest_effect": 0.02, **SIDES},
    "exact": {"text": "As many are dead.", "form": "identity", "metric": "dead_units/mean", **SIDES},
    "before": {
        "text": "More saturate.", "form": "greater", "smallest_effect": 0.1, **SIDES,
        "metric": "initial/saturation/mean",
    },
}  # fmt: skip
CONTROL = {
    "text": "ReLU beats no activation.", "form": "greater", "smallest_effect": 0.02,
    "treatment": {"activation": "relu"}, "control": {"activation": "identity"},
}  # fmt: skip
NOISE = [0.0, 0.01, -0.01, 0.02, -0.02, 0.0]


def definition(**changes):
    return {"grids": GRID, "seeds": 6, "claims": CLAIMS, "controls": {"linear_loses": CONTROL}, **changes}


def metrics(identity, relu=0.6, tanh=0.5, missing=()):
    """The runs' metrics from the mean accuracy of each activation; ReLU's runs have NOISE."""

    def of(axes, seed, value):
        name = axes["activation"]
        if (name, seed) in missing:
            return None
        accuracy = {"identity": identity, "relu": relu + NOISE[seed], "tanh": tanh}[name]
        saturation = {"identity": 0.0, "relu": 0.5, "tanh": 0.1 + NOISE[seed]}[name]
        return {"test/accuracy": accuracy, "dead_units/mean": 0.0, "initial/saturation/mean": saturation}

    return of


def outcomes(found):
    return {judgement.claim.name: judgement.outcome for judgement in found}


def test_a_control_that_comes_out_changes_nothing(make_results):
    with_control = judge(make_results(definition(), metrics(identity=0.3)))
    without = judge(make_results(definition(controls={}), metrics(identity=0.3)))
    assert outcomes(with_control) == outcomes(without) == {
        "ranking": "supported", "exact": "supported", "before": "supported"
    }  # fmt: skip
    (ranking, *_), (alone, *_) = with_control, without
    assert (ranking.low, ranking.high, ranking.p_adjusted) == (alone.low, alone.high, alone.p_adjusted)
    assert [control.outcome for control in ranking.controls] == ["supported"]


@pytest.mark.parametrize(
    ("identity", "outcome"),
    [(0.6, "no difference if trained"), (0.8, "contradicted"), (0.59, "inconclusive")],
)
def test_without_its_control_a_ranking_is_not_interpretable(make_results, identity, outcome):
    found = judge(make_results(definition(), metrics(identity=identity)))
    assert outcomes(found) == {"ranking": NOT_INTERPRETABLE, "exact": "supported", "before": "supported"}
    ranking, exact, before = found
    assert [control.outcome for control in ranking.controls] == [outcome]
    assert 'the control linear_loses ("ReLU beats no activation") has not passed: ' + outcome in ranking.reason
    assert ranking.estimate == pytest.approx(0.1)  # the numbers stay
    assert ranking.low is not None
    assert ranking.further_seeds is None
    assert exact.controls == before.controls == []


def test_only_the_claims_that_a_control_names_depend_on_it(make_results):
    claims = {**CLAIMS, "other": {**CLAIMS["ranking"], "text": "Another."}}
    controls = {"linear_loses": {**CONTROL, "claims": ["other"]}}
    found = judge(make_results(definition(claims=claims, controls=controls), metrics(identity=0.6)))
    assert outcomes(found)["ranking"] == "supported"
    assert outcomes(found)["other"] == NOT_INTERPRETABLE


def test_a_control_without_its_runs_leaves_the_claim_incomplete_and_without_a_conclusion(make_results):
    (ranking, *_) = judge(make_results(definition(), metrics(identity=0.3, missing=[("identity", 2)])))
    assert ranking.outcome == "incomplete"
    assert "the control linear_loses" in ranking.reason
    assert "1 of 6 runs are missing" in ranking.reason
    assert ranking.estimate is not None
    shown = (ranking.low, ranking.p, ranking.p_adjusted, ranking.bootstrap, ranking.sign_flip_p, ranking.stands_to)
    assert shown == (None,) * 6


def test_a_claim_whose_own_runs_are_missing_stays_incomplete(make_results):
    (ranking, *_) = judge(make_results(definition(), metrics(identity=0.8, missing=[("tanh", 2)])))
    assert ranking.outcome == "incomplete"
    assert ranking.reason == "activation=tanh: 1 of 6 runs are missing"


def test_a_control_has_an_error_level_of_its_own_over_the_looks(make_results):
    """Neither the number of claims nor that of controls changes it; the number of looks does."""
    claims = {f"c{i}": CLAIMS["ranking"] for i in range(9)}
    controls = {f"k{i}": CONTROL for i in range(3)}
    results = make_results(definition(claims=claims, controls=controls, looks=2), metrics(identity=0.3))
    found = judge(results)
    assert {control.level for control in found[0].controls} == {0.975}
    assert [control.claim.name for control in found[0].controls] == ["k0", "k1", "k2"]


def test_controls_do_not_change_the_size_of_a_family(make_results):
    claims = dict.fromkeys(("a", "b"), CLAIMS["ranking"])
    rng = np.random.default_rng(0)
    draws = rng.normal(0, 0.05, (2, 6))

    def scores(axes, seed, value):
        rows = {"relu": 0.55 + draws[0][seed], "tanh": 0.5 + draws[1][seed], "identity": 0.2}
        return rows[axes["activation"]]

    gated = judge(make_results(definition(claims=claims), scores))
    free = judge(make_results(definition(claims=claims, controls={}), scores))
    assert [(j.p_adjusted, j.level) for j in gated] == [(j.p_adjusted, j.level) for j in free]


def test_a_control_about_a_value_and_an_identity(make_results):
    learns = {**CONTROL, "text": "ReLU learns.", "control": {}, "value": 0.1, "smallest_effect": 0.1, "at_least": True}
    equal = {**CONTROL, "text": "Equal.", "form": "identity", "tolerance": 0.001, "smallest_effect": 0.0}
    results = make_results(definition(controls={"learns": learns}), metrics(identity=0.1))
    assert outcomes(judge(results))["ranking"] == "supported"
    results = make_results(definition(controls={"learns": learns}), metrics(identity=0.1, relu=0.19))
    assert outcomes(judge(results))["ranking"] == NOT_INTERPRETABLE
    results = make_results(definition(controls={"equal": equal}), metrics(identity=0.3))
    assert outcomes(judge(results))["ranking"] == NOT_INTERPRETABLE


def test_a_control_without_arms_is_refused_before_the_first_run():
    controls = {"linear_loses": {**CONTROL, "control": {"activation": "gelu"}}}
    with pytest.raises(ValueError, match="control 'linear_loses' finds no arm with activation=gelu"):
        check_claims(parse("s", definition(controls=controls)))

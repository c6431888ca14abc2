"""Sides that start differently for a reason that the claim is not about are remarked on."""

import math
from dataclasses import replace

import pytest

from ablate.judging import judge
from ablate.report.notes import notes
from ablate.study.registration import registered

GRID = [{"zip": {"activation": ["relu", "tanh"], "initializer": ["he", "xavier"]}}]
SIDES = {"treatment": {"activation": "relu"}, "control": {"activation": "tanh"}}
BOTH = {
    "treatment": {"activation": "relu", "initializer": "he"},
    "control": {"activation": "tanh", "initializer": "xavier"},
}
CLAIM = {"text": "ReLU wins.", "form": "greater", "smallest_effect": 0.02}
SPREAD, RATIO = "initial/pre_activation/std", "initial/gradient_norm/first_last"


def judged(make_results, claim, relu, tanh, grids=GRID, **more):
    def metrics(axes, seed, value):
        own = relu if axes.get("activation", axes.get("initializer")) in ("relu", "he") else tanh
        return {"test/accuracy": 0.5 + 0.01 * seed, "dead_units/mean": 0.0, **own, **more}

    results = make_results({"grids": grids, "seeds": 3, "claims": {"it": {**CLAIM, **claim}}}, metrics)
    (found,) = judge(results)
    return results, found


def names(found):
    return [confounder.metric for confounder in found.confounders]


@pytest.mark.parametrize(
    ("relu", "tanh", "expected"),
    [
        ({SPREAD: 1.0, RATIO: 1.0}, {SPREAD: 1.9, RATIO: 0.6}, []),
        ({SPREAD: 1.0, RATIO: 1.0}, {SPREAD: 2.1, RATIO: 1.0}, [SPREAD]),
        ({SPREAD: 2.1, RATIO: 1.0}, {SPREAD: 1.0, RATIO: 0.01}, [SPREAD, RATIO]),
        ({SPREAD: 2.1}, {SPREAD: 1.0}, [SPREAD]),
        ({}, {}, []),  # nothing was measured
        ({RATIO: 1.0}, {RATIO: None}, []),
    ],
)
def test_a_factor_of_two_in_either_direction_is_remarked_on(make_results, relu, tanh, expected):
    _, found = judged(make_results, BOTH, relu, tanh)
    assert names(found) == expected


def test_means_are_geometric(make_results):
    relu = {SPREAD: 1.0}

    def metrics(axes, seed, value):
        spread = 1.0 if axes["activation"] == "relu" else [1.0, 4.0, 8.0][seed]
        return {"test/accuracy": 0.5, **relu, SPREAD: spread}

    definition = {"grids": GRID, "seeds": 3, "claims": {"it": {**CLAIM, **BOTH}}}
    ((confounder,),) = (found.confounders for found in judge(make_results(definition, metrics)))
    assert confounder.control == pytest.approx(math.exp(math.log(32) / 3))
    assert confounder.treatment == pytest.approx(1.0)


def test_what_the_claim_is_about_is_no_confounder(make_results):
    far = ({SPREAD: 9.0, RATIO: 1.0}, {SPREAD: 1.0, RATIO: 0.001})
    # It names the measurement as its mechanism.
    _, found = judged(make_results, {**BOTH, "explained_by": [RATIO]}, *far)
    assert names(found) == [SPREAD]
    # The initialization is what is compared.
    grid = [{"product": {"initializer": ["he", "xavier"]}}]
    only = {"treatment": {"initializer": "he"}, "control": {"initializer": "xavier"}}
    _, found = judged(make_results, only, *far, grids=grid)
    assert names(found) == []
    # It is about the state before the first step, or about a value.
    _, found = judged(
        make_results, {**BOTH, "metric": "initial/saturation/mean"}, *far, **{"initial/saturation/mean": 1.0}
    )
    assert names(found) == []
    _, found = judged(make_results, {"treatment": {"activation": "relu"}, "value": 0.1}, *far)
    assert names(found) == []


def test_the_remark_stands_beside_the_verdict_and_does_not_change_it(make_results):
    results, found = judged(make_results, BOTH, {SPREAD: 3.0}, {SPREAD: 1.0})
    _, plain = judged(make_results, BOTH, {SPREAD: 1.0}, {SPREAD: 1.0})
    assert found.outcome == plain.outcome
    (line,) = [note for note in notes(results, found) if "before the first step" in note.text]
    assert line.kind == "warning"
    assert f"{SPREAD} is 3 against 1, a factor of 3" in line.text
    assert not [note for note in notes(results, replace(found, confounders=[])) if "before the first" in note.text]


def test_a_mechanism_that_is_named_after_the_registration_keeps_the_remark(make_results):
    results, _ = judged(make_results, {**BOTH, "explained_by": [SPREAD]}, {SPREAD: 3.0}, {SPREAD: 1.0})

    def remarks(**known):
        manifest = replace(results.manifest, registration=registered({}, **known))
        own = replace(results, manifest=manifest)
        (found,) = judge(own)
        return [note.text for note in notes(own, found) if "before the first step" in note.text]

    (line,) = remarks(explained_by={"it": []})
    assert "a factor of 3, which is named as the mechanism after the plan was registered" in line
    assert remarks(explained_by={"it": [SPREAD]}) == []
    assert remarks() == []  # a registration of an earlier version does not say what was named

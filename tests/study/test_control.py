"""Positive controls as plain data: which claims depend on them, which arms they need, and what is refused."""

import pytest

from ablate.errors import UserError
from ablate.study.study import parse

GRID = [{"product": {"activation": ["identity", "relu", "tanh"]}}]
SIDES = {"treatment": {"activation": "relu"}, "control": {"activation": "tanh"}}
CLAIMS = {
    "ranking": {"text": "ReLU wins.", "form": "greater", "smallest_effect": 0.02, **SIDES},
    "exact": {"text": "Nothing is dead.", "form": "identity", "metric": "dead_units/mean", **SIDES},
    "before": {
        "text": "Gradients vanish.", "form": "greater", "smallest_effect": 0.1, "metric": "initial/saturation/mean",
        **SIDES,
    },
    "cost": {"text": "exp costs.", "form": "greater", "smallest_effect": 0.5, "metric": "activation_cost/x", **SIDES},
}  # fmt: skip
CONTROL = {
    "text": "ReLU beats no activation.", "form": "greater", "smallest_effect": 0.02,
    "treatment": {"activation": "relu"}, "control": {"activation": "identity"},
}  # fmt: skip


def study(control=None, **changes):
    controls = {"linear_loses": {**CONTROL, **(control or {})}}
    return parse("s", {"grids": GRID, "claims": CLAIMS, "controls": controls, **changes})


def test_claims_on_trained_nets_depend_on_a_control_and_others_do_not():
    found = study()
    (control,) = found.controls
    assert [claim.name for claim in found.claims if control.concerns(claim)] == ["ranking"]


def test_a_control_may_name_its_claims():
    claims = {**CLAIMS, "other": CLAIMS["ranking"]}
    (control,) = study({"claims": ["other"]}, claims=claims).controls
    found = study({"claims": ["other"]}, claims=claims)
    assert [claim.name for claim in found.claims if control.concerns(claim)] == ["other"]


def test_the_arms_of_a_control_are_run_with_the_claims_that_depend_on_it():
    assert [arm.label for arm in study(only=["ranking"]).arms()] == [
        "activation=identity", "activation=relu", "activation=tanh"
    ]  # fmt: skip
    # Nothing that is asked depends on it, so its own arm is not needed.
    found = study(only=["before"])
    assert [arm.label for arm in found.arms()] == ["activation=relu", "activation=tanh"]
    assert found.asked_controls == []


@pytest.mark.parametrize(
    ("control", "message"),
    [
        ({"claims": ["rankings"]}, "must name claims of the study (ranking, exact, before, cost), got 'rankings'"),
        ({"claims": ["exact"]}, "got 'exact', a claim of form identity about dead_units/mean; drop it"),
        ({"claims": ["before"]}, "got 'before', a claim of form greater about initial/saturation/mean; drop it"),
        ({"metric": "activation_cost/forward"}, "a metric in seconds gets no verdict"),
        ({"form": "bigger"}, "control 'linear_loses': `form` must be one of"),
        ({"tolerence": 1}, "control 'linear_loses' has no key tolerence"),
        ({"claims": "ranking"}, "control 'linear_loses': `claims`"),
    ],
)
def test_what_makes_no_sense_is_refused(control, message):
    with pytest.raises(UserError) as error:
        study(control)
    assert message in str(error.value)


def test_a_control_with_the_name_of_a_claim_is_refused():
    with pytest.raises(UserError, match="control 'ranking' has the name of a claim"):
        parse("s", {"grids": GRID, "claims": CLAIMS, "controls": {"ranking": CONTROL}})

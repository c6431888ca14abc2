"""Which arms a claim selects, how they are matched, and why they may not be compared."""

from types import SimpleNamespace
from typing import Any

import pytest

from ablate.judging import check_claims, check_recorded, judge
from ablate.judging.selection import measure_of, select
from ablate.study.study import Study, parse

PRODUCT = [{"product": {"activation": ["relu", "tanh"], "normalization": ["none", "batch"]}}]
RELU_OVER_TANH = {"treatment": {"activation": "relu"}, "control": {"activation": "tanh"}}


def study(grids: list[dict[str, Any]], **claim: Any) -> Study:
    fields = {"text": "A claim.", "form": "greater", "smallest_effect": 0.01, **claim}
    return parse("toy", {"grids": grids, "claims": {"it": fields}})


def picked(grids: list[dict[str, Any]], **claim: Any) -> list[list[str]]:
    it = study(grids, **claim)
    check_claims(it)
    return [[arm.label for arm in cell] for cell in select(it.claims[0], it.arms()).cells]


def test_what_a_claim_leaves_open_is_matched() -> None:
    # The grids' order differs between the sides, the matches do not.
    grids = [PRODUCT[0], {"product": {"activation": ["elu"], "normalization": ["batch", "none"]}}]
    assert picked(grids, treatment={"activation": "elu"}, control={"activation": "relu"}) == [
        ["activation=elu normalization=batch", "activation=elu normalization=none"],
        ["activation=relu normalization=batch", "activation=relu normalization=none"],
    ]


def test_the_order_in_which_grids_name_their_axes_does_not_matter() -> None:
    one, other = {"dropout": ["none"], "net": ["tiny"]}, {"net": ["tiny"], "dropout": ["none"]}
    grids = [{"product": {"activation": ["relu"], **one}}, {"product": {"activation": ["tanh"], **other}}]
    assert picked(grids, **RELU_OVER_TANH) == [
        ["activation=relu dropout=none net=tiny"],
        ["activation=tanh net=tiny dropout=none"],
    ]


def test_arms_without_a_match_are_left_out() -> None:
    grids = [{"product": {"activation": ["relu", "tanh"]}}, {"product": {"activation": ["relu"], "dropout.p": [0.1]}}]
    assert picked(grids, **RELU_OVER_TANH) == [["activation=relu"], ["activation=tanh"]]


def test_leave_one_out_compares_with_the_whole() -> None:
    grids = [{"leave_one_out": {"normalization": ["batch", "none"], "augmentation": ["flip", "none"]}}]
    sides = {"treatment": {"normalization": "batch"}, "control": {"normalization": "none"}}
    assert picked(grids, **sides) == [
        ["normalization=batch augmentation=flip"],
        ["normalization=none augmentation=flip"],
    ]


def test_a_trend_has_a_cell_for_each_value_in_its_order() -> None:
    claim = {"form": "trend", "direction": "greater", "factor": "normalization", "order": ["batch", "none"]}
    assert picked(PRODUCT, **claim) == [
        ["activation=relu normalization=batch", "activation=tanh normalization=batch"],
        ["activation=relu normalization=none", "activation=tanh normalization=none"],
    ]
    assert picked(PRODUCT, **claim, treatment={"activation": "tanh"}) == [
        ["activation=tanh normalization=batch"],
        ["activation=tanh normalization=none"],
    ]


def test_an_interaction_has_four_cells_the_second_value_first() -> None:
    claim = {"form": "interaction", "direction": "greater", "factor": "normalization", "order": ["none", "batch"]}
    assert picked(PRODUCT, **claim, **RELU_OVER_TANH) == [
        ["activation=relu normalization=batch"],
        ["activation=tanh normalization=batch"],
        ["activation=relu normalization=none"],
        ["activation=tanh normalization=none"],
    ]


@pytest.mark.parametrize(
    ("claim", "words"),
    [
        (
            {"treatment": {"activation": "gelu"}, "control": {"activation": "relu"}},
            ["'it'", "activation=gelu", "activation: relu, tanh", "normalization: none, batch"],
        ),
        ({"treatment": {"optimizer": "sgd"}, "control": {"activation": "relu"}}, ["optimizer=sgd", "the axes are"]),
        (
            {"treatment": {"activation": "relu"}, "control": {"normalization": "none"}},
            ["'it'", "activation=relu normalization=none", "both sides"],
        ),
        (
            {"treatment": {"activation": "relu"}, "control": {"activation": "tanh", "normalization": "none"}},
            ["'it'", "2 arms have activation=relu", "name the same axes"],
        ),
        (
            {
                "form": "interaction",
                "direction": "greater",
                "factor": "normalization",
                "order": ["none", "batch"],
                "treatment": {"normalization": "batch", "activation": "relu"},
                "control": {"activation": "tanh"},
            },
            ["'it'", "`factor` normalization", "treatment"],
        ),
    ],
)
def test_a_claim_that_cannot_be_judged_is_refused_before_the_first_run(claim: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ValueError, match="claim") as error:
        check_claims(study(PRODUCT, **claim))
    assert all(word in str(error.value) for word in words), error.value


UNMATCHED = [
    {"product": {"activation": ["relu"], "dropout": ["none"]}},
    {"product": {"activation": ["tanh"], "dropout": ["hidden"]}},
]


def test_arms_that_never_match_are_refused_and_not_compared(make_results) -> None:
    it = study(UNMATCHED, **RELU_OVER_TANH)
    with pytest.raises(ValueError, match="no arms match in the axes that the claim does not name"):
        check_claims(it)
    definition = {"grids": UNMATCHED, "claims": {"it": {"text": "", "form": "equivalent", "smallest_effect": 0.1}}}
    definition["claims"]["it"] |= RELU_OVER_TANH
    (judgement,) = judge(make_results(definition, lambda axes, seed, value: 0.5))
    assert judgement.outcome == "not comparable"
    assert "activation=relu with dropout=none; activation=tanh with dropout=hidden" in judgement.reason
    assert judgement.estimate is None


def test_an_undeclared_difference_is_printed_and_not_compared(make_results) -> None:
    def change(axes: dict[str, Any], settings: dict[str, Any]) -> None:
        settings["optimizer"]["lr"] = 0.1 if axes["activation"] == "relu" else 0.2

    definition = {
        "grids": [{"product": {"activation": ["relu", "tanh"]}}],
        "claims": {"it": {"text": "", "form": "greater", "smallest_effect": 0.01, **RELU_OVER_TANH}},
    }
    (judgement,) = judge(make_results(definition, lambda axes, seed, value: 0.5, change=change))
    assert judgement.outcome == "not comparable"
    assert judgement.reason == (
        "activation=relu and activation=tanh differ in more than activation: optimizer.lr is 0.1 against 0.2"
    )
    assert (judgement.treatment, judgement.control) == ("activation=relu", "activation=tanh")
    assert judgement.p is judgement.estimate is judgement.low is None


def test_an_axis_named_with_one_value_on_both_sides_may_not_differ(make_results) -> None:
    def change(axes: dict[str, Any], settings: dict[str, Any]) -> None:
        settings["normalization"]["eps"] = 1 if axes["activation"] == "relu" else 2

    sides = {side: {**RELU_OVER_TANH[side], "normalization": "batch"} for side in RELU_OVER_TANH}
    definition = {
        "grids": PRODUCT,
        "claims": {"it": {"text": "", "form": "greater", "smallest_effect": 0.01, **sides}},
    }
    (judgement,) = judge(make_results(definition, lambda axes, seed, value: 0.5, change=change))
    assert judgement.outcome == "not comparable"
    assert judgement.reason.endswith("differ in more than activation: normalization.eps is 1 against 2")


def test_runs_are_not_compared_with_themselves(make_results) -> None:
    definition = {
        "grids": [{"product": {"trainer.threads": [1, 2]}}],
        "claims": {
            "it": {
                "text": "",
                "form": "equivalent",
                "smallest_effect": 0.01,
                "treatment": {"trainer.threads": 1},
                "control": {"trainer.threads": 2},
            }
        },
    }
    (judgement,) = judge(make_results(definition, lambda axes, seed, value: 0.5))
    assert judgement.outcome == "not comparable"
    assert "the same runs" in judgement.reason


def test_a_diagnostic_is_a_metric_where_the_runs_measure_it():
    it = study(PRODUCT, metric="initial/saturation/mean", explained_by=["curvature/1"], **RELU_OVER_TANH)
    check_claims(it)
    known = {"saturation": {}, "curvature": {}}
    variant = SimpleNamespace(settings={"diagnostics": {"measure": ["curvature"], "known": known}})
    arm: Any = SimpleNamespace(variants=[variant])
    with pytest.raises(ValueError, match=r"no run measures saturation; diagnostics\.measure is curvature$"):
        check_recorded(it, [arm])
    variant.settings["diagnostics"]["measure"] = "all"
    check_recorded(it, [arm])


@pytest.mark.parametrize(
    ("metric", "measure"),
    [
        ("margins.margin/value", "margins.margin"),
        ("initial/my.own.metric/a.b", "my.own.metric"),
        ("test/accuracy", ""),
        ("saturation/mean", "saturation"),
    ],
)
def test_a_measure_may_be_named_by_its_import_path(metric, measure):
    assert measure_of(metric) == measure

"""The diagnostics that should explain a claim: means of both sides, shown beside the verdict."""

from types import SimpleNamespace
from typing import Any

from ablate.judging import Mechanism
from ablate.judging.judge import mechanism
from ablate.report.notes import mechanism as shown
from ablate.study.claim import Claim

CLAIM = Claim(
    name="c",
    text="ReLU beats sigmoid.",
    form="greater",
    treatment={"activation": "relu"},
    control={"activation": "sigmoid"},
    smallest_effect=0.01,
)


def arm(*values: float | None) -> Any:
    records = [SimpleNamespace(metrics={} if value is None else {"saturation/mean": value}) for value in values]
    return SimpleNamespace(records=dict(enumerate(records)))


def test_means_are_over_arms_and_seeds_that_were_measured() -> None:
    cells = [[arm(0.25, 0.25), arm(0.5, None, 0.0)], [arm(0.9)]]
    found = mechanism(CLAIM, "saturation/mean", cells)
    assert found == Mechanism(metric="saturation/mean", treatment=0.25, control=0.9, runs=((4, 5), (1, 1)))
    assert shown(CLAIM, found) == "saturation/mean 0.25 (4 of 5 runs) against 0.9"


def test_a_mean_over_all_runs_does_not_show_their_number() -> None:
    found = mechanism(CLAIM, "saturation/mean", [[arm(0.25, 0.25)], [arm(0.9, 0.9)]], num_seeds=2)
    assert found == Mechanism(metric="saturation/mean", treatment=0.25, control=0.9)
    assert shown(CLAIM, found) == "saturation/mean 0.25 against 0.9"


def test_runs_that_have_not_finished_are_counted_among_those_asked_for() -> None:
    found = mechanism(CLAIM, "saturation/mean", [[arm(0.25, 0.25), arm(0.5)], [arm(0.9, 0.9)]], num_seeds=2)
    assert shown(CLAIM, found) == "saturation/mean 0.333 (3 of 4 runs) against 0.9"


def test_what_was_not_measured_is_a_dash() -> None:
    assert (
        shown(CLAIM, mechanism(CLAIM, "saturation/mean", [[arm(None)], [arm(0.25)]]))
        == "saturation/mean – against 0.25"
    )

"""Refusals whose message once was wrong in some case."""

from types import SimpleNamespace

import pytest
import torch

from ablate.data.preprocessing import Chain, Standardize
from ablate.errors import UserError
from ablate.judging.selection import check_recorded
from ablate.study.manifest import check_validated
from ablate.study.results import metric_value
from ablate.study.study import parse
from builders.command import SHAPES
from builders.records import make_record

SIDES = {"form": "greater", "treatment": {"a": 1}, "control": {"a": 2}, "smallest_effect": 0.1, "text": "t"}


def test_a_channel_that_is_constant_in_the_images_themselves_has_a_cure():
    images = torch.zeros(4, 1, 3, 3, dtype=torch.uint8)
    with pytest.raises(UserError, match=r"channel 0 is constantly 0 .* use preprocessing=scale"):
        Chain({"standardize": Standardize()}).fit(images)


def test_the_cure_works(compose):
    from ablate.cli.planning import make, resolved

    cfg, _ = compose(["data=shapes", "preprocessing=scale"])
    images = torch.zeros(4, 1, 3, 3, dtype=torch.uint8)
    assert not make("preprocessing", resolved(cfg)["preprocessing"]).fit(images)(images).any()


def arms(**settings):
    """Two arms of which the second has these settings and the first is asked for all."""
    full = {"diagnostics": {"measure": ["saturation"], "known": {}}, "trainer": {"thresholds": [0.5]}}
    return [
        SimpleNamespace(label=label, variants=[SimpleNamespace(settings=own)])
        for label, own in (("x", full), ("y", {**full, **settings}))
    ]


@pytest.mark.parametrize(
    ("metric", "settings", "message"),
    [
        (
            "saturation/mean",
            {"diagnostics": {"measure": ["shift"], "known": {}}},
            "not every run measures saturation; diagnostics.measure of arm 'y' is shift",
        ),
        (
            "epochs_to/val/accuracy/0.5",
            {"trainer": {"thresholds": [0.9]}},
            "not every run watches for epochs_to/val/accuracy/0.5; trainer.thresholds of arm 'y' are 0.9",
        ),
    ],
)
def test_what_one_arm_lacks_is_reported_for_that_arm(metric, settings, message):
    study = parse("s", {"grids": [{"product": {"a": [1, 2]}}], "claims": {"c": {**SIDES, "metric": metric}}})
    check_recorded(study, arms())
    with pytest.raises(UserError) as caught:
        check_recorded(study, arms(**settings))
    assert str(caught.value) == f"claim 'c': {message}"


def test_a_metric_that_one_run_lacks_names_the_run():
    with pytest.raises(UserError, match=r"no metric 'speed' \(for one, seed 3 of activation=tanh\)"):
        metric_value(make_record(), "speed")


@pytest.mark.parametrize(
    ("content", "cure"),
    [
        ({"tuning": {"key": "lr", "values": [0.1, 0.2]}}, "(study.tuning=null)"),
        ({"claims": {"c": {**SIDES, "metric": "val/loss"}}}, "(study.only names the claims to judge)"),
    ],
)
def test_the_correction_names_what_needs_validation_images(content, cure):
    study = parse("s", {"grids": [{"product": {"a": [1, 2]}}], **content})
    without = SimpleNamespace(settings={"data": {"val_size": 0}})
    arm = SimpleNamespace(label="x", variants=[without], every=[without])
    with pytest.raises(UserError) as caught:
        check_validated(study, [arm])
    assert str(caught.value).endswith(cure)


@pytest.mark.parametrize(
    ("line", "cure"), [("seed=3", "give study.seeds"), ("wait=true", "say it on the command line")]
)
def test_a_setting_refused_in_a_base_names_its_place(ablate, tmp_path, line, cure):
    path = tmp_path / "mine" / "study" / "s.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(f"# A study.\n# Source: this test.\nbase: [{line}]\n")
    result = ablate(f"--config-dir mine study=s {SHAPES}")
    assert result.returncode == 2 and f"{line} has no place in the base of study s; {cure}" in result.stderr

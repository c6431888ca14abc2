"""A study's manifest on disk, and what it refuses."""

import pytest

from ablate.study.manifest import PlannedArm, check_validated, read_manifest, write_manifest
from ablate.study.study import parse
from builders.studies import TUNING, manifest, variant


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "studies" / "s-00000000"


def test_a_manifest_survives_the_disk(folder):
    write_manifest(manifest(TUNING), folder)
    assert read_manifest(folder) == manifest(TUNING)
    assert read_manifest(folder.parent) is None


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ({"tuning": TUNING}, "`study.tuning`"),
        ({"claims": {"c": {"metric": "val/accuracy"}}}, "claim 'c'"),
        ({"claims": {"c": {"metric": "epochs_to/val/accuracy/0.5"}}}, "claim 'c'"),
        ({"claims": {"c": {"metric": "test/accuracy"}}}, ""),
        ({}, ""),
    ],
)
def test_what_needs_validation_images_is_refused_without_them(content, named):
    about = {"text": "t", "source": "s", "form": "greater", "smallest_effect": 0.01}
    about |= {"treatment": {"activation": "relu"}, "control": {"activation": "tanh"}}
    content = {key: {"c": about | value["c"]} if key == "claims" else value for key, value in content.items()}
    study = parse("s", content)

    def arms(val_size):
        return [PlannedArm(axes={}, label="relu", variants=[variant("relu", data={"val_size": val_size})])]

    check_validated(study, arms(10))
    if not named:
        check_validated(study, arms(0))
        return
    with pytest.raises(
        ValueError, match=rf"{named} needs validation images, and arm 'relu' has none \(data\.val_size=0"
    ):
        check_validated(study, arms(0))

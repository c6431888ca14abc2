"""What a study begins with: its folder, what may not change, further looks."""

from dataclasses import replace

import pytest

from ablate.study.study import parse
from ablate.sweep.begin import begin, study_folder
from builders.studies import manifest


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "studies" / "s-00000000"


def declared():
    plan = manifest()
    return replace(plan, definition={**plan.definition, "looks": 2})


def test_an_arm_that_means_something_else_is_refused(folder):
    begin(manifest(), folder)
    plan = manifest()
    other = replace(
        plan.arms[0].variants[0], fingerprint="new", settings={**plan.arms[0].variants[0].settings, "lr": 3}
    )
    changed = replace(plan, arms=[replace(plan.arms[0], variants=[other]), plan.arms[1]])
    with pytest.raises(ValueError, match=r"another meaning of arm 'activation=relu': lr is 3, was None"):
        begin(changed, folder)


CLAIM = {
    "text": "A.",
    "form": "greater",
    "smallest_effect": 0.01,
    "treatment": {"activation": "relu"},
    "control": {"activation": "tanh"},
}


def claiming(**changes):
    return {"claims": {"c": {**CLAIM, **changes}}}


def test_claims_are_fixed_before_the_first_run(folder):
    begin(manifest(alpha=0.05), folder)
    other = folder.with_name("s-1")
    begin(manifest(**claiming(), alpha=0.05), other)
    begin(manifest(**claiming(note="More."), alpha=0.05), other)
    with pytest.raises(ValueError, match=r"other claims \(c: smallest_effect: 0\.02 now, 0\.01 then\)"):
        begin(manifest(**claiming(smallest_effect=0.02), alpha=0.05), other)
    with pytest.raises(ValueError, match=r"other claims \(c: text: 'Better said\.' now, 'A\.' then\)"):
        begin(manifest(**claiming(text="Better said."), alpha=0.05), other)
    with pytest.raises(ValueError, match=r"begun with other alpha \(0\.1 now, 0\.05 then\)"):
        begin(manifest(alpha=0.1), folder)
    with pytest.raises(ValueError, match=r"begun with other failure_share \(0\.5 now"):
        begin(manifest(alpha=0.05, failure_share=0.5), folder)


def test_the_folder_of_a_study_depends_on_what_it_does(tmp_path):
    plan = declared()
    study = plan.study()
    found = study_folder(tmp_path, study, plan.definition, ["data.root=a", "trainer.epochs=3"])
    assert found.parent == tmp_path / "studies"
    assert found == study_folder(tmp_path, study, {**plan.definition, "claims": {"x": 1}}, ["trainer.epochs=3"])
    assert found != study_folder(tmp_path, study, plan.definition, ["trainer.epochs=4"])
    assert found != study_folder(tmp_path, study, {**plan.definition, "seeds": 3}, ["trainer.epochs=3"])


def test_a_changed_estimate_is_no_other_study(tmp_path):
    study = parse("s", {})
    folders = {study_folder(tmp_path, study, {"seeds": 2, "seconds_a_run": s}, []) for s in (None, 1, 2)}
    assert len(folders) == 1


def test_controls_are_fixed_before_the_first_run(folder):
    sides = {"treatment": {"activation": "relu"}, "control": {"activation": "tanh"}}
    control = {"text": "ReLU wins.", "form": "greater", "smallest_effect": 0.1, **sides}
    begin(manifest(controls={"it": control}), folder)
    begin(manifest(controls={"it": {**control, "source": "a lecture"}}), folder)  # for readers only
    with pytest.raises(ValueError, match=r"other controls \(it: text: 'ReLU is better.' now, 'ReLU wins.' then"):
        begin(manifest(controls={"it": {**control, "text": "ReLU is better."}}), folder)
    with pytest.raises(ValueError, match=r"begun with other controls \(it: smallest_effect: 0.2 now, 0.1 then\)"):
        begin(manifest(controls={"it": {**control, "smallest_effect": 0.2}}), folder)

"""Tuning runs with a budget of their own, `tuning.base`: which runs they are, what they choose, how long they take."""

from dataclasses import replace

import pytest

from ablate.errors import UserError
from ablate.judging.tuning import at_values
from ablate.study.manifest import Manifest, plan_arms, read_manifest, write_manifest
from ablate.study.registration import plan_of
from ablate.study.results import collect, missing_runs
from ablate.study.run_rows import run_rows
from ablate.study.study import parse
from ablate.study.tuned import Tuning
from ablate.sweep.forecast import runs_left
from builders.studies import finish, variant

TUNING = {"key": "lr", "values": [0.1, 0.2], "seeds": 3, "base": ["trainer.epochs=3"], "seconds_a_run": 2}
DEFINITION = {
    "base": ["trainer.epochs=12", "net=micro"],
    "grids": [{"product": {"activation": ["relu", "tanh"]}}],
    "seeds": 2,
    "tuning": TUNING,
    "seconds_a_run": 10,
}


def resolve(overrides, value):
    """A variant whose fingerprint and folder tell its epochs."""
    given = dict(line.split("=") for line in overrides)
    epochs = {"epochs": int(given["trainer.epochs"])}
    found = variant(given["activation"], value, data={"val_size": 5}, trainer=epochs)
    tag = f"-{given['trainer.epochs']}-epochs"
    return replace(found, fingerprint=found.fingerprint + tag, folder=found.folder + tag, overrides=list(overrides))


@pytest.fixture
def study(tmp_path):
    parsed = parse("s", DEFINITION)
    arms = plan_arms(parsed.arms(), parsed, resolve)
    manifest = Manifest(
        name="s", title="", source="", definition=DEFINITION, overrides=[], command="ablate", arms=arms, looks=[2]
    )
    folder = tmp_path / "studies" / "s-1"
    write_manifest(manifest, folder)
    return manifest, folder


def tuned(study):
    manifest, folder = study
    for job in list(missing_runs(collect(manifest, folder))):
        finish(folder, job, 0.9 if job.variant.fingerprint in ("relu-0.2-3-epochs", "tanh-0.1-3-epochs") else 0.5)
    return collect(manifest, folder)


def test_tuning_runs_have_their_own_epochs_and_report_runs_those_of_the_study(study):
    manifest, folder = study
    jobs = list(missing_runs(collect(manifest, folder)))
    assert {job.variant.fingerprint.split("-", 2)[2] for job in jobs} == {"3-epochs"}
    assert all("trainer.epochs=12" not in job.overrides and "trainer.epochs=3" in job.overrides for job in jobs)
    assert len(jobs) == 12
    after = list(missing_runs(tuned(study)))
    assert [(job.variant.fingerprint, job.seed) for job in after] == [
        ("relu-0.2-12-epochs", 0),
        ("tanh-0.1-12-epochs", 0),
        ("relu-0.2-12-epochs", 1),
        ("tanh-0.1-12-epochs", 1),
    ]


def test_the_effect_at_equal_values_is_that_of_the_tuning_runs(study):
    results = tuned(study)
    sides = {"treatment": {"activation": "relu"}, "control": {"activation": "tanh"}}
    content = {**DEFINITION, "claims": {"c": {"text": "", "form": "greater", "smallest_effect": 0.02, **sides}}}
    (claim,) = parse("s", content).claims
    rows = at_values(claim, [[arm] for arm in results.arms], results.study)
    assert [(row.value, round(row.estimate, 3)) for row in rows] == [(0.1, -0.4), (0.2, 0.4)]


def test_the_table_of_runs_names_both(study):
    rows = run_rows(tuned(study))
    assert {row["role"] for row in rows} == {"tuning", "report"}
    assert all(("-3-epochs" in row["folder"]) == (row["role"] == "tuning") for row in rows)


def test_the_forecast_counts_short_runs_as_short(study):
    manifest, folder = study
    assert runs_left([collect(manifest, folder)]).seconds == 12 * 2 + 4 * 10
    assert runs_left([tuned(study)]).seconds == 4 * 10  # not the time of the tuning runs


def test_a_stored_plan_keeps_the_trials(study):
    manifest, folder = study
    assert read_manifest(folder) == manifest
    assert [one.fingerprint for one in manifest.arms[0].tuned] == ["relu-0.1-3-epochs", "relu-0.2-3-epochs"]


def test_the_budget_of_the_tuning_is_registered_and_its_seconds_are_not(study):
    arms = study[0].arms
    plan = plan_of(parse("s", DEFINITION), arms)
    assert plan["tuning"]["base"] == ["trainer.epochs=3"]
    slower = {**DEFINITION, "tuning": {**TUNING, "seconds_a_run": 9}}
    assert plan_of(parse("s", slower), arms) == plan


@pytest.mark.parametrize("line", ["lr=0.5", "seed=1", "activation=tanh", "epochs"])
def test_what_tuning_may_not_change_is_refused(line):
    with pytest.raises(UserError, match=r"`tuning.base`.*" + line):
        parse("s", {**DEFINITION, "tuning": {**TUNING, "base": [line]}})


def test_another_program_has_no_tuning_budget():
    command = "python train.py --act {activation} --lr {lr} --seed {seed}"
    content = {**DEFINITION, "base": [], "command": command, "tuning": {**TUNING, "metric": "val/accuracy"}}
    with pytest.raises(UserError, match=r"`tuning.base` is for studies of this program's own runs"):
        parse("s", content)


def test_without_it_tuning_runs_are_those_of_the_study():
    parsed = parse("s", {**DEFINITION, "tuning": {**TUNING, "base": []}})
    for arm in plan_arms(parsed.arms(), parsed, resolve):
        assert arm.trials == [] and arm.tuned == arm.variants
    assert Tuning(key="lr", values=[1, 2]).base == []


def test_an_epoch_that_tuning_runs_never_reached_lies_above_their_own_epochs(study, monkeypatch):
    seen = []
    monkeypatch.setattr("ablate.judging.tuning._effect", lambda claim, scores: seen.append(scores.budgets))
    results = tuned(study)
    sides = {"treatment": {"activation": "relu"}, "control": {"activation": "tanh"}}
    fields = {"text": "", "form": "ratio", "direction": "smaller", "smallest_effect": 2, "metric": "none", **sides}
    (claim,) = parse("s", {**DEFINITION, "claims": {"c": fields}}).claims
    at_values(claim, [[arm] for arm in results.arms], results.study)
    assert [budgets.ravel().tolist() for budgets in seen] == [[3.0, 3.0], [3.0, 3.0]]

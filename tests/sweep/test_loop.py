"""A study's state on disk, and the loop that does what is missing; runs are made by hand, without training."""

from dataclasses import replace

import pytest

from ablate.study.manifest import read_manifest, write_manifest
from ablate.study.results import collect, missing_runs
from ablate.sweep.begin import begin, begin_all
from ablate.sweep.loop import do_runs, measures_by_folder
from ablate.training.record import FAILURE_NAME, write_record
from builders.records import make_record
from builders.studies import finish, manifest, names


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "studies" / "s-00000000"


def test_do_runs_goes_on_after_failures_and_lost_workers(folder):
    plan = begin(manifest(), folder)
    launches = []

    def launch(jobs, wait, rerun):
        launches.append((names(jobs), wait))
        for job in jobs:
            run_folder = folder.parent.parent / job.folder
            if job.folder == "runs/relu/seed-0":
                run_folder.mkdir(parents=True, exist_ok=True)
                (run_folder / FAILURE_NAME).write_text("Traceback\nit broke\n")
            elif job.folder != "runs/tanh/seed-1" or len(launches) == 2:
                finish(folder, job)
            else:  # its worker dies the first time
                die(folder, job)

    (results,), failed = do_runs([(plan, folder)], launch)
    assert failed == {"runs/relu/seed-0": "it broke"}
    assert launches[1] == ([("tanh", 1)], True)
    assert len(launches) == 2
    assert [len(arm.records) for arm in results.arms] == [1, 2]
    states = (folder / "runs.csv").read_text()
    assert "activation=relu,,0,failed,runs/relu/seed-0" in states
    assert states.count(",finished,runs/") == 3
    (again,), failed = do_runs([(plan, folder)], lambda jobs, *how: [finish(folder, job) for job in jobs])
    assert not failed
    assert [len(arm.records) for arm in again.arms] == [2, 2]


def die(folder, job):
    run_folder = folder.parent.parent / job.folder
    run_folder.mkdir(parents=True, exist_ok=True)
    (run_folder / "config.yaml").write_text("begun")


def test_a_run_whose_worker_always_dies_fails_alone(folder):
    """A death breaks the pool: what comes after it in the batch does not begin."""
    launches = []

    def launch(jobs, wait, rerun):
        launches.append(names(jobs))
        for job in jobs:
            if job.variant.arm == "activation=relu":
                die(folder, job)
                return
            finish(folder, job)

    (results,), failed = do_runs([(begin(manifest(), folder), folder)], launch)
    assert sorted(failed) == ["runs/relu/seed-0", "runs/relu/seed-1"]
    assert all("ended without an error 3 times" in line for line in failed.values())
    assert [len(arm.records) for arm in results.arms] == [0, 2]
    assert launches.count([("relu", 0)]) == 2


def test_a_launcher_that_starts_nothing_is_given_up(folder):
    launches = []
    _, failed = do_runs([(begin(manifest(), folder), folder)], lambda jobs, *how: launches.append(len(jobs)))
    assert launches == [4, 4, 4]
    assert set(failed.values()) == {"it was launched and did not begin"}


def test_rerun_does_every_run_once_and_then_what_got_lost(folder):
    plan = begin(manifest(), folder)
    do_runs([(plan, folder)], lambda jobs, *how: [finish(folder, job) for job in jobs])
    launches = []

    def launch(jobs, wait, rerun):
        launches.append((len(jobs), rerun))
        for job in jobs:
            if rerun and job.folder == "runs/relu/seed-0":
                (folder.parent.parent / job.folder / "record.json").unlink()  # set aside, and then its worker dies
                die(folder, job)
            else:
                finish(folder, job)

    (results,), failed = do_runs([(plan, folder)], launch, rerun=True)
    assert launches == [(4, True), (1, False)]
    assert not failed
    assert [len(arm.records) for arm in results.arms] == [2, 2]


def test_extra_seeds_are_a_declared_look_at_a_finished_study(folder):
    plan = begin(declared(), folder)
    with pytest.raises(ValueError, match="runs are missing"):
        begin(declared(), folder, extra_seeds=1)
    do_runs([(plan, folder)], lambda jobs, *how: [finish(folder, job) for job in jobs])
    more = begin(declared(), folder, extra_seeds=3)
    assert more.looks == [2, 5]
    assert names(missing_runs(collect(more, folder))) == [(a, s) for s in (2, 3, 4) for a in ("relu", "tanh")]
    assert begin(declared(), folder).looks == [2, 5]
    assert begin(declared(), folder, extra_seeds=3).looks == [2, 5]  # the same command goes on
    with pytest.raises(ValueError, match="runs are missing"):
        begin(declared(), folder, extra_seeds=2)
    do_runs([(more, folder)], lambda jobs, *how: [finish(folder, job) for job in jobs])
    with pytest.raises(ValueError, match="declares 2 looks at its data and has had them all"):
        begin(declared(), folder, extra_seeds=1)


def test_a_study_of_one_look_gets_no_further_seeds(folder):
    once = manifest()
    plan = begin(once, folder)
    do_runs([(plan, folder)], lambda jobs, *how: [finish(folder, job) for job in jobs])
    with pytest.raises(ValueError, match="declares 1 look at its data and has had them all"):
        begin(once, folder, extra_seeds=1)


def declared():
    plan = manifest()
    return replace(plan, definition={**plan.definition, "looks": 2})


def test_runs_that_lack_what_a_claim_is_about_are_done_anew_once(folder, capsys):
    claim = {
        "text": "ReLU saturates less.",
        "form": "smaller",
        "metric": "saturation/mean",
        "treatment": {"activation": "relu"},
        "control": {"activation": "tanh"},
        "smallest_effect": 0.1,
    }
    plan = manifest(claims={"c": claim})
    write_manifest(plan, folder)
    for job in missing_runs(collect(plan, folder)):
        finish(folder, job)
    jobs = []

    def launch(batch, wait, rerun):
        assert rerun
        jobs.extend(batch)
        for job in batch:
            run_folder = folder.parent.parent / job.folder
            found = {"test/accuracy": 0.5, **({} if job.seed else {"saturation/mean": 0.2})}
            write_record(make_record(fingerprint=job.variant.fingerprint, seed=job.seed, metrics=found), run_folder)

    (results,), failed = do_runs([(plan, folder)], launch)
    # Seed 1 still lacks it: it is not tried again and again.
    assert names(jobs) == [("relu", 0), ("relu", 1), ("tanh", 0), ("tanh", 1)]
    assert "4 finished runs did not measure what a claim is about" in capsys.readouterr().out
    assert not failed
    assert results.arms[0].scores("test/accuracy", [0, 1]) == [0.5, 0.5]
    # A run that was asked for the measure and has no such key cannot be helped.
    for seed in (0, 1):
        for arm in ("relu", "tanh"):
            asked = {"diagnostics": {"measure": ["saturation"], "known": {}}}
            record = make_record(fingerprint=arm, seed=seed, metrics={"test/accuracy": 0.5}, settings=asked)
            write_record(record, folder.parent.parent / "runs" / arm / f"seed-{seed}")
    do_runs([(plan, folder)], lambda *_: pytest.fail("nothing is to be done"))


def test_studies_that_are_done_together_share_their_runs(folder):
    other = folder.with_name("t-00000000")
    plans = [(begin(manifest(seeds=2), folder), folder), (begin(manifest(looks=(3,), seeds=3), other), other)]
    launches = []

    def launch(jobs, wait, rerun):
        launches.append(sorted(names(jobs)))
        for job in jobs:
            finish(folder, job)

    results, failed = do_runs(plans, launch)
    assert launches == [[(arm, seed) for arm in ("relu", "tanh") for seed in range(3)]]
    assert not failed
    assert [[len(arm.records) for arm in found.arms] for found in results] == [[2, 2], [3, 3]]
    assert (other / "runs.csv").read_text().count(",finished,runs/") == 6


def test_studies_that_share_a_run_have_it_measure_what_each_wants(folder):
    def asking(*names):
        plan = manifest()
        arms = [
            replace(
                arm, variants=[replace(v, settings={"diagnostics": {"measure": list(names)}}) for v in arm.variants]
            )
            for arm in plan.arms
        ]
        return collect(replace(plan, arms=arms), folder)

    assert measures_by_folder([asking("a", "b"), asking("b", "c")]) == {
        run_folder: ["diagnostics.measure=[a,b,c]"] for run_folder in ("runs/relu", "runs/tanh")
    }
    assert measures_by_folder([asking("a", "b"), asking("b", "a")]) == {}


EXACT = {"text": "A.", "form": "identity", "treatment": {"activation": "relu"}, "value": 0}
TESTED = {"text": "B.", "form": "greater", "treatment": {"activation": "relu"}, "value": 0, "smallest_effect": 0.01}


def test_seeds_are_added_to_all_studies_of_a_collection_that_take_looks(folder):
    other = folder.with_name("t-00000000")
    planned = [(manifest(claims={"a": EXACT}), folder), (manifest(claims={"b": TESTED}), other)]
    do_runs(begin_all(planned), lambda jobs, *how: [finish(folder, job) for job in jobs])
    with pytest.raises(ValueError, match="declares 1 look at"):
        begin_all(planned, extra_seeds=2)
    assert read_manifest(folder).looks == [2]  # nothing is written where one of them refuses
    third = other.with_name("v-00000000")
    planned = [planned[0], (with_looks(2), third)]
    do_runs(begin_all(planned), lambda jobs, *how: [finish(folder, job) for job in jobs])
    assert [plan.looks for plan, _ in begin_all(planned, extra_seeds=2)] == [[2], [2, 4]]


def with_looks(number):
    plan = manifest(claims={"b": TESTED})
    return replace(plan, definition={**plan.definition, "looks": number})

"""A study's state on disk, and the loop that does what is missing; runs are made by hand, without training."""

from dataclasses import replace

import pytest

from ablate.study.collection import Collection, others, read_collection, write_collection
from ablate.study.manifest import PlannedArm, check_validated, read_manifest, write_manifest
from ablate.study.results import choose, collect, metric_value, missing_runs, write_runs
from ablate.study.study import parse
from ablate.sweep.forecast import forecast, study_overview
from ablate.sweep.loop import begin, begin_all, do_runs, measures_by_folder, study_folder
from ablate.tables import clock
from ablate.training.record import FAILURE_NAME, write_record
from builders.records import make_record
from builders.studies import BEST, TUNING, finish, manifest, names, variant


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "studies" / "s-00000000"


def test_a_manifest_survives_the_disk(folder):
    write_manifest(manifest(TUNING), folder)
    assert read_manifest(folder) == manifest(TUNING)
    assert read_manifest(folder.parent) is None


def test_without_tuning_every_arm_and_seed_is_missing_seed_by_seed(folder):
    jobs = list(missing_runs(collect(manifest(), folder)))
    assert names(jobs) == [("relu", 0), ("tanh", 0), ("relu", 1), ("tanh", 1)]
    finish(folder, jobs[1])
    assert names(missing_runs(collect(manifest(), folder))) == [("relu", 0), ("relu", 1), ("tanh", 1)]


def test_tuning_comes_first_then_the_winners(folder):
    plan = manifest(TUNING)
    rounds = []
    while jobs := list(missing_runs(collect(plan, folder))):
        rounds.append(names(jobs))
        for job in jobs:
            finish(folder, job, BEST[job.variant.arm.partition("=")[2], job.variant.value])
    tuning, report = rounds
    assert len(tuning) == 2 * 2 * 3
    assert {seed for _, seed in tuning} == {1_000_000, 1_000_001, 1_000_002}
    # relu wins at 0.2; tanh ties, and the smaller value is taken.
    assert report == [("relu-0.2", 0), ("tanh-0.1", 0), ("relu-0.2", 1), ("tanh-0.1", 1)]


def test_nothing_is_chosen_before_the_tuning_is_over():
    plan = manifest(TUNING)
    study = plan.study()
    full = {seed: make_record(seed=seed) for seed in study.tuning_seeds}
    assert choose(plan.arms[0], study, [full, {}]) is None
    assert choose(plan.arms[0], study, [full, full]) is plan.arms[0].variants[0]


def test_a_run_that_two_arms_share_is_done_once(folder):
    plan = manifest()
    twice = replace(plan, arms=[*plan.arms, replace(plan.arms[0], label="again")])
    assert names(missing_runs(collect(twice, folder))) == names(missing_runs(collect(plan, folder)))


def test_scores_are_nan_where_missing_and_inf_where_null(folder):
    plan = manifest()
    job = next(missing_runs(collect(plan, folder)))
    finish(folder, job, 0.25)
    arm = collect(plan, folder).arms[0]
    assert arm.scores("test/accuracy", [0])[0] == 0.25
    assert str(arm.scores("test/accuracy", [1])[0]) == "nan"
    assert arm.scores("none", [0])[0] == float("inf")
    with pytest.raises(ValueError, match="no metric 'speed'"):
        metric_value(arm.records[0], "speed")


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
    assert states.count("finished") == 3
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


def test_an_arm_that_means_something_else_is_refused(folder):
    begin(manifest(), folder)
    plan = manifest()
    other = replace(
        plan.arms[0].variants[0], fingerprint="new", settings={**plan.arms[0].variants[0].settings, "lr": 3}
    )
    changed = replace(plan, arms=[replace(plan.arms[0], variants=[other]), plan.arms[1]])
    with pytest.raises(ValueError, match=r"another meaning of arm 'activation=relu': lr is 3, was None"):
        begin(changed, folder)


def test_claims_are_fixed_before_the_first_run(folder):
    begin(manifest(alpha=0.05), folder)
    with_claims = manifest(claims={"c": {"text": "A.", "smallest_effect": 0.01}}, alpha=0.05)
    other = folder.with_name("s-1")
    begin(with_claims, other)
    begin(manifest(claims={"c": {"text": "Better said.", "smallest_effect": 0.01}}, alpha=0.05), other)
    with pytest.raises(ValueError, match=r"other claims \(c: smallest_effect: 0\.02 now, 0\.01 then\)"):
        begin(manifest(claims={"c": {"text": "A.", "smallest_effect": 0.02}}, alpha=0.05), other)
    with pytest.raises(ValueError, match=r"begun with other alpha \(0\.1 now, 0\.05 then\)"):
        begin(manifest(alpha=0.1), folder)
    with pytest.raises(ValueError, match=r"begun with other failure_share \(0\.5 now"):
        begin(manifest(alpha=0.05, failure_share=0.5), folder)


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


def declared():
    plan = manifest()
    return replace(plan, definition={**plan.definition, "looks": 2})


def test_the_folder_of_a_study_depends_on_what_it_does(tmp_path):
    plan = declared()
    study = plan.study()
    found = study_folder(tmp_path, study, plan.definition, ["data.root=a", "trainer.epochs=3"])
    assert found.parent == tmp_path / "studies"
    assert found == study_folder(tmp_path, study, {**plan.definition, "claims": {"x": 1}}, ["trainer.epochs=3"])
    assert found != study_folder(tmp_path, study, plan.definition, ["trainer.epochs=4"])
    assert found != study_folder(tmp_path, study, {**plan.definition, "seeds": 3}, ["trainer.epochs=3"])


def test_states_of_an_unfinished_study(folder):
    write_manifest(manifest(TUNING), folder)
    write_runs(manifest(TUNING), folder)
    states = (folder / "runs.csv").read_text()
    assert states.count("to do") == 12
    assert states.count("not chosen") == 4


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
    assert (other / "runs.csv").read_text().count("finished") == 6


def test_the_time_left_is_printed_before_the_first_run_and_after(folder):
    plan = begin(manifest(TUNING, seconds_a_run=10), folder)
    results = [collect(plan, folder)]
    # 2 arms, 2 values, 3 tuning seeds, then 2 seeds for each arm.
    assert forecast(results, num_workers=2) == "16 runs left: about 1:20, 2 at once"
    for job in missing_runs(results[0]):
        finish(folder, job)
    results = [collect(plan, folder)]
    each = next(iter(results[0].arms[0].tuning[0].values())).wall_seconds
    assert forecast(results, 1) == f"4 runs left: about {clock(4 * each)}, 1 at once"
    assert forecast([collect(begin(manifest(), folder.with_name("u-0")), folder.with_name("u-0"))], 1).startswith(
        "4 runs left; how long"
    )
    assert "lr tuned over [0.1, 0.2]" in study_overview(results[0])


def test_a_changed_estimate_is_no_other_study(tmp_path):
    study = parse("s", {})
    folders = {study_folder(tmp_path, study, {"seeds": 2, "seconds_a_run": s}, []) for s in (None, 1, 2)}
    assert len(folders) == 1


def test_a_collection_survives_the_disk_and_finds_those_of_other_budgets(folder):
    manifests = [(begin(manifest(), folder), folder)]
    fields = {
        "name": "lecture",
        "title": "T",
        "source": "",
        "command": "ablate study=lecture",
        "folders": [folder.name],
    }
    quick, full = (Collection(profile=profile, **fields) for profile in ("quick", "full"))
    places = [one.folder_in(folder.parent.parent) for one in (quick, full)]
    assert places[0].name.startswith("lecture-quick-")
    for one, place in zip((quick, full), places, strict=True):
        write_collection(one, place)
    assert read_collection(places[0]) == quick
    assert read_collection(folder) is None
    assert quick.studies(places[0]) == manifests
    assert others(quick, places[0]) == ([full], [])
    old = folder.parent / "lecture-old"
    old.mkdir()
    (old / "collection.json").write_text('{"schema": 0}')
    beside, unread = others(quick, places[0])
    assert beside == [full]
    assert len(unread) == 1 and "lecture-old" in unread[0] and "schema 0" in unread[0]
    with pytest.raises(ValueError, match="is not there any more"):
        replace(quick, folders=["gone"]).studies(places[0])


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
    with pytest.raises(ValueError, match="declares 1 looks"):
        begin_all(planned, extra_seeds=2)
    assert read_manifest(folder).looks == [2]  # nothing is written where one of them refuses
    third = other.with_name("v-00000000")
    planned = [planned[0], (with_looks(2), third)]
    do_runs(begin_all(planned), lambda jobs, *how: [finish(folder, job) for job in jobs])
    assert [plan.looks for plan, _ in begin_all(planned, extra_seeds=2)] == [[2], [2, 4]]


def with_looks(number):
    plan = manifest(claims={"b": TESTED})
    return replace(plan, definition={**plan.definition, "looks": number})

"""Equal settings are one run: one folder, planned, counted and done once; and a run's record is its own."""

import shutil
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ablate.report.provenance import failures, progress, records_of, setting
from ablate.report.table import arm_labels
from ablate.report.terminal import summary
from ablate.study.manifest import PlannedArm, coinciding, read_manifest, same_runs
from ablate.study.results import collect, missing_runs
from ablate.sweep.begin import begin_all
from ablate.sweep.forecast import forecast, study_overview
from ablate.sweep.loop import do_runs, set_aside_refused
from ablate.training.directory import agree_on_folder
from ablate.training.record import RECORD_NAME, read_record
from ablate.training.start import Busy, start
from builders.command import SHAPES
from builders.records import make_record
from builders.studies import TUNING, finish, manifest, names


def spelled_twice(*, tuning=None, **definition):
    """A study of relu and tanh, the latter under two names of which the second has a folder of its own name."""
    plan = manifest(tuning, **definition)
    relu, tanh = plan.arms
    again = [replace(variant, folder=f"runs/other-{i}", arm="other") for i, variant in enumerate(tanh.variants)]
    twin = PlannedArm(axes={"activation": "other"}, label="activation=other", variants=again)
    content = {**plan.definition, "grids": [{"product": {"activation": ["relu", "tanh", "other"]}}]}
    return replace(plan, arms=[relu, tanh, twin], definition=content)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "studies" / "s-00000000"


def folders(plan):
    return [[variant.folder for variant in arm.variants] for arm in plan.arms]


@pytest.mark.parametrize("write", [False, True])
def test_equal_fingerprints_have_one_folder_in_all_arms_and_studies(folder, write):
    other = spelled_twice(seeds=3)
    other = replace(other, arms=other.arms[::-1])
    (first, _), (second, _) = begin_all([(spelled_twice(), folder), (other, folder.with_name("t-0"))], write=write)
    assert folders(first) == [["runs/relu"], ["runs/tanh"], ["runs/tanh"]]
    assert folders(second) == folders(first)[::-1]
    assert (folder.parent.parent / "runs").exists() == write
    if write:
        assert folders(read_manifest(folder)) == folders(first)


def test_a_folder_of_the_same_hash_that_another_process_made_is_taken(folder):
    output_dir = folder.parent.parent
    plan = manifest()
    arms = [
        replace(arm, variants=[replace(v, folder=f"runs/mine-{v.fingerprint}") for v in arm.variants])
        for arm in plan.arms
    ]
    (output_dir / "runs" / "theirs-tanh").mkdir(parents=True)  # the first 8 digits of the fingerprint tanh
    ((begun, _),) = begin_all([(replace(plan, arms=arms), folder)])
    assert folders(begun) == [["runs/mine-relu"], ["runs/theirs-tanh"]]


def test_processes_that_name_one_run_differently_agree_on_its_folder(tmp_path):
    found: dict[int, set[Path]] = {}
    for attempt in range(20):
        barrier = threading.Barrier(8)

        def place(name, attempt=attempt, barrier=barrier):
            barrier.wait()
            fingerprint = f"{attempt:064x}"[::-1]
            run_folder = agree_on_folder(tmp_path / "runs" / f"{name}-{fingerprint[:8]}", fingerprint)
            found.setdefault(attempt, set()).add(run_folder)

        threads = [threading.Thread(target=place, args=(name,)) for name in "abcdefgh"]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
    assert [len(places) for places in found.values()] == [1] * 20
    assert len(list((tmp_path / "runs").glob("*-*"))) == 20


def test_a_run_that_another_process_began_under_another_name_is_left_to_it(make_run, tmp_path):
    theirs = tmp_path / "runs" / "l2-12345678"
    theirs.mkdir(parents=True)
    with pytest.raises(Busy, match=r"another process has just begun the same run in .*l2-12345678"):
        start(make_run(fingerprint="12345678" * 8), tmp_path / "runs" / "none-12345678" / "seed-0")
    assert list((tmp_path / "runs").glob("*-*")) == [theirs]


def test_arms_that_coincide_are_counted_and_done_once(folder):
    begun = begin_all([(spelled_twice(seconds_a_run=10), folder)])
    results = collect(*begun[0])
    assert coinciding(arm.planned for arm in results.arms) == [["activation=tanh", "activation=other"]]
    assert forecast([results], 1) == "4 runs left: about 0:40, 1 at once"
    sentence = "activation=tanh and activation=other are the same runs: nothing that decides a result differs"
    assert sentence in study_overview(results)
    assert progress(results).sentence() == "0 of 4 report runs done"
    launched = []

    def launch(jobs, wait, rerun):
        launched.extend(names(jobs))
        for job in jobs:
            finish(folder, job)

    (results,), failed = do_runs(begun, launch)
    assert sorted(launched) == [("relu", 0), ("relu", 1), ("tanh", 0), ("tanh", 1)] and not failed
    assert [len(arm.records) for arm in results.arms] == [2, 2, 2]
    assert progress(results).is_complete and progress(results).done == 4 and len(records_of(results)) == 4
    assert ("Same runs", sentence) in setting(results, [])
    assert sentence in summary(results, [])
    assert forecast([results], 1) == "no run is left"


def test_tuned_arms_that_coincide_are_counted_once_across_studies(folder):
    plans = [
        (spelled_twice(tuning=TUNING, seconds_a_run=10), folder),
        (spelled_twice(tuning=TUNING, seeds=3, looks=(3,)), folder.with_name("t-0")),
    ]
    begun = begin_all(plans)
    results = [collect(*one) for one in begun]
    # 2 arms, 2 values, 3 tuning seeds, then 2 seeds for each arm, and a third one in the second study.
    assert forecast(results[:1], 1).startswith("16 runs left")
    assert forecast(results, 1).startswith("18 runs left")
    state = progress(results[0])
    assert (state.planned, state.tuning_planned) == (4, 12)
    for job in missing_runs(results[0]):
        finish(folder, job)
    results = [collect(*one) for one in begun]
    assert forecast(results, 1).startswith("6 runs left")
    assert (progress(results[0]).tuning_done, progress(results[0]).done) == (12, 0)


def test_three_arms_that_coincide_are_listed():
    assert same_runs(["a", "b", "c"]).startswith("a, b and c are the same runs")


def finished(folder):
    """A begun study of relu and tanh with two seeds, finished but for its last look at what is there."""
    begun = begin_all([(manifest(), folder)])
    for job in missing_runs(collect(*begun[0])):
        finish(folder, job, accuracy=0.25 if job.variant.fingerprint == "tanh" else 0.75)
    return begun


@pytest.mark.parametrize(
    ("source", "words"),
    [("relu/seed-1", ["seed 1", "fingerprint relu"]), ("tanh/seed-0", ["seed 0", "fingerprint tanh"])],
)
def test_a_record_of_another_run_is_refused_by_name_and_the_run_is_done_anew(folder, capsys, source, words):
    begun = finished(folder)
    runs = folder.parent.parent / "runs"
    copied = runs / "tanh" / "seed-1" / RECORD_NAME
    shutil.copy(runs / source / RECORD_NAME, copied)

    results = collect(*begun[0])  # what `ablate report` does
    assert list(results.arms[1].records) == [0] and list(results.arms[0].records) == [0, 1]
    (row,) = failures(results)[1:]
    assert row[:2] == ["activation=tanh", "1"]
    for word in [str(copied), "another run", *words]:
        assert word in row[2] and word in summary(results, [])
    assert progress(results).sentence() == "3 of 4 report runs done, 1 with a refused record"
    assert copied.exists()

    def launch(jobs, wait, rerun):
        assert names(jobs) == [("tanh", 1)]
        assert not copied.parent.exists()
        finish(folder, jobs[0])

    (results,), failed = do_runs(begun, launch)
    assert not failed and progress(results).is_complete and not failures(results)[1:]
    assert read_record(copied.parent).seed == 1
    aside = folder.parent.parent / "replaced" / "tanh" / "seed-1.1"
    assert (aside / RECORD_NAME).exists()
    assert str(aside) in capsys.readouterr().err


def test_one_bad_record_stops_no_sweep(folder):
    begun = finished(folder)
    (folder.parent.parent / "runs" / "relu" / "seed-0" / RECORD_NAME).write_text("{")

    def launch(jobs, wait, rerun):
        assert names(jobs) == [("relu", 0)]
        finish(folder, jobs[0])

    (results,), failed = do_runs(begun, launch)
    assert not failed and progress(results).is_complete


def test_a_run_that_was_done_anew_meanwhile_is_not_set_aside(folder):
    begun = finished(folder)
    run_folder = folder.parent.parent / "runs" / "tanh" / "seed-1"
    right = (run_folder / RECORD_NAME).read_text()
    shutil.copy(run_folder.with_name("seed-0") / RECORD_NAME, run_folder)
    results = collect(*begun[0])
    (run_folder / RECORD_NAME).write_text(right)  # another sweep was quicker
    assert set_aside_refused([results]) == 0
    assert (run_folder / RECORD_NAME).read_text() == right


def test_a_run_alone_refuses_the_record_of_another_seed(make_run, tmp_path):
    run_folder = tmp_path / "runs" / "a-00000000"
    start(make_run(seed=0, epochs=1), run_folder / "seed-0")
    shutil.copytree(run_folder / "seed-0", run_folder / "seed-1")
    with pytest.raises(ValueError, match="holds the record of seed 0, not of 1"):
        start(make_run(seed=1, epochs=1), run_folder / "seed-1")


@pytest.mark.parametrize("place", ["root", "path"])
def test_arms_that_differ_in_their_images_alone_are_labelled_by_the_folder(place):
    records = [make_record(fingerprint=f, settings={"data": {place: f"/{f}"}}) for f in "ab"]
    assert arm_labels(records) == {f: f"activation=tanh data.{place}=/{f}" for f in "ab"}


STUDY = """\
# Is no penalty a penalty of zero?
# Source: this test.
base: [data=shapes, net=micro, data.train_size=100, data.val_size=50, data.test_size=50, trainer.epochs=1]
grids:
  - product: {regularizer: [none]}
  - product: {regularizer: [l2], regularizer.l2: [0.0, 0.01]}
seeds: 2
claims:
  same:
    text: No penalty is as good as one of zero.
    form: equivalent
    treatment: {regularizer: none}
    control: {regularizer: l2, regularizer.l2: 0.0}
    smallest_effect: 0.01
"""


def test_two_spellings_of_one_setting_are_one_run_from_the_start(ablate, tmp_path):
    path = tmp_path / "mine" / "study" / "twice.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(STUDY)
    result = ablate(f"--config-dir mine study=twice {SHAPES.replace('data=shapes', '')} data=shapes")
    assert result.returncode == 0, result.stderr
    sentence = "regularizer=none and regularizer=l2 regularizer.l2=0.0 are the same runs: nothing that decides a result"
    assert "4 runs left" in result.stdout and "[4/4, 0:00 left]" in result.stdout
    assert len(list(tmp_path.glob("outputs/runs/*-*"))) == 2
    assert result.stdout.count(sentence) == 3  # before the runs, below the table, and as the reason of the claim
    (study,) = tmp_path.glob("outputs/studies/*")
    for name in ("report.html", "report.md"):
        page = (study / name).read_text()
        assert sentence in page and "Unfinished" not in page and "not comparable" in page


def write_images(root, seed):
    rng = np.random.default_rng(seed)
    for split, count in (("train", 20), ("test", 6)):
        for name in "ab":
            images = root / split / name
            images.mkdir(parents=True)
            for i in range(count):
                Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(images / f"{i}.png")


def test_folders_of_other_images_are_other_arms_and_of_equal_ones_the_same(ablate, cache, tmp_path):
    for name, seed in (("A", 0), ("B", 1), ("C", 0)):
        write_images(tmp_path / name, seed)
    line = "data=image_folder net=micro data.train_size=20 data.val_size=10 data.test_size=10 trainer.epochs=1"
    result = ablate(f"-m {line} trainer.batch_size=10 data.cache_dir={cache} data.root=A,B,C seed=0")
    assert result.returncode == 0, result.stderr
    assert "2 runs left" in result.stdout
    assert "data.root=A and data.root=C are the same runs" in result.stdout
    assert len(list(tmp_path.glob("outputs/runs/*/*/record.json"))) == 2


@pytest.mark.parametrize("swept", ["trainer.threads=1,2", "output_dir=a,b", "diagnostics.measure=[],[shift]"])
def test_what_makes_equal_runs_cannot_be_swept(ablate, swept):
    result = ablate(f"-m {SHAPES} {swept}")
    assert result.returncode == 2
    assert f"{swept.partition('=')[0]} says how or where runs are done" in result.stderr
    assert "output_dir of its own" in result.stderr

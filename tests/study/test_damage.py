"""Damaged files as a sweep, a study and a report meet them."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ablate import report
from ablate.errors import Unusable, UserError
from ablate.judging import judge
from ablate.storage.integrity import sealed
from ablate.study.collection import COLLECTION_NAME, Collection, read_collection, write_collection
from ablate.study.manifest import MANIFEST_NAME, read_manifest, write_manifest
from ablate.study.results import collect, missing_runs, state_of
from ablate.study.run_rows import write_runs
from ablate.sweep.begin import begin
from ablate.sweep.loop import do_runs
from ablate.training.directory import REASON_NAME, set_aside
from ablate.training.record import RECORD_NAME, read_record
from ablate.training.start import start
from builders.studies import finish, manifest, names

TINY = (
    "data=shapes data.num_train=300 data.num_test=60 data.val_size=60 net=micro trainer.batch_size=20 "
    "trainer.threads=1 trainer.epochs=1"
)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "studies" / "s-00000000"


@pytest.fixture
def command(tmp_path):
    """A function (command line, code that runs before it) -> finished process, started in an empty folder."""

    def go(line, before=""):
        words = ["ablate", *line.split()]
        code = f"import sys\nsys.argv = {words!r}\n{before}\nfrom ablate.cli.main import main\nmain()"
        return subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=240)

    return go


def spoil(path):
    path.write_text(path.read_text().replace("0.5", "0.6", 1))


def finish_all(plan, folder):
    for job in missing_runs(collect(plan, folder)):
        finish(folder, job)


def test_a_damaged_record_counts_as_missing_and_is_named(folder):
    plan = begin(manifest(), folder)
    finish_all(plan, folder)
    run_folder = folder.parent.parent / "runs/tanh/seed-1"
    spoil(run_folder / RECORD_NAME)
    results = collect(plan, folder)
    assert names(missing_runs(results)) == [("tanh", 1)]
    assert list(results.arms[1].refused) == ["runs/tanh/seed-1"]
    assert results.arms[0].refused == {}
    assert state_of(run_folder) == "to do"
    write_runs(plan, folder)
    assert "activation=tanh,,1,to do,runs/tanh/seed-1" in (folder / "runs.csv").read_text()
    terminal = report.summary(results, judge(results))
    page = report.write_report(results, judge(results))
    for text in (terminal, page.read_text(), (folder / "report.md").read_text()):
        assert re.search(rf"counts as missing: .*{RECORD_NAME}.* is damaged", text)


def test_a_sweep_does_a_run_with_a_damaged_record_anew(folder):
    plan = begin(manifest(), folder)
    finish_all(plan, folder)
    spoil(folder.parent.parent / "runs/tanh/seed-1" / RECORD_NAME)
    launched = []

    def launch(jobs, wait, rerun):
        launched.append((names(jobs), rerun))
        for job in jobs:
            finish(folder, job)

    (results,), failed = do_runs([(plan, folder)], launch)
    assert launched == [([("tanh", 1)], False)]
    assert not failed
    assert results.arms[1].refused == {}


def test_a_record_that_cannot_be_replaced_ends_the_sweep_by_name(folder, monkeypatch):
    """Nobody has the right to move it: the run fails by name and is not launched for ever."""

    def refuse(folder, reason):
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr("ablate.sweep.loop.set_aside", refuse)
    plan = begin(manifest(), folder)
    finish_all(plan, folder)
    run_folder = folder.parent.parent / "runs/tanh/seed-1"
    spoil(run_folder / RECORD_NAME)
    (run_folder / "failure.txt").write_text("no right to move it\n")
    launches = []

    def launch(jobs, wait, rerun):
        launches.append(jobs)
        (run_folder / "failure.txt").write_text("no right to move it\n")

    _, failed = do_runs([(plan, folder)], launch)
    assert failed == {"runs/tanh/seed-1": "no right to move it"}
    assert len(launches) == 1


def test_a_record_of_a_later_version_is_left_where_it_is(folder):
    plan = begin(manifest(), folder)
    finish_all(plan, folder)
    record = folder.parent.parent / "runs/tanh/seed-1" / RECORD_NAME
    content = record.read_text().replace('"schema": 2', '"schema": 99')
    record.write_text(content)

    def launch(jobs, wait, rerun):
        for job in jobs:
            (folder.parent.parent / job.folder / "failure.txt").write_text("update ablate\n")

    _, failed = do_runs([(plan, folder)], launch)
    assert failed == {"runs/tanh/seed-1": "update ablate"}
    assert record.read_text() == content


def edited(path, change):
    content = json.loads(path.read_text())
    del content["sha256"]
    change(content)
    path.write_text(json.dumps(sealed(content)))


def make_folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.write_text(""), "it is empty"),
        (lambda path: path.write_text(path.read_text()[:-100]), "not valid JSON"),
        (lambda path: path.write_bytes(b"\xff" + path.read_bytes()), "not valid JSON"),
        (lambda path: path.write_text(path.read_text().replace("relu", "rely", 1)), "does not agree with its checksum"),
        (make_folder, "it is a folder"),
        (lambda path: edited(path, lambda c: c.update(looks=[])), r"looks must be increasing .*, got \[\]"),
        (lambda path: edited(path, lambda c: c.update(looks=[2, 2])), r"looks must be increasing .*, got \[2, 2\]"),
        (lambda path: edited(path, lambda c: c.update(looks=[0])), r"looks must be increasing .*, got \[0\]"),
        (lambda path: edited(path, lambda c: c.update(looks=["2"])), r"looks\[0\] must be a whole number, got '2'"),
        (lambda path: edited(path, lambda c: c.update(arms=[])), "arms is empty"),
        (lambda path: edited(path, lambda c: c["arms"][0].update(variants=[])), "as many variants"),
        (lambda path: edited(path, lambda c: c["arms"][1]["variants"][0].pop("folder")), r"lacks arms\[1\].variants"),
        (lambda path: edited(path, lambda c: c.pop("definition")), "lacks definition"),
        (lambda path: edited(path, lambda c: c.update(schema=1)), "an earlier version of ablate wrote it"),
    ],
)  # fmt: skip
def test_a_damaged_manifest_is_refused_with_the_cure(folder, damage, words):
    plan = begin(manifest(), folder)
    finish_all(plan, folder)
    damage(folder / MANIFEST_NAME)
    for act in (lambda: read_manifest(folder), lambda: begin(manifest(), folder)):
        with pytest.raises(UserError, match=words) as error:
            act()
        assert str(folder / MANIFEST_NAME) in str(error.value)
        assert "restore it from a backup; or move" in str(error.value)
        assert not isinstance(error.value, Unusable)
    folder.rename(folder.with_name("elsewhere"))
    again = begin(manifest(), folder)
    assert list(missing_runs(collect(again, folder))) == []


def collection(folder):
    return Collection(name="c", title="", source="", profile="", command="ablate study=c", folders=[folder.name])


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_text(""),
        lambda path: path.write_text(path.read_text().replace('"c"', '"d"', 1)),
        lambda path: edited(path, lambda c: c.update(folders=[1])),
        lambda path: edited(path, lambda c: c.update(schema=1)),
        make_folder,
    ],
)
def test_a_damaged_collection_is_set_aside_and_made_again(folder, tmp_path, damage, capsys):
    made = collection(folder)
    place = made.folder_in(tmp_path)
    write_collection(made, place)
    assert read_collection(place) == made
    (place / "report.html").write_text("old")
    damage(place / COLLECTION_NAME)
    with pytest.raises(Unusable, match=COLLECTION_NAME):
        read_collection(place)
    write_collection(made, place)
    assert read_collection(place) == made
    old = tmp_path / "replaced" / f"{place.name}.1"
    assert (old / COLLECTION_NAME).exists() and (old / "report.html").read_text() == "old"
    assert COLLECTION_NAME in (old / REASON_NAME).read_text()
    (line,) = capsys.readouterr().err.splitlines()
    assert "it is made again" in line and str(old) in line


def test_folders_are_set_aside_side_by_side(tmp_path):
    run_folder = tmp_path / "runs" / "arm" / "seed-0"
    for n in (1, 2, 3):
        run_folder.mkdir(parents=True)
        (run_folder / "what").write_text(str(n))
        assert set_aside(run_folder, f"reason {n}") == tmp_path / "replaced" / "arm" / f"seed-0.{n}"
    for n in (1, 2, 3):
        assert (tmp_path / "replaced" / "arm" / f"seed-0.{n}" / "what").read_text() == str(n)
        assert (tmp_path / "replaced" / "arm" / f"seed-0.{n}" / REASON_NAME).read_text() == f"reason {n}\n"


def test_reading_manifests_keeps_the_arms(folder):
    plan = manifest({"key": "lr", "values": [0.1, 0.2], "seeds": 3}, looks=(2, 5))
    write_manifest(replace(plan, definition={**plan.definition, "looks": 2}), folder)
    assert read_manifest(folder).looks == [2, 5]


@pytest.fixture
def swept(command, tmp_path):
    """A finished sweep of two seeds: (its folder, folders of its runs)."""
    done = command(f"-m {TINY} seed=0,1")
    assert done.returncode == 0, done.stderr
    (study,) = (tmp_path / "outputs" / "studies").iterdir()
    return study, sorted((tmp_path / "outputs" / "runs").glob("*/seed-*"))


def test_one_bad_record_stops_neither_sweep_nor_report(command, tmp_path, swept):
    study, (first, second) = swept
    good = read_record(first)
    record = first / RECORD_NAME
    record.write_text(record.read_text().replace('"test/accuracy": 0.', '"test/accuracy": 0.9', 1))
    result = command(f"report {study}")
    assert result.returncode == 0, result.stderr
    assert f"counts as missing: {record} is damaged" in result.stdout
    assert record.exists()
    again = command(f"-m {TINY} seed=0,1")
    assert again.returncode == 0, again.stderr
    assert read_record(first).metrics == good.metrics
    old = tmp_path / "outputs" / "replaced" / first.parent.name / "seed-0.1"
    assert '"test/accuracy": 0.9' in (old / RECORD_NAME).read_text()
    assert f"{RECORD_NAME} is damaged" in (old / REASON_NAME).read_text()
    assert not (tmp_path / "outputs" / "replaced" / first.parent.name / "seed-1.1").exists()
    assert read_record(second) is not None
    assert "counts as missing" not in again.stdout


def test_a_manifest_without_looks_is_one_line(command, swept):
    study, _ = swept
    edited(study / MANIFEST_NAME, lambda content: content.update(looks=[]))
    for line in (f"report {study}", f"-m {TINY} seed=0,1"):
        result = command(line)
        assert result.returncode == 2
        assert "looks must be increasing" in result.stderr and "Traceback" not in result.stderr


@pytest.mark.parametrize("size", [60_000, 150_000])
def test_a_full_disk_is_one_line_with_the_command(command, tmp_path, size):
    """No file may be longer than `size` bytes: checkpoint.pt or the events do not fit."""
    line = f"{TINY} data.cache_dir={tmp_path / 'cache'}"
    assert command(f"{line} seed=7").returncode == 0  # the data lie in the cache now
    shutil.rmtree(tmp_path / "outputs")
    result = command(line, f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))")
    assert result.returncode == 2, result.stdout
    assert "Traceback" not in result.stderr and "Exception" not in result.stderr
    assert "cannot write" in result.stderr and "File too large" in result.stderr and "MiB are free in" in result.stderr
    assert result.stderr.strip().endswith(f"  ablate {line}")
    (run_folder,) = (tmp_path / "outputs").glob("runs/*/seed-0")
    assert not [path for path in run_folder.iterdir() if re.match(r"\.[0-9a-f]{32}", path.name)]
    done = command(line)
    assert done.returncode == 0, done.stderr
    assert read_record(run_folder).status == "finished"


def test_a_run_killed_while_it_writes_its_checkpoint_leaves_nothing(make_run, tmp_path):
    run_folder = tmp_path / "runs" / "arm-00000000" / "seed-0"
    code = f"""
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
import ablate.storage.integrity
from builders.runs import make_run
from ablate.training.start import start

fsync = os.fsync
def killed(number):
    if "checkpoint.pt" in os.readlink(f"/proc/self/fd/{{number}}"):
        os.kill(os.getpid(), signal.SIGKILL)
    fsync(number)
os.fsync = killed
start(make_run(), Path({str(run_folder)!r}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    left = [name for name in os.listdir(run_folder) if name.endswith("-checkpoint.pt")]
    assert len(left) == 1
    record, _ = start(make_run(), run_folder)
    assert record.status == "finished"
    assert {path.name for path in run_folder.iterdir()} == {"record.json", "config.yaml", "predictions.npz"}


FULL_AFTERWARDS = """
import errno, os
from ablate.report import page

def full(*arguments):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), {path!r})

page.{name} = full
"""


@pytest.mark.parametrize(("line", "name"), [("report {}", "write_arm_board"), (f"-m {TINY} seed=0,1", "link_study")])
def test_a_disk_that_is_full_when_the_report_is_written_is_one_line_with_the_command(command, swept, line, name):
    """Links and folders are made without `replacing`, so the system's own error arrives."""
    study, _ = swept
    path, line = str(study / "tensorboard" / "a"), line.format(study)
    result = command(line, FULL_AFTERWARDS.format(name=name, path=path))
    assert result.returncode == 2 and "Traceback" not in result.stderr
    first, second = result.stderr.strip().splitlines()
    assert first.startswith(f"ablate: cannot write {path} (No space left on device)") and "MiB are free in" in first
    assert second == f"  ablate {line}"

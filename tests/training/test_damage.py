"""Files of a run that were damaged after they had been written: named, set aside with the reason, and written again."""

import json
import os
import shutil

import numpy as np
import pytest
import yaml

from ablate.errors import UserError
from ablate.judging.image_interval import read_predictions
from ablate.storage.integrity import sealed
from ablate.training.directory import CONFIG_NAME, REASON_NAME, read_config
from ablate.training.loop import Callback
from ablate.training.record import CHECKPOINT_NAME, PREDICTIONS_NAME, RECORD_NAME, read_record
from ablate.training.start import start


class StopAt(Callback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, state):
        if state.step == self.step:
            raise KeyboardInterrupt


class Count(Callback):
    """Counts the steps that are done."""

    def __init__(self):
        self.steps = 0

    def on_step_end(self, state):
        self.steps += 1


class Keep(Callback):
    def on_fit_end(self, state):
        self.weights = {name: value.clone() for name, value in state.net.state_dict().items()}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "runs" / "arm-00000000" / "seed-0"


@pytest.fixture
def replaced(tmp_path):
    return tmp_path / "replaced" / "arm-00000000"


def interrupt(run, folder, step=9):
    with pytest.raises(KeyboardInterrupt):
        start(run, folder, [StopAt(step)])


def flip(path, share):
    data = bytearray(path.read_bytes())
    position = int(share * len(data))
    while data[position] in b" \n":  # white space of a text may change without changing what it says
        position += 1
    data[position] ^= 1 << 4
    path.write_bytes(data)


def make_folder(path):
    path.unlink()
    path.mkdir()
    (path / "inside").write_text("something")


def cut(path, share):
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])


DAMAGES = {
    **{f"bit at {percent} %": lambda path, percent=percent: flip(path, percent / 100) for percent in range(5, 100, 10)},
    **{f"cut to {percent} %": lambda path, percent=percent: cut(path, percent / 100) for percent in (1, 50, 99)},
    "last byte lost": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "byte added": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "empty": lambda path: path.write_bytes(b""),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "garbage": lambda path: path.write_bytes(np.random.default_rng(0).bytes(5000)),
    "text": lambda path: path.write_text("<html>404</html>"),
    "a folder": make_folder,
}


NUM_STEPS = 12  # 3 epochs of 4 batches


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_set_aside_and_the_run_restarts(make_run, folder, replaced, tmp_path, capsys, damage):
    whole, _ = start(make_run(), tmp_path / "runs" / "whole" / "seed-0")
    interrupt(make_run(), folder)
    DAMAGES[damage](folder / CHECKPOINT_NAME)
    count = Count()
    record, fresh = start(make_run(), folder, [count])
    assert fresh
    assert count.steps == NUM_STEPS
    assert record.metrics == whole.metrics
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{folder / CHECKPOINT_NAME} is damaged" in line
    assert "starts again" in line and str(replaced / "seed-0.1") in line
    assert (replaced / "seed-0.1" / CHECKPOINT_NAME).exists()
    reason = (replaced / "seed-0.1" / REASON_NAME).read_text()
    assert CHECKPOINT_NAME in reason and "damaged" in reason
    assert {path.name for path in folder.iterdir()} == {RECORD_NAME, CONFIG_NAME, PREDICTIONS_NAME}


def test_a_checkpoint_of_another_net_leaves_the_weights_alone(make_run, folder, replaced, tmp_path, capsys):
    """One shape differs: nothing of the checkpoint may have been loaded when the run starts again."""
    kept, whole = Keep(), Keep()
    start(make_run(), tmp_path / "runs" / "whole" / "seed-0", [whole])
    other = make_run(net=type(make_run().net)(widths=[4, 6], convs_per_stage=1, hidden_width=9))
    interrupt(other, folder)
    start(make_run(), folder, [kept])
    assert all((kept.weights[name] == value).all() for name, value in whole.weights.items())
    assert "is of another net: " in capsys.readouterr().err
    assert (replaced / "seed-0.1" / CHECKPOINT_NAME).exists()


@pytest.mark.parametrize("damage", [name for name in DAMAGES if name != "last byte lost"])  # a line end
def test_a_damaged_record_is_set_aside_and_the_run_done_again(make_run, folder, replaced, capsys, damage):
    first, _ = start(make_run(), folder)
    DAMAGES[damage](folder / RECORD_NAME)
    record, fresh = start(make_run(), folder)
    assert fresh
    assert record.metrics == first.metrics
    assert read_record(folder) == record
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{folder / RECORD_NAME} is damaged" in line and "done again" in line
    assert (replaced / "seed-0.1" / PREDICTIONS_NAME).exists()
    assert RECORD_NAME in (replaced / "seed-0.1" / REASON_NAME).read_text()


def edited(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["metrics"].update({"test/accuracy": 0.99}), "does not agree with its checksum"),
        (lambda c: c.update(metrics={}), "does not agree with its checksum|lacks test/accuracy"),
        (lambda c: c.update(seed=1), "does not agree with its checksum"),
        (lambda c: c.update(more=1), "does not agree with its checksum"),
        (lambda c: c.pop("sha256"), "no checksum"),
        (lambda c: c.pop("history"), "lacks history"),
        (lambda c: c.update(seed="0"), "seed must be a whole number, got '0'"),
        (lambda c: c.update(seed=True), "seed must be a whole number, got True"),
        (lambda c: c.update(metrics=[]), "metrics must be a mapping"),
        (lambda c: c["history"].append(3), r"history\[3\] must be a mapping, got 3"),
        (lambda c: c["metrics"].update({"test/loss": "1"}), "metrics.test/loss must be a number or null, got '1'"),
        (lambda c: c.update(schema=1), "an earlier version of ablate wrote it"),
    ],
)
def test_an_edited_record_is_named_and_done_again(make_run, folder, replaced, capsys, change, words):
    first, _ = start(make_run(), folder)
    edited(folder / RECORD_NAME, change)
    with pytest.raises(UserError, match=words):
        read_record(folder)
    record, fresh = start(make_run(), folder)
    assert fresh
    assert record.metrics == first.metrics
    assert "done again" in capsys.readouterr().err
    assert (replaced / "seed-0.1" / RECORD_NAME).exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.update(metrics={}), "metrics lacks test/accuracy"),
        (lambda c: c.update(status="dreaming"), "status must be finished or diverged, got 'dreaming'"),
    ],
)
def test_what_no_run_writes_is_refused_with_a_right_checksum_too(make_run, folder, change, words):
    start(make_run(), folder)

    def forge(content):
        change(content)
        content["sha256"] = sealed({key: value for key, value in content.items() if key != "sha256"})["sha256"]

    edited(folder / RECORD_NAME, forge)
    with pytest.raises(UserError, match=words):
        read_record(folder)


def test_a_record_in_another_layout_is_the_same(make_run, folder):
    record, _ = start(make_run(), folder)
    edited(folder / RECORD_NAME, lambda content: None)
    assert read_record(folder) == record


def test_a_record_of_a_later_version_is_left_alone(make_run, folder, replaced):
    start(make_run(), folder)
    edited(folder / RECORD_NAME, lambda content: content.update(schema=99))
    with pytest.raises(UserError, match=r"schema 99, .* a later version of ablate wrote it: update ablate"):
        start(make_run(), folder)
    assert not replaced.exists()


CONFIG_DAMAGES = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: cut(path, 0.6),
    "no YAML": lambda path: path.write_text("{["),
    "no mapping": lambda path: path.write_text("nothing"),
    "a date": lambda path: path.write_text(path.read_text().replace("epochs: 3", "epochs: 2020-01-01")),
    "a digit": lambda path: path.write_text(path.read_text().replace("epochs: 3", "epochs: 4")),
    "not UTF-8": lambda path: path.write_bytes(b"\xff\xfe" + path.read_bytes()),
    "a folder": make_folder,
}


@pytest.mark.parametrize("damage", CONFIG_DAMAGES)
def test_a_damaged_configuration_of_an_unfinished_run_is_set_aside(make_run, folder, replaced, capsys, damage):
    interrupt(make_run(), folder)
    CONFIG_DAMAGES[damage](folder / CONFIG_NAME)
    _, fresh = start(make_run(), folder)
    assert fresh
    assert read_config(folder).fingerprint == "0" * 64
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{folder / CONFIG_NAME} is damaged" in line
    assert (replaced / "seed-0.1" / CHECKPOINT_NAME).exists()


@pytest.mark.parametrize("damage", [*CONFIG_DAMAGES, "missing"])
def test_a_damaged_configuration_of_a_finished_run_is_written_again(make_run, folder, replaced, capsys, damage):
    start(make_run(), folder)
    path = folder / CONFIG_NAME
    written = path.read_text()
    (CONFIG_DAMAGES | {"missing": os.unlink})[damage](path)
    _, fresh = start(make_run(), folder)
    assert not fresh
    assert path.read_text() == written
    assert "is written again from the record" in capsys.readouterr().err
    assert not replaced.exists()


def test_a_configuration_stays_readable(make_run, folder):
    start(make_run(), folder)
    content = yaml.safe_load((folder / CONFIG_NAME).read_text())
    assert list(content) == ["fingerprint", "levels", "settings", "sha256"]
    assert content["settings"] == {"optimizer": {"lr": 0.1}, "trainer": {"epochs": 3}}


@pytest.mark.parametrize("damage", [*DAMAGES, "missing", "another run's"])
def test_damaged_predictions_are_named(make_run, folder, tmp_path, damage):
    record, _ = start(make_run(), folder)
    hits, labels = read_predictions(folder, record.predictions)
    assert len(hits) == len(labels)
    assert np.mean(hits) == pytest.approx(record.metrics["test/accuracy"])
    other = tmp_path / "runs" / "other" / "seed-0"
    start(make_run(epochs=1), other)
    path = folder / PREDICTIONS_NAME
    more = {"missing": os.unlink, "another run's": lambda path: shutil.copy(other / PREDICTIONS_NAME, path)}
    (DAMAGES | more)[damage](path)
    with pytest.raises(UserError, match=rf"{PREDICTIONS_NAME} is .*rerun=true for this run makes them again"):
        read_predictions(folder, record.predictions)


def test_what_a_killed_write_left_is_removed_when_the_run_is_touched(make_run, folder):
    interrupt(make_run(), folder)
    left = [folder / f".{'0a' * 16}-{name}" for name in (CHECKPOINT_NAME, RECORD_NAME)]
    for path in left:
        path.write_bytes(b"half")
    own = folder / ".note-of-a-person"
    own.write_text("kept")
    start(make_run(), folder)
    assert not any(path.exists() for path in left)
    assert own.exists()


def test_what_a_process_killed_after_the_record_left_is_removed(make_run, folder, capsys):
    start(make_run(), folder)
    left = [folder / f".{'0a' * 16}-{CHECKPOINT_NAME}", folder / CHECKPOINT_NAME]
    for path in left:
        path.write_bytes(b"half")
    _, fresh = start(make_run(), folder)
    assert not fresh
    assert not any(path.exists() for path in left)
    assert capsys.readouterr().err == ""


def test_a_rerun_that_is_killed_keeps_the_old_run_and_goes_on(make_run, folder, replaced):
    old, _ = start(make_run(), folder)
    with pytest.raises(KeyboardInterrupt):
        start(make_run(), folder, [StopAt(9)], rerun=True)
    assert read_record(folder) is None
    assert read_record(replaced / "seed-0.1") == old
    assert "rerun=true" in (replaced / "seed-0.1" / REASON_NAME).read_text()
    count = Count()
    record, fresh = start(make_run(), folder, [count])
    assert fresh
    assert count.steps == 4
    assert record.metrics == old.metrics
    assert not (replaced / "seed-0.2").exists()

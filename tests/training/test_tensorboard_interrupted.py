"""However often a run is interrupted, its events hold one point a tag and step, in the order of the steps."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch.utils.tensorboard import SummaryWriter

from ablate.training.loop import Callback
from ablate.training.start import start
from ablate.training.tensorboard import EVENTS, TensorBoard, keep_until

CHANGED = {"optimizer.lr": 0.1}


class Kill(Callback):
    """Ends the process's part of a run as a signal would: nothing that follows is done."""

    def __init__(self, *, step=None, at_end=False):
        self.step, self.at_end = step, at_end

    def on_step_end(self, state):
        if state.step == self.step:
            raise KeyboardInterrupt

    def on_fit_end(self, state):
        if self.at_end:
            raise KeyboardInterrupt


@pytest.fixture
def board(tmp_path):
    def make(changed=CHANGED, seed=0, **options):
        folder = tmp_path / "runs" / "arm-00000000" / f"seed-{seed}"
        identity = {"group": "arm-00000000", "levels": {"activation": "relu"}, "settings": {}, "changed": changed}
        return TensorBoard(folder, **identity, **{"scalars_every": 1, "num_mistakes": 4, **options})

    return make


def points(folder):
    """(tag, step) of everything in a run's event files, in the order in which TensorBoard reads it."""
    found = []
    for path in sorted(folder.glob("*tfevents*")):
        for event in LegacyEventFileLoader(str(path)).Load():
            found += [(value.tag, event.step) for value in event.summary.value]
    return found


@pytest.fixture
def interrupted(make_run, board):
    """A function (kills) -> points of a run that was killed so often, and then finished."""

    def go(*kills, between=lambda folder: None):
        for kill in kills:
            observer = board()
            with pytest.raises(KeyboardInterrupt):
                start(make_run(), observer.folder, [observer, kill])
            observer.writer.flush()  # the worst: all that was written has reached the disk
            between(observer.folder)
        observer = board()
        start(make_run(), observer.folder, [observer])
        return points(observer.folder)

    return go


def set_clock_back(folder):
    """What is there was written by a clock that is ahead, so that what follows has earlier names."""
    for path in list(folder.glob(f"{EVENTS}*")):
        path.rename(path.with_name(f"{EVENTS}{int(time.time()) + 5000}.ahead.{path.name[-8:]}"))


KILLS = {
    "in the first epoch": [Kill(step=2)],
    "twice in the first epoch": [Kill(step=2), Kill(step=3)],
    "in the second epoch": [Kill(step=6)],
    "in every epoch": [Kill(step=1), Kill(step=6), Kill(step=11)],
    "with the clock set back": [Kill(step=6), Kill(step=11)],
    "when all but the record was written": [Kill(at_end=True)],
    "again when all but the record was written": [Kill(step=6), Kill(at_end=True), Kill(at_end=True)],
}


@pytest.mark.parametrize("name", KILLS)
def test_an_interrupted_run_has_the_points_of_an_uninterrupted_one(name, interrupted, tmp_path, make_run, board):
    between = set_clock_back if "clock" in name else lambda folder: None
    found = interrupted(*KILLS[name], between=between)
    whole = board(seed=1)
    start(make_run(), whole.folder, [whole])
    assert Counter(found) == Counter(points(whole.folder))
    assert max(Counter(found).values()) == 1
    for tag in {tag for tag, _ in found}:
        steps = [step for other, step in found if other == tag]
        assert steps == sorted(steps)


def test_epochs_after_the_last_checkpoint_are_written_again(make_run, board):
    """Checkpoints after epochs 2 and 4; the kill comes when epoch 3 is in the event file."""
    run = make_run(epochs=5, checkpoint_every=2)
    observer = board()
    with pytest.raises(KeyboardInterrupt):
        start(run, observer.folder, [observer, Kill(step=14)])
    observer.writer.close()
    assert ("val/loss", 12) in points(observer.folder)
    resumed = board()
    start(run, resumed.folder, [resumed])
    assert max(Counter(points(resumed.folder)).values()) == 1
    assert [step for tag, step in points(resumed.folder) if tag == "val/loss"] == [4, 8, 12, 16, 20]


def test_files_whose_names_disagree_with_their_steps_are_brought_into_order(tmp_path):
    for name, steps in (("100", (3, 4)), ("200", (1, 2, 3))):
        with SummaryWriter(str(tmp_path / name)) as writer:
            for step in steps:
                writer.add_scalar("loss", 0.5, step)
        (path,) = (tmp_path / name).glob("*")
        path.rename(tmp_path / f"{EVENTS}{name}")
    keep_until(tmp_path, 3)
    assert points(tmp_path) == [("loss", 1), ("loss", 2), ("loss", 3)]
    assert len(list(tmp_path.glob(f"{EVENTS}*"))) == 1


def test_what_a_killed_rewriting_left_is_neither_read_nor_kept(interrupted, tmp_path):
    def leave(folder):
        (source,) = folder.glob(f"{EVENTS}*")
        source.with_name(f".0123-{source.name}").write_bytes(source.read_bytes())
        with source.open("ab") as file:
            file.write(b"\x10\0\0\0\0")  # a torn record at the end

    found = interrupted(Kill(step=6), between=leave)
    assert max(Counter(found).values()) == 1
    assert not list((tmp_path / "runs" / "arm-00000000" / "seed-0").glob(".*tfevents*"))


def test_sigkill_leaves_one_point_a_tag_and_step(tmp_path):
    line = "data=shapes net=micro data.train_size=200 data.val_size=50 data.test_size=50 trainer.batch_size=50"
    words = [*line.split(), "trainer.epochs=40", "trainer.threads=1", f"data.cache_dir={tmp_path}", "output_dir=out"]
    command = [sys.executable, "-m", "ablate", *words]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    for epoch in (1, 3):
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for printed in process.stdout:
            if printed.startswith("epoch ") and int(printed.split()[1].split("/")[0]) >= epoch:
                break
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=240)
    (folder,) = tmp_path.glob("out/runs/*/seed-0")
    found = points(folder)
    assert max(Counter(found).values()) == 1
    assert [step for tag, step in found if tag == "val/loss"] == [4 * epoch for epoch in range(1, 41)]


def hparams(folder):
    (path,) = folder.glob(f"{EVENTS}*")
    for event in LegacyEventFileLoader(str(path)).Load():
        for value in event.summary.value:
            if value.tag.endswith("session_start_info"):
                content = value.metadata.plugin_data.content
                return dict(HParamsPluginData.FromString(content).session_start_info.hparams)
    raise AssertionError("no hyperparameters")


def test_a_number_and_a_list_differ_in_the_hyperparameters(make_run, board):
    shown = {}
    for seed, value in enumerate((0.2, [0.2], [0.2, 0.5], None)):
        observer = board(changed={"dropout.hidden": value}, seed=seed)
        start(make_run(), observer.folder, [observer])
        shown[str(value)] = hparams(observer.folder)["dropout.hidden"]
    assert shown["0.2"].number_value == 0.2
    assert [shown[text].string_value for text in ("[0.2]", "[0.2, 0.5]", "None")] == ["[0.2]", "[0.2,0.5]", "null"]

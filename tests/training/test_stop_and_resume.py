"""A run that a signal stops at any step, and that is started again, ends as one that was never stopped."""

import errno
import os
import signal
import threading
from collections import Counter
from functools import partial

import pytest
import torch
from filelock import FileLock, Timeout

from ablate import stopping
from ablate.diagnostics.track import Track
from ablate.diagnostics.update_ratio import update_ratio
from ablate.layers.normalization import NoNormalization
from ablate.training.callbacks import Progress
from ablate.training.loop import Callback
from ablate.training.record import CHECKPOINT_NAME, RECORD_NAME
from ablate.training.start import acquire, lock_of, start
from ablate.training.tensorboard import TensorBoard


class SignalAt(Callback):
    """Sends this process a signal after so many steps."""

    def __init__(self, *steps, name="SIGTERM", in_epoch_end=False):
        self.steps, self.name, self.in_epoch_end, self.seen = steps, name, in_epoch_end, []

    def on_step_end(self, state):
        self.seen.append(state.step)
        if state.step in self.steps and not self.in_epoch_end:
            os.kill(os.getpid(), getattr(signal, self.name))

    def on_epoch_end(self, state):
        if state.step in self.steps and self.in_epoch_end:
            os.kill(os.getpid(), getattr(signal, self.name))


class Keep(Callback):
    def on_fit_end(self, state):
        self.weights = {name: value.clone() for name, value in state.net.state_dict().items()}


def observers(folder):
    """All that a command attaches."""
    board = TensorBoard(folder, group="g", levels={}, settings={}, changed={}, scalars_every=1, num_mistakes=4)
    return [Track(measure="all", num_images=16, every=1, known={"update_ratio": update_ratio}), board]


def stopped_at(run, folder, *steps, **options):
    """Start the run once for each step, stopped there, and then to its end; return its record, weights and steps."""
    seen = []
    for step in steps:
        sending = SignalAt(step, **options)
        with stopping.watched(), pytest.raises(stopping.Stopped):
            start(run, folder, [*observers(folder), sending])
        assert (folder / CHECKPOINT_NAME).exists() and not (folder / RECORD_NAME).exists()
        seen += sending.seen
    kept, counting = Keep(), SignalAt()
    record, fresh = start(run, folder, [*observers(folder), kept, counting])
    assert fresh
    return record, kept.weights, seen + counting.seen


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "runs" / "arm-00000000" / "seed-0"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """(run's changes) -> record and weights of the run that is never stopped."""
    from builders.runs import make_run

    folder = tmp_path_factory.mktemp("whole") / "runs" / "whole" / "seed-0"
    record, weights, steps = stopped_at(make_run(checkpoint_every=2), folder)
    assert steps == list(range(1, 13))  # 3 epochs of 4 steps
    return record, weights, points(folder)


def points(folder):
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    events = [event for path in sorted(folder.glob("*tfevents*")) for event in LegacyEventFileLoader(str(path)).Load()]
    return Counter((value.tag, event.step) for event in events for value in event.summary.value)


def comparable(record):
    history = [{key: value for key, value in row.items() if key != "images_per_second"} for row in record.history]
    return record.metrics, history, record.status


@pytest.mark.parametrize(
    ("steps", "options"),
    [
        ((1,), {}),
        ((3,), {"name": "SIGINT"}),  # the weights before the last step of an epoch are needed after the resume
        ((4,), {"name": "SIGHUP"}),  # of an epoch's steps, the last
        ((4,), {"in_epoch_end": True}),  # no checkpoint is due: every second epoch has one
        ((6,), {}),
        ((9, 10, 11), {}),
        ((12,), {}),
    ],
)
def test_a_stopped_run_ends_as_one_that_was_not(whole, make_run, folder, steps, options):
    record, weights, seen = stopped_at(make_run(checkpoint_every=2), folder, *steps, **options)
    assert seen == list(range(1, 13))  # no step is lost or done twice
    assert comparable(record) == comparable(whole[0])
    assert all(torch.equal(weights[name], value) for name, value in whole[1].items())
    assert points(folder) == whole[2]
    assert not (folder / CHECKPOINT_NAME).exists()


def test_training_is_saved_before_the_final_evaluation(make_run, folder, monkeypatch):
    """A signal stops that evaluation at once, and the last epoch needs no checkpoint otherwise."""
    run = make_run(epochs=3, checkpoint_every=2)
    with monkeypatch.context() as patch, stopping.watched():
        patch.setattr("ablate.training.start.conclude", lambda *a: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(stopping.Stopped):
            start(run, folder)
    counting = SignalAt()
    start(run, folder, [counting])
    assert counting.seen == []


def test_a_closed_terminal_does_not_lose_the_epoch(make_run, folder, monkeypatch):
    """The line of the epoch cannot be printed; no checkpoint is due."""

    class Closed:
        def isatty(self):
            return False

        def write(self, text):
            if "epoch 1/3" in text:
                raise OSError(errno.EIO, "Input/output error")

        def flush(self):
            pass

    with monkeypatch.context() as patch, stopping.watched():
        patch.setattr("sys.stdout", Closed())
        with pytest.raises(stopping.Stopped, match="SIGHUP"):
            start(make_run(checkpoint_every=2), folder, [Progress()])
    counting = SignalAt()
    start(make_run(checkpoint_every=2), folder, [counting])
    assert counting.seen == list(range(5, 13))


def test_times_of_a_stopped_epoch_are_kept(make_run, folder):
    """Not the time between stop and resume, but all steps: speed and duration stay plausible."""
    with stopping.watched(), pytest.raises(stopping.Stopped):
        start(make_run(epochs=1), folder, [SignalAt(3)])
    saved = torch.load(folder / CHECKPOINT_NAME, weights_only=True)["progress"]["within"]["seconds"]
    record, _ = start(make_run(epochs=1), folder)
    (row,) = record.history
    assert 0 < saved < 40 / row["images_per_second"] <= record.wall_seconds
    assert record.images_per_second == pytest.approx(row["images_per_second"])


def test_a_resumed_run_says_how_many_steps_of_the_epoch_it_has(make_run, folder, capsys):
    with stopping.watched(), pytest.raises(stopping.Stopped):
        start(make_run(), folder, [SignalAt(6)])
    start(make_run(), folder, [Progress()])
    assert "resumed after epoch 1 and 2 steps\n" in capsys.readouterr().out


def test_a_run_that_diverges_when_a_signal_comes_is_scored(make_run, folder):
    """Nothing finite is left to resume from: the result is written instead."""
    run = make_run(optimizer=partial(torch.optim.SGD, lr=1e30), normalization=NoNormalization())
    with stopping.watched():
        record, _ = start(run, folder, [SignalAt(4)])
    assert record.status == "diverged"


def test_a_process_that_waits_for_another_ones_run_can_be_stopped(tmp_path):
    """A worker only notes signals, and its leader waits for it."""
    held = FileLock(tmp_path / ".seed-0.lock")
    with held, stopping.deferred():
        timer = threading.Timer(0.1, stopping.request)
        timer.start()
        with pytest.raises(stopping.Stopped):
            acquire(lock_of(tmp_path / "seed-0"), wait=True)
        stopping.reset()
        with pytest.raises(Timeout):
            acquire(lock_of(tmp_path / "seed-0"), wait=False)

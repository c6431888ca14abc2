"""Observers that show a run's progress and save it."""

import contextlib
import errno
import io
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from ablate import stopping
from ablate.errors import Unusable, UserError
from ablate.screen import say
from ablate.storage.integrity import read_binary, write_binary
from ablate.tables import clock
from ablate.training.loop import Callback, State
from ablate.training.record import CHECKPOINT_NAME, Metrics

ENTRIES = {"fingerprint", "net", "optimizer", "progress"}  # of a checkpoint
SECONDS_ON_A_GPU = 10.0  # between two checkpoints, where an epoch may need less time than writing one


class Checkpoint(Callback):
    """Saves all that is needed to resume bit for bit, written atomically.

    This happens every `every` epochs, after the last one, and when training stops.

    Args:
        folder: the run's folder.
        every: epochs between two checkpoints, at least 1; "auto": 1 on the CPU, and on a GPU after an epoch that ends
            `SECONDS_ON_A_GPU` or more after the last checkpoint.
        fingerprint: of the run, so that no other run resumes from it.
    """

    def __init__(self, folder: Path, every: int | str, fingerprint: str) -> None:
        self.path, self.every, self.fingerprint = folder / CHECKPOINT_NAME, every, fingerprint
        self.saved_step: int | None = None
        self.saved_at = time.monotonic()

    def on_epoch_end(self, state: State) -> None:
        if self.is_due(state) and not state.diverged:
            self.save(state)

    def is_due(self, state: State) -> bool:
        """Return whether a checkpoint follows this epoch."""
        if self.every == "auto" and state.device == "cuda":
            return time.monotonic() - self.saved_at >= SECONDS_ON_A_GPU
        every = 1 if self.every == "auto" else int(self.every)
        # The last epoch's is for a signal during the final evaluation, which stops at once.
        return state.epoch % every == 0 or state.epoch == state.num_epochs

    def on_stop(self, state: State) -> None:
        if self.saved_step != state.step:
            self.save(state)

    def save(self, state: State) -> None:
        """Write the checkpoint."""
        content = {
            "fingerprint": self.fingerprint,
            "net": state.net.state_dict(),
            "optimizer": state.optimizer.state_dict(),
            "progress": {name: getattr(state, name) for name in PROGRESS},
            "device": state.device,
        }
        file = io.BytesIO()
        torch.save(content, file)
        write_binary(file.getvalue(), self.path)
        self.saved_step, self.saved_at = state.step, time.monotonic()

    def restore(self, state: State) -> bool:
        """Load the saved run into `state`; return False if nothing is saved.

        Raises:
            Unusable: the checkpoint is damaged, or of another version; `state` is then as it was.
            UserError: it is of another run or another type of device, or cannot be read.
        """
        data = read_binary(self.path)
        if data is None:
            return False
        try:
            content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        except Exception as error:  # the checksum is right: another version of torch, or an unsafe object
            raise Unusable(f"{self.path} cannot be loaded ({first_line(error)})") from error
        if not isinstance(content, dict) or not content.keys() >= ENTRIES:
            raise Unusable(f"{self.path} was written by another version of ablate: entries are missing")
        if content["fingerprint"] != self.fingerprint:
            raise UserError(
                f"{self.path} belongs to a run with fingerprint {content['fingerprint'][:8]}, not to this one "
                f"({self.fingerprint[:8]}); move it away to start this run from the beginning"
            )
        here = state.device
        if (there := content.get("device", here)) != here:  # earlier versions did not save it
            raise UserError(
                f"{self.path} was saved on {there}, and this process trains on {here}, which draws other masks and "
                f"noise from the same seed; go on with device={there}, or move it away to start this run from the "
                "beginning"
            )
        if other := different_entries(state.net.state_dict(), content["net"]):
            raise Unusable(f"{self.path} is of another net: {other}")
        groups = [
            [len(group["params"]) for group in found["param_groups"]]
            for found in (state.optimizer.state_dict(), content["optimizer"])
        ]
        if groups[0] != groups[1]:
            raise Unusable(f"{self.path} is of another optimizer: parameters by group {groups[0]}, saved {groups[1]}")
        state.net.load_state_dict(content["net"])
        state.optimizer.load_state_dict(content["optimizer"])
        for name in PROGRESS:
            setattr(state, name, content["progress"].get(name, getattr(state, name)))
        return True


def different_entries(mine: dict[str, Any], saved: dict[str, Any]) -> str:
    """Return the first entries in which two state dictionaries differ by name or shape, "" if they agree."""
    if names := sorted(mine.keys() ^ saved.keys()):
        return f"{', '.join(names[:3])} is in only one of them"
    for name, value in mine.items():
        shapes = [tuple(getattr(v, "shape", ())) for v in (value, saved[name])]
        if shapes[0] != shapes[1]:
            return f"{name} has shape {shapes[0]}, saved {shapes[1]}"
    return ""


def first_line(error: Exception) -> str:
    """Return the first line of an error, at most 200 characters."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


PROGRESS = ("epoch", "step", "initial", "history", "best", "train_seconds", "wall_seconds", "within")


class Progress(Callback):
    """A progress bar with the time left on a terminal; one plain line per epoch elsewhere.

    A terminal that is closed meanwhile stops the training, which is saved.
    """

    def __init__(self) -> None:
        self.on_terminal = sys.stdout is not None and sys.stdout.isatty()  # None if it is closed

    def on_fit_start(self, state: State) -> None:
        with hanging_up():
            self.show_start(state)

    def show_start(self, state: State) -> None:
        """Print where the training begins, and start the bar."""
        if line := left_out(state.num_left_out, len(state.dataset.train.labels)):
            say(line)
        if state.step:
            within = state.step - state.epoch * state.steps_per_epoch
            print(f"resumed after epoch {state.epoch}" + f" and {within} steps" * (within > 0), flush=True)
        if self.on_terminal:
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

            columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TextColumn("left"))
            self.bar = Progress(*columns, TimeRemainingColumn(), transient=True)  # the epochs' lines stay
            total = state.num_epochs * state.steps_per_epoch
            self.task = self.bar.add_task(f"epoch {state.epoch + 1}/{state.num_epochs}", total=total)
            self.bar.start()
            self.bar.update(self.task, completed=state.step)

    def on_step_end(self, state: State) -> None:
        if self.on_terminal:
            self.bar.advance(self.task)

    def on_epoch_end(self, state: State) -> None:
        with hanging_up():
            self.show(state)

    def show(self, state: State) -> None:
        """Print the line of the last epoch."""
        row = state.history[-1]
        left = state.wall_seconds / state.epoch * (state.num_epochs - state.epoch)
        done = state.diverged or state.epoch == state.num_epochs
        line = f"epoch {state.epoch}/{state.num_epochs}  {epoch_line(row)}"
        if self.on_terminal:
            self.bar.console.print(line, highlight=False)
            self.bar.update(self.task, description=f"epoch {min(state.epoch + 1, state.num_epochs)}/{state.num_epochs}")
            if done:
                self.bar.stop()
        else:
            say(line if done else f"{line}  {clock(left)} left")

    def close(self) -> None:
        """Stop the bar when training was interrupted."""
        if self.on_terminal and hasattr(self, "bar"):
            with hanging_up():
                self.bar.stop()


@contextlib.contextmanager
def hanging_up() -> Iterator[None]:
    """Take an output error of a terminal that was closed as SIGHUP, which the system sends at the same time.

    Example:
        >>> with hanging_up():
        ...     raise OSError(errno.EIO, "Input/output error")
        >>> stopping.requested()
        True
        >>> stopping.reset()
    """
    try:
        yield
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        stopping.request(signal.SIGHUP)


def left_out(num: int, num_images: int) -> str:
    """Return a note that `num` training images per epoch fill no batch; "" if all do."""
    if not num:
        return ""
    return (
        f"each epoch leaves out {num:,} of {num_images:,} training images, chosen at random: they do not fill a batch"
    )


def epoch_line(row: Metrics) -> str:
    """Return one line for a row of the history: loss and accuracy of each split, and the learning rate."""
    parts = [
        f"{name} {row[f'{split}/loss']:.4g} {100 * (row[f'{split}/accuracy'] or 0):.1f} %"
        for split, name in (("train", "train loss"), ("val", "val"))
        if f"{split}/loss" in row
    ]
    return "  ".join([*parts, f"lr {row['lr']:.3g}"])

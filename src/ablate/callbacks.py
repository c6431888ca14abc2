"""Observers that show a run's progress and save it."""

import sys
from pathlib import Path
from typing import Any

import torch

from ablate.errors import UserError
from ablate.record import Metrics, replacing
from ablate.tables import clock
from ablate.training import Callback, State

CHECKPOINT_NAME = "checkpoint.pt"


class Checkpoint(Callback):
    """Saves, every `every` epochs, all that is needed to go on bit for bit; written atomically.

    Args:
        folder: the run's folder.
        every: epochs between two checkpoints, at least 1.
        fingerprint: of the run, so that no other run goes on from it.
    """

    def __init__(self, folder: Path, every: int, fingerprint: str) -> None:
        self.path, self.every, self.fingerprint = folder / CHECKPOINT_NAME, every, fingerprint

    def on_epoch_end(self, state: State) -> None:
        if state.epoch % self.every == 0 and not state.diverged:
            content = {
                "fingerprint": self.fingerprint,
                "net": state.net.state_dict(),
                "optimizer": state.optimizer.state_dict(),
                "progress": {name: getattr(state, name) for name in PROGRESS},
            }
            with replacing(self.path) as temporary:
                torch.save(content, temporary)

    def restore(self, state: State) -> bool:
        """Bring `state` to where the saved run stood; return False where nothing is saved.

        Raises:
            UserError: the checkpoint is of another run.
        """
        if not self.path.exists():
            return False
        content: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
        if content["fingerprint"] != self.fingerprint:
            raise UserError(
                f"{self.path} belongs to a run with fingerprint {content['fingerprint'][:8]}, not to this one "
                f"({self.fingerprint[:8]}); move it away to start this run from the beginning"
            )
        state.net.load_state_dict(content["net"])
        state.optimizer.load_state_dict(content["optimizer"])
        for name in PROGRESS:
            setattr(state, name, content["progress"].get(name, getattr(state, name)))
        return True


PROGRESS = ("epoch", "step", "initial", "history", "train_seconds", "wall_seconds")


class Progress(Callback):
    """A bar with the time left on a terminal; one plain line an epoch elsewhere."""

    def __init__(self) -> None:
        self.on_terminal = sys.stdout.isatty()

    def on_fit_start(self, state: State) -> None:
        if line := left_out(state.num_left_out, len(state.dataset.train.labels)):
            print(line, flush=True)
        if self.on_terminal:
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

            columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TextColumn("left"))
            self.bar = Progress(*columns, TimeRemainingColumn(elapsed_when_finished=True))
            total = state.num_epochs * state.steps_per_epoch
            self.task = self.bar.add_task(f"epoch {state.epoch + 1}/{state.num_epochs}", total=total)
            self.bar.start()
            self.bar.update(self.task, completed=state.step)

    def on_step_end(self, state: State) -> None:
        if self.on_terminal:
            self.bar.advance(self.task)

    def on_epoch_end(self, state: State) -> None:
        row = state.history[-1]
        left = state.wall_seconds / state.epoch * (state.num_epochs - state.epoch)
        done = state.diverged or state.epoch == state.num_epochs
        line = f"epoch {state.epoch}/{state.num_epochs}  {describe(row)}"
        if self.on_terminal:
            self.bar.console.print(line, highlight=False)
            self.bar.update(self.task, description=f"epoch {min(state.epoch + 1, state.num_epochs)}/{state.num_epochs}")
            if done:
                self.bar.stop()
        else:
            print(line if done else f"{line}  {clock(left)} left", flush=True)

    def close(self) -> None:
        """Give the terminal back when training was cut short."""
        if self.on_terminal and hasattr(self, "bar"):
            self.bar.stop()


def left_out(num: int, num_images: int) -> str:
    """Return that `num` of the training images do not fill a batch, "" where all do."""
    if not num:
        return ""
    return f"each epoch leaves out {num:,} of {num_images:,} training images, drawn anew: they do not fill a batch"


def describe(row: Metrics) -> str:
    """Return one line for a row of the history."""
    parts = [
        f"{split} loss {row[f'{split}/loss']:.4f} accuracy {100 * (row[f'{split}/accuracy'] or 0):.2f} %"
        for split in ("train", "val")
        if f"{split}/loss" in row
    ]
    return "  ".join([*parts, f"lr {row['lr']:.3g}", f"{row['images_per_second']:.0f} images/s"])

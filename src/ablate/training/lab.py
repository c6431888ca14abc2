"""What a figure may use: nets and data from the settings, and training in memory."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from ablate.data.dataset import Dataset
from ablate.nets import Net
from ablate.tables import clock
from ablate.training import hardware
from ablate.training.loop import Callback, State
from ablate.training.run import Run, prepare, train

Arrays = dict[str, NDArray[Any]]

EVERY_SECONDS = 5.0
"""Between two lines about a training of a figure."""


@dataclass(frozen=True)
class Lab:
    """The settings of a figure: `base` in its file, and the user's overrides.

    Args:
        compose: overrides of these settings -> the run.
        log: shows a line of progress to the user.
        rerun: whether results kept by an earlier call are computed again.
        folder: for results that several figures share; None keeps nothing.
    """

    compose: Callable[[Sequence[str]], Run]
    log: Callable[[str], None] = print
    folder: Path | None = None
    rerun: bool = False
    _begun: list[float] = field(default_factory=list, init=False, repr=False)  # when each step began
    _expected: list[int] = field(default_factory=list, init=False, repr=False)
    _loaded: dict[str, Dataset] = field(default_factory=dict, init=False, repr=False)

    def run(self, *overrides: str, seed: int = 0) -> Run:
        """Return the run of the figure's settings with `overrides` (e.g. "normalization=none") on top."""
        run = self.compose([*overrides, f"seed={seed}"])
        hardware.keep_memory()
        torch.set_num_threads(run.threads)
        hardware.prepare_device(run.device, run.precision, run.gpu)
        return run

    def expect(self, num_steps: int) -> None:
        """Announce how many calls of `step` follow."""
        self._expected.append(num_steps)
        self._begun.clear()

    def step(self, line: str) -> None:
        """Show what begins now, with its number and the time left, as in "[3/24, 1:10 left] tanh".

        The steps that are left are taken to need the mean time of those that have ended.
        """
        self._begun.append(time.perf_counter())
        number, total = len(self._begun), self._expected[-1] if self._expected else 0
        if not total:
            return self.log(line)
        left = ""
        if number > 1:
            each = (self._begun[-1] - self._begun[0]) / (number - 1)
            left = f", {clock(each * (total - number + 1))} left"
        self.log(f"[{number}/{total}{left}] {line}")

    def dataset(self, run: Run) -> Dataset:
        """Return the data of a run, on the CPU; loaded once."""
        key = repr(run.data)
        if key not in self._loaded:
            self._loaded[key] = run.data.load()
        return self._loaded[key]

    def net(self, run: Run) -> Net:
        """Return the initialized, untrained net of a run, on the run's device."""
        hardware.prepare_device(run.device, run.precision, run.gpu)
        return run.build(self.dataset(run)).to(run.device)

    def train(self, run: Run, callbacks: Sequence[Callback] = ()) -> State:
        """Train a run in memory and return its state; nothing is written."""
        dataset = self.dataset(run)
        state, examine = prepare(run, dataset, run.build(dataset))
        train(run, state, examine, [*callbacks, _TimeLeft(self.log)])
        return state


class _TimeLeft(Callback):
    """Shows every `EVERY_SECONDS` of a training how much of it is left, as in "  step 120 of 500, 0:20 left"."""

    def __init__(self, log: Callable[[str], None]) -> None:
        self.log = log
        self.begun = self.shown = time.perf_counter()

    def on_step_end(self, state: State) -> None:
        now, total = time.perf_counter(), state.num_epochs * state.steps_per_epoch
        if now - self.shown >= EVERY_SECONDS and state.step < total:
            self.shown = now
            left = (now - self.begun) / state.step * (total - state.step)
            self.log(f"  step {state.step:,} of {total:,}, {clock(left)} left")

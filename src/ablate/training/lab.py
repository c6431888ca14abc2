"""What a figure may use: nets and data from the settings, and training in memory."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from ablate.data.dataset import Dataset
from ablate.nets import Net
from ablate.training import hardware
from ablate.training.loop import Callback, State
from ablate.training.run import Run, prepare, train

Arrays = dict[str, NDArray[Any]]


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
    _loaded: dict[str, Dataset] = field(default_factory=dict, init=False, repr=False)

    def run(self, *overrides: str, seed: int = 0) -> Run:
        """Return the run of the figure's settings with `overrides` (e.g. "normalization=none") on top."""
        run = self.compose([*overrides, f"seed={seed}"])
        hardware.keep_memory()
        torch.set_num_threads(run.threads)
        return run

    def dataset(self, run: Run) -> Dataset:
        """Return the data of a run, on the CPU; loaded once."""
        key = repr(run.data)
        if key not in self._loaded:
            self._loaded[key] = run.data.load()
        return self._loaded[key]

    def net(self, run: Run) -> Net:
        """Return the initialized, untrained net of a run, on the run's device."""
        return run.build(self.dataset(run)).to(run.device)

    def train(self, run: Run, callbacks: Sequence[Callback] = ()) -> State:
        """Train a run in memory and return its state; nothing is written."""
        dataset = self.dataset(run)
        state, examine = prepare(run, dataset, run.build(dataset))
        train(run, state, examine, callbacks)
        return state

"""The callback that runs the diagnostics in the settings during training, on a schedule."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ablate.diagnostics.measure import as_measure
from ablate.diagnostics.probe import Probe
from ablate.errors import UserError
from ablate.seeding import Streams, global_generators
from ablate.training.hardware import full_precision
from ablate.training.loop import Callback, State
from ablate.training.record import Metrics

AUTO_SHARE = 0.005  # limit on images measured between start and end, relative to those trained on
MIN_IMAGES = 8


class Track(Callback):
    """Measures the net before the first step, every `every` epochs and after the last one.

    Key k of measure m is `m/k` in the history and in the record's metrics, and `initial/m/k` before the first step. A
    net that has diverged is not measured.

    Args:
        measure: names from `known`, or "all".
        num_images: training images, the first ones, for all measures; at least 2.
        every: epochs, at least 1, or "auto": as often as possible with at most `AUTO_SHARE` as many images measured as
            trained on; in a run so short that the first and the last measurement would exceed four times that share,
            with fewer images (not below `MIN_IMAGES`).
        at_start: whether the net is measured before the first step too.
        known: every measure by name: a function of a `Probe`, or one of (net, images, labels), see `measure`.

    Raises:
        UserError: a measure that is not known, or a number out of range.
    """

    def __init__(
        self,
        *,
        measure: str | Sequence[str],
        num_images: int,
        every: str | int,
        at_start: bool = True,
        known: Mapping[str, Callable[..., Any]],
    ) -> None:
        names = list(known) if measure == "all" else [measure] if isinstance(measure, str) else list(measure)
        if unknown := [name for name in names if name not in known]:
            raise UserError(f"`measure` must name {', '.join(known)}, or be all, got {unknown[0]!r}")
        if not isinstance(num_images, int) or num_images < 2:
            raise UserError(f"`num_images` must be a whole number of at least 2, got {num_images!r}")
        if every != "auto" and (not isinstance(every, int) or every < 1):
            raise UserError(f"`every` must be auto or a whole number of epochs of at least 1, got {every!r}")
        self.measures = {name: as_measure(name, known[name]) for name in names}
        self.num_images, self.every, self.at_start = num_images, every, at_start
        self.before_step: dict[str, Tensor] = {}

    def on_fit_start(self, state: State) -> None:
        if self.measures and self.at_start and state.step == 0:
            state.initial = self.measure(state)
        self.keep_weights(state, steps_left=-state.step % state.steps_per_epoch or state.steps_per_epoch)

    def on_step_end(self, state: State) -> None:
        self.keep_weights(state, steps_left=-state.step % state.steps_per_epoch)

    def on_epoch_end(self, state: State) -> None:
        if self.measures and self.is_due(state, state.epoch) and not state.diverged:
            state.history[-1] |= self.measure(state)
        self.keep_weights(state, steps_left=state.steps_per_epoch)

    def on_fit_end(self, state: State) -> None:
        state.metrics |= {f"initial/{key}": value for key, value in state.initial.items()}
        state.metrics |= {k: v for k, v in state.history[-1].items() if k.partition("/")[0] in self.measures}

    def is_due(self, state: State, epoch: int) -> bool:
        """Return whether the net is measured after `epoch` epochs."""
        every = self.every
        if every == "auto":
            every = math.ceil(self.num_images / (AUTO_SHARE * len(state.dataset.train)))
        assert isinstance(every, int)
        return epoch % every == 0 or epoch == state.num_epochs

    def keep_weights(self, state: State, steps_left: int) -> None:
        """Keep a copy of the weights where the next step is the last before the net is measured."""
        if self.measures and steps_left == 1 and self.is_due(state, state.epoch + 1):
            self.before_step = {name: p.detach().clone() for name, p in state.net.named_parameters()}

    def measure(self, state: State) -> Metrics:
        """Return the values of all measures, read from the device at once; the time is added to the run's."""
        start = time.perf_counter()
        data = state.dataset
        num_images = self.num_images
        if self.every == "auto":
            most = int(2 * AUTO_SHARE * len(data.train) * state.num_epochs)  # at each of the two measurements
            num_images = min(num_images, max(MIN_IMAGES, most))
        probe = Probe(
            net=state.net,
            images=data.train.images[:num_images],
            labels=data.train.labels[:num_images],
            held_out=data.val,
            weights_before_step=self.before_step,
            seed=state.seed,
        )
        found: dict[str, Tensor] = {}
        for name, measure in self.measures.items():  # random numbers of one do not depend on the others
            with full_precision(), global_generators(Streams(state.seed).key("diagnostics", name)):
                found |= {f"{name}/{key}": value for key, value in measure(probe).items()}
        self.before_step = {}
        values = torch.stack(list(found.values())).tolist() if found else []
        state.wall_seconds += time.perf_counter() - start
        return dict(zip(found, values, strict=True))

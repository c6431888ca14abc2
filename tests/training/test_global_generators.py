"""Levels that draw from the global generators of torch, numpy and Python: one result wherever and however they run."""

import random
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from ablate.diagnostics.track import Track
from ablate.layers.dropout import Positions
from ablate.seeding import Streams, global_generators, seed_global_generators
from ablate.training.loop import Callback
from ablate.training.start import start


class NumpyNoise(nn.Module):
    """Noise from numpy's global generator, also at inference; its scale is drawn when it is made."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(np.random.uniform(0.1, 0.2)).float())  # noqa: NPY002

    def forward(self, x):
        noise = np.random.normal(size=tuple(x.shape))  # noqa: NPY002
        return x.relu() + self.scale * torch.from_numpy(noise).to(x)


class PythonGate(nn.Module):
    """Drops the whole layer by a coin of Python's, and counts its calls in training."""

    def forward(self, x):
        return x.relu() * (1 if not self.training or random.random() < 0.8 else 0.5)


class Draw(Callback):
    """Draws from every generator whenever it is called."""

    def draw(self, state):
        torch.rand(3), np.random.rand(3), random.random()  # noqa: NPY002

    on_fit_start = on_step_end = on_epoch_end = on_fit_end = draw


class StopAfter(Callback):
    """Raises after so many epochs, once the checkpoint of the one before is there."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_step_end(self, state):
        if state.epoch == self.epoch and state.step % state.steps_per_epoch == 2:
            raise KeyboardInterrupt


def net_outputs(probe):
    """A diagnostic that draws, and that runs the net as it trains."""
    return {"it": probe.passed.loss + torch.rand(()), "other": torch.tensor(np.random.rand())}  # noqa: NPY002


LEVELS = {
    "rrelu": {"activation": nn.RReLU},
    "dropout": {"dropout": Positions(layer=nn.Dropout, hidden=0.5)},
    "numpy": {"activation": NumpyNoise},
    "python": {"activation": PythonGate},
}


@pytest.fixture(params=LEVELS)
def run(make_run, request):
    """A function (changed fields) -> Run with a level that draws from a global generator."""
    return partial(make_run, **LEVELS[request.param])


def result(record):
    history = [{k: v for k, v in row.items() if k != "images_per_second"} for row in record.history]
    return record.metrics, history


def test_it_is_the_same_alone_after_others_and_after_a_resume(run, tmp_path):
    def folder(name):
        return tmp_path / "runs" / name / "seed-0"

    torch.manual_seed(1)
    alone, _ = start(run(), folder("alone"))
    torch.manual_seed(2), np.random.seed(2), random.seed(2)  # noqa: NPY002
    start(run(seed=1), folder("other"))
    second, _ = start(run(), folder("second"), [Draw()])
    assert result(second) == result(alone)
    with pytest.raises(KeyboardInterrupt):
        start(run(), folder("resumed"), [StopAfter(1)])
    torch.manual_seed(3), np.random.seed(3), random.seed(3)  # noqa: NPY002
    resumed, _ = start(run(), folder("resumed"))
    assert result(resumed) == result(alone)
    other_seed, _ = start(run(seed=1), folder("third"))
    assert result(other_seed) != result(alone)


def test_measuring_and_observing_change_nothing(run, tmp_path):
    plain, _ = start(run(), tmp_path / "runs" / "plain" / "seed-0")
    track = Track(measure="all", num_images=8, every=1, known={"drawn": net_outputs})
    measured, _ = start(run(), tmp_path / "runs" / "measured" / "seed-0", [track, Draw()])
    metrics, history = result(measured)
    assert {key: value for key, value in metrics.items() if "drawn/" not in key} == result(plain)[0]
    assert [{k: v for k, v in row.items() if "drawn/" not in k} for row in history] == result(plain)[1]
    more = Track(measure="all", num_images=8, every=1, known={"first": net_outputs, "drawn": net_outputs})
    again, _ = start(run(), tmp_path / "runs" / "again" / "seed-0", [Draw(), more])
    assert {key: value for key, value in again.metrics.items() if "first/" not in key} == metrics


def test_steps_and_seeds_draw_differently():
    keys = [Streams(seed).key("global", step) for seed in (0, 1) for step in (0, 1)]
    drawn = []
    for key in keys:
        seed_global_generators(key)
        drawn.append((torch.rand(()).item(), np.random.rand(), random.random()))  # noqa: NPY002
    for numbers in zip(*drawn, strict=True):
        assert len(set(numbers)) == 4


def test_the_users_generators_are_left_as_they_were(make_run, tmp_path):
    def draws():
        return torch.rand(()).item(), np.random.rand(), random.random()  # noqa: NPY002

    seed_global_generators(5)
    expected = draws()
    seed_global_generators(5)
    start(make_run(epochs=1), tmp_path / "runs" / "a" / "seed-0", [Draw()])
    with global_generators(7):
        draws()
    assert draws() == expected


class Relu_(nn.Module):
    def forward(self, x):
        return x.relu_()


def test_an_activation_in_place_is_measured_as_one_that_is_not(make_run, tmp_path):
    from ablate.diagnostics.dead_units import dead_units
    from ablate.diagnostics.gradient_norm import gradient_norm
    from ablate.diagnostics.one_sign import one_sign
    from ablate.diagnostics.pre_activation import pre_activation
    from ablate.diagnostics.saturation import saturation

    known = {m.__name__: m for m in (dead_units, gradient_norm, one_sign, pre_activation, saturation)}
    for normalization in ({}, {"normalization": lambda num_features, ndim: None}):
        found = []
        for name, activation in (("copy", nn.ReLU), ("in_place", Relu_)):
            run = make_run(activation=activation, **normalization)
            folder = tmp_path / "runs" / f"{name}-{len(normalization)}" / "seed-0"
            found.append(start(run, folder, [Track(measure="all", num_images=8, every=1, known=known)])[0])
        assert found[0].metrics == found[1].metrics


class Counting(nn.Module):
    """A slope that follows from how often it was applied in training."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += self.training
        return nn.functional.leaky_relu(x, 0.01 * (self.calls % 50))

    def get_extra_state(self):
        return {"calls": self.calls}

    def set_extra_state(self, state):
        self.calls = state["calls"]


def test_a_counter_is_not_moved_by_diagnostics_and_survives_a_resume(make_run, tmp_path):
    plain, _ = start(make_run(activation=Counting), tmp_path / "runs" / "plain" / "seed-0")
    track = Track(measure="all", num_images=8, every=1, known={"drawn": net_outputs})
    measured, _ = start(make_run(activation=Counting), tmp_path / "runs" / "measured" / "seed-0", [track])
    assert measured.metrics["test/loss"] == plain.metrics["test/loss"]
    folder = tmp_path / "runs" / "resumed" / "seed-0"
    with pytest.raises(KeyboardInterrupt):
        start(make_run(activation=Counting), folder, [StopAfter(1)])
    resumed, _ = start(make_run(activation=Counting), folder)
    assert result(resumed) == result(plain)

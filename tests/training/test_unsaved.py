"""State of modules that a checkpoint does not hold is refused or named; what it holds is not."""

import warnings
from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn

from ablate.errors import UserError
from ablate.layers.dropout import Dropout, Positions
from ablate.training.start import start
from ablate.training.unsaved import attributes, check_extra_state, same


class Relu(nn.Module):
    """ReLU with whatever state is given."""

    def __init__(self, **state):
        super().__init__()
        for name, value in state.items():
            setattr(self, name, value)

    def change(self):
        pass

    def forward(self, x):
        if self.training:
            self.change()
        return x.relu()


class Counted(Relu):
    def __init__(self):
        super().__init__(calls=0, _hidden=[1, (2, "a")], slope=0.5)
        self.register_buffer("kept", torch.zeros(2))
        self.register_buffer("lost", torch.zeros(2), persistent=False)

    def change(self):
        self.calls += 1
        self._hidden[0] += 1
        self.kept.add_(1)
        self.lost.add_(1)


class Unchanged(Counted):
    def change(self):
        self.kept.add_(1)


class Average(Relu):
    def __init__(self):
        super().__init__(average=torch.zeros(()))

    def change(self):
        self.average = self.average * 0.9 + 1


class Extra(Relu):
    def __init__(self, state=1):
        super().__init__(state=state)

    def get_extra_state(self):
        return self.state

    def set_extra_state(self, state):
        self.state = state


class MyDropout(Dropout):
    """ablate's dropout in a module of one's own: what it is given at every step is no state."""


@pytest.fixture
def warned(make_run, tmp_path):
    """A function (changed fields) -> the warnings of a run of 3 epochs."""

    def go(**changes):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            start(make_run(**changes), tmp_path / "runs" / "arm-00000000" / "seed-0")
        return [str(one.message) for one in caught if "checkpoint" in str(one.message)]

    return go


def test_changed_attributes_are_named_once(warned):
    (message,) = warned(activation=Counted)
    for name in ("calls", "_hidden", "lost"):
        assert f"act1_1.{name}" in message
    assert "kept" not in message and "slope" not in message
    assert "get_extra_state" in message


def test_a_tensor_that_is_no_buffer_is_named(warned):
    (message,) = warned(activation=Average)
    assert "act1_1.average" in message


@pytest.mark.parametrize(
    "changes",
    [{}, {"activation": Unchanged}, {"activation": Extra}, {"dropout": Positions(layer=MyDropout, hidden=0.5)}],
)
def test_there_is_no_warning_if_nothing_is_lost(warned, changes):
    assert warned(**changes) == []


@pytest.mark.parametrize(
    "state", [1, 0.5, "a", None, torch.ones(3), {"a": [1, (2.0, torch.ones(1))], "b": {}}, Counter(a=1)]
)
def test_extra_state_that_can_be_read_is_accepted(state):
    check_extra_state(nn.Sequential(Extra(state)))


@pytest.mark.parametrize("state", [np.float64(1.5), object(), lambda: 0, {"a": np.random.RandomState(0)}])
def test_extra_state_that_cannot_be_read_is_refused_by_name(state):
    with pytest.raises(UserError, match=r"get_extra_state of 0 \(Extra\) must return numbers"):
        check_extra_state(nn.Sequential(Extra(state)))


def test_it_is_refused_before_the_first_step(make_run, tmp_path):
    with pytest.raises(UserError, match=r"get_extra_state of act1_1"):
        start(make_run(activation=lambda: Extra(object())), tmp_path / "runs" / "arm-00000000" / "seed-0")


def test_values_are_compared_as_values():
    nan = float("nan")
    assert same([nan, {"a": torch.tensor([nan])}], [nan, {"a": torch.tensor([nan])}])
    assert not same([1], [1, 2]) and not same({"a": 1}, {"a": 1.0}) and not same(None, 0)
    net = nn.Sequential(nn.ReLU(), Relu(values=np.zeros(2)))
    assert list(attributes(net)) == ["1"]


class Decaying(torch.optim.Optimizer):
    """Gradient descent whose rate falls with its own count of steps."""

    def __init__(self, params, lr=0.1):
        super().__init__(params, {"lr": lr})
        self.weights = [p for group in self.param_groups for p in group["params"]]
        self.k = 0

    @torch.no_grad()
    def step(self, closure=None):
        self.count()
        for p in self.weights:
            p.add_(p.grad, alpha=-self.param_groups[0]["lr"] / self.k)

    def count(self):
        self.k += 1


class Grouped(Decaying):
    def count(self):
        group = self.param_groups[0]
        group["k"] = group.get("k", 0) + 1

    def step(self, closure=None):
        self.count()
        with torch.no_grad():
            for p in self.weights:
                p.add_(p.grad, alpha=-0.01)


class Saved(Decaying):
    def state_dict(self):
        return {**super().state_dict(), "k": self.k}


class Mine(torch.optim.SGD):
    """torch's, under another name."""


def test_a_changed_attribute_of_the_optimizer_is_named_with_its_cure(warned):
    (message,) = warned(optimizer=Decaying)
    assert "training changed k of the optimizer" in message and "param_groups" in message


@pytest.mark.parametrize("optimizer", [Grouped, Saved, Mine, torch.optim.Adam])
def test_there_is_no_warning_of_an_optimizer_that_loses_nothing(warned, optimizer):
    assert warned(optimizer=optimizer) == []

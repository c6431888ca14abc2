import math
from typing import ClassVar

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from ablate.diagnostics import activation_cost as activation_cost_module
from ablate.diagnostics.activation_cost import Seconds, activation_cost, activation_seconds, seconds_between_events
from ablate.layers.activation import Maxout


@pytest.mark.parametrize("activation", [nn.Tanh, nn.PReLU, nn.Identity, Maxout])
def test_ratios_are_positive_numbers(activation, make_probe):
    values = activation_cost(make_probe(activation=activation), repeats=3)
    assert set(values) == {"forward", "backward", "exp"}
    assert all(math.isfinite(value.item()) and value.item() > 0 for value in values.values())
    assert all(value.ndim == 0 for value in values.values())


def test_all_take_turns_and_each_on_its_own_input():
    calls = []

    def watched(name):
        def f(x):
            calls.append((name, tuple(x.shape)))
            return x * 2

        return f

    functions = {"a": (watched("a"), []), "b": (watched("b"), [])}
    seconds = activation_seconds(functions, {"a": torch.zeros(2), "b": torch.zeros(3)}, repeats=3)
    assert calls == [("a", (2,)), ("b", (3,))] * 3
    assert set(seconds) == {"a", "b"}


class FakeEvent:
    """An event of a device on which a call takes 2 ms; `calls` is what has been called so far."""

    calls: ClassVar = []
    recorded: ClassVar = []

    def __init__(self, *, enable_timing):
        assert enable_timing
        self.is_done = False

    def record(self):
        self.at = len(self.calls)
        self.recorded.append(self)

    def synchronize(self):
        self.is_done = True

    def elapsed_time(self, end):
        assert end.is_done, "read before the device was there"
        return 2.0 * (end.at - self.at)


@pytest.fixture
def events(monkeypatch):
    monkeypatch.setattr(torch.cuda, "Event", FakeEvent)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda *_: pytest.fail("waits for the device around a call"))
    FakeEvent.calls.clear()
    FakeEvent.recorded.clear()
    return FakeEvent


def test_a_gpu_is_timed_by_events_around_many_calls(events):
    assert seconds_between_events(lambda: events.calls.append(0)) == pytest.approx(0.002)
    first, last = events.recorded
    assert first.at > 0, "without a warm-up"
    assert last.at - first.at == len(events.calls) - first.at >= 50


def in_place_tanh(x):
    return x.tanh_()


@pytest.mark.parametrize("f", [torch.tanh, in_place_tanh, nn.PReLU(), nn.Identity()])
def test_many_calls_of_an_activation_and_of_its_gradient_are_timed(events, f):
    """What would run on CUDA, with tensors on the CPU: gradients too can be computed again and again."""
    calls, parameters = [], list(f.parameters()) if isinstance(f, nn.Module) else []

    def watched(x):
        calls.append(tuple(x.shape))
        return f(x)

    z = torch.randn(2, 3, 4, 4)
    before = z.clone()
    seconds = activation_cost_module._on_cuda(watched, parameters, z.detach().requires_grad_())
    assert len(seconds) == 2
    assert calls == [(2, 3, 4, 4)] * (1 + 5 + 50)  # the graph of backward, warm-up, forward
    assert len(events.recorded) == 2 * 2  # forward and backward, start and end
    assert torch.equal(z, before)
    assert all(p.grad is None for p in parameters)


def test_inputs_on_a_gpu_are_timed_by_its_events(monkeypatch):
    found = []
    monkeypatch.setattr(activation_cost_module, "_on_cuda", lambda *args: found.append(args) or Seconds(1.0, 2.0))
    with FakeTensorMode():
        seconds = activation_seconds({"own": (torch.tanh, [])}, {"own": torch.empty(2, device="cuda")}, repeats=3)
    assert len(found) == 3 and found[0][2].requires_grad
    assert seconds == {"own": Seconds(1.0, 2.0)}


def test_bad_repeats(make_probe):
    with pytest.raises(ValueError, match=r"repeats.*at least 1, got 0"):
        activation_cost(make_probe(), repeats=0)

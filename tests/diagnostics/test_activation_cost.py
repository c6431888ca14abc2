import math

import pytest
import torch
from torch import nn

from ablate.diagnostics.activation_cost import activation_cost, activation_seconds
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


def test_bad_repeats(make_probe):
    with pytest.raises(ValueError, match=r"repeats.*at least 1, got 0"):
        activation_cost(make_probe(), repeats=0)

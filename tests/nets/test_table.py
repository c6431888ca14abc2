import pytest
import torch
from torch import nn

from ablate.nets import layer_table
from builders.nets import SmallResNet


def total(net, shape=(3, 8, 8)):
    return sum(row.num_parameters for row in layer_table(net, shape))


def test_a_nested_net_is_shown_by_its_layers_in_the_order_of_their_calls():
    net = SmallResNet()
    rows = layer_table(net, (3, 8, 8))
    block = ["conv1", "bn1", "relu", "conv2", "bn2", "downsample", "relu"]
    expected = ["conv", "bn", "act", *(f"block{i}.{name}" for i in (1, 2) for name in block), "drop", "fc"]
    assert [row.name for row in rows] == expected
    assert total(net) == sum(p.numel() for p in net.parameters())
    assert net.training


def test_a_shared_layer_counts_once():
    layer = nn.Linear(4, 4)
    net = nn.Sequential(layer, nn.ReLU(), layer)
    rows = layer_table(nn.Sequential(nn.Flatten(), net), (1, 2, 2))
    assert [row.num_parameters for row in rows] == [0, 20, 0, 0]


class WithToken(nn.Module):
    """Holds a parameter itself, and a layer that it does not call."""

    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.zeros(3))
        self.unused = nn.Linear(2, 2)
        self.fc = nn.Linear(3, 3)

    def forward(self, x):
        return self.fc(x.mean((2, 3)) + self.token)


def test_parameters_outside_the_calls_are_in_the_total():
    net = nn.Sequential(WithToken())
    rows = {row.name: row for row in layer_table(net, (3, 8, 8))}
    assert rows["0"].num_parameters == 3
    assert rows["0.unused"].kind == "Linear, not called"
    assert total(net) == pytest.approx(3 + 6 + 12)

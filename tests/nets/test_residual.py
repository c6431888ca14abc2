import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ablate.errors import UserError
from ablate.layers.activation import Maxout
from ablate.layers.dropout import Dropout, Positions
from ablate.layers.native import NativeActivation
from ablate.layers.normalization import Batch, Instance, NoNormalization
from ablate.layers.weight_standardization import WeightStandardization
from ablate.nets import NoPlace, ResNet
from ablate.nets.tracing import tracing


def build(activation=nn.ReLU, normalization=None, dropout=None, image_shape=(3, 16, 16), **spec):
    return ResNet(**{"width": 4, **spec}).build(
        image_shape,
        10,
        activation=activation,
        normalization=normalization or NoNormalization(),
        dropout=dropout or Positions(layer=Dropout),
    )


@pytest.mark.parametrize("depth", [8, 14, 20])
def test_depth_counts_the_layers_with_weights(depth):
    net = build(depth=depth)
    assert sum(isinstance(layer, nn.Conv2d | nn.Linear) for layer in net.modules()) == depth


@pytest.mark.parametrize("depth", [2, 7, 10, 21])
def test_other_depths_are_refused(depth):
    with pytest.raises(UserError, match=rf"6 n \+ 2 .*got {depth}"):
        build(depth=depth)


def test_skips_have_no_parameters():
    shapes = [[(n, p.shape) for n, p in build(skips=skips).named_parameters()] for skips in (True, False)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("skips", [True, False])
def test_the_forward_pass_by_hand(skips):
    torch.manual_seed(0)
    net, x = build(skips=skips), torch.randn(2, 3, 16, 16)
    y = net.conv(x)
    for i, block in enumerate((net.block1_1, net.block2_1, net.block3_1)):
        z = block.conv2(block.conv1(y.relu()).relu())
        if skips:
            shortcut = y if i == 0 else F.avg_pool2d(y, 1, 2)
            z[:, : y.shape[1]] += shortcut
        y = z
    torch.testing.assert_close(net(x), net.classifier(y.relu().mean((2, 3))))


def test_units_behind_a_sum_have_their_own_names():
    net = build()
    with tracing(net) as trace:
        net(torch.zeros(1, 3, 16, 16))
    names = ["conv", "block1_1.conv1", "block2_1.act1", "block2_1.conv1", "block3_1.act1", "block3_1.conv1", "act"]
    assert [call.name for call in trace.units] == names


def test_places_of_the_choices():
    net = build(normalization=Batch(position="after"), dropout=Positions(layer=Dropout, input=0.1, conv=[0.2, 0, 0.3]))
    assert [name for name, _ in net.block1_1.named_children()] == ["act1", "norm1", "conv1", "act2", "norm2", "conv2"]
    assert (net.input_dropout.p, net.dropout1.p, net.dropout3.p) == (0.1, 0.2, 0.3)
    assert build(normalization=Batch()).conv.bias is None and build().conv.bias is not None


@pytest.mark.parametrize(
    ("choices", "group"),
    [
        ({"activation": Maxout}, "activation"),
        ({"activation": NativeActivation()}, "activation"),
        ({"normalization": WeightStandardization()}, "normalization"),
        ({"dropout": Positions(layer=Dropout, hidden=0.5)}, "dropout"),
    ],
)
def test_a_choice_without_a_place_is_refused(choices, group):
    with pytest.raises(NoPlace) as error:
        build(**choices)
    assert error.value.group == group


def test_instance_norm_needs_positions():
    with pytest.raises(UserError, match="at least 2 positions, but block3_1 has 1"):
        build(normalization=Instance(), image_shape=(3, 4, 4))

import pytest
import torch
from torch import nn

from ablate.config import catalog
from ablate.errors import UserError
from ablate.layers.activation import Maxout
from ablate.layers.dropout import Dropout, Positions
from ablate.layers.normalization import Batch, Group, Instance, NoNormalization
from ablate.nets import ConvNet, format_layer_table, layer_table, output_size

IMAGE = (3, 32, 32)


def build(image_shape=IMAGE, activation=nn.ReLU, normalization=None, dropout=None, front=None, **spec):
    return ConvNet(**{"widths": [4, 8], **spec}).build(
        image_shape,
        10,
        activation=activation,
        normalization=normalization or NoNormalization(),
        dropout=dropout or Positions(layer=Dropout),
        front=front,
    )


def preset(name, **choices):
    settings = catalog.content_of("net", name, catalog.folders())
    settings.pop("_target_")
    return build(**settings, **choices)


def num_parameters(net):
    return sum(p.numel() for p in net.parameters())


def names(net):
    return [name for name, _ in net.named_children()]


def test_the_grammar_in_order():
    net = build(convs_per_stage=2, num_hidden=1, normalization=Batch(), dropout=Positions(layer=Dropout, hidden=0.5))
    stage = ["conv{}_1", "norm{}_1", "act{}_1", "conv{}_2", "norm{}_2", "act{}_2", "pool{}"]
    expected = [name.format(i) for i in (1, 2) for name in stage]
    assert names(net) == [*expected, "flatten", "fc1", "fc_norm1", "fc_act1", "fc_dropout1", "classifier"]


def test_after_means_after_the_activation():
    net = build(widths=[4], convs_per_stage=1, normalization=Batch(position="after"))
    assert names(net)[:4] == ["conv1_1", "act1_1", "norm1_1", "pool1"]
    assert net.conv1_1.bias is not None


@pytest.mark.parametrize(("normalization", "expected"), [(NoNormalization(), 760), (Batch(), 770)])
def test_the_lectures_layer(normalization, expected):
    """Ten 5x5 filters, stride 1, padding 2, on 32x32x3: 32x32x10, 760 parameters, with batch norm 750 + 20."""
    net = build(widths=[10], convs_per_stage=1, kernel_size=5, padding=2, pool="none", normalization=normalization)
    rows = {row.name: row for row in layer_table(net, IMAGE)}
    assert rows["conv1_1"].output_shape == (10, 32, 32)
    assert rows["conv1_1"].num_parameters + (rows["norm1_1"].num_parameters if "norm1_1" in rows else 0) == expected


@pytest.mark.parametrize("size", [5, 8, 32])
@pytest.mark.parametrize("kernel_size", [1, 2, 3, 5])
@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_output_size_is_that_of_the_convolution(size, kernel_size, padding, stride):
    out = nn.Conv2d(1, 1, kernel_size, stride, padding)(torch.zeros(1, 1, size, size))
    assert output_size(size, kernel_size, padding, stride, "conv") == out.shape[-1]


@pytest.mark.parametrize(
    ("name", "num_weight_layers"),
    [
        ("micro", 8),
        ("tiny", 8),
        ("small", 8),
        ("lecture", 8),
        ("deep20", 20),
        ("deep30", 30),
        ("mlp", 4),
        ("myrtle", 8),
    ],
)
def test_presets(name, num_weight_layers):
    net = preset(name)
    assert sum(isinstance(layer, nn.Conv2d | nn.Linear) for layer in net) == num_weight_layers
    assert net(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_myrtle_has_the_weights_of_its_source():
    """4,651,712: the count computed from the layer sizes of D. Page's eight-layer net."""
    net = preset("myrtle", normalization=Batch(affine=False))
    assert num_parameters(net) == 4_651_712
    x = torch.randn(2, 3, 32, 32)
    net.eval()
    scaled = nn.Sequential(*[layer for name, layer in net.named_children() if "scale" not in name])(x / 2**0.5)
    torch.testing.assert_close(net(x), scaled * 0.125 / 6**0.5)


def test_maxout_of_equal_width_doubles_what_feeds_it():
    net = build(activation=Maxout)
    assert net.conv1_1.out_channels == 8
    assert net.conv1_2.in_channels == 4
    assert net(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize("name", ["micro", "small", "mlp"])
def test_maxout_of_equal_parameters_has_as_many_as_relu(name):
    relu = num_parameters(preset(name))
    maxout = num_parameters(preset(name, activation=lambda: Maxout(equal_parameters=True)))
    assert maxout == pytest.approx(relu, rel=0.05)
    assert num_parameters(preset(name, activation=Maxout)) > 1.5 * relu


def test_front_comes_first_and_dropout_at_its_places():
    dropout = Positions(layer=Dropout, input=0.2, conv=[0.1, 0.3], hidden=0.5)
    net = build(front=[("preprocessing", nn.Identity())], dropout=dropout)
    assert names(net)[:2] == ["preprocessing", "input_dropout"]
    assert (net.dropout1.p, net.dropout2.p, net.fc_dropout1.p) == (0.1, 0.3, 0.5)
    assert names(net)[names(net).index("pool1") + 1] == "dropout1"


def test_a_net_that_shrinks_to_nothing_names_the_layer():
    with pytest.raises(ValueError, match=r"pool6 would shrink its 1x1 input below 1x1.*fewer stages"):
        build(widths=[2] * 6)
    with pytest.raises(ValueError, match="conv2_1 would shrink its 3x3"):
        build(image_shape=(3, 10, 10), widths=[2, 2], convs_per_stage=1, kernel_size=5, padding=0)


def test_instance_norm_is_refused_where_it_has_nothing_to_average():
    with pytest.raises(ValueError, match="Instance needs at least 2 positions, but conv6_1 has 1"):
        build(widths=[2] * 6, convs_per_stage=1, normalization=Instance(), pool_size=[2] * 5 + [1])
    with pytest.raises(ValueError, match="Instance acts on the maps of convolutions"):
        build(widths=[], num_hidden=2, normalization=Instance())


def test_group_norm_that_does_not_divide_is_refused():
    with pytest.raises(ValueError, match="8 features and 3 groups"):
        build(widths=[8], normalization=Group(num_groups=3))


@pytest.mark.parametrize(
    ("spec", "word"),
    [
        ({"kernel_size": 0}, "kernel_size"),
        ({"stride": 0}, "stride"),
        ({"num_hidden": -1}, "num_hidden"),
        ({"hidden_width": 0}, "hidden_width"),
        ({"widths": [0]}, "widths"),
        ({"widths": [[]]}, "widths"),
        ({"pool": "median"}, "pool"),
        ({"kernel_size": 4}, "padding=same"),
        ({"pool_size": [2]}, "pool_size"),
        ({"pool_after": ["conv"]}, "pool_after"),
        ({"pool_after": "norm"}, "pool_after"),
    ],
)
def test_bad_values_are_named(spec, word):
    with pytest.raises(ValueError, match=rf"net\.{word}.*got"):
        build(**spec)


def test_the_table_adds_up():
    net = build(normalization=Batch())
    text = format_layer_table(layer_table(net, IMAGE))
    assert text.splitlines()[-1].split() == ["total", f"{num_parameters(net):,}"]
    assert net.training


def test_slopes_per_channel_need_one_width():
    message = r"`activation.num_parameters` must be 1 or the width of every layer, got 8 where conv1_1 has 4"
    with pytest.raises(UserError, match=message):
        build(activation=lambda: nn.PReLU(8))
    assert build(activation=lambda: nn.PReLU(8), widths=[8, 8], hidden_width=8)(torch.zeros(2, *IMAGE)).shape == (2, 10)


def test_a_pooling_after_the_convolution_precedes_normalization_and_activation():
    net = build(widths=[[4], [4, 8]], pool_after=["conv", "activation"], num_hidden=0, normalization=Batch())
    assert names(net) == [
        "conv1_1", "pool1", "norm1_1", "act1_1",
        "conv2_1", "norm2_1", "act2_1", "conv2_2", "norm2_2", "act2_2", "pool2",
        "flatten", "classifier",
    ]  # fmt: skip
    assert net(torch.zeros(2, *IMAGE)).shape == (2, 10)
    early = build(widths=[[4], [4, 8]], pool_after="conv", num_hidden=0, normalization=Batch())
    assert names(early)[-6:] == ["conv2_2", "pool2", "norm2_2", "act2_2", "flatten", "classifier"]


def test_a_normalization_after_the_pooling_sees_the_smaller_map():
    spec = {"image_shape": (3, 2, 2), "widths": [[4]], "normalization": Instance(), "num_hidden": 0}
    build(**spec)
    with pytest.raises(UserError, match="needs at least 2 positions, but conv1_1 has 1"):
        build(**spec, pool_after="conv")

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from ablate.errors import UserError
from ablate.layers.activation import Maxout
from ablate.layers.dropout import Dropout, Positions
from ablate.layers.initialization import Constant
from ablate.layers.native import NativeActivation, NativeDropout, NativeInitializer, NativeNormalization
from ablate.layers.normalization import Batch, NoNormalization
from ablate.layers.weight_standardization import WeightStandardization
from ablate.nets import Library, NoPlace
from builders.nets import OwnBuild
from builders.runs import TinyData, make_run

LEVELS = {"activation": "chosen", "normalization": "chosen", "dropout": "chosen", "net": "mine"}
ALL = OwnBuild().uses


def build(net, **choices):
    choices = {"dropout": Positions(layer=Dropout), "normalization": NoNormalization(), **choices}
    return make_run(net=net, levels=LEVELS, **choices).build(TinyData().load())


def test_a_net_that_uses_every_choice_is_built():
    net = build(OwnBuild(), dropout=Positions(layer=Dropout, hidden=0.5), normalization=Batch(), activation=nn.SiLU)
    assert [name for name, _ in net.named_children()][2:5] == ["conv0", "norm0", "act0"]
    assert net.make_activation is nn.SiLU


@pytest.mark.parametrize(
    ("uses", "choices", "words"),
    [
        (["front"], {}, "activation=chosen finds no place in net=mine: .*call activation"),
        (
            ["front", "activation"],
            {"normalization": Batch()},
            "normalization=chosen finds no .*puts none of it into",
        ),
        (ALL, {"normalization": WeightStandardization()}, "normalization=chosen finds no place in net=mine: .*wrap"),
        (ALL, {"normalization": Batch(position="after")}, "normalization=chosen finds .*normalization.position"),
        (ALL, {"normalization": NativeNormalization()}, "normalization=chosen finds .*gets all choices"),
        (ALL, {"dropout": Positions(layer=Dropout, conv=0.1)}, "dropout=chosen finds no place in net=mine: conv=0.1"),
        (ALL, {"dropout": Positions(layer=Dropout, input=0.1)}, "dropout=chosen .*dropout.at_input"),
        (ALL, {"activation": Maxout}, "activation=chosen finds no place in net=mine: it takes 2 times"),
    ],
)
def test_a_choice_that_is_not_used_is_refused_with_both_names(uses, choices, words):
    with pytest.raises(UserError, match=words):
        build(OwnBuild(uses), **choices)


def test_the_layers_in_front_must_be_there():
    with pytest.raises(UserError, match=r"'preprocessing' is missing: for name, layer in front"):
        build(OwnBuild(["activation"]))


def test_the_classes_must_fit():
    class TwoClasses(OwnBuild):
        def build(self, image_shape, num_classes, **choices):
            return super().build(image_shape, 2, **choices)

    with pytest.raises(UserError, match=r"logits of shape \(N, 3\) for the 3 classes of the data, got \(2, 2\)"):
        build(TwoClasses())


def test_the_check_changes_no_weight():
    torch.manual_seed(0)
    first = build(OwnBuild(), normalization=Batch())
    torch.manual_seed(1)
    again = build(OwnBuild(), normalization=Batch())
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True))


class Convolves1d(nn.Module):
    """Signals of length H W; and a parameter that is the weight of no layer."""

    def __init__(self, wrap=lambda layer: layer, num_classes=3):
        super().__init__()
        self.conv, self.fc = wrap(nn.Conv1d(3, 4, 3)), nn.Linear(4, num_classes)
        self.mix = nn.Parameter(torch.eye(4))

    def forward(self, x):
        return self.fc(self.conv(x.flatten(2)).mean(2) @ self.mix)


NATIVE = {"activation": NativeActivation(), "dropout": NativeDropout(), "normalization": NativeNormalization()}


def test_an_initializer_writes_every_convolution_and_lists_what_it_leaves():
    net = make_run(net=Convolves1d, initializer=Constant(value=0.5), **NATIVE).build(TinyData().load())
    assert set(net.model.conv.weight.unique().tolist()) == set(net.model.fc.weight.unique().tolist()) == {0.5}
    assert net.replaced == ["left by the initializer: model.mix"]


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated")
@pytest.mark.parametrize("wrap", [nn.utils.weight_norm, weight_norm, spectral_norm])
def test_computed_weights_cannot_be_initialized(wrap):
    def make(num_classes):
        return Convolves1d(wrap, num_classes)

    with pytest.raises(NoPlace, match=r"initializer.* finds no place .*model.conv are computed .*initializer=native"):
        make_run(net=make, initializer=Constant(value=0.5), **NATIVE).build(TinyData().load())
    make_run(net=make, initializer=NativeInitializer(), **NATIVE).build(TinyData().load())


def test_an_initializer_needs_a_layer_that_is_trained():
    def make(num_classes):
        frozen = nn.Linear(3, num_classes).requires_grad_(False)
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), frozen, nn.LayerNorm(num_classes))

    with pytest.raises(NoPlace, match="no convolution or fully connected layer is trained"):
        make_run(net=make, initializer=Constant(value=0.5), **NATIVE).build(TinyData().load())


def test_trained_weights_are_not_drawn_anew():
    arguments = {"pretrained": True}
    net = Library(path="builders.nets.named", name="x", arguments=arguments)
    with pytest.raises(NoPlace, match=r"arguments.pretrained loads trained weights"):
        make_run(net=net, initializer=Constant(value=0.5), **NATIVE).build(TinyData().load())
    built = make_run(net=net, initializer=NativeInitializer(), **NATIVE).build(TinyData().load())
    assert built.model.fc.weight.unique().tolist() == [7.0]

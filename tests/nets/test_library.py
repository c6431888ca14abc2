from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ablate.diagnostics.probe import probing
from ablate.errors import UserError
from ablate.layers.activation import Maxout
from ablate.layers.dropout import Dropout, Positions
from ablate.layers.native import NativeActivation, NativeDropout, NativeNormalization
from ablate.layers.normalization import Batch, Group, Instance, NoNormalization
from ablate.layers.weight_standardization import WeightStandardization
from ablate.nets import Library, Module, NoPlace
from ablate.nets.net import in_memory_format
from ablate.nets.roles import activations
from builders.nets import ClassesOfImageNet, Functional, SmallResNet

NATIVE = {"activation": NativeActivation(), "normalization": NativeNormalization(), "dropout": NativeDropout()}


def build(make=SmallResNet, image_shape=(3, 16, 16), num_classes=5, stem="native", **choices):
    return Module(make=make, stem=stem).build(image_shape, num_classes, **{**NATIVE, **choices})


def kinds(net):
    return [type(module).__name__ for module in net.modules()]


def test_native_levels_leave_the_net_as_it_is():
    net = build(num_classes=3)
    assert kinds(net.model) == kinds(SmallResNet())
    assert net.replaced == []


def test_activations_are_replaced_wherever_they_are_used_and_stay_shared():
    net = build(activation=lambda: nn.PReLU(init=0.1))
    assert {type(layer) for _, layer in activations(net)} == {nn.PReLU}
    assert len(activations(net)) == 3  # the blocks use theirs twice
    assert net.replaced == [
        "activation: InPlaceReLU -> PReLU: model.act",
        "activation: ReLU -> PReLU: model.block1.relu, model.block2.relu",
    ]
    x = torch.randn(4, 3, 16, 16)
    assert not torch.equal(net.eval()(x), build(activation=nn.ReLU).eval()(x))


def test_one_module_under_two_names_becomes_one_module():
    act = nn.ReLU()

    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.fc = act, act, nn.Linear(3, 5)

        def forward(self, x):
            return self.fc(self.b(self.a(x)).mean((2, 3)))

    model = build(Shared, activation=nn.Tanh).model
    assert model.a is model.b and isinstance(model.a, nn.Tanh)


def test_normalizations_are_replaced_by_as_many_features():
    net = build(normalization=Group(num_groups=2))
    groups = [module for module in net.modules() if isinstance(module, nn.GroupNorm)]
    assert [module.num_channels for module in groups] == [4, 4, 4, 8, 8]
    assert net.model.conv.bias is None


def test_the_rank_comes_from_what_enters():
    """Instance norm is for maps: a normalization of vectors is replaced by nothing."""
    net = build(
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.LazyLinear(6), nn.BatchNorm1d(6)
        ),
        num_classes=6,
        normalization=Instance(),
    )
    assert isinstance(net.model[1], nn.InstanceNorm2d) and isinstance(net.model[5], nn.Identity)


def test_without_normalization_the_layers_before_get_their_bias():
    net = build(normalization=NoNormalization())
    assert not any("Norm" in kind for kind in kinds(net))
    assert net.model.conv.bias is not None and net.model.block1.conv2.bias is not None
    assert (
        "bias added, as no normalization follows: model.conv, model.block1.conv1, model.block1.conv2"
        in net.replaced[-1]
    )
    assert net.model.block1.downsample.bias is None


def test_dropout_gets_the_rate_of_its_place():
    assert build(dropout=Positions(layer=Dropout, hidden=0.5)).model.drop.p == 0.5
    assert isinstance(build(dropout=Positions(layer=Dropout)).model.drop, nn.Identity)
    assert build(dropout=Positions(layer=Dropout, input=0.2)).input_dropout.p == 0.2


def test_channels_and_classes_are_fitted_to_the_data():
    net = build(ClassesOfImageNet, image_shape=(1, 16, 16), num_classes=7)
    assert net(torch.zeros(2, 1, 16, 16)).shape == (2, 7)
    assert net.replaced == ["first layer: 3 -> 1 channels: model.stem", "last layer: 1000 -> 7 classes: model.fc"]


def test_the_small_stem():
    small, auto, large = (
        build(ClassesOfImageNet, stem="small"),
        build(ClassesOfImageNet, stem="auto"),
        build(ClassesOfImageNet, (3, 64, 64), stem="auto"),
    )
    for net in (small, auto):
        assert (net.model.stem.kernel_size, net.model.stem.stride) == ((3, 3), (1, 1))
        assert isinstance(net.model.pool, nn.Identity)
        assert net.model.stem(torch.zeros(1, 3, 16, 16)).shape == (1, 8, 16, 16)
    assert large.model.stem.stride == (2, 2) and isinstance(large.model.pool, nn.MaxPool2d)


def test_a_redrawn_stem_has_the_spread_of_the_old_one():
    torch.manual_seed(0)
    net = build(
        lambda: nn.Sequential(nn.Conv2d(3, 500, 7, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        num_classes=500,
        stem="small",
    )
    expected = 1 / (3 * 3 * 3) ** 0.5 / 3**0.5  # torch's own law at a fan of 27
    assert net.model[0].weight.std().item() == pytest.approx(expected, rel=0.03)


def test_a_patch_embedding_has_no_small_stem():
    def make():
        return nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.GELU(), nn.Flatten(), nn.Linear(128, 5))

    assert build(make, stem="auto").model[0].stride == (4, 4)
    with pytest.raises(NoPlace, match="patch embedding"):
        build(make, stem="small")


@pytest.mark.parametrize(
    ("make", "choices", "group", "words"),
    [
        (SmallResNet, {"activation": Maxout}, "activation", "2 times as many channels"),
        (Functional, {"activation": nn.SiLU}, "activation", "relu, tanh in the forward of Functional"),
        (Functional, {"activation": nn.ReLU}, "activation", "tanh in the forward of Functional"),
        (
            lambda: nn.Sequential(nn.Flatten(), nn.Linear(768, 5)),
            {"activation": nn.ReLU},
            "activation",
            "no activation",
        ),
        (SmallResNet, {"normalization": WeightStandardization()}, "normalization", "acts on weights"),
        (SmallResNet, {"normalization": Batch(position="after")}, "normalization", "after the activation"),
        (Functional, {"normalization": Batch()}, "normalization", "Functional has none"),
        (SmallResNet, {"dropout": Positions(layer=Dropout, conv=0.2)}, "dropout", "conv=0.2.*no dropout on maps"),
        (ClassesOfImageNet, {"dropout": Positions(layer=Dropout, hidden=0.5)}, "dropout", "hidden=0.5.*hidden units"),
    ],
)
def test_a_choice_without_a_place_is_refused(make, choices, group, words):
    with pytest.raises(NoPlace, match=words) as error:
        build(make, **choices)
    assert error.value.group == group


def test_layer_norm_over_the_last_axis_is_not_replaced_by_one_over_channels():
    def make():
        return nn.Sequential(nn.Flatten(2), nn.LayerNorm(256), nn.Flatten(), nn.Linear(768, 5))

    with pytest.raises(NoPlace, match="last axis of an input with 3 axes"):
        build(make, normalization=Batch())
    assert isinstance(build(make, normalization=NoNormalization()).model[1], nn.Identity)


def test_a_function_that_is_the_chosen_activation_may_stay():
    class OneFunction(Functional):
        def forward(self, x):
            return self.fc(self.conv1(x).relu().mean((2, 3)))

    net = build(OneFunction, activation=nn.ReLU)
    assert net.functions == ["model.relu"]
    with pytest.raises(NoPlace, match="relu in the forward"):
        build(OneFunction, activation=nn.LeakyReLU)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: 3, "makes a torch.nn.Module, got one that makes int"),
        (nn.Flatten, r"logits of shape \(N, 5\).*got \(2, 768\)"),
        (lambda: nn.Linear(5, 5), "cannot take images of shape 3x16x16"),
        (lambda: Pair(), "must return one tensor.*got tuple"),
    ],
)
def test_what_is_no_classifier_is_refused(make, words):
    with pytest.raises(UserError, match=words):
        build(make)


class Pair(nn.Module):
    def forward(self, x):
        return x, x


def test_trying_the_net_out_leaves_statistics_and_generators_alone():
    torch.manual_seed(0)
    net = build(activation=nn.ReLU, num_classes=3)
    after = torch.rand(1)
    torch.manual_seed(0)
    alone = SmallResNet(num_classes=3)
    assert torch.equal(after, torch.rand(1))
    assert torch.equal(net.model.bn.running_mean, torch.zeros(4)) and net.model.bn.num_batches_tracked == 0
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), alone.parameters(), strict=True))


def test_arguments_that_the_class_takes_are_given():
    class Takes(SmallResNet):
        def __init__(self, image_shape, num_classes):
            super().__init__(num_classes=num_classes)
            self.image_shape = image_shape

    net = build(Takes)
    assert net.model.image_shape == (3, 16, 16) and net.model.fc.out_features == 5


def test_resnet18_of_torchvision():
    net = Library(path="torchvision.models.get_model", name="resnet18").build(
        (3, 32, 32), 10, activation=nn.SiLU, normalization=Group(num_groups=4), dropout=Positions(layer=Dropout)
    )
    assert kinds(net).count("SiLU") == 9 and kinds(net).count("GroupNorm") == 20
    assert not {"ReLU", "BatchNorm2d", "MaxPool2d"} & set(kinds(net))
    assert net(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    assert [line.partition(":")[0] for line in net.replaced] == ["stem", "stem", "activation", "normalization"]


def test_resnet18_of_timm():
    pytest.importorskip("timm", reason="timm is an extra: pip install 'timm>=1'")
    net = Library(path="timm.create_model", name="resnet18").build(
        (3, 32, 32), 10, activation=nn.SiLU, normalization=Batch(), dropout=Positions(layer=Dropout)
    )
    assert kinds(net).count("SiLU") == 17 and kinds(net).count("BatchNorm") == 20


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"path": "no_such_library.make", "name": "x"}, "net.path=no_such_library.make.*is its package installed"),
        ({"path": "torchvision.models.get_model", "name": "resnet19"}, "got resnet19; did you mean resnet18"),
        ({"path": "torchvision.models.get_model", "name": "fcn_resnet50"}, "a classifier of torchvision, got fcn"),
        (
            {"path": "torchvision.models.get_model", "name": "resnet18", "arguments": {"widht": 3}},
            "net.name=resnet18.*'widht'",
        ),
    ],
)
def test_a_library_without_that_net_is_named(fields, words):
    with pytest.raises(UserError, match=words):
        Library(**fields).build((3, 32, 32), 10, **NATIVE)


@dataclass
class Choice:
    """A net that does one thing as a function: f(maps)."""

    f: object

    def __call__(self):
        net = SmallResNet(num_classes=5)
        plain = net.forward
        net.forward = lambda x: plain(self.f(x, net.training))
        return net


DROPS = Choice(lambda x, training: F.dropout2d(x, 0.3, training))
RESTS = Choice(lambda x, training: F.dropout(x, 0.0, training))
ATTENDS = Choice(lambda x, training: F.scaled_dot_product_attention(x, x, x, dropout_p=0.3 if training else 0.0))
NORMALIZES = Choice(lambda x, training: F.layer_norm(x, x.shape[1:]))


@pytest.mark.parametrize("make", [DROPS, ATTENDS])
@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_dropout_as_a_function_is_refused_but_with_native(make, rate):
    with pytest.raises(NoPlace, match=r"(dropout2d|attention) in the forward of SmallResNet is a function.*nn.Dropout"):
        build(make, dropout=Positions(layer=Dropout, hidden=rate))
    assert build(make).model.drop.p == 0.3


def test_a_function_that_drops_nothing_is_no_dropout():
    assert build(RESTS, dropout=Positions(layer=Dropout, hidden=0.5)).model.drop.p == 0.5


@pytest.mark.parametrize("level", [NoNormalization(), Batch()])
def test_a_normalization_as_a_function_is_refused_but_with_native(level):
    with pytest.raises(NoPlace, match=r"layer_norm in the forward of SmallResNet is a function"):
        build(NORMALIZES, normalization=level)
    build(NORMALIZES)


class NeverCalled(nn.Module):
    """Has modules that its forward does not call."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.act, self.fc = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Linear(4, 5)

    def forward(self, x):
        return self.fc(self.conv(x).clamp(min=0).mean((2, 3)))


def test_modules_that_are_never_called_are_no_place():
    with pytest.raises(NoPlace, match=r"NeverCalled calls none of its activation modules \(act\)"):
        build(NeverCalled, activation=nn.Tanh)
    with pytest.raises(NoPlace, match=r"normalization.*NeverCalled has none to replace"):
        build(NeverCalled, normalization=Batch())


def test_lazy_modules_get_their_shapes_and_keep_their_statistics():
    def make(num_classes):
        layers = nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.ReLU(), nn.Flatten(), nn.LazyLinear(num_classes)
        return nn.Sequential(*layers)

    net = build(make, activation=nn.SiLU)
    assert net.model[0].weight.shape == (4, 3, 3, 3) and isinstance(net.model[2], nn.SiLU)
    assert torch.equal(net.model[1].running_mean, torch.zeros(4)) and net.model[1].num_batches_tracked == 0
    with pytest.raises(UserError, match="cannot take images of shape 3x2x2"):
        build(make, image_shape=(3, 2, 2))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: SmallResNet().double(), r"float32 when it is made, got conv.weight with torch.float64"),
        (SmallResNet(), r"got one SmallResNet that is made already"),
        (lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.InstanceNorm2d(3)), "cannot take images of shape 3x16x16: "),
        (lambda: Asserts(), "cannot take images .*Wrong image height"),
    ],
)
def test_a_module_that_cannot_be_used_is_refused_in_one_line(make, words):
    with pytest.raises(UserError, match=words):
        build(make, num_classes=3)


class Asserts(nn.Module):
    """As the vision transformer of torchvision does."""

    def forward(self, x):
        torch._assert(x.shape[2] == 224, "Wrong image height!")


def test_the_gain_of_equal_activations_is_known_whether_in_place_or_not():
    def make(last):
        return lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), last, nn.Flatten(), nn.LazyLinear(5))

    assert isinstance(build(make(nn.ReLU())).make_activation(), nn.ReLU)
    assert not hasattr(build(make(nn.Tanh())), "make_activation")


class Sequence(nn.Module):
    """Images as tokens of 4 x 4 pixels, and one layer of torch's transformer."""

    def __init__(self, activation, num_classes):
        super().__init__()
        self.embed, self.fc = nn.Conv2d(3, 8, 4, 4), nn.Linear(8, num_classes)
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, activation=activation, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1)

    def forward(self, x):
        return self.fc(self.encoder(self.embed(x).flatten(2).transpose(1, 2)).mean(1))


@pytest.mark.parametrize(
    "choices", [{"activation": nn.Tanh}, {"activation": nn.Tanh, "normalization": NoNormalization()}]
)
def test_a_transformer_is_evaluated_with_the_modules_it_is_trained_with(choices):
    net = build(lambda num_classes: Sequence(nn.ReLU(), num_classes), **choices)
    x = torch.randn(4, 3, 16, 16)
    trained = net.train()(x)
    with torch.no_grad():
        torch.testing.assert_close(net.eval()(x), trained)


def test_a_transformer_in_which_nothing_is_replaced_keeps_the_fused_kernel():
    layer = build(lambda num_classes: Sequence(nn.ReLU(), num_classes)).model.encoder.layers[0]
    assert layer.activation_relu_or_gelu == 1


def test_dropout_between_recurrent_layers_is_refused_but_with_native():
    class Recurrent(nn.Module):
        def __init__(self, num_classes):
            super().__init__()
            self.rnn, self.fc = nn.GRU(48, 8, 2, dropout=0.5, batch_first=True), nn.Linear(8, num_classes)

        def forward(self, x):
            return self.fc(self.rnn(x.transpose(1, 2).flatten(2))[0][:, -1])

    with pytest.raises(NoPlace, match=r"model.rnn \(GRU\) drops units between its 2 layers.*dropout=native"):
        build(Recurrent, dropout=Positions(layer=Dropout))
    assert build(Recurrent).model.rnn.dropout == 0.5


class Views(nn.Module):
    """The most common way to write it."""

    def __init__(self, channels, num_classes):
        super().__init__()
        self.conv, self.act = nn.Conv2d(channels, 4, 3, padding=1), nn.ReLU()
        self.fc = nn.Linear(4 * 16 * 16, num_classes)

    def forward(self, x):
        x = self.act(self.conv(x))
        return self.fc(x.view(x.size(0), -1))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_net_that_views_its_maps_is_kept_contiguous(channels):
    net = build(lambda num_classes: Views(channels, num_classes), (channels, 16, 16))
    assert "memory format: contiguous" in net.replaced[-1]
    images = torch.empty(2, channels, 16, 16, memory_format=torch.channels_last).normal_()
    expected = net.model(images.clone(memory_format=torch.contiguous_format))
    assert torch.equal(in_memory_format(net)(images), expected)
    assert net.model.conv.weight.is_contiguous()


def test_a_net_that_takes_channels_last_is_left_in_it():
    net = build(num_classes=3)
    assert net.replaced == [] and net.model.conv.weight.is_contiguous()
    weight = in_memory_format(net).model.conv.weight
    assert weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()


class OtherAtInference(nn.Sequential):
    def __init__(self, num_classes):
        super().__init__(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, num_classes))

    def forward(self, x):
        return super().forward(x) if self.training else {"logits": super().forward(x)}


def test_what_is_returned_at_inference_is_checked_before_training():
    with pytest.raises(UserError, match=r"one tensor.*at inference too; got dict; return the logits alone"):
        build(OtherAtInference)


class LateStem(nn.Module):
    """Registers its first convolution last."""

    def __init__(self, num_classes):
        super().__init__()
        self.refine, self.stem, self.fc = nn.Conv2d(4, 6, 3), nn.Conv2d(3, 4, 3), nn.Linear(6, num_classes)

    def forward(self, x):
        return self.fc(self.refine(self.stem(x)).mean((2, 3)))


def test_the_convolution_on_the_images_is_the_first_that_is_called():
    assert build(LateStem).replaced == []
    net = build(LateStem, (1, 16, 16))
    assert net.replaced == ["first layer: 3 -> 1 channels: model.stem"] and net.model.refine.in_channels == 4


def test_one_dropout_on_maps_and_on_vectors_is_refused():
    class Twice(nn.Module):
        def __init__(self, num_classes):
            super().__init__()
            self.conv, self.drop, self.fc = nn.Conv2d(3, 4, 3), nn.Dropout(0.5), nn.Linear(4, num_classes)

        def forward(self, x):
            return self.fc(self.drop(self.drop(self.conv(x)).mean((2, 3))))

    with pytest.raises(NoPlace, match=r"model.drop \(Dropout\) drops units of maps and of vectors.*two modules"):
        build(Twice, dropout=Positions(layer=Dropout, conv=0.1))
    assert build(Twice).model.drop.p == 0.5


def test_every_layer_before_a_removed_normalization_gets_its_bias():
    class Shared(nn.Module):
        def __init__(self, num_classes):
            super().__init__()
            self.conv, self.up = nn.Conv2d(3, 4, 3, bias=False), nn.ConvTranspose2d(4, 4, 3, bias=False)
            self.norm, self.fc = nn.BatchNorm2d(4), nn.Linear(4, num_classes)

        def forward(self, x):
            return self.fc(self.norm(self.up(self.norm(self.conv(x)))).mean((2, 3)))

    net = build(Shared, normalization=NoNormalization())
    assert net.model.conv.bias.shape == net.model.up.bias.shape == (4,)
    assert net.replaced[-1] == "bias added, as no normalization follows: model.conv, model.up"


class Centred(nn.Module):
    """A buffer that its first pass sets, and one that has a value for each image."""

    def __init__(self, num_classes):
        super().__init__()
        self.fc = nn.Linear(3, num_classes)
        self.register_buffer("centre", None)
        self.register_buffer("mask", torch.ones(1), persistent=False)

    def forward(self, x):
        x = x.mean((2, 3))
        if self.training:
            self.centre = x.detach().mean(0)
        if len(self.mask) != len(x):
            self.mask = torch.ones(len(x), 1)
        return self.fc((x - self.centre) * self.mask)


def test_buffers_that_the_forward_sets_or_resizes_are_restored():
    net = build(Centred)
    assert net.model.centre is None and net.model.mask.shape == (1,)
    mask = net.model.mask
    with probing(net):
        net(torch.randn(2, 3, 16, 16))
        assert net.model.centre is not None
    assert net.model.centre is None and net.model.mask is mask

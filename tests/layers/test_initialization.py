import math
import zlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ablate.layers.activation import gain as activation_gain
from ablate.layers.initialization import (
    Constant,
    Dirac,
    Normal,
    Orthogonal,
    TorchDefault,
    VarianceScaling,
    XavierAsPrinted,
    fans,
    resolve_gain,
    weight_layers,
)

NO_BATCH = torch.empty(0)
RECIPES = [
    VarianceScaling(),
    VarianceScaling(distribution="uniform", mode="average", gain="linear"),
    Normal(),
    Orthogonal(),
    Dirac(),
    TorchDefault(),
    XavierAsPrinted(),
]


def make_generator(path: str) -> torch.Generator:
    return torch.Generator().manual_seed(zlib.crc32(path.encode()))


class Net(nn.Sequential):
    """A convolution with fans (288, 576) and a linear layer with fans (1024, 128)."""

    make_activation = nn.GELU

    def __init__(self, width: int = 64) -> None:
        super().__init__(nn.Conv2d(32, width, 3), nn.Flatten(), nn.Linear(1024, 128), nn.Linear(128, 10))


def initialized(recipe: Any, net: nn.Module | None = None) -> Any:
    net = Net() if net is None else net
    recipe(net, NO_BATCH, make_generator)
    return net


def check_moments(weight: Tensor, std: float) -> None:
    """Five standard errors of the mean and of the standard deviation (normal; a uniform one is smaller)."""
    n = weight.numel()
    assert weight.double().mean().item() == pytest.approx(0, abs=5 * std / n**0.5)
    assert weight.double().std().item() == pytest.approx(std, rel=5 / (2 * n) ** 0.5)


def test_fans() -> None:
    assert fans(nn.Conv2d(32, 64, (3, 5)).weight.shape) == (32 * 15, 64 * 15)
    assert fans(nn.Linear(1024, 128).weight.shape) == (1024, 128)


FANS: dict[str, Callable[[int, int], float]] = {
    "fan_in": lambda i, o: i,
    "fan_out": lambda i, o: o,
    "average": lambda i, o: (i + o) / 2,
}


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
@pytest.mark.parametrize("mode", FANS)
@pytest.mark.parametrize(("gain", "number"), [("linear", 1), ("relu", 2**0.5), (0.3, 0.3)])
def test_variance_scaling_has_its_moments(distribution: str, mode: str, gain: str | float, number: float) -> None:
    net = initialized(VarianceScaling(distribution=distribution, mode=mode, gain=gain))
    for layer, fan_in, fan_out in ((net[0], 288, 576), (net[2], 1024, 128)):
        std = number / math.sqrt(FANS[mode](fan_in, fan_out))
        check_moments(layer.weight, std)
        largest = layer.weight.abs().max().item() / std
        if distribution == "uniform":
            # The largest of n uniform values is within 10/n of the bound but for a chance of exp(-10).
            assert 3**0.5 * (1 - 10 / layer.weight.numel()) < largest <= 3**0.5 * (1 + 1e-6)
        else:
            assert largest > 3.5


def test_glorot_and_he_in_their_own_notation() -> None:
    glorot = initialized(VarianceScaling(distribution="uniform", mode="average", gain="linear"))[2].weight
    assert glorot.abs().max().item() == pytest.approx(math.sqrt(6 / (1024 + 128)), rel=1e-4)
    check_moments(initialized(VarianceScaling())[0].weight, math.sqrt(2 / (9 * 32)))


def test_normal_constant_and_the_slip() -> None:
    net = initialized(Normal(std=0.02, bias=0.1))
    for layer in (net[0], net[2]):
        check_moments(layer.weight, 0.02)
    net = initialized(Constant(value=0.3, bias=0.1))
    assert net[0].weight.unique().tolist() == pytest.approx([0.3])
    assert net[0].bias.unique().tolist() == pytest.approx([0.1])
    net = initialized(XavierAsPrinted())
    check_moments(net[0].weight, 288**0.5)
    check_moments(net[2].weight, 1024**0.5)


@pytest.mark.parametrize(("gain", "number"), [("linear", 1), ("relu", 2**0.5), (0.5, 0.5)])
def test_orthogonal_has_orthonormal_rows_or_columns(gain: str | float, number: float) -> None:
    net = initialized(Orthogonal(gain=gain), nn.Sequential(nn.Conv2d(8, 16, 3), nn.Linear(10, 30)))
    wide, tall = net[0].weight.double().flatten(1), net[1].weight.double()
    torch.testing.assert_close(wide @ wide.T, number**2 * torch.eye(16).double(), rtol=0, atol=1e-5)
    torch.testing.assert_close(tall.T @ tall, number**2 * torch.eye(10).double(), rtol=0, atol=1e-5)


def test_torch_default_is_what_torch_does() -> None:
    net = initialized(TorchDefault())
    for name, layer in weight_layers(net):
        reference = nn.Conv2d(32, 64, 3) if name == "0" else nn.Linear(layer.in_features, layer.out_features)
        torch.manual_seed(zlib.crc32(name.encode()))
        reference.reset_parameters()
        torch.testing.assert_close(layer.weight, reference.weight, rtol=1e-5, atol=1e-8)
        torch.testing.assert_close(layer.bias, reference.bias, rtol=1e-5, atol=1e-8)


def test_dirac_passes_its_input_on() -> None:
    net = initialized(
        Dirac(), nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 4, 5, padding=2), nn.Linear(6, 5))
    )
    x = torch.randn(2, 3, 6, 6)
    y = net[0](x)
    torch.testing.assert_close(y[:, :3], x)
    bound = 27**-0.5
    rest = net[0].weight[3:]
    assert bound * (1 - 10 / rest.numel()) < rest.abs().max().item() <= bound * (1 + 1e-6)
    torch.testing.assert_close(net[1](y), y[:, :4])
    assert torch.equal(net[2].weight, initialized(TorchDefault(), nn.ModuleDict({"2": nn.Linear(6, 5)}))["2"].weight)


def test_dirac_refuses_a_net_without_convolutions() -> None:
    with pytest.raises(ValueError, match=r"dirac needs a net with convolutions.*without any"):
        initialized(Dirac(), nn.Sequential(nn.Linear(4, 3)))


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_wider_layer_shifts_nobody_elses_draw(recipe: Any) -> None:
    narrow, wide = initialized(recipe), initialized(recipe, Net(width=96))
    assert wide[0].weight.shape != narrow[0].weight.shape
    for index in (2, 3):
        assert torch.equal(narrow[index].weight, wide[index].weight)
        assert torch.equal(narrow[index].bias, wide[index].bias)


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_draw_depends_on_the_path_and_not_on_the_layout(recipe: Any) -> None:
    state = torch.get_rng_state()
    net, again = Net(), Net().to(memory_format=torch.channels_last)
    torch.set_rng_state(state)
    initialized(recipe, net)
    initialized(recipe, again)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(net[0].weight, again[0].weight)
    twins = initialized(recipe, nn.ModuleDict({"a": nn.Conv2d(4, 8, 3), "b": nn.Conv2d(4, 8, 3)}))
    assert not torch.equal(twins["a"].weight, twins["b"].weight)


@pytest.mark.parametrize("value", [0.0, 0.01, 0.1])
@pytest.mark.parametrize("recipe", [*RECIPES, Constant()])
def test_bias_is_a_choice_of_its_own(recipe: Any, value: float) -> None:
    net = initialized(type(recipe)(bias=value))
    plain = initialized(type(recipe)())
    for name, layer in weight_layers(net):
        assert torch.equal(layer.bias, torch.full_like(layer.bias, value))
        assert torch.equal(layer.weight, dict(weight_layers(plain))[name].weight)


@pytest.mark.parametrize("recipe", [*RECIPES, Constant()])
def test_a_bias_of_none_is_drawn_as_torch_does(recipe: Any) -> None:
    net = initialized(type(recipe)(bias=None))
    plain = initialized(type(recipe)())
    for name, layer in weight_layers(net):
        bound = fans(layer.weight.shape)[0] ** -0.5
        assert torch.equal(layer.weight, dict(weight_layers(plain))[name].weight)
        # All but exp(-4) of the time one of ten biases or more lies in the outer 40 %.
        assert bound * 0.6 < layer.bias.abs().max().item() <= bound * (1 + 1e-6)
        assert layer.bias.unique().numel() == layer.bias.numel()


def test_layers_without_bias_and_frozen_layers() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.Conv2d(4, 4, 3))
    net[1].weight.requires_grad_(False)
    frozen = net[1].weight.clone(), net[1].bias.clone()
    before = net[0].weight.clone()
    initialized(TorchDefault(), net)
    assert [name for name, _ in weight_layers(net)] == ["0"]
    assert not torch.equal(net[0].weight, before)
    assert torch.equal(net[1].weight, frozen[0])
    assert torch.equal(net[1].bias, frozen[1])


def test_gain_activation_asks_the_net() -> None:
    assert resolve_gain("activation", Net()) == activation_gain(nn.GELU())
    explicit = initialized(VarianceScaling(gain=activation_gain(nn.GELU())))
    assert torch.equal(initialized(VarianceScaling(gain="activation"))[0].weight, explicit[0].weight)
    for recipe in (VarianceScaling(gain="activation"), Orthogonal(gain="activation")):
        with pytest.raises(ValueError, match=r"'activation' needs a net with `make_activation`, got Sequential"):
            initialized(recipe, nn.Sequential(nn.Linear(3, 3)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Normal(std=-1), "`std` must not be negative, got -1"),
        (lambda: VarianceScaling(mode="fan"), "`mode` must be one of fan_in, fan_out, average, got 'fan'"),
        (lambda: VarianceScaling(distribution="cauchy"), "`distribution` must be one of normal, uniform, got 'cauchy'"),
        (lambda: VarianceScaling(gain="tanh"), "`gain` must be one of linear, relu, activation or a number"),
        (lambda: VarianceScaling(gain=0), "`gain` must be positive, got 0"),
        (lambda: Orthogonal(gain=-2.0), "`gain` must be positive, got -2.0"),
    ],
)
def test_refusals(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_the_parameters_can_still_be_trained() -> None:
    net = initialized(VarianceScaling())
    assert all(p.is_leaf and p.requires_grad for p in net.parameters())

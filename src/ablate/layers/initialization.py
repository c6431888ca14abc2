"""Initializers: callables `(net, batch, make_generator) -> None` that write weights and biases in place.

The weight layers of a net are its convolutions and Linear modules with a weight that is trained. `make_generator(path)`
gives the generator of the layer at that path: more weights in one layer change the draws of no other. Draws are made
contiguous and on the generator's device, then copied, so the memory format does not matter. `bias` is the value of all
biases; None draws them uniform on +-1/sqrt(fan_in), as torch does, after the weights.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ablate.errors import UserError
from ablate.layers.activation import gain as activation_gain

MakeGenerator = Callable[[str], torch.Generator]
Draw = Callable[[torch.Size, torch.Generator], Tensor]

DISTRIBUTIONS = ("normal", "uniform")
MODES = ("fan_in", "fan_out", "average")
GAINS = ("linear", "relu", "activation")


def weight_layers(net: nn.Module) -> list[tuple[str, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear]]:
    """The paths and modules of the layers that initializers write to, in the order of `net.named_modules()`.

    Example:
        >>> [name for name, _ in weight_layers(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)))]
        ['0', '2']
    """
    return [
        (name, module)
        for name, module in net.named_modules()
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear) and module.weight.requires_grad
    ]


def fans(shape: torch.Size) -> tuple[int, int]:
    """The connections into and out of a unit: (in, out) of a Linear, times the kernel's positions of a convolution.

    Example:
        >>> fans(torch.Size([16, 3, 5, 5]))
        (75, 400)
    """
    num_taps = shape[2:].numel()
    return shape[1] * num_taps, shape[0] * num_taps


def resolve_gain(gain: str | float, net: nn.Module) -> float:
    """The number behind a gain rule.

    Args:
        gain: "linear" (1), "relu" (sqrt(2)), "activation" (1/sqrt(E[f(z)^2]) for the net's own) or the number itself.
        net: has `make_activation`, the factory of its activation, if `gain` is "activation".

    Raises:
        UserError: if `net` has no `make_activation` and needs it.

    Example:
        >>> round(resolve_gain("relu", nn.Identity()), 4)
        1.4142
    """
    if gain == "activation":
        make_activation = getattr(net, "make_activation", None)
        if make_activation is None:
            raise UserError(
                f"gain 'activation' needs a net with `make_activation`, got {type(net).__name__} without; "
                "use 'linear', 'relu' or a number"
            )
        return activation_gain(make_activation())
    return {"linear": 1.0, "relu": math.sqrt(2)}[gain] if isinstance(gain, str) else gain


@dataclass(frozen=True, kw_only=True)
class VarianceScaling:
    """Independent weights of standard deviation gain / sqrt(fan), normal or uniform on +-sqrt(3) times that.

    Args:
        distribution: "normal" or "uniform".
        mode: "fan_in", "fan_out", or "average" of both, see `fans`.
        gain: a rule or a positive number, see `resolve_gain`.

    Raises:
        UserError: if a field has an unknown or impossible value.

    Example:
        >>> net = nn.Linear(10_000, 10)
        >>> VarianceScaling(gain="relu")(net, torch.empty(0), lambda path: torch.Generator().manual_seed(0))
        >>> round(net.weight.std().item() * 10_000**0.5, 1)
        1.4

    Source: Glorot & Bengio 2010 (average, linear); He et al. 2015 (arXiv:1502.01852; fan_in, relu).
    """

    distribution: str = "normal"
    mode: str = "fan_in"
    gain: str | float = "relu"
    bias: float | None = 0.0

    def __post_init__(self) -> None:
        _check_choice("distribution", self.distribution, DISTRIBUTIONS)
        _check_choice("mode", self.mode, MODES)
        _check_gain(self.gain)

    def __call__(self, net: nn.Module, batch: Tensor, make_generator: MakeGenerator) -> None:
        gain = resolve_gain(self.gain, net)

        def draw(shape: torch.Size, generator: torch.Generator) -> Tensor:
            fan_in, fan_out = fans(shape)
            fan = {"fan_in": fan_in, "fan_out": fan_out, "average": (fan_in + fan_out) / 2}[self.mode]
            std = gain / math.sqrt(fan)
            return _normal(shape, generator, std) if self.distribution == "normal" else _uniform(shape, generator, std)

        _fill(net, make_generator, draw, self.bias)


@dataclass(frozen=True, kw_only=True)
class Normal:
    """Independent normal weights of mean 0 and one standard deviation for all layers.

    Example:
        >>> net = nn.Linear(10_000, 10)
        >>> Normal(std=0.01)(net, torch.empty(0), lambda path: torch.Generator().manual_seed(0))
        >>> round(net.weight.std().item(), 3)
        0.01
    """

    std: float = 0.01
    bias: float | None = 0.0

    def __post_init__(self) -> None:
        if self.std < 0:
            raise UserError(f"`std` must not be negative, got {self.std}")

    def __call__(self, net: nn.Module, batch: Tensor, make_generator: MakeGenerator) -> None:
        _fill(net, make_generator, lambda shape, generator: _normal(shape, generator, self.std), self.bias)


@dataclass(frozen=True, kw_only=True)
class Constant:
    """One value for all weights: the units of a layer stay copies of each other.

    Example:
        >>> net = nn.Linear(3, 2)
        >>> Constant(value=0.5)(net, torch.empty(0), lambda path: torch.Generator().manual_seed(0))
        >>> net.weight.unique().tolist()
        [0.5]
    """

    value: float = 0.0
    bias: float | None = 0.0

    def __call__(self, net: nn.Module, batch: Tensor, make_generator: MakeGenerator) -> None:
        _fill(net, make_generator, lambda shape, _: torch.full(shape, self.value), self.bias)


@dataclass(frozen=True, kw_only=True)
class XavierAsPrinted:
    """Normal weights of standard deviation sqrt(fan_in): the product where 1/sqrt(fan_in) is meant.

    The scale is fan_in times too large. It exists to show what the slip does.

    Example:
        >>> net = nn.Linear(10_000, 10)
        >>> XavierAsPrinted()(net, torch.empty(0), lambda path: torch.Generator().manual_seed(0))
        >>> round(net.weight.std().item() / 10_000**0.5, 1)
        1.0
    """

    bias: float | None = 0.0

    def __call__(self, net: nn.Module, batch: Tensor, make_generator: MakeGenerator) -> None:
        def draw(shape: torch.Size, generator: torch.Generator) -> Tensor:
            return _normal(shape, generator, math.sqrt(fans(shape)[0]))

        _fill(net, make_generator, draw, self.bias)


@dataclass(frozen=True, kw_only=True)
class Orthogonal:
    """Weights (out, fan_in) with orthonormal rows, or columns where out exceeds fan_in, times the gain.

    Args:
        gain: a rule or a positive number, see `resolve_gain`.

    Raises:
        UserError: if `gain` is unknown or not positive.

    Example:
        >>> net = nn.Linear(8, 4)
        >>> Orthogonal()(net, torch.empty(0), lambda path: torch.Generator().manual_seed(0))
        >>> torch.allclose(net.weight @ net.weight.T, torch.eye(4), atol=1e-5)
        True

    Source: Saxe, McClelland & Ganguli 2013 (arXiv:1312.6120).
    """

    gain: str | float = "linear"
    bias: float | None = 0.0

    def __post_init__(self) -> None:
        _check_gain(self.gain)

    def __call__(self, net: nn.Module, batch: Tensor, make_generator: MakeGenerator) -> None:
        gain = resolve_gain(self.gain, net)

        def draw(shape: torch.Size, generator: torch.Generator) -> Tensor:
            return nn.init.orthogonal_(torch.empty(shape, device=generator.device), gain, generator=generator)

        _fill(net, make_generator, draw, self.bias)


@dataclass(frozen=True, kw_only=True)
class Dirac:
    """Convolutions that copy their input: output channel c < in_channels is input channel c.

    The weights of further output channels and of Linear layers are those of `TorchDefault`. With stride 1 and "same"
    padding the first in_channels outputs equal the input.

    Raises:
        UserError: when called, if the net has no convolution.

    Example:
        >>> net, images = nn.Conv2d(2, 4, 3, padding=1), torch.ones(1, 2, 5, 5)
        >>> Dirac()(net, torch.empty(0), lambda path: torch.Generator().manual_seed(0))
        >>> torch.allclose(net(images)[:, :2], images)
        True

    Source: Zagoruyko & Komodakis 2017 (arXiv:1706.00388); this partial form Jordan 2024 (arXiv:2404.00498).
    """

    bias: float | None = 0.0

    def __call__(self, net: nn.Module, batch: Tensor, make_generator: MakeGenerator) -> None:
        if not any(not isinstance(layer, nn.Linear) for _, layer in weight_layers(net)):
            raise UserError(
                "initializer dirac needs a net with convolutions to make identities of, got one without any; "
                "choose another initializer or net"
            )

        def draw(shape: torch.Size, generator: torch.Generator) -> Tensor:
            weight = _torch_default(shape, generator)
            if len(shape) > 2:
                nn.init.dirac_(weight[: shape[1]])
            return weight

        _fill(net, make_generator, draw, self.bias)


@dataclass(frozen=True, kw_only=True)
class TorchDefault:
    """What torch does at construction, keyed: weights and biases uniform on +-1/sqrt(fan_in).

    Example:
        >>> net = nn.Linear(100, 10)
        >>> TorchDefault()(net, torch.empty(0), lambda path: torch.Generator().manual_seed(0))
        >>> round(net.weight.abs().max().item(), 2)
        0.1
    """

    bias: float | None = None

    def __call__(self, net: nn.Module, batch: Tensor, make_generator: MakeGenerator) -> None:
        _fill(net, make_generator, _torch_default, self.bias)


@torch.no_grad()
def _fill(net: nn.Module, make_generator: MakeGenerator, draw: Draw, bias: float | None) -> None:
    for name, layer in weight_layers(net):
        generator = make_generator(name)
        layer.weight.copy_(draw(layer.weight.shape, generator))
        if layer.bias is None:
            continue
        if bias is None:
            layer.bias.copy_(_uniform(layer.bias.shape, generator, (3 * fans(layer.weight.shape)[0]) ** -0.5))
        else:
            layer.bias.fill_(bias)


def _normal(shape: torch.Size, generator: torch.Generator, std: float) -> Tensor:
    return torch.empty(shape, device=generator.device).normal_(0, std, generator=generator)


def _uniform(shape: torch.Size, generator: torch.Generator, std: float) -> Tensor:
    bound = math.sqrt(3) * std
    return torch.empty(shape, device=generator.device).uniform_(-bound, bound, generator=generator)


def _torch_default(shape: torch.Size, generator: torch.Generator) -> Tensor:
    # Uniform on +-1/sqrt(fan_in) has the standard deviation 1/sqrt(3 fan_in).
    return _uniform(shape, generator, (3 * fans(shape)[0]) ** -0.5)


def _check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UserError(f"`{name}` must be one of {', '.join(allowed)}, got {value!r}")


def _check_gain(gain: str | float) -> None:
    if isinstance(gain, str) and gain not in GAINS:
        raise UserError(f"`gain` must be one of {', '.join(GAINS)} or a number, got {gain!r}")
    if not isinstance(gain, str) and not gain > 0:
        raise UserError(f"`gain` must be positive, got {gain}")

import math
from collections.abc import Callable

import pytest
import torch
from hydra.utils import instantiate
from scipy.integrate import quad
from torch import nn

from ablate.config import catalog
from ablate.layers.activation import LeCunTanh, Maxout, gain, second_moment

CONF = [catalog.conf_dir()]
LAMBDA, ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717


def load(level: str) -> nn.Module:
    return instantiate(catalog.content_of("activation", level, CONF), _convert_="all")()


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def phi(x: float) -> float:
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def cdf(x: float) -> float:
    return math.erfc(-x / math.sqrt(2)) / 2


def mish_slope(x: float) -> float:
    t = math.tanh(math.log1p(math.exp(x)))
    return t + x * (1 - t * t) * sigmoid(x)


# Value and derivative of every elementwise level; at a kink the derivative is the one from below.
FORMULAS: dict[str, tuple[Callable[[float], float], Callable[[float], float]]] = {
    "sigmoid": (sigmoid, lambda x: sigmoid(x) * sigmoid(-x)),
    "tanh": (math.tanh, lambda x: 1 / math.cosh(x) ** 2),
    "lecun_tanh": (lambda x: 1.7159 * math.tanh(2 * x / 3), lambda x: 1.7159 * 2 / 3 / math.cosh(2 * x / 3) ** 2),
    "relu": (lambda x: max(0.0, x), lambda x: float(x > 0)),
    "leaky_relu": (lambda x: max(0.0, x) + 0.01 * min(0.0, x), lambda x: 1 if x > 0 else 0.01),
    "prelu": (lambda x: max(0.0, x) + 0.25 * min(0.0, x), lambda x: 1 if x > 0 else 0.25),
    "elu": (lambda x: x if x > 0 else math.expm1(x), lambda x: 1 if x > 0 else math.exp(x)),
    "selu": (
        lambda x: LAMBDA * (x if x > 0 else ALPHA * math.expm1(x)),
        lambda x: LAMBDA * (1 if x > 0 else ALPHA * math.exp(x)),
    ),
    "gelu": (lambda x: x * cdf(x), lambda x: cdf(x) + x * phi(x)),
    "silu": (lambda x: x * sigmoid(x), lambda x: sigmoid(x) * (1 + x * sigmoid(-x))),
    "mish": (lambda x: x * math.tanh(math.log1p(math.exp(x))), mish_slope),
    "softplus": (lambda x: math.log1p(math.exp(x)), sigmoid),
    "identity": (lambda x: x, lambda x: 1),
}
MAXOUTS = {"maxout", "maxout_equal_parameters"}

# The lecture's question: the gradient at -10, 0 and 10.
GRADIENTS = {
    "sigmoid": (4.539580773595167e-05, 0.25, 4.539580773595167e-05),
    "tanh": (8.244614512826195e-09, 1.0, 8.244614512826195e-09),
    "relu": (0.0, 0.0, 1.0),
    "leaky_relu": (0.01, 0.01, 1.0),
    "elu": (4.539992976248485e-05, 1.0, 1.0),
    "gelu": (-7.69459862670641e-22, 0.5, 1.0),
    "softplus": (4.5397868702434395e-05, 0.5, 0.9999546021312976),
}


def value_and_gradient(activation: nn.Module, points: list[float]) -> tuple[list[float], list[float]]:
    x = torch.tensor(points, dtype=torch.float64).unsqueeze(1).requires_grad_()
    y = activation.double()(x)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    return y.flatten().tolist(), gradient.flatten().tolist()


def test_every_level_has_an_oracle() -> None:
    lacking = catalog.levels(CONF, "activation").keys() - FORMULAS.keys() - MAXOUTS - {"native"}
    assert not lacking, f"add the value and the derivative of {sorted(lacking)} to FORMULAS in {__file__}"


@pytest.mark.parametrize("level", FORMULAS)
def test_values_and_gradients_follow_the_formula(level: str) -> None:
    points = [-10.0, 0.0, 10.0, *(i / 8 + 1 / 17 for i in range(-64, 64))]
    f, slope = FORMULAS[level]
    values, gradients = value_and_gradient(load(level), points)
    # tanh and mish lose digits of the derivative where they are flat, by the cancellation in 1 - tanh^2.
    assert values == pytest.approx([f(x) for x in points], rel=1e-12, abs=1e-15)
    assert gradients == pytest.approx([slope(x) for x in points], rel=1e-12, abs=1e-14)


@pytest.mark.parametrize("level", GRADIENTS)
def test_gradients_at_minus_10_0_and_10(level: str) -> None:
    _, gradients = value_and_gradient(load(level), [-10.0, 0.0, 10.0])
    assert gradients == pytest.approx(GRADIENTS[level], rel=1e-7, abs=1e-16)


@pytest.mark.parametrize("level", sorted(FORMULAS.keys() | MAXOUTS))
def test_the_input_is_left_alone_and_modules_are_separate(level: str) -> None:
    x = torch.randn(3, 4)
    before = x.clone()
    activation = load(level)
    activation(x)
    assert torch.equal(x, before)
    assert activation is not load(level)


def test_lecun_tanh_maps_one_to_itself() -> None:
    y = LeCunTanh()(torch.tensor([-1.0, 1.0], dtype=torch.float64))
    assert y.tolist() == pytest.approx([-1, 1], abs=5e-5)


@pytest.mark.parametrize("shape", [(5, 12), (2, 12, 3, 4)])
@pytest.mark.parametrize("num_pieces", [2, 3, 4])
def test_maxout_is_the_largest_piece(shape: tuple[int, ...], num_pieces: int) -> None:
    x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    y = Maxout(num_pieces)(x)
    width = 12 // num_pieces
    pieces = torch.stack([x[:, j * width : (j + 1) * width] for j in range(num_pieces)])
    expected, winner = pieces.max(0)
    assert torch.equal(y, expected)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    one_hot = torch.stack([winner == j for j in range(num_pieces)]).to(torch.float64)
    assert torch.equal(gradient, torch.cat(list(one_hot), dim=1))


def test_maxout_generalizes_the_rectifiers() -> None:
    z = torch.linspace(-3, 3, 13)[:, None]
    maxout = Maxout()
    assert torch.equal(maxout(torch.cat([z, 0 * z], 1)), torch.relu(z))
    assert torch.equal(maxout(torch.cat([z, -z], 1)), z.abs())
    assert torch.equal(maxout(torch.cat([z, 0.01 * z], 1)), nn.functional.leaky_relu(z))


def test_maxout_shares_the_gradient_of_equal_pieces() -> None:
    x = torch.ones(1, 2, requires_grad=True)
    Maxout()(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[0.5, 0.5]]


def test_maxout_keeps_channels_last() -> None:
    x = torch.randn(2, 8, 5, 5).to(memory_format=torch.channels_last)
    assert Maxout()(x).is_contiguous(memory_format=torch.channels_last)


def test_maxout_levels_tell_the_net_what_they_need() -> None:
    assert [(load(level).num_pieces, load(level).equal_parameters) for level in sorted(MAXOUTS)] == [
        (2, False),
        (2, True),
    ]


def test_maxout_refuses_bad_input() -> None:
    with pytest.raises(ValueError, match=r"divides by 3, got 8.*3 times as wide"):
        Maxout(3)(torch.zeros(1, 8))
    with pytest.raises(ValueError, match=r"`num_pieces`.*at least 2, got 1"):
        Maxout(1)


@pytest.mark.parametrize("level", FORMULAS)
def test_second_moment_agrees_with_adaptive_quadrature(level: str) -> None:
    f = FORMULAS[level][0]
    below, above = (quad(lambda z: f(z) ** 2 * phi(z), a, a + 12, epsabs=1e-13, epsrel=1e-13)[0] for a in (-12, 0))
    assert second_moment(load(level)) == pytest.approx(below + above, rel=1e-10)


@pytest.mark.parametrize(
    ("activation", "moment"),
    [
        (nn.Identity(), 1),
        (nn.ReLU(), 1 / 2),
        (nn.LeakyReLU(0.2), (1 + 0.2**2) / 2),
        (nn.PReLU(init=0.25), (1 + 0.25**2) / 2),
        (nn.SELU(), 1),
        (Maxout(2), 1),
        (Maxout(3), 1 + math.sqrt(3) / (2 * math.pi)),
    ],
)
def test_second_moment_in_closed_form(activation: nn.Module, moment: float) -> None:
    # The constants of torch's LeakyReLU and PReLU are float32 here; those of selu have 16 digits.
    assert second_moment(activation) == pytest.approx(moment, rel=1e-8)
    assert gain(activation) == pytest.approx(moment**-0.5, rel=1e-8)


def test_second_moment_leaves_the_activation_alone() -> None:
    prelu = nn.PReLU().train()
    second_moment(prelu)
    assert prelu.training
    assert prelu.weight.dtype == torch.float32
    assert prelu.weight.grad is None

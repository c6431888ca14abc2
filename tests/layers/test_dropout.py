import copy
import math
import pickle
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ablate.errors import UserError
from ablate.layers.dropout import SELU_SATURATION, AlphaDropout, Dropout, Positions, SpatialDropout

MODULES = [
    partial(Dropout, scaling="inverted"),
    partial(Dropout, scaling="test_time"),
    partial(SpatialDropout, scaling="inverted"),
    partial(SpatialDropout, scaling="test_time"),
    AlphaDropout,
]


def keyed(module: Any, key: int = 1234) -> Any:
    # Not the seed of the inputs: equal seeds would make the mask a function of the values.
    module.reseed(key)
    return module


@pytest.mark.parametrize("p", [0.2, 0.5, 0.9])
def test_inverted_keeps_one_minus_p_and_rescales(p: float) -> None:
    x = torch.rand(1000, 200) + 1
    y = keyed(Dropout(p))(x)
    kept = y != 0
    torch.testing.assert_close(y[kept], x[kept] / (1 - p))
    n = x.numel()
    assert kept.double().mean().item() == pytest.approx(1 - p, abs=5 * math.sqrt(p * (1 - p) / n))
    # The mean of y: its variance given x is x^2 p / (1 - p) per unit.
    sigma = math.sqrt((x.double() ** 2).sum().item() * p / (1 - p)) / n
    assert y.double().mean().item() == pytest.approx(x.double().mean().item(), abs=5 * sigma)


def test_units_are_dropped_independently() -> None:
    kept = (keyed(Dropout(0.5))(torch.ones(20000, 8)) != 0).double()
    covariance = torch.cov(kept.T)
    torch.testing.assert_close(covariance, torch.eye(8, dtype=torch.float64) / 4, rtol=0, atol=5 * 0.25 / 20000**0.5)


def test_dropped_units_get_no_gradient() -> None:
    x = (torch.rand(50, 20) + 1).requires_grad_()
    upstream = torch.randn(50, 20)
    y = keyed(Dropout(0.5))(x)
    y.backward(upstream)
    assert x.grad is not None
    assert (y == 0).any()
    assert (y != 0).any()
    torch.testing.assert_close(x.grad, torch.where(y == 0, 0, upstream / 0.5))


def test_both_scalings_agree_up_to_the_factor() -> None:
    x = torch.randn(40, 30)
    inverted, test_time = keyed(Dropout(0.2)), keyed(Dropout(0.2, scaling="test_time"))
    torch.testing.assert_close(0.8 * inverted(x), test_time(x))
    assert torch.equal(inverted.eval()(x), x)
    torch.testing.assert_close(test_time.eval()(x), 0.8 * x)


@pytest.mark.parametrize("scaling", ["inverted", "test_time"])
@pytest.mark.parametrize("cls", [Dropout, SpatialDropout])
def test_inference_is_the_expectation_of_training(cls: Any, scaling: str) -> None:
    p, num_masks = 0.3, 4000
    module = keyed(cls(p, scaling=scaling))
    x = torch.rand(2, 3) + 0.5
    mean = torch.stack([module(x) for _ in range(num_masks)]).double().mean(0)
    scale = 1 / (1 - p) if scaling == "inverted" else 1.0
    sigma = scale * x.max().item() * math.sqrt(p * (1 - p) / num_masks)
    torch.testing.assert_close(mean, module.eval()(x).double(), rtol=0, atol=5 * sigma)


def test_spatial_drops_whole_channels() -> None:
    y = keyed(SpatialDropout(0.5))(torch.ones(64, 32, 5, 4))
    assert torch.equal(y.amin((2, 3)), y.amax((2, 3)))
    assert y.unique().tolist() == [0, 2]
    assert (y[:, :, 0, 0] == 0).double().mean().item() == pytest.approx(0.5, abs=5 * 0.5 / (64 * 32) ** 0.5)


def test_spatial_is_ordinary_on_vectors() -> None:
    x = torch.randn(16, 10)
    assert torch.equal(keyed(SpatialDropout(0.4))(x), keyed(Dropout(0.4))(x))


@pytest.mark.parametrize("p", [0.05, 0.1, 0.5])
def test_alpha_keeps_mean_and_variance(p: float) -> None:
    x = torch.randn(1000, 400, dtype=torch.float64)
    y = keyed(AlphaDropout(p))(x)
    n = x.numel()
    # Standard errors of a mean and a variance; the fourth moment of y is finite and estimated from y itself.
    assert y.mean().item() == pytest.approx(0, abs=5 / n**0.5)
    fourth = (y**4).mean().item()
    assert y.var().item() == pytest.approx(1, abs=5 * math.sqrt((fourth - 1) / n))


def test_alpha_follows_its_formula() -> None:
    p = 0.3
    q, s = 1 - p, SELU_SATURATION
    a = (q + s**2 * q * (1 - q)) ** -0.5
    b = -a * (1 - q) * s
    x = torch.randn(200, 50, dtype=torch.float64, requires_grad=True)
    y = keyed(AlphaDropout(p))(x)
    dropped = torch.isclose(y, torch.tensor(a * s + b, dtype=torch.float64), rtol=0, atol=1e-12)
    assert dropped.double().mean().item() == pytest.approx(p, abs=5 * math.sqrt(p * q / x.numel()))
    torch.testing.assert_close(y[~dropped], a * x[~dropped] + b)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(gradient, torch.where(dropped, 0.0, a).double())
    assert nn.functional.selu(torch.tensor(-50.0, dtype=torch.float64)).item() == pytest.approx(s, rel=1e-12)


@pytest.mark.parametrize("make", MODULES)
def test_a_key_decides_the_masks(make: Any) -> None:
    x = torch.randn(8, 16, 4, 4)
    state = torch.get_rng_state()
    module = keyed(make(0.5), key=3)
    first, second = module(x), module(x)
    assert not torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), state)
    module.reseed(3)
    assert torch.equal(module(x), first)
    assert torch.equal(module(x), second)
    assert torch.equal(keyed(make(0.5), key=3)(x), first)
    assert not torch.equal(keyed(make(0.5), key=4)(x), first)


@pytest.mark.parametrize("make", MODULES)
def test_without_a_key_the_default_generator_draws(make: Any) -> None:
    x = torch.randn(8, 16, 4, 4)
    torch.manual_seed(5)
    first = make(0.5)(x)
    torch.manual_seed(5)
    assert torch.equal(make(0.5)(x), first)
    assert not torch.equal(make(0.5)(x), first)


@pytest.mark.parametrize("make", MODULES)
def test_monte_carlo_drops_in_eval_mode_as_in_training(make: Any) -> None:
    x = torch.randn(8, 16, 4, 4)
    module = keyed(make(0.5))
    trained = module.train()(x)
    module.eval()
    module.monte_carlo = True
    module.reseed(1234)
    assert torch.equal(module(x), trained)
    module.monte_carlo = False
    assert torch.equal(module(x), module(x))


@pytest.mark.parametrize("make", MODULES)
def test_dtype_memory_layout_and_copies(make: Any) -> None:
    x = torch.randn(8, 16, 4, 4).to(memory_format=torch.channels_last)
    full = keyed(make(0.5))(x)
    half = keyed(make(0.5))(x.bfloat16())
    assert half.dtype == torch.bfloat16
    assert half.is_contiguous(memory_format=torch.channels_last)
    # Equal masks; the values differ by at most two roundings to 8 bits.
    torch.testing.assert_close(half.float(), full, rtol=2**-7, atol=2**-7)
    module = keyed(make(0.5), key=1)
    module(x)
    expected = module(x)
    again = keyed(make(0.5), key=1)
    again(x)
    assert torch.equal(copy.deepcopy(again)(x), expected)
    assert torch.equal(pickle.loads(pickle.dumps(again))(x), expected)


@pytest.mark.parametrize("make", MODULES)
def test_p_of_zero_is_the_identity(make: Any) -> None:
    x = torch.randn(4, 5)
    torch.testing.assert_close(make(0.0)(x), x)


@pytest.mark.parametrize("p", [-0.1, 1.0, 1.5, math.nan])
@pytest.mark.parametrize("make", MODULES)
def test_p_outside_the_range_is_refused(make: Any, p: float) -> None:
    with pytest.raises(ValueError, match=r"`p` is the probability to drop and must lie in \[0, 1\), got"):
        make(p)


def test_unknown_scaling_is_refused() -> None:
    with pytest.raises(ValueError, match="`scaling` must be one of inverted, test_time, got 'keep'"):
        Dropout(0.5, scaling="keep")


def rates(modules: list[nn.Module | None]) -> list[float | None]:
    return [None if module is None else module.p for module in modules]


def test_positions_give_each_place_its_rate() -> None:
    positions = Positions(layer=Dropout, input=0.2, conv=[0.0, 0.1, 0.3], hidden=0.5)
    assert rates([positions.at_input()]) == [0.2]
    assert rates([positions.after_stage(i, 3) for i in range(3)]) == [None, 0.1, 0.3]
    assert rates([positions.after_hidden(i, 2) for i in range(2)]) == [0.5, 0.5]
    assert positions.after_hidden(0, 2) is not positions.after_hidden(0, 2)
    nothing = Positions(layer=Dropout)
    assert rates([nothing.at_input(), nothing.after_stage(0, 1), nothing.after_hidden(0, 1)]) == [None] * 3


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hidden": 1.0}, r"`hidden` is a probability to drop and must lie in \[0, 1\), got 1.0"),
        ({"conv": [0.1, -0.2]}, r"`conv` is a probability to drop and must lie in \[0, 1\), got -0.2"),
        ({"input": 2}, r"`input` is a probability to drop and must lie in \[0, 1\), got 2"),
        ({"hidden": 0.5, "num_samples": -1}, r"`num_samples` must be 0 .* got -1"),
        ({"num_samples": 50}, r"`num_samples` asks for 50 Monte-Carlo samples, but nothing is dropped"),
        ({"conv": [0.0, 0.0], "num_samples": 1}, r"nothing is dropped"),
    ],
)
def test_positions_refuse_bad_fields(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Positions(layer=Dropout, **fields)


def test_positions_refuse_a_list_of_the_wrong_length() -> None:
    positions = Positions(layer=Dropout, conv=[0.1, 0.2], hidden=[0.5])
    with pytest.raises(ValueError, match="`conv` lists 2 probabilities, but the net has 3 such places"):
        positions.after_stage(0, 3)
    with pytest.raises(ValueError, match="`hidden` lists 1 probabilities, but the net has 2 such places"):
        positions.after_hidden(0, 2)


def test_positions_refuse_a_wrong_keyword_of_the_layer_at_once() -> None:
    with pytest.raises(UserError, match=r"`dropout.layer` cannot be made from its settings: .*scale"):
        Positions(layer=partial(Dropout, scale="inverted"))


def test_monte_carlo_average_approaches_the_linear_net_in_closed_form() -> None:
    """For a linear map, the mean over masks is the map of the expectation."""
    linear = nn.Linear(20, 3)
    net = nn.Sequential(Dropout(0.5), linear).eval()
    x = torch.randn(4, 20)
    net[0].monte_carlo = True
    net[0].reseed(0)
    num_samples = 4000
    with torch.no_grad():
        samples: Tensor = torch.stack([net(x) for _ in range(num_samples)])
        sigma = samples.std(0).max().item() / num_samples**0.5
        torch.testing.assert_close(samples.mean(0), linear(x), rtol=0, atol=5 * sigma)

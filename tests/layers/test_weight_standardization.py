import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ablate.layers.weight_standardization import WeightStandardization, standardize


def formula(weight: Tensor, eps: float, gain: float | None) -> Tensor:
    """The definition, unit by unit, in float64."""
    units = []
    for w in weight.detach().double().flatten(1):
        mean = w.sum() / len(w)
        var = ((w - mean) ** 2).sum() / len(w)
        scale = 1 if gain is None else gain / math.sqrt(len(w))
        units.append(scale * (w - mean) / torch.sqrt(var + eps))
    return torch.stack(units).reshape(weight.shape)


@pytest.mark.parametrize("shape", [(7, 30), (7, 5, 3, 2)])
@pytest.mark.parametrize("gain", [None, 1.0, 1.7])
def test_follows_the_formula(shape: tuple[int, ...], gain: float | None) -> None:
    weight = torch.randn(shape, dtype=torch.float64) * 3 + 1
    actual = standardize(weight, 1e-3, gain)
    torch.testing.assert_close(actual, formula(weight, 1e-3, gain), rtol=1e-12, atol=1e-12)
    actual = standardize(weight, 1e-14, gain).flatten(1)
    variance = torch.full((7,), 1.0 if gain is None else gain**2 / 30, dtype=torch.float64)
    torch.testing.assert_close(actual.mean(1), torch.zeros(7, dtype=torch.float64), rtol=0, atol=1e-12)
    torch.testing.assert_close(actual.var(1, correction=0), variance, rtol=1e-10, atol=0)


@pytest.mark.parametrize(
    ("layer", "x"),
    [
        (nn.Conv2d(4, 6, 3, stride=2, padding=1, padding_mode="circular"), torch.randn(2, 4, 7, 7)),
        (nn.Conv2d(4, 6, 3, padding="same", groups=2, bias=False), torch.randn(2, 4, 7, 7)),
        (nn.Linear(4, 6), torch.randn(2, 4)),
        (nn.Linear(4, 6, bias=False), torch.randn(2, 4)),
    ],
)
def test_wrap_changes_the_weights_and_nothing_else(layer: nn.Conv2d | nn.Linear, x: Tensor) -> None:
    state = torch.get_rng_state()
    wrapped = WeightStandardization(eps=1e-4, gain=1.3).wrap(layer)
    assert torch.equal(torch.get_rng_state(), state)
    assert wrapped.weight is layer.weight
    assert wrapped.bias is layer.bias
    assert isinstance(wrapped, type(layer))
    assert wrapped.state_dict().keys() == layer.state_dict().keys()
    actual = wrapped(x)
    with torch.no_grad():
        layer.weight.copy_(formula(layer.weight, 1e-4, 1.3))
    torch.testing.assert_close(actual, layer(x), rtol=1e-5, atol=1e-5)


def test_scale_and_shift_of_the_weights_have_no_effect() -> None:
    weight = torch.randn(5, 20, dtype=torch.float64)
    torch.testing.assert_close(standardize(3 * weight + 2, 1e-14, 1.0), standardize(weight, 1e-14, 1.0))


def test_the_gradient_is_centred_and_orthogonal_to_the_weights() -> None:
    weight = torch.randn(5, 20, dtype=torch.float64, requires_grad=True)
    (standardize(weight, 1e-14, 1.0) * torch.randn(5, 20, dtype=torch.float64)).sum().backward()
    assert weight.grad is not None
    zeros = torch.zeros(5, dtype=torch.float64)
    torch.testing.assert_close(weight.grad.sum(1), zeros, rtol=0, atol=1e-12)
    torch.testing.assert_close((weight.grad * weight).sum(1), zeros, rtol=0, atol=1e-11)
    assert weight.grad.abs().max() > 1e-2


def test_equal_weights_have_a_finite_gradient() -> None:
    weight = torch.full((2, 3), 0.1, requires_grad=True)
    (standardize(weight, 1e-5, 1.0) * torch.randn(2, 3)).sum().backward()
    assert weight.grad is not None
    assert weight.grad.isfinite().all()
    assert weight.grad.abs().max() > 0


def test_the_default_gain_keeps_the_variance_through_relu() -> None:
    assert WeightStandardization().gain == pytest.approx(math.sqrt(2 / (1 - 1 / math.pi)), rel=1e-15)
    generator = torch.Generator().manual_seed(0)
    fan_in, num_units, num_images = 1024, 512, 256
    x = F.relu(torch.randn(num_images, fan_in, generator=generator))
    layer = WeightStandardization(eps=1e-12).wrap(nn.Linear(fan_in, num_units, bias=False))
    nn.init.normal_(layer.weight, generator=generator)
    # Two relative standard errors: sqrt(2 / (256 * 512)) from the images of each unit, 0.4 % from the variance of the
    # 256 * 1024 inputs that all units share; 3 % is five times both together. A gain of sqrt(2) would give 0.68.
    assert layer(x).var(0).mean().item() == pytest.approx(1, abs=0.03)


def test_under_bfloat16_autocast_the_weights_are_standardized_in_float32() -> None:
    layer = WeightStandardization().wrap(nn.Conv2d(3, 4, 3))
    x = torch.randn(2, 3, 6, 6)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
        assert standardize(layer.weight, 1e-5, 1.0).dtype == torch.float32
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), layer(x), rtol=2e-2, atol=5e-2)


def test_what_a_net_reads_and_refusals() -> None:
    assert WeightStandardization()(8, 2) is None
    assert WeightStandardization()(8, 4) is None
    with pytest.raises(ValueError, match="`eps` must be positive, got 0"):
        WeightStandardization(eps=0)
    with pytest.raises(ValueError, match=r"`gain` must be positive.*got -1"):
        WeightStandardization(gain=-1)
    with pytest.raises(ValueError, match="Conv2d or a Linear, got ReLU"):
        WeightStandardization().wrap(nn.ReLU())

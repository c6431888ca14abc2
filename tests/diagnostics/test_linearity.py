import math

import numpy as np
import pytest
import torch
from torch import nn

from ablate.diagnostics.linearity import linearity, r_squared
from ablate.layers.activation import Maxout


def normal_quantiles(num):
    """The (i + 1/2) / num quantiles of N(0, 1): sums over them are a midpoint rule in probability."""
    p = (torch.arange(num, dtype=torch.float64) + 0.5) / num
    return torch.special.ndtri(p)[:, None]


def under_normal(f):
    """R^2 of the best line through f under N(0, 1), by Gauss-Hermite quadrature: E[z f]^2 / Var f."""
    z, weight = np.polynomial.hermite_e.hermegauss(200)
    weight = weight / weight.sum()
    y = f(z)
    return (weight * z * y).sum() ** 2 / ((weight * y * y).sum() - (weight * y).sum() ** 2)


def test_tanh_and_sigmoid_under_a_normal_distribution():
    z = normal_quantiles(200_001)
    for f, oracle in ((torch.tanh, np.tanh), (torch.sigmoid, lambda z: 1 / (1 + np.exp(-z)))):
        layer, by_unit = r_squared(z, f(z))
        assert layer.item() == pytest.approx(under_normal(oracle), abs=1e-4)
        assert by_unit.item() == pytest.approx(layer.item(), abs=1e-12)


def test_relu_under_a_normal_distribution():
    """E[z relu] = 1/2 and Var relu = 1/2 - 1/(2 pi), so R^2 = pi / (2 (pi - 1))."""
    z = normal_quantiles(200_001)
    assert r_squared(z, z.relu())[0].item() == pytest.approx(math.pi / (2 * (math.pi - 1)), abs=1e-4)


def test_maxout_under_a_normal_distribution():
    """max(x, y) = (x + y)/2 + |x - y|/2: the plane has variance 1/2 of 1 - 1/pi."""
    z = normal_quantiles(1001)[:, 0]
    pairs = torch.cartesian_prod(z, z)
    layer, by_unit = r_squared(pairs, pairs.amax(1, keepdim=True), num_pieces=2)
    assert layer.item() == pytest.approx(0.5 / (1 - 1 / math.pi), abs=5e-4)
    assert by_unit.item() == pytest.approx(layer.item(), abs=1e-12)


def test_units_on_their_own_straight_pieces():
    z = torch.rand(50, 2, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 1
    z[:, 1] -= 3  # a channel that is always off beside one that is always on
    layer, by_unit = r_squared(z, z.relu())
    assert by_unit.item() == pytest.approx(1, abs=1e-12)
    x, y = z.flatten().numpy(), z.relu().flatten().numpy()
    assert layer.item() == pytest.approx(np.corrcoef(x, y)[0, 1] ** 2, abs=1e-12)
    assert layer.item() < 0.99


def test_constants_are_lines():
    for z in (torch.randn(8, 3, generator=torch.Generator().manual_seed(0)), torch.zeros(8, 3)):
        assert [v.item() for v in r_squared(z, torch.zeros(8, 3))] == [1, 1]


def test_the_measure_against_least_squares(make_probe):
    for activation, num_pieces in ((nn.Tanh, 1), (Maxout, 2)):
        probe = make_probe(activation=activation)
        values = linearity(probe)
        lines = []
        for unit in probe.passed.units:
            z, a = (t.movedim(1, -1).double().numpy() for t in (unit.inputs, unit.outputs))
            z = z.reshape(*a.shape[:-1], num_pieces, a.shape[-1])
            z, a = np.moveaxis(z, -2, -1).reshape(-1, a.shape[-1], num_pieces), a.reshape(-1, a.shape[-1])
            residual = least_squares(z.reshape(-1, num_pieces), a.reshape(-1))
            assert values[unit.name].item() == pytest.approx(1 - (residual**2).mean() / a.var(), abs=1e-5)
            residuals = [least_squares(z[:, c], a[:, c]) for c in range(a.shape[1])]
            lines.append(1 - np.mean([r @ r for r in residuals]) / (len(a) * a.var(0).mean()))
        assert values["by_unit"].item() == pytest.approx(np.mean(lines), abs=1e-5)
        layers = [values[unit.name].item() for unit in probe.passed.units]
        assert values["mean"].item() == pytest.approx(np.mean(layers), abs=1e-6)


def least_squares(z, a):
    design = np.column_stack([np.ones(len(a)), z])
    return a - design @ np.linalg.lstsq(design, a, rcond=None)[0]


def test_the_identity_is_linear(make_probe):
    assert all(v.item() == pytest.approx(1, abs=1e-6) for v in linearity(make_probe(activation=nn.Identity)).values())


def test_numbers_that_are_not_finite_are_no_exception():
    z = torch.tensor([[math.inf, 1.0], [0.0, math.nan]])
    assert all(v.isnan() for v in r_squared(z, z.tanh()))

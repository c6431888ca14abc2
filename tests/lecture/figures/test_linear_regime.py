"""The linear regime against closed forms, and the identity that batch norm can reach."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from ablate.lecture.figures import linear_regime
from ablate.lecture.figures.linear_regime import best_line

KNOBS = {"betas": [0.0, 2.0], "largest_gamma": 100.0, "mean": 3.0, "std": 2.0, "num": 50}


def test_lines_of_relu_and_of_a_hard_step():
    slope, intercept, r_squared = best_line(nn.ReLU(), 1.0, 0.0)
    # Cov(relu(z), z) = 1/2, E relu(z) = 1/sqrt(2 pi), Var relu(z) = 1/2 - 1/(2 pi).
    assert slope == pytest.approx(0.5, abs=1e-6)
    assert intercept == pytest.approx(1 / math.sqrt(2 * math.pi), abs=1e-6)
    assert r_squared == pytest.approx(0.25 / (0.5 - 0.5 / math.pi), abs=1e-6)
    # tanh(gamma z) -> sign(z): Cov(sign(z), z)^2 = 2 / pi.
    assert best_line(nn.Tanh(), 1e3, 0.0)[2] == pytest.approx(2 / math.pi, abs=2e-3)


def test_a_line_is_found_exactly_whatever_gamma_and_beta():
    assert best_line(nn.Identity(), 3.0, -2.0) == pytest.approx((1, 0, 1))


def test_r_squared_against_sampling():
    z = torch.randn(1_000_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    u = 1.5 * z + 0.7
    correlation = np.corrcoef(u, torch.tanh(u))[0, 1]
    assert best_line(nn.Tanh(), 1.5, 0.7)[2] == pytest.approx(correlation**2, abs=1e-3)


def test_standard_inputs_are_more_linear_than_scaled_ones_and_the_identity_is_exact(make_lab):
    arrays = linear_regime.compute(make_lab(), **KNOBS)
    one = int(np.abs(np.log(arrays["gammas"])).argmin())
    assert arrays["gammas"][one] == pytest.approx(1)
    for row in arrays["r_squared"][:2, 0]:  # sigmoid and tanh at beta = 0
        assert (np.diff(row) < 0).all()
        assert row[one] > 0.9 > 0.7 > row[-1]
    np.testing.assert_allclose(arrays["r_squared"][2, 0], 0.25 / (0.5 - 0.5 / math.pi), atol=1e-6)
    x = arrays["x"]
    np.testing.assert_allclose(arrays["y"][2], x, atol=1e-13)
    np.testing.assert_allclose(arrays["y"][0], (x - x.mean()) / np.sqrt(x.var() + 1e-5))
    assert np.abs(arrays["y"][1] - x).max() > 1
    linear_regime.draw(arrays)
    assert f"sigmoid {arrays['r_squared'][0, 0, one]:.3f} at γ = 1" in linear_regime.caption(arrays)


def test_refuses_a_spread_of_zero(make_lab):
    with pytest.raises(ValueError, match=r"figure.std` above 0 .* got 100.0, 0.0 and 50"):
        linear_regime.compute(make_lab(), **{**KNOBS, "std": 0.0})

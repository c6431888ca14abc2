import math

import numpy as np
import pytest
import torch
from torch import nn

from ablate.diagnostics.off_state import off_state, relative_mean, response
from ablate.layers.activation import Maxout
from ablate.layers.normalization import Batch

LAYERS = ("conv1_1", "conv2_1", "fc1")


def test_response_by_hand():
    z, noisy = torch.tensor([[-1.0, -2.0, 3.0]]), torch.tensor([[-2.0, 1.0, 9.0]])
    assert response(z, z.relu(), noisy, noisy.relu()).item() == pytest.approx(1 / 4)
    leaky = nn.LeakyReLU(0.1)
    assert response(z, leaky(z), noisy, leaky(noisy)).item() == pytest.approx((0.1 + 1.2) / 4)
    assert response(z.abs(), z, noisy, noisy).isnan()


def test_relative_mean_of_relu_under_a_normal_distribution():
    """E = 1 / sqrt(2 pi), Var = 1/2 - 1/(2 pi): the ratio is 1 / sqrt(pi - 1)."""
    z = torch.special.ndtri((torch.arange(100_001, dtype=torch.float64) + 0.5) / 100_001)
    assert relative_mean(z.relu()).item() == pytest.approx(1 / math.sqrt(math.pi - 1), abs=1e-4)
    assert relative_mean(z.tanh()).item() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("normalization", [None, Batch()])
def test_the_measure_against_a_pass_in_float64(normalization, make_probe):
    probe = make_probe(activation=nn.ELU, normalization=normalization, dropout=0.5)
    values = {key: value.item() for key, value in off_state(probe, noise=0.3).items()}
    noise = 0.3 * torch.empty(24, 3, 8, 8).normal_(generator=probe.generator("off_state")).double()
    net = probe.net.double()
    runs = []
    for added in (torch.zeros(()), noise):
        x, seen = net.preprocessing(probe.images).double() + added, []
        for name, layer in list(net.named_children())[1:]:
            y = x if name.startswith("fc_dropout") else layer(x)
            if "act" in name:
                seen.append((x.detach().numpy(), y.detach().numpy()))
            x = y
        runs.append(seen)
    for name, (z, a), (noisy_z, noisy_a) in zip(LAYERS, *runs, strict=True):
        off = z < 0
        expected = np.abs(noisy_a - a)[off].mean() / np.abs(noisy_z - z)[off].mean()
        assert values[f"{name}/response"] == pytest.approx(expected, rel=1e-4)
        assert values[f"{name}/relative_mean"] == pytest.approx(a.mean() / a.std(), rel=1e-4)
    for key in ("response", "relative_mean"):
        assert values[key] == pytest.approx(np.mean([values[f"{name}/{key}"] for name in LAYERS]), rel=1e-6)
    assert len(values) == 8


def test_small_noise_finds_the_slope_of_the_off_state(make_probe):
    """The noise switches next to no unit on, and is yet far above the rounding of z."""
    for slope in (0.01, 0.3):
        probe = make_probe(activation=lambda slope=slope: nn.LeakyReLU(slope))
        assert off_state(probe, noise=1e-3)["response"].item() == pytest.approx(slope, rel=3e-3)


def test_elu_is_stiller_than_leaky_relu_where_it_saturates(make_probe):
    def responses(activation):
        probe = make_probe(activation=activation)
        with torch.no_grad():
            for name in LAYERS:
                probe.net.get_submodule(name).bias.fill_(-8.0)
        return off_state(probe)["conv1_1/response"].item()

    assert responses(nn.ELU) < 0.1 * responses(lambda: nn.LeakyReLU(0.1))


def test_maxout_has_no_off_state(make_probe):
    assert set(off_state(make_probe(activation=Maxout))) == {*(f"{x}/relative_mean" for x in LAYERS), "relative_mean"}


@pytest.mark.parametrize("noise", [0, -1, float("nan")])
def test_bad_noise(noise, make_probe):
    with pytest.raises(ValueError, match=r"noise.*above 0, got"):
        off_state(make_probe(), noise=noise)

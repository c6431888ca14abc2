import math

import pytest
import torch
from torch import nn

from ablate.diagnostics.saturation import largest_slope, saturated, saturation
from ablate.layers.activation import LeCunTanh, Maxout

Z = torch.linspace(-9, 9, 4000, dtype=torch.float64).reshape(1000, 4)
LARGEST = {
    "sigmoid": (nn.Sigmoid(), 0.25),
    "tanh": (nn.Tanh(), 1.0),
    "lecun_tanh": (LeCunTanh(), 1.7159 * 2 / 3),
    "relu": (nn.ReLU(), 1.0),
    "leaky_relu": (nn.LeakyReLU(0.1), 1.0),
    "selu": (nn.SELU(), 1.0507009873554805 * 1.6732632423543772),
    "elu_3": (nn.ELU(3.0), 3.0),
    "prelu": (nn.PReLU(init=-2.0, dtype=torch.float64), 2.0),
    "identity": (nn.Identity(), 1.0),
    "maxout": (Maxout(2), 1.0),
}


@pytest.mark.parametrize("name", LARGEST)
def test_the_largest_slope_in_closed_form(name):
    activation, expected = LARGEST[name]
    assert torch.allclose(largest_slope(activation, Z), torch.tensor(expected).double(), rtol=1e-7)


def test_the_largest_slope_between_points_of_the_grid():
    """GELU is steepest at sqrt(2), where its slope is Phi(z) + z phi(z)."""
    root = math.sqrt(2)
    expected = (1 + math.erf(root / math.sqrt(2))) / 2 + root * math.exp(-1) / math.sqrt(2 * math.pi)
    # A step h of the grid leaves out at most h^2 |f'''| / 8, and |f'''(sqrt(2))| = 0.42.
    assert largest_slope(nn.GELU(), Z).tolist() == pytest.approx([expected], abs=1.3e-5)


@pytest.mark.parametrize("threshold", [0.05, 0.3])
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_a_sigmoid_saturates_where_its_closed_form_says(threshold, scale):
    """4 s (1 - s) < t at |z| > 2 atanh(sqrt(1 - t)); tanh(z) = 2 sigmoid(2z) - 1 does so at half of that."""
    activation = nn.Sigmoid() if scale == 1 else nn.Tanh()
    edge = scale * 2 * math.atanh(math.sqrt(1 - threshold))
    assert torch.equal(saturated(activation, Z, threshold), Z.abs() > edge)


def test_relu_saturates_below_zero_only_and_maxout_nowhere():
    assert torch.equal(saturated(nn.ReLU(), Z, 0.05), Z < 0)
    assert not saturated(Maxout(2), Z, 0.05).any()
    assert not saturated(nn.LeakyReLU(0.1), Z, 0.05).any()


def test_the_measure_counts_in_a_net(make_probe):
    probe = make_probe(activation=nn.Sigmoid)
    with torch.no_grad():
        for layer in (probe.net.conv1_1, probe.net.conv2_1, probe.net.fc1):
            layer.weight.mul_(4)
    values = saturation(probe)
    edge = 2 * math.atanh(math.sqrt(0.95))
    shares, positives = [], []
    for unit in probe.passed.units:
        z = unit.inputs.double().flatten().tolist()
        shares.append(sum(abs(value) > edge for value in z) / len(z))
        positives.append(sum(value > edge for value in z) / len(z))
        assert values[unit.name].item() == pytest.approx(shares[-1], abs=1e-6)
    assert max(positives) > 0.1
    assert values["mean"].item() == pytest.approx(sum(shares) / 3, abs=1e-6)
    assert values["positive"].item() == pytest.approx(sum(positives) / 3, abs=1e-6)


@pytest.mark.parametrize("activation", [nn.ReLU, nn.LeakyReLU, nn.ELU, nn.PReLU, Maxout])
def test_the_relu_family_does_not_saturate_above_zero(activation, make_probe):
    assert saturation(make_probe(activation=activation))["positive"].item() == 0


@pytest.mark.parametrize("threshold", [0, 1, float("nan")])
def test_bad_threshold(threshold, make_probe):
    with pytest.raises(ValueError, match=r"threshold.*\(0, 1\), got"):
        saturation(make_probe(), threshold=threshold)

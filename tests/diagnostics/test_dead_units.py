import math

import pytest
import torch
from torch import nn

from ablate.diagnostics.dead_units import dead_fraction, dead_units
from ablate.diagnostics.probe import slopes
from ablate.layers.activation import LeCunTanh, Maxout
from ablate.regularization import Regularizer

Z = torch.linspace(-6, 6, 960, dtype=torch.float64).reshape(20, 4, 4, 3)  # no place is at a kink
PHI = torch.exp(-(Z**2) / 2) / math.sqrt(2 * math.pi)
SLOPES = {
    "sigmoid": (nn.Sigmoid(), torch.sigmoid(Z) * (1 - torch.sigmoid(Z))),
    "tanh": (nn.Tanh(), 1 / torch.cosh(Z) ** 2),
    "lecun_tanh": (LeCunTanh(), 1.7159 * 2 / 3 / torch.cosh(2 * Z / 3) ** 2),
    "relu": (nn.ReLU(), (Z > 0).double()),
    "leaky_relu": (nn.LeakyReLU(0.1), torch.where(Z > 0, 1.0, torch.tensor(0.1, dtype=Z.dtype))),
    "elu": (nn.ELU(), torch.where(Z > 0, torch.ones_like(Z), Z.exp())),
    "gelu": (nn.GELU(), torch.special.ndtr(Z) + Z * PHI),
    "identity": (nn.Identity(), torch.ones_like(Z)),
    "maxout": (Maxout(2), torch.ones(20, 2, 4, 3, dtype=torch.float64)),
}


@pytest.mark.parametrize("name", SLOPES)
def test_slopes_are_the_derivatives_of_the_textbook(name):
    activation, expected = SLOPES[name]
    assert torch.allclose(slopes(activation, Z), expected, rtol=0, atol=1e-12)


def test_a_channel_of_a_prelu_has_its_own_slope():
    prelu = nn.PReLU(4, dtype=torch.float64)
    with torch.no_grad():
        prelu.weight.copy_(torch.tensor([0.1, 0.2, -0.3, 2.0]))
    assert torch.equal(slopes(prelu, -torch.ones_like(Z))[5, :, 1, 1], prelu.weight.detach())
    assert prelu.weight.grad is None


def test_slopes_leave_no_trace_in_a_net_that_listens_to_its_activations():
    net = nn.Sequential()
    net.add_module("act1_1", nn.ReLU())
    loss = Regularizer(l1_activation=1.0).make_loss(net)
    logits, labels = torch.zeros(2, 3), torch.tensor([0, 1])
    slopes(net.act1_1, Z)
    assert net.act1_1.training
    assert loss(logits, labels).item() == pytest.approx(math.log(3))


def test_a_unit_is_dead_only_if_it_is_dead_everywhere():
    slope = torch.zeros(5, 4, 2, 2)
    slope[3, 1, 0, 1] = 1e-30
    slope[0, 2] = -1
    assert dead_fraction(slope).item() == 0.5
    assert dead_fraction(slope[:, :, 0, 1]).item() == 0.5


def test_relu_units_are_dead_if_they_are_never_active(make_probe):
    probe = make_probe()
    with torch.no_grad():
        probe.net.conv1_1.bias[:3] = -1e3
        probe.net.fc1.bias[0] = -1e3
    values = dead_units(probe)
    net = probe.net.double()
    x = probe.images.double()
    for name, layer in net.named_children():
        x = layer(x)
        if name in ("act1_1", "act2_1", "fc_act1"):
            never = [bool((x[:, c] == 0).all()) for c in range(x.shape[1])]
            key = {"act1_1": "conv1_1", "act2_1": "conv2_1", "fc_act1": "fc1"}[name]
            assert values[key].item() == pytest.approx(sum(never) / len(never))
    assert values["conv1_1"].item() == 0.75
    assert values["fc1"].item() >= 0.125
    mean = sum(values[key].item() for key in ("conv1_1", "conv2_1", "fc1")) / 3
    assert values["mean"].item() == pytest.approx(mean)
    assert set(values) == {"conv1_1", "conv2_1", "fc1", "mean"}


@pytest.mark.parametrize("activation", [nn.LeakyReLU, nn.PReLU, Maxout])
def test_what_cannot_die(activation, make_probe):
    probe = make_probe(activation=activation)
    with torch.no_grad():
        probe.net.conv1_1.bias.fill_(-1e3)
    assert {value.item() for value in dead_units(probe).values()} == {0.0}


def test_a_sigmoid_far_above_zero_is_dead_in_fp32(make_probe):
    probe = make_probe(activation=nn.Sigmoid)
    with torch.no_grad():
        probe.net.fc1.bias[:2] = 100.0
    assert dead_units(probe)["fc1"].item() == 0.25

"""Gradient norms against plain autograd, and the ratio where the chain rule gives it in closed form."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ablate.data.dataset import Split
from ablate.diagnostics.gradient_norm import affine_weights, gradient_norm
from ablate.diagnostics.probe import Probe
from ablate.layers.dropout import Dropout, Positions
from ablate.layers.normalization import Batch, NoNormalization
from ablate.nets import ConvNet


def build(activation=nn.ReLU, normalization=None, **spec):
    torch.manual_seed(0)
    return ConvNet(**{"widths": [3, 4], "convs_per_stage": 1, "hidden_width": 5} | spec).build(
        (1, 8, 8),
        3,
        activation=activation,
        normalization=normalization or NoNormalization(),
        dropout=Positions(layer=Dropout),
    )


def probe_of(net, num_images=10):
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(num_images, 1, 8, 8, generator=generator).to(memory_format=torch.channels_last)
    labels = torch.randint(0, 3, (num_images,), generator=generator)
    return Probe(net=net, images=images, labels=labels, held_out=Split(images=images, labels=labels))


def test_norms_are_those_of_autograd():
    net = build(normalization=Batch()).train()
    probe = probe_of(net)
    found = gradient_norm(probe)
    double = build(normalization=Batch()).double().train()
    F.cross_entropy(double(probe.images.double()), probe.labels).backward()
    assert list(found) == ["conv1_1", "conv2_1", "fc1", "classifier", "first_last"]
    for name in ("conv1_1", "conv2_1", "fc1", "classifier"):
        expected = double.get_submodule(name).weight.grad.square().sum().sqrt()
        torch.testing.assert_close(found[name].double(), expected, rtol=1e-4, atol=0)


def test_the_ratio_multiplies_the_slopes_and_weights_of_the_chain():
    """Two hidden units in a row, identity activations: dL/dz1 = w2 w3 dL/dz3, and z3 is the last."""
    net = build(activation=nn.Identity, widths=[], num_hidden=3, hidden_width=1)
    with torch.no_grad():
        net.fc2.weight.fill_(0.1)
        net.fc3.weight.fill_(-0.2)
    torch.testing.assert_close(gradient_norm(probe_of(net))["first_last"], torch.tensor(0.02))


def test_sigmoids_let_the_gradient_vanish_and_relus_do_not():
    """Each sigmoid passes at most a quarter of the gradient; He's weights keep that of ReLU in the mean."""
    ratios = {}
    for activation, gain in ((nn.Sigmoid, 1.0), (nn.ReLU, 2.0)):
        net = build(activation=activation, widths=[], num_hidden=8, hidden_width=256)
        with torch.no_grad():
            for weight in affine_weights(net, dict(net.named_parameters())).values():
                weight.normal_(0, (gain / weight.shape[1]) ** 0.5)
        ratios[activation] = gradient_norm(probe_of(net, 64))["first_last"].item()
    assert ratios[nn.Sigmoid] < 0.25**7 * 1.5
    assert ratios[nn.ReLU] == pytest.approx(1, abs=0.3)


def test_pooling_alone_does_not_look_like_vanishing():
    """Max pooling hands its gradient to one of four entries: the norm stays, the root mean square would halve."""
    net = build(activation=nn.Identity, widths=[1, 1], num_hidden=0, kernel_size=1, bias=False)
    with torch.no_grad():
        net.conv2_1.weight.fill_(1)
    torch.testing.assert_close(gradient_norm(probe_of(net))["first_last"], torch.tensor(1.0))


def test_softmax_regression_has_no_ratio():
    assert list(gradient_norm(probe_of(build(widths=[], num_hidden=0)))) == ["classifier"]

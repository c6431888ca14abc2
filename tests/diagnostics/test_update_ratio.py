"""The last step relative to the weights: under plain SGD it is lr times the gradient."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ablate.data.dataset import Split
from ablate.diagnostics.probe import Probe
from ablate.diagnostics.update_ratio import update_ratio
from ablate.layers.dropout import Dropout, Positions
from ablate.layers.normalization import Batch
from ablate.nets import ConvNet

LR = 0.03


@pytest.fixture
def probe():
    """A probe after one step of SGD with lr 0.03."""
    torch.manual_seed(0)
    net = ConvNet(widths=[3], convs_per_stage=1, hidden_width=5).build(
        (1, 6, 6), 3, activation=nn.ReLU, normalization=Batch(), dropout=Positions(layer=Dropout)
    )
    images, labels = torch.randn(10, 1, 6, 6).to(memory_format=torch.channels_last), torch.arange(10) % 3
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    F.cross_entropy(net(images), labels).backward()
    torch.optim.SGD(net.parameters(), lr=LR).step()
    return Probe(
        net=net,
        images=images,
        labels=labels,
        held_out=Split(images=images, labels=labels),
        weights_before_step=before,
    )


def test_a_step_of_sgd_is_lr_times_the_gradient(probe):
    found = update_ratio(probe)
    assert list(found) == ["conv1_1", "fc1", "classifier", "mean"]
    for name in ("conv1_1", "fc1", "classifier"):
        gradient = probe.net.get_submodule(name).weight.grad.double()
        weight = probe.weights_before_step[f"{name}.weight"].double()
        expected = LR * gradient.norm() / weight.norm()
        torch.testing.assert_close(found[name].double(), expected, rtol=1e-4, atol=0)
    layers = torch.stack([found[name] for name in ("conv1_1", "fc1", "classifier")])
    torch.testing.assert_close(found["mean"], layers.mean())


def test_weights_of_zero_that_move_move_infinitely(probe):
    probe.weights_before_step["fc1.weight"].zero_()
    assert update_ratio(probe)["fc1"].isinf()


def test_no_step_no_ratio(probe):
    probe.weights_before_step.clear()
    assert update_ratio(probe) == {}

"""Nine arms of torchvision's residual net: what is measured is what plain autograd gives."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock, ResNet

from ablate.data.dataset import Split
from ablate.diagnostics.dead_units import dead_fraction, dead_units
from ablate.diagnostics.gradient_norm import gradient_norm
from ablate.diagnostics.pre_activation import pre_activation
from ablate.diagnostics.probe import Probe
from ablate.layers.dropout import Dropout, Positions
from ablate.layers.initialization import VarianceScaling
from ablate.layers.normalization import Batch, Group, NoNormalization
from ablate.nets import Module
from ablate.nets.roles import made
from ablate.seeding import Streams

LABELS = torch.arange(6) % 3


def plain_forward(model, x, act):
    """The forward pass as the paper has it, every activation a new tensor."""
    x = model.maxpool(act(model.bn1(model.conv1(x))))
    for layer in (model.layer1, model.layer2, model.layer3, model.layer4):
        for block in layer:
            y = act(block.bn1(block.conv1(x)))
            shortcut = x if block.downsample is None else block.downsample(x)
            x = act(block.bn2(block.conv2(y)) + shortcut)
    return model.fc(model.avgpool(x).flatten(1))


@pytest.mark.parametrize(
    "normalization", [Batch(), Group(num_groups=4), NoNormalization()], ids=lambda n: type(n).__name__
)
@pytest.mark.parametrize("activation", [nn.ReLU, nn.SiLU, nn.Identity])
def test_the_measures_are_those_of_plain_autograd(activation, normalization):
    net = Module(make=partial(ResNet, BasicBlock, [1, 1, 1, 1])).build(
        (3, 32, 32), 3, activation=activation, normalization=normalization, dropout=Positions(layer=Dropout)
    )
    assert (
        sum(line.startswith(f"activation: ReLU -> {activation.__name__}: model.relu, ") for line in net.replaced) == 1
    )
    VarianceScaling()(net, torch.empty(0), lambda path: Streams(0).generator("init", path))
    images = torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    images = images.to(memory_format=torch.channels_last)
    probe = Probe(net=net, images=images, labels=LABELS, held_out=Split(images=images, labels=LABELS))

    f, entering = made(activation()), []

    def act(z):
        entering.append(z)
        return f(z)

    net.train()
    loss = F.cross_entropy(plain_forward(net.model, images, act), LABELS)
    weights = {name.removesuffix(".weight"): p for name, p in net.named_parameters() if p.ndim > 1}
    found = torch.autograd.grad(loss, [*entering, *weights.values()])
    close = partial(torch.testing.assert_close, rtol=2e-4, atol=1e-5)

    blocks = [f"model.layer{i}.0.{name}" for i in (1, 2, 3, 4) for name in ("conv1", "relu")]
    assert [unit.name for unit in probe.passed.units] == ["model.conv1", *blocks]
    for unit, z, gradient in zip(probe.passed.units, entering, found, strict=False):
        close(unit.inputs, z.detach())
        close(unit.gradient, gradient)
    norms = gradient_norm(probe)
    for (path, _), gradient in zip(weights.items(), found[len(entering) :], strict=True):
        close(norms[path], gradient.norm())
    close(norms["first_last"], found[0].norm() / found[len(entering) - 1].norm())
    dead, moments = dead_units(probe), pre_activation(probe)
    for unit, z in zip(probe.passed.units, entering, strict=True):
        leaf = z.detach().requires_grad_()
        (slope,) = torch.autograd.grad(f(leaf).sum(), leaf)
        close(dead[unit.name], dead_fraction(slope))
        close(moments[f"{unit.name}/std"], z.detach().std(correction=0))

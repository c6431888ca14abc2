"""Loss and gradient along the gradient, against moving a copy of the net and against a quadratic."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ablate.data.dataset import Split
from ablate.diagnostics.landscape import along_gradient, landscape
from ablate.diagnostics.probe import Probe, probing
from ablate.layers.dropout import Dropout, Positions
from ablate.layers.normalization import Batch, NoNormalization
from ablate.nets import ConvNet

STEPS = [0.05, 0.2, 0.8]


def small_net(normalization):
    torch.manual_seed(0)
    return ConvNet(widths=[3], convs_per_stage=1, hidden_width=4).build(
        (1, 6, 6),
        3,
        activation=nn.ReLU,
        normalization=normalization,
        dropout=Positions(layer=Dropout, hidden=0.5),
    )


def some_images():
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(12, 1, 6, 6, generator=generator).to(memory_format=torch.channels_last)
    return images, torch.randint(0, 3, (12,), generator=generator)


@pytest.mark.parametrize("normalization", [NoNormalization(), Batch()])
def test_the_line_is_that_of_a_moved_copy(normalization):
    net = small_net(normalization).double()
    images, labels = some_images()
    images = images.double()
    with probing(net):
        found = along_gradient(net, images, labels, steps=STEPS)
        loss = F.cross_entropy(net(images), labels)
        gradient = torch.autograd.grad(loss, list(net.parameters()))
        for i, step in enumerate(STEPS):
            moved = copy.deepcopy(net)
            with torch.no_grad():
                for p, g in zip(moved.parameters(), gradient, strict=True):
                    p -= step * g
            moved_loss = F.cross_entropy(moved(images), labels)
            moved_gradient = torch.autograd.grad(moved_loss, list(moved.parameters()))
            change = sum(((a - b) ** 2).sum() for a, b in zip(moved_gradient, gradient, strict=True)).sqrt()
            distance = step * sum((g**2).sum() for g in gradient).sqrt()
            torch.testing.assert_close(found.losses[i], moved_loss)
            torch.testing.assert_close(found.gradient_changes[i], change)
            torch.testing.assert_close(found.smoothness[i], change / distance)
    torch.testing.assert_close(found.loss, loss)


def test_a_quadratic_is_as_smooth_as_its_curvature():
    """L = sum_j h_j w_j^2 / 2: along the gradient beta = |h^2 w| / |h w|, whatever the step."""
    net = nn.Linear(3, 1, bias=False).double()
    h, images = torch.tensor([1.0, 2.0, 5.0], dtype=torch.float64), torch.eye(3, dtype=torch.float64)

    def quadratic(outputs, labels):
        return (h * outputs.squeeze(1) ** 2).sum() / 2

    found = along_gradient(net, images, torch.zeros(3), steps=STEPS, loss=quadratic)
    w = net.weight.detach().squeeze(0)
    beta = (h * h * w).norm() / (h * w).norm()
    torch.testing.assert_close(found.smoothness, beta.expand(3))
    torch.testing.assert_close(found.gradient_norm, (h * w).norm())
    for step, value in zip(STEPS, found.losses, strict=True):
        torch.testing.assert_close(value, (h * ((1 - step * h) * w) ** 2).sum() / 2)


def test_the_measure_sums_up_the_line_and_leaves_the_net_alone():
    net = small_net(Batch())
    net.eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    images, labels = some_images()
    probe = Probe(net=net, images=images, labels=labels, held_out=Split(images=images, labels=labels))
    found = landscape(probe, lr=0.1, factors=[0.5, 4])
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not any(module.training for module in net.modules())
    assert all(p.grad is None for p in net.parameters())
    with probing(net):
        line = along_gradient(net, images, labels, steps=[0.05, 0.4])
    assert found["loss_max"] == line.losses.max() and found["loss_min"] == line.losses.min()
    assert found["loss_variation"] == found["loss_max"] - found["loss_min"] > 0
    assert found["gradient_variation"] == line.gradient_changes.max() > 0
    assert found["beta"] == line.smoothness.max()


@pytest.mark.parametrize("steps", [[], [0.0], [0.1, -1.0]])
def test_steps_must_lead_somewhere(steps):
    net = small_net(NoNormalization())
    with pytest.raises(ValueError, match="must be at least one number above 0"):
        along_gradient(net, *some_images(), steps=steps)

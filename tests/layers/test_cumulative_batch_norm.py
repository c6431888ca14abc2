"""`normalization.momentum=null` against torch, and the gain of activations with one slope a channel."""

import math

import pytest
import torch
from torch import nn

from ablate.errors import UserError
from ablate.layers.activation import gain
from ablate.layers.batch_norm import BatchNorm, estimate_population_statistics
from ablate.layers.normalization import Batch


@pytest.mark.parametrize(("reference", "shape"), [(nn.BatchNorm2d, (8, 5, 3, 3)), (nn.BatchNorm1d, (8, 5))])
def test_the_statistics_are_torchs_cumulative_average(reference, shape):
    ours, torchs = Batch(momentum=None)(5, len(shape)), reference(5, momentum=None)
    generator = torch.Generator().manual_seed(0)
    for i in range(6):
        x = 3 * torch.randn(shape, generator=generator) + i
        inputs = [x.clone().requires_grad_() for _ in range(2)]
        outputs = [layer(z) for layer, z in zip((ours, torchs), inputs, strict=True)]
        torch.testing.assert_close(*outputs)
        for y in outputs:
            y.square().sum().backward()
        torch.testing.assert_close(inputs[0].grad, inputs[1].grad)
        torch.testing.assert_close(ours.running_mean, torchs.running_mean)
        torch.testing.assert_close(ours.running_var, torchs.running_var)
        assert ours.num_batches_tracked == torchs.num_batches_tracked
    torch.testing.assert_close(ours.eval()(x), torchs.eval()(x))


def test_population_statistics_go_with_it():
    batches = list(torch.randn(4, 10, 5, generator=torch.Generator().manual_seed(0)))
    found = [nn.Sequential(BatchNorm(5, momentum=m, inference="population")) for m in (None, 0.1)]
    for net in found:
        net(batches[0])
        estimate_population_statistics(net, batches)
    assert torch.equal(found[0][0].running_var, found[1][0].running_var)
    assert found[0][0].momentum is None


@pytest.mark.parametrize("num_parameters", [1, 16])
def test_the_gain_of_prelu_with_a_slope_for_each_channel(num_parameters):
    assert gain(nn.PReLU(num_parameters)) == pytest.approx(math.sqrt(2 / (1 + 0.25**2)))


def test_unequal_slopes_count_by_their_mean_square():
    layer = nn.PReLU(2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([0.0, 1.0]))
    assert gain(layer) == pytest.approx(1 / math.sqrt((0.5 + 1) / 2))


def test_an_activation_that_takes_another_number_of_channels_is_refused():
    with pytest.raises(UserError, match=r"gain of Linear cannot be computed.*give initializer.gain a number"):
        gain(nn.Linear(3, 3))

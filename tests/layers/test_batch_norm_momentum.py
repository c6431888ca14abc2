"""`momentum=None`: running statistics that are the plain average over all batches so far."""

import torch
from torch import nn

from ablate.layers.batch_norm import BatchNorm
from ablate.layers.normalization import Batch


def test_running_statistics_are_the_plain_average_as_in_torch():
    torch.manual_seed(0)
    ours, theirs = BatchNorm(3, momentum=None), nn.BatchNorm2d(3, momentum=None)
    means = []
    for _ in range(4):
        x = torch.randn(5, 3, 4, 4) * 2 + 1
        torch.testing.assert_close(ours(x), theirs(x))
        means.append(x.mean((0, 2, 3)))
    torch.testing.assert_close(ours.running_mean, torch.stack(means).mean(0))
    torch.testing.assert_close(ours.running_var, theirs.running_var)
    state = ours.state_dict()
    resumed = BatchNorm(3, momentum=None)
    resumed.load_state_dict(state)
    x = torch.randn(5, 3, 4, 4)
    ours(x), resumed(x)
    assert torch.equal(ours.running_mean, resumed.running_mean)
    ours.eval(), theirs.eval()
    theirs(x)
    before = ours.running_mean.clone()
    ours(x)
    assert torch.equal(ours.running_mean, before)


def test_the_recipe_takes_none():
    assert Batch(momentum=None)(4, 2).momentum is None

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from ablate.diagnostics.pre_activation import pre_activation, spread
from ablate.layers.initialization import VarianceScaling
from ablate.layers.normalization import Batch


def test_moments_by_hand():
    z = torch.tensor([[0.0, 10.0], [2.0, 10.0]])  # channel 0 is 0, 2; channel 1 is constant
    found = spread(z)
    assert found.mean.item() == 5.5
    assert found.std.item() == pytest.approx(math.sqrt((5.5**2 + 3.5**2 + 2 * 4.5**2) / 4))
    assert found.within_channel.item() == pytest.approx(0.5 / ((5.5**2 + 3.5**2 + 2 * 4.5**2) / 4))


def test_extremes_of_the_share():
    noise = torch.randn(64, 5, 4, 4, generator=torch.Generator().manual_seed(0))
    centred = noise - noise.mean((0, 2, 3), keepdim=True)
    constants = torch.arange(5.0).view(1, 5, 1, 1).expand(64, 5, 4, 4)
    assert spread(centred).within_channel.item() == pytest.approx(1, abs=1e-6)
    assert spread(constants).within_channel.item() == 0
    assert spread(torch.full((4, 3), 2.0)).within_channel.item() == 0


def test_the_measure_in_a_net(make_probe):
    probe = make_probe(activation=nn.Tanh)
    values = {key: value.item() for key, value in pre_activation(probe).items()}
    for unit in probe.passed.units:
        z = unit.inputs.double().numpy()
        by_channel = np.moveaxis(z, 1, 0).reshape(z.shape[1], -1)
        assert values[f"{unit.name}/mean"] == pytest.approx(z.mean(), abs=1e-5)
        assert values[f"{unit.name}/std"] == pytest.approx(z.std(), rel=1e-5)
        assert values[f"{unit.name}/within_channel"] == pytest.approx(by_channel.var(1).mean() / z.var(), rel=1e-5)
    for key in ("mean", "std", "within_channel"):
        layers = [values[f"{name}/{key}"] for name in ("conv1_1", "conv2_1", "fc1")]
        assert values[key] == pytest.approx(np.mean(layers), rel=1e-5)
    assert len(values) == 12


def test_batch_norm_gives_every_channel_mean_0_and_std_1(make_probe):
    values = {key: value.item() for key, value in pre_activation(make_probe(normalization=Batch())).items()}
    assert values["mean"] == pytest.approx(0, abs=1e-5)
    assert values["std"] == pytest.approx(1, abs=1e-3)
    assert values["within_channel"] == pytest.approx(1, abs=1e-5)


def test_the_share_follows_the_correlation_map_of_he_initialized_relu(make_probe):
    """Two images' pre-activations correlate by c' = (sqrt(1 - c^2) + c (pi - acos c)) / pi; the share is 1 - c.

    The share averages 1 - c over all pairs of the 20 images, which differ little in c: the map of their mean is near
    the mean of their maps. What is left is the spread of a layer of finite width.
    """
    he = VarianceScaling(distribution="normal", mode="fan_in", gain="relu", bias=0.0)
    probe = make_probe(widths=[], num_hidden=6, hidden_width=2048, initializer=he, num_images=20)
    shares = [pre_activation(probe)[f"fc{i}/within_channel"].item() for i in range(1, 7)]
    num = len(probe.images)
    for before, after in itertools.pairwise(shares):
        c = 1 - before * num / (num - 1)  # a pair of an image with itself has c = 1
        c = (math.sqrt(1 - c * c) + c * (math.pi - math.acos(c))) / math.pi
        assert after == pytest.approx((1 - c) * (num - 1) / num, abs=0.01)
    assert shares[-1] < shares[0] / 3

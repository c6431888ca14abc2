"""Channels at initialization against the arc-cosine map, and what prevents their collapse."""

import numpy as np
import pytest
import torch

from ablate.lecture.figures import channel_collapse
from ablate.lecture.figures.channel_collapse import CONNECTED, connected_layers, expected_shares, within_share
from ablate.seeding import Streams

KNOBS = {"width": 256, "depths": [1, 2, 5, 12], "num_inputs": 128, "num_images": 16, "num_channels": 3}


@pytest.fixture(scope="module")
def shares():
    """Within-channel shares (8 draws of the weights, 12 layers) of layers that are 512 wide, by net."""
    inputs = torch.randn(256, 512, generator=torch.Generator().manual_seed(0))
    return {
        name: np.array([[within_share(z) for z in connected_layers(inputs, name, 12, Streams(i))] for i in range(8)])
        for name in CONNECTED
    }


def test_the_map_is_the_correlation_after_relu():
    """Against the integral over two correlated normals, by sampling in float64."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 1_000_000, dtype=torch.float64, generator=generator)
    c = 0.0
    for expected in expected_shares(4)[1:]:
        c = (2 * x.relu() * (c * x + (1 - c * c) ** 0.5 * y).relu()).mean().item()
        assert 1 - c == pytest.approx(expected, abs=4e-3)  # 4 standard errors a step at most
        c = 1 - expected
    assert expected_shares(2)[1] == pytest.approx(1 - 1 / np.pi)


def test_relu_channels_collapse_as_the_map_says(shares):
    # The shares of one draw scatter by about sqrt(layers / width) = 15 %, their mean by a third of it.
    np.testing.assert_allclose(shares["ReLU"].mean(0), expected_shares(12), rtol=0.1)


def test_without_relu_or_with_a_mean_of_zero_they_do_not(shares):
    assert shares["no activation"].min() > 0.98
    assert shares["shifted ReLU"].min() > 0.95
    np.testing.assert_allclose(shares["batch norm, ReLU"], 1, atol=1e-5)


def test_within_share_by_hand():
    assert within_share(torch.tensor([[3.0, -3.0], [3.0, -3.0]])) == 0
    assert within_share(torch.tensor([[1.0, 2.0], [-1.0, -2.0]])) == 1
    assert within_share(torch.tensor([[0.0], [2.0]])) == 0.5


def test_arrays_of_both_kinds_of_nets(make_lab):
    arrays = channel_collapse.compute(make_lab(), **KNOBS)
    assert list(arrays["layers"]) == ["conv1_1", "conv2_1", "classifier"]
    assert arrays["fc_shares"].shape == (4, 12)
    assert arrays["fc_channels"].shape[:3] == (4, 4, 3)
    assert arrays["conv_pooled"].shape[:2] == (3, 3)
    np.testing.assert_allclose(arrays["conv_shares"][2, :2], 1, atol=1e-3)  # batch norm, but for its eps
    assert (arrays["conv_shares"][:, 0] > 0.9).all()
    assert (arrays["conv_shares"][:2, -1] < 0.5).all()
    assert 1 / 3 <= arrays["largest"] <= 1
    assert (arrays["heaviest"] >= 2 / 128).all()
    channel_collapse.draw(arrays)
    assert f"ReLU {arrays['fc_shares'][0, -1]:.1%}" in channel_collapse.caption(arrays)
    with pytest.raises(ValueError, match=r"depths` must increase and start at 1 or above, got \[5, 2\]"):
        channel_collapse.compute(make_lab(), **{**KNOBS, "depths": [5, 2]})

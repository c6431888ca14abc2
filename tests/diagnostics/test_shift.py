"""Moved images against numpy's reflection, and nets that cannot, or must, notice."""

import numpy as np
import pytest
import torch
from torch import nn

from ablate.data.dataset import Split
from ablate.diagnostics.probe import Probe
from ablate.diagnostics.shift import moved, shift
from ablate.layers.batch_norm import BatchNorm


def probe_of(net, images, labels):
    images = images.to(memory_format=torch.channels_last)
    return Probe(net=net, images=images, labels=labels, held_out=Split(images=images, labels=labels))


class Reads(nn.Module):
    """Its class is the value of one pixel."""

    def __init__(self, row, column):
        super().__init__()
        self.row, self.column = row, column

    def forward(self, x):
        return nn.functional.one_hot(x[:, 0, self.row, self.column].long(), 10).float()


@pytest.mark.parametrize(("down", "right"), [(0, 0), (2, 0), (-3, 0), (0, 1), (1, -2), (5, 6)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32])
def test_moving_is_padding_by_reflection_and_cropping(down, right, dtype):
    images = torch.arange(2 * 3 * 6 * 7).reshape(2, 3, 6, 7).to(dtype)
    pad = 6
    padded = np.pad(images.numpy(), ((0, 0), (0, 0), (pad - 1, pad - 1), (pad, pad)), mode="reflect")
    expected = padded[:, :, pad - 1 - down : pad - 1 - down + 6, pad - right : pad - right + 7]
    assert torch.equal(moved(images, down, right), torch.from_numpy(expected.copy()))


def test_a_net_that_reads_one_pixel_sees_the_neighbours():
    """Images with columns 0, 1, .., 9 in every row: a move to the right by s lowers the pixel by s, up or down none."""
    images = torch.arange(10, dtype=torch.uint8).expand(8, 1, 10, 10)
    found = shift(probe_of(nn.Sequential(Reads(4, 4)), images, torch.full((8,), 4)), shifts=[1, 3])
    assert found["accuracy/0"] == 1
    for s in (1, 3):
        assert found[f"accuracy/{s}"] == found[f"relative/{s}"] == found[f"agreement/{s}"] == 0.5


def test_agreement_is_with_the_own_answer_and_not_with_the_label():
    images = torch.arange(10, dtype=torch.uint8).expand(8, 1, 10, 10)
    labels = torch.tensor([4, 4, 4, 4, 3, 3, 0, 0])
    found = shift(probe_of(nn.Sequential(Reads(4, 4)), images, labels), shifts=[1])
    assert found["accuracy/0"] == 0.5 and found["agreement/1"] == 0.5
    # Up and down 4 of 8 are right, to the right (which shows 3) 2 of 8, to the left (which shows 5) none.
    assert found["accuracy/1"].item() == pytest.approx((4 + 4 + 2 + 0) / 32)
    assert found["relative/1"].item() == pytest.approx(10 / 16)


def test_a_constant_image_is_the_same_wherever_it_is_moved():
    images = torch.arange(6, dtype=torch.uint8).reshape(6, 1, 1, 1).expand(6, 1, 5, 5)
    found = shift(probe_of(nn.Sequential(Reads(0, 0)), images, torch.arange(6)), shifts=[0, 1, 4], num_images=5)
    assert all(value == 1 for value in found.values())


def test_the_net_is_left_alone():
    net = nn.Sequential(nn.Flatten(), nn.Linear(25, 25), BatchNorm(25), nn.Dropout(0.5), nn.Linear(25, 3))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    first, second = (shift(probe_of(net, torch.rand(6, 1, 5, 5), torch.arange(6) % 3)) for _ in range(2))
    assert list(first) == list(second)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(module.training for module in net.modules())


@pytest.mark.parametrize("shifts", [[5], [-1]])
def test_a_shift_must_leave_something_to_see(shifts):
    with pytest.raises(ValueError, match="must lie between 0 and the image size 5x5 less 1"):
        shift(
            probe_of(nn.Sequential(nn.Flatten(), nn.Linear(25, 3)), torch.rand(6, 1, 5, 5), torch.zeros(6)),
            shifts=shifts,
        )

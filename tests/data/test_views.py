"""The views of inference: the images that numpy makes, and their weights."""

import numpy as np
import pytest
import torch

from ablate.data.views import NUM_VIEWS, views

IMAGES = torch.randint(256, (4, 5, 6, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
IMAGES = IMAGES.permute(0, 3, 1, 2)


def test_they_are_mirrored_and_shifted_images():
    padded = np.pad(IMAGES.numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)), mode="reflect")
    upright = [(0.25, padded[:, :, 1:-1, 1:-1]), (0.125, padded[:, :, :-2, :-2]), (0.125, padded[:, :, 2:, 2:])]
    expected = [(weight, side) for weight, view in upright for side in (view, view[:, :, :, ::-1])]
    found = list(views(IMAGES, 6))
    assert [weight for weight, _ in found] == [weight for weight, _ in expected]
    for (_, mine), (_, theirs) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs)
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(views(IMAGES, 2), found[:2], strict=True))


@pytest.mark.parametrize("num_views", NUM_VIEWS)
def test_the_weights_sum_to_one_and_the_layout_stays(num_views):
    found = list(views(IMAGES, num_views))
    assert len(found) == num_views
    assert sum(weight for weight, _ in found) == 1
    assert all(view.is_contiguous(memory_format=torch.channels_last) for _, view in found)


def test_a_single_pixel_has_six_equal_views():
    pixel = torch.full((1, 1, 1, 1), 7, dtype=torch.uint8)
    assert all(torch.equal(view, pixel) for _, view in views(pixel, 6))

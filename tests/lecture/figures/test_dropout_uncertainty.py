"""Uncertainty on moved images."""

import math

import numpy as np
import pytest
import torch

from ablate.lecture.figures import dropout_uncertainty
from ablate.lecture.figures.dropout_uncertainty import measure, move
from ablate.report import plotting

KNOBS = {"num_masks": 4, "angles": [0, 90], "shifts": [0, 3, 5]}
IMAGES = torch.randint(256, (2, 3, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_quarter_turns_are_counterclockwise(quarters):
    torch.testing.assert_close(move(IMAGES, 90.0 * quarters, 0), IMAGES.rot90(quarters, (2, 3)).float(),
                               atol=1e-2, rtol=0)  # fmt: skip


@pytest.mark.parametrize("shift", [1, 3])
def test_whole_pixels_are_moved_to_the_right_and_mirrored(shift):
    moved = move(IMAGES, 0, shift)
    torch.testing.assert_close(moved[..., shift:], IMAGES[..., :-shift].float(), atol=1e-2, rtol=0)
    torch.testing.assert_close(moved[..., :shift], IMAGES[..., :shift].flip(3).float(), atol=1e-2, rtol=0)


def test_entropy_and_information_in_closed_form():
    labels = torch.tensor([0, 0])
    uniform = torch.full((3, 2, 4), 0.25).log().double()
    accuracy, entropy, loss, information = measure(uniform, labels)
    assert (entropy, loss) == pytest.approx((math.log(4), math.log(4)))
    assert information == pytest.approx(0, abs=1e-12)
    # Two masks that are each certain, of different classes: all entropy comes from the masks.
    certain = torch.tensor([[[1 - 1e-12, 1e-12]] * 2, [[1e-12, 1 - 1e-12]] * 2], dtype=torch.float64).log()
    accuracy, entropy, loss, information = measure(certain, labels)
    assert (entropy, information, loss) == pytest.approx((math.log(2),) * 3, abs=1e-9)
    accuracy, *_ = measure(certain[:1], labels)
    assert accuracy == 1


def test_both_rows_begin_with_the_same_unmoved_images(make_lab):
    arrays = dropout_uncertainty.compute(make_lab("net.num_hidden=1", "dropout=hidden"), **KNOBS)
    assert arrays["rotation_sampled"].shape == (3, 2)
    assert arrays["shift_scaled"].shape == (3, 3)
    for kind in ("scaled", "sampled"):
        np.testing.assert_array_equal(arrays[f"rotation_{kind}"][:, 0], arrays[f"shift_{kind}"][:, 0])
    assert (arrays["shift_information"] > 0).all()
    assert (arrays["shift_sampled"][1] <= math.log(10)).all()
    with plotting.style():
        dropout_uncertainty.draw(arrays)
    assert f"accuracy {arrays['rotation_sampled'][0, 0]:.2f} |" in dropout_uncertainty.caption(arrays)


def test_knobs_are_checked(make_lab):
    lab = make_lab()
    for knobs, word in (({"num_masks": 1}, "num_masks"), ({"shifts": [32]}, "shifts"), ({}, "dropout=none")):
        with pytest.raises(ValueError, match=word):
            dropout_uncertainty.compute(lab, **KNOBS | knobs)

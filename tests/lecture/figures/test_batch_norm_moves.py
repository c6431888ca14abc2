"""Batches before and after batch norm."""

import numpy as np
import pytest
import torch

from ablate.lecture.figures import batch_norm_moves
from ablate.lecture.figures.batch_norm_moves import shift

KNOBS = {"num_batches": 3, "batch_size": 10, "gamma": [0.5, 2.0], "beta": [1.0, -1.0]}


@pytest.mark.parametrize("net", [[], ["net.num_hidden=1", "net.hidden_width=8"]], ids=["conv", "fc"])
def test_after_batch_norm_all_batches_have_the_same_moments(make_lab, net):
    arrays = batch_norm_moves.compute(make_lab(*net), **KNOBS)
    assert str(arrays["layer"]) == ("fc1" if net else "conv2_1")
    _, single, normed, scaled = arrays["points"]
    np.testing.assert_allclose(normed.mean(1), 0, atol=1e-12)
    # Batch norm divides by sqrt(var + eps).
    np.testing.assert_allclose(normed.var(1), single.var(1) / (single.var(1) + 1e-5))
    np.testing.assert_allclose(scaled.mean(1), [[1, -1]] * 3)
    np.testing.assert_allclose(scaled, normed * [0.5, 2.0] + [1.0, -1.0])
    assert (arrays["shifts"][:2] > 0.01).all()
    assert (arrays["shifts"][2:] < 1e-20).all()
    batch_norm_moves.draw(arrays)
    assert "(shift 0)" in batch_norm_moves.caption(arrays)


def test_shift_of_independent_samples_is_one_over_their_number():
    z = torch.randn(400, 25, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert shift(z) == pytest.approx(1 / 25, rel=0.05)  # standard error 1.3 %
    offsets = torch.randn(400, 1, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert shift(z + 2 * offsets) == pytest.approx(4 + 1 / 25, rel=0.06)


def test_refuses_more_images_of_a_class_than_there_are(make_lab):
    with pytest.raises(ValueError, match=r"got 100 for 14; lower it"):
        batch_norm_moves.compute(make_lab(), **{**KNOBS, "batch_size": 100})
    with pytest.raises(ValueError, match=r"num_batches` must be 2 to 10, got 11"):
        batch_norm_moves.compute(make_lab(), **{**KNOBS, "num_batches": 11})

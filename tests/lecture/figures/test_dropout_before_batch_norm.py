"""The variance shift of a batch norm behind a dropout."""

import numpy as np
import pytest
import torch

from ablate.layers.batch_norm import BatchNorm
from ablate.layers.dropout import Dropout
from ablate.lecture.figures import dropout_before_batch_norm
from ablate.lecture.figures.dropout_before_batch_norm import variance_ratios
from ablate.report import plotting


def test_the_ratio_of_variances_is_the_keep_probability_for_inputs_of_mean_zero():
    """Li et al. 2019: Var[r x / q] = Var[x] / q for E[x] = 0, so at inference the variance is q times that."""
    norm, keep = BatchNorm(3, momentum=None), 0.75
    net = torch.nn.Sequential(Dropout(1 - keep), norm)
    torch.manual_seed(0)
    images = torch.randn(20_000, 3)
    net.train()(images)
    (ratio,) = variance_ratios(net, [norm], images)
    assert ratio == pytest.approx(keep, abs=0.02)


def test_without_a_dropout_there_is_no_shift():
    norm = BatchNorm(3, momentum=None)
    net = torch.nn.Sequential(Dropout(0.0), norm)
    images = torch.randn(500, 3, generator=torch.Generator().manual_seed(0))
    net.train()(images)
    assert variance_ratios(net, [norm], images) == pytest.approx([1.0], abs=1e-4)


def test_only_batch_norms_behind_a_dropout_shift(make_lab):
    lab = make_lab("normalization=batch", "net.bias=true", "trainer.epochs=2", "net.num_hidden=1", "net.hidden_width=8")
    arrays = dropout_before_batch_norm.compute(lab, rates=[0.0, 0.8], num_masks=3)
    assert arrays["layers"].tolist() == ["norm1_1", "norm2_1", "fc_norm1"]
    assert arrays["after"].tolist() == [False, True, True]
    assert arrays["variance"].shape == (2, 3)
    assert arrays["accuracy"].shape == (2, 3)
    # Both nets drift alike in the first layer; what dropping adds is behind it.
    shift = arrays["variance"][1] / arrays["variance"][0]
    assert shift[1] < 0.75
    assert shift[1] < shift[0]
    with plotting.style():
        dropout_before_batch_norm.draw(arrays)
    shown = dropout_before_batch_norm.caption(arrays)
    assert "at a rate of 0.8" in shown
    behind = arrays["variance"][1][1:]
    assert f"{behind.min():.2f} to {behind.max():.2f} behind a dropout" in shown


@pytest.mark.parametrize(
    ("options", "knobs", "word"),
    [
        (["normalization=batch"], {"rates": [1.0]}, "figure.rates"),
        (["normalization=batch"], {"num_masks": 0}, "figure.num_masks"),
        (["normalization=none"], {}, "needs a batch norm behind a dropout, got normalization=none"),
    ],
)
def test_what_makes_no_sense_is_refused(make_lab, options, knobs, word):
    with pytest.raises(ValueError, match=word):
        dropout_before_batch_norm.compute(make_lab(*options), **{"rates": [0.5], "num_masks": 2, **knobs})


def test_one_mask_of_a_net_without_dropout_is_one_pass(make_lab):
    arrays = dropout_before_batch_norm.compute(make_lab("normalization=batch"), rates=[0.0], num_masks=1)
    assert np.array_equal(arrays["accuracy"][0, :1], arrays["accuracy"][0, 1:2])
    assert arrays["after"].tolist() == [False, False]

"""Settings that a run refuses, and the net that it builds."""

import re
import warnings
from functools import partial

import pytest
import torch

from ablate.errors import Notice
from ablate.layers.dropout import Dropout, Positions
from ablate.layers.normalization import Batch, NoNormalization
from ablate.nets import ConvNet


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epochs": 0}, "trainer.epochs.*at least 1, got 0"),
        ({"threads": 1.5}, "trainer.threads.*got 1.5"),
        ({"seed": "a"}, "`seed`.*got 'a'"),
        ({"thresholds": [1.5]}, "trainer.thresholds.*got"),
        ({"bias_lr_factor": 0.0}, "optimizer.bias_lr_factor.*above 0, got 0.0"),
        ({"test_views": 3}, "`trainer.test_views` must be 1, 2 or 6, got 3"),
        ({"optimizer": partial(torch.optim.SGD, lr=-1)}, "`optimizer`.*-1"),
        ({"optimizer": partial(torch.optim.SGD, rate=1)}, "`optimizer`.*rate"),
        ({"activation": partial(torch.nn.ReLU, slope=1)}, "`activation`.*slope"),
    ],
)
def test_bad_settings_are_named(make_run, changes, words):
    with pytest.raises(ValueError, match=words):
        make_run(**changes)


def test_preprocessing_learns_from_training_images_only(make_run):
    run = make_run()
    dataset = run.data.load()
    net = run.build(dataset)
    mean = dataset.train.images.double().mean((0, 2, 3))
    torch.testing.assert_close(net.preprocessing.steps["standardize"].mean_.flatten().double(), mean, rtol=1e-5, atol=0)


@pytest.mark.parametrize(
    ("normalization", "positions", "named"),
    [
        (Batch(), {"conv": 0.2}, r"dropout stands before batch norm \(.*norm2_1.*\)"),
        (Batch(), {"input": 0.2}, r"dropout stands before batch norm \(norm1_1, .*\)"),
        (Batch(), {}, None),
        (NoNormalization(), {"conv": 0.2}, None),
    ],
)
def test_dropout_before_a_batch_norm_is_remarked_on(make_run, normalization, positions, named):
    net = ConvNet(widths=[4, 4], convs_per_stage=1, num_hidden=0)
    run = make_run(net=net, normalization=normalization, dropout=Positions(layer=Dropout, **positions))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run.build(run.data.load())
    found = [str(one.message) for one in caught if issubclass(one.category, Notice)]
    if named is None:
        assert found == []
    else:
        assert len(found) == 1
        assert re.match(named, found[0])
        assert "Li et al. 2019" in found[0]
        if "conv" in positions:
            assert "norm1_1" not in found[0]  # no dropout stands before it

"""Settings that a run refuses, and the net that it builds."""

from functools import partial

import pytest
import torch


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epochs": 0}, "trainer.epochs.*at least 1, got 0"),
        ({"threads": 1.5}, "trainer.threads.*got 1.5"),
        ({"seed": "a"}, "`seed`.*got 'a'"),
        ({"thresholds": [1.5]}, "trainer.thresholds.*got"),
        ({"bias_lr_factor": 0.0}, "optimizer.bias_lr_factor.*above 0, got 0.0"),
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

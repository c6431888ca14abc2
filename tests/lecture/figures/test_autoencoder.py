"""Features and activations of autoencoders."""

import numpy as np
import pytest
import torch

from ablate.lecture.figures import autoencoder
from ablate.report import plotting

KNOBS = {"rates": [0.0, 0.5], "num_hidden": 8, "grey": True}
SETTING = ("optimizer=adam", "trainer.epochs=20")


def test_no_autoencoder_is_better_than_the_principal_components_of_the_images_it_is_tested_on(make_lab):
    lab = make_lab(*SETTING)
    arrays = autoencoder.compute(lab, **KNOBS)
    dataset = lab.dataset(lab.run())
    train, test = (split.images.double().mean(1).flatten(1) for split in (dataset.train, dataset.test))
    test = (test - train.mean(0)) / (train - train.mean(0)).std(correction=0)
    tail = torch.linalg.svdvals(test - test.mean(0))[8:].square().sum().item() / test.numel()
    assert (arrays["error"] > tail).all()
    # It has learned something: the mean image alone leaves more.
    assert arrays["error"][0] < 0.9 * test.square().mean().item()
    assert arrays["error"][1] > arrays["error"][0]


def test_arrays_agree_with_one_another(make_lab):
    lab = make_lab(*SETTING)
    arrays = autoencoder.compute(lab, **KNOBS | {"grey": False})
    assert arrays["features"].shape == (2, 8, 3, 32, 32)
    norms = np.sqrt((arrays["features"] ** 2).sum((2, 3, 4)))
    assert (np.diff(norms, axis=1) <= 0).all()
    covered = arrays["histogram"].sum(1) * np.diff(arrays["edges"])[0]
    assert ((covered <= 1 + 1e-9) & (covered > 1 - 1.5 / 400)).all()  # one of the 50 x 8 activations may lie beyond
    first_bin = arrays["histogram"][:, 0] * arrays["edges"][1]
    assert (arrays["share_of_zeros"] <= first_bin + 1e-9).all()
    again = autoencoder.compute(lab, **KNOBS | {"grey": False})
    np.testing.assert_array_equal(arrays["features"], again["features"])
    with plotting.style():
        autoencoder.draw(arrays)
    assert f"mean activation {arrays['mean_activation'][1]:.2f}" in autoencoder.caption(arrays)


def test_knobs_are_checked(make_lab):
    with pytest.raises(ValueError, match="num_hidden"):
        autoencoder.compute(make_lab(), **KNOBS | {"num_hidden": 0})
    with pytest.raises(ValueError, match="probability to drop"):
        autoencoder.compute(make_lab(), **KNOBS | {"rates": [1.0]})

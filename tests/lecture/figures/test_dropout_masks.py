"""The mask forward, backward and at inference."""

import numpy as np
import pytest

from ablate.lecture.figures import dropout_masks
from ablate.report import plotting

KNOBS = {"num_units": 12, "num_outputs": 4, "p": 0.4}


@pytest.mark.parametrize(("scaling", "kept", "at_inference"), [("inverted", 1 / 0.6, 1.0), ("test_time", 1.0, 0.6)])
def test_gradients_are_those_of_the_masked_product(make_lab, scaling, kept, at_inference):
    lab = make_lab("dropout=hidden", "dropout.hidden=0", f"dropout.layer.scaling={scaling}")
    a = dropout_masks.compute(lab, **KNOBS)
    dropped = a["factor"] == 0
    assert 0 < dropped.sum() < 12
    np.testing.assert_allclose(a["factor"][~dropped], kept)
    np.testing.assert_allclose(a["dropped"], a["factor"] * a["y"])
    np.testing.assert_allclose(a["inference"], at_inference * a["y"])
    np.testing.assert_allclose(a["z"], a["weight"] @ a["dropped"])
    np.testing.assert_allclose(a["y_gradient"], a["factor"] * (a["weight"].T @ a["z_gradient"]))
    np.testing.assert_allclose(a["weight_gradient"], np.outer(a["z_gradient"], a["dropped"]))
    assert (a["weight_gradient"][:, dropped] == 0).all()
    assert (a["weight_gradient"][:, ~dropped] != 0).any()


def test_the_picture_has_the_numbers(make_lab):
    arrays = dropout_masks.compute(make_lab(), **KNOBS | {"p": 0.5})
    with plotting.style():
        texts = {text.get_text() for ax in dropout_masks.draw(arrays).axes for text in ax.texts}
    kept = arrays["factor"] != 0
    assert {f"{value:.2f}" for value in arrays["dropped"][kept]} <= texts
    assert "×" in texts
    assert f"{np.sum(~kept)} are dropped" in dropout_masks.caption(arrays)


@pytest.mark.parametrize("knobs", [{"num_units": 1}, {"num_outputs": 0}, {"p": 1.0}])
def test_knobs_are_checked(make_lab, knobs):
    with pytest.raises(ValueError, match=next(iter(knobs))):
        dropout_masks.compute(make_lab(), **KNOBS | knobs)

"""The spectrum figure against the overlap figure, which looks at the same Hessians."""

import numpy as np

from ablate.lecture.figures import hessian_spectrum, overlap
from ablate.lecture.figures.half_trained import NAMES

KNOBS = {"lr_batch_norm": 0.5, "lr_none": 0.05, "num_batches": 2, "batch_size": 30, "tolerance": 1e-4}


def test_values_are_the_largest_of_the_same_hessians(make_lab, tmp_path):
    lab = make_lab(folder=tmp_path / "figures")
    arrays = hessian_spectrum.compute(lab, **KNOBS, num_values=4)
    assert arrays["values"].shape == (3, 4)
    assert (np.diff(arrays["values"]) <= 0).all()
    assert int(arrays["num_parameters"]) == 4 * 27 + 6 * 36 + 10 * 24
    np.testing.assert_allclose(arrays["values"], overlap.compute(lab, **KNOBS)["values"][:, :4], rtol=1e-4)


def test_draws_and_names_values_that_are_not_positive():
    arrays = {
        "names": np.array(NAMES),
        "values": np.array([[0.5, 0.2, -0.1], [8.0, 4.0, 1.0], [12.0, 3.0, 0.0]]),
        "num_classes": np.array(3),
        "accuracies": np.zeros((3, 2)),
        "num_images": np.array(1000),
        "num_parameters": np.array(5000),
    }
    hessian_spectrum.draw(arrays)
    text = hessian_spectrum.caption(arrays)
    assert "batch norm 0.5 (published 0.5), frozen 8 (published 8.77), none 12 (published 13.6)" in text
    assert "24 times that with it (published 27.3)" in text
    assert "lr 0.17 instead of 4" in text

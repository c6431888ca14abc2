"""The learning-rate stress test: its rates, and how divergence shows."""

import numpy as np
import pytest

from ablate.lecture.figures import lr_stress


def test_one_rate_an_epoch_until_the_net_breaks(make_lab):
    lab = make_lab("trainer.epochs=5", "optimizer=sgd")
    arrays = lr_stress.compute(lab, lr=0.1, growth=1e6)
    np.testing.assert_allclose(arrays["lr"], 0.1 * 1e6 ** np.arange(5))
    norm, none = arrays["accuracy"]
    assert np.isfinite(norm).sum() > np.isfinite(none).sum() >= 1
    assert np.isnan(none[np.isfinite(none).sum() :]).all()
    np.testing.assert_array_equal(np.isnan(arrays["loss"]), np.isnan(arrays["accuracy"]))
    lr_stress.draw(arrays)
    assert f"diverged at {arrays['lr'][np.isfinite(none).sum()]:.3g} (published: 65.9%" in lr_stress.caption(arrays)


def test_summary_by_hand():
    arrays = {
        "lr": np.array([1.0, 2.0, 4.0]),
        "accuracy": np.array([[0.2, 0.6, 0.5], [0.3, 0.1, np.nan]]),
    }
    norm, none = lr_stress.summary(arrays)
    assert norm[:4] == (0.6, 2, 0.5, 4) and np.isnan(norm[4])
    assert none == (0.3, 1, 0.1, 2, 4)


def test_refuses_a_rate_that_does_not_grow(make_lab):
    with pytest.raises(ValueError, match=r"growth` above 1, got 0.1 and 1.0"):
        lr_stress.compute(make_lab(), lr=0.1, growth=1.0)

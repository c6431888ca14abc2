"""Bias and variance of the Brier score."""

import itertools

import numpy as np
import pytest

from ablate.lecture.figures import bias_variance
from ablate.lecture.figures.bias_variance import decompose, disjoint_sets
from ablate.report import plotting

KNOBS = {"num_sets": 2, "images_per_set": 40, "strengths": {"l2": [0, 3], "dropout": [0, 0.5]}, "stop_after": [2, 1]}
SETTING = ("net=mlp", "net.widths=[]", "net.pool_size=2", "net.num_hidden=1", "net.hidden_width=8",
           "normalization=none", "augmentation=none", "trainer.epochs=2")  # fmt: skip


@pytest.mark.parametrize("num_sets", [2, 7])
def test_brier_score_is_bias_plus_variance(num_sets):
    rng = np.random.default_rng(num_sets)
    p, labels = rng.dirichlet(np.ones(4), (num_sets, 30)), rng.integers(4, size=30)
    brier, bias, variance, error = decompose(p, labels)
    direct = np.mean([sum((p[r, i, k] - (labels[i] == k)) ** 2 for k in range(4))
                      for r in range(num_sets) for i in range(30)])  # fmt: skip
    assert brier == pytest.approx(direct, rel=1e-12)
    assert bias + variance == pytest.approx(brier, rel=1e-12)
    assert error == pytest.approx((p.argmax(2) != labels).mean())


def test_both_parts_are_unbiased():
    """Over all eight draws of three nets from two answers, the estimates average to the parts of the population."""
    answers = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
    draws = [decompose(answers[list(draw), None], np.array([0])) for draw in itertools.product((0, 1), repeat=3)]
    _, bias, variance, _ = np.mean(draws, axis=0)
    mean = answers.mean(0)
    assert bias == pytest.approx(((mean - [1, 0, 0]) ** 2).sum(), rel=1e-12)
    assert variance == pytest.approx(((answers - mean) ** 2).sum() / 2, rel=1e-12)


def test_sets_are_disjoint_and_have_the_classes_in_proportion(make_lab):
    lab = make_lab(*SETTING)
    dataset = lab.dataset(lab.run())
    sets = list(disjoint_sets(dataset, 2, 40))
    images = {image.numpy().tobytes() for part in sets for image in part.train.images}
    assert len(images) == 80
    for part in sets:
        counts = np.bincount(part.train.labels, minlength=10)
        assert counts.tolist() == [4] * 10
        assert part.test is dataset.test


def test_arrays_hold_every_setting_once(make_lab):
    arrays = bias_variance.compute(make_lab(*SETTING), **KNOBS)
    assert arrays["methods"].tolist() == ["l2", "l2", "dropout", "dropout", "early_stopping", "early_stopping"]
    assert arrays["strengths"].tolist() == [0, 3, 0, 0.5, 2, 1]
    np.testing.assert_allclose(arrays["bias_squared"] + arrays["variance"], arrays["brier"], rtol=1e-12)
    # No penalty, no dropout, and stopping after the last epoch are one and the same.
    for name in ("brier", "variance", "error", "train_error"):
        plain = arrays[name][[0, 2, 4]]
        assert (plain == plain[0]).all()
    # So strong a penalty leaves weights near zero, and all nets agree.
    assert arrays["variance"][1] < 0.5 * arrays["variance"][0]
    with plotting.style():
        bias_variance.draw(arrays)
    assert f"At strength 0: {arrays['brier'][0]:.3f} =" in bias_variance.caption(arrays)


@pytest.mark.parametrize(
    ("knobs", "word"),
    [
        ({"num_sets": 1}, "num_sets"),
        ({"images_per_set": 100}, "need 200 training images"),
        ({"strengths": {"l3": [1]}}, "l3"),
        ({"stop_after": [3]}, "stop_after"),
    ],
)
def test_knobs_are_checked(make_lab, knobs, word):
    with pytest.raises(ValueError, match=word):
        bias_variance.compute(make_lab(*SETTING), **KNOBS | knobs)

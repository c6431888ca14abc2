from dataclasses import replace

import numpy as np
import pytest
import torch

from ablate.data.preprocessing import Center, Chain, Scale, Standardize
from ablate.data.whitening import Decorrelate, Whiten
from ablate.lecture.figures import preprocessing as figure
from ablate.training.lab import Lab

LEVELS = {
    "raw": {},
    "center_mean_image": {"center": Center(per="pixel"), "scale": Scale(bits=8)},
    "standardize": {"standardize": Standardize()},
    "decorrelate": {"scale": Scale(bits=8), "decorrelate": Decorrelate()},
    "whiten": {"scale": Scale(bits=8), "whiten": Whiten(eps=1e-4)},
}
KNOBS = {
    "num_points": 200,
    "mean": [4.0, 3.0],
    "std": [2.0, 1.0],
    "correlation": 0.85,
    "levels": list(LEVELS),
    "num_shown": 2,
    "seed": 0,
}


@pytest.fixture
def lab(make_run):
    default = make_run()

    def compose(words):
        chosen = dict(word.split("=") for word in words)
        data = replace(default.data, num_train=400)  # more than an image has values, 192
        return make_run(data=data, preprocessing=Chain(LEVELS[chosen["preprocessing"]]))

    return Lab(compose, log=lambda line: None)


@pytest.fixture(scope="module")
def clouds():
    covariance = [[4.0, 1.7], [1.7, 1.0]]
    cloud = np.random.default_rng(1).multivariate_normal([4, 3], covariance, 500)
    return cloud, figure.process_cloud(cloud)


def covariance_of(points):
    return np.cov(points.T, bias=True)


def test_raw_centred_and_normalised_clouds(clouds):
    cloud, (raw, centred, normalised, _, _) = clouds
    assert np.allclose(raw, cloud, atol=1e-5)
    assert np.allclose(centred.mean(0), 0, atol=1e-5)
    assert np.allclose(covariance_of(centred), covariance_of(cloud), atol=1e-4)
    correlation = np.corrcoef(cloud.T)[0, 1]
    assert np.allclose(normalised.mean(0), 0, atol=1e-5)
    assert np.allclose(covariance_of(normalised), [[1, correlation], [correlation, 1]], atol=1e-4)


def test_the_decorrelated_cloud_is_a_rotation_onto_the_principal_axes(clouds):
    cloud, (_, centred, _, decorrelated, _) = clouds
    variances = np.linalg.eigvalsh(covariance_of(cloud))[::-1]
    assert np.allclose(covariance_of(decorrelated), np.diag(variances), atol=1e-4)
    assert np.allclose(np.linalg.norm(decorrelated, axis=1), np.linalg.norm(centred, axis=1), atol=1e-4)


def test_the_whitened_cloud_is_white_and_turned_as_little_as_can_be(clouds):
    _, (_, centred, _, _, whitened) = clouds
    assert np.allclose(covariance_of(whitened), np.eye(2), atol=1e-4)
    # ZCA: the map is the inverse root of the covariance, symmetric and positive.
    variances, vectors = np.linalg.eigh(covariance_of(centred))
    assert np.allclose(whitened, centred @ (vectors / np.sqrt(variances)) @ vectors.T, atol=1e-3)


def test_describe():
    ramp = torch.arange(6, dtype=torch.float64).reshape(1, 1, 2, 3)
    limit, mean, std, neighbours = figure.describe(ramp)
    assert limit == pytest.approx(4.95)
    assert mean == 2.5
    assert std == pytest.approx(np.std(np.arange(6), ddof=1))
    assert neighbours == pytest.approx(1)
    signs = torch.tensor([1.0, -1, 1, -1], dtype=torch.float64).reshape(1, 1, 1, 4)
    assert figure.describe(signs)[3] == pytest.approx(-1)


def test_images_are_processed_with_what_the_training_images_teach(lab):
    arrays = figure.compute(lab, **KNOBS)
    assert arrays["images"].shape == (5, 2, 8, 8, 3)
    dataset = lab.dataset(lab.run("preprocessing=raw"))
    raw = dataset.test.images[:2].permute(0, 2, 3, 1).numpy().astype(float)
    assert np.array_equal(arrays["images"][0], raw)
    mean_image = dataset.train.images.double().mean(0).permute(1, 2, 0).numpy()
    assert np.allclose(arrays["images"][1], (raw - mean_image) / 255, atol=1e-6)
    assert np.allclose(np.linalg.norm(arrays["images"][3]), np.linalg.norm(arrays["images"][1]), rtol=1e-4)
    assert abs(arrays["neighbours"][4]) < abs(arrays["neighbours"][0])
    assert len(figure.draw(arrays).axes) == 15
    assert "20" in figure.caption(arrays)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [({"levels": ["raw"]}, "levels"), ({"num_shown": 0}, "num_shown"), ({"correlation": 1.0}, "correlation")],
)
def test_refusals(lab, wrong, named):
    with pytest.raises(ValueError, match=named):
        figure.compute(lab, **{**KNOBS, **wrong})

"""Uncertainty over images against McNemar's variance, the bootstrap over images, and simulated variances."""

import numpy as np
import pytest
from scipy import stats

from ablate.statistics import accuracy_difference


def predictions(rng: np.random.Generator, num_seeds: int, num_images: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    labels = rng.integers(0, 10, num_images)
    hard = rng.random(num_images)
    arms = [np.where(rng.random((num_seeds, num_images)) < p * hard, rng.integers(0, 10, num_images), labels)
            for p in (0.5, 0.8)]  # fmt: skip
    return arms[0], arms[1], labels


def test_one_seed_has_mcnemars_variance() -> None:
    treatment, control, labels = predictions(np.random.default_rng(0), 1, 400)
    result = accuracy_difference(treatment, control, labels)
    right, left = (treatment[0] == labels), (control[0] == labels)
    b, c, n = np.sum(right & ~left), np.sum(~right & left), 400
    assert result.estimate == pytest.approx((b - c) / n)
    assert result.image_se**2 == pytest.approx((b + c - (b - c) ** 2 / n) / n / (n - 1))
    assert np.isnan(result.seed_se)
    assert np.isnan(result.total_se)
    assert not result.total_interval.excludes(1e9)
    half_width = stats.t(n - 1).ppf(0.975) * result.image_se
    assert result.image_interval.upper == pytest.approx(result.estimate + half_width)


def test_item_level_is_the_bootstrap_over_images() -> None:
    rng = np.random.default_rng(1)
    treatment, control, labels = predictions(rng, 4, 300)
    e = ((treatment == labels).astype(float) - (control == labels)).mean(axis=0)
    resampled = e[rng.integers(0, 300, (20_000, 300))].mean(axis=1)
    # The relative standard error of a standard deviation of 20,000 draws is 0.5 %.
    assert accuracy_difference(treatment, control, labels).image_se == pytest.approx(resampled.std(), rel=0.02)


def test_seed_level_is_the_paired_t_of_accuracies() -> None:
    treatment, control, labels = predictions(np.random.default_rng(2), 5, 100)
    result = accuracy_difference(treatment, control, labels, alpha=0.1)
    reference = stats.ttest_rel((treatment == labels).mean(axis=1), (control == labels).mean(axis=1))
    limits = reference.confidence_interval(0.9)
    assert (result.seed_interval.lower, result.seed_interval.upper) == pytest.approx((limits.low, limits.high))


def test_total_variance_is_that_of_new_seeds_and_images() -> None:
    rng = np.random.default_rng(3)
    num_seeds, num_images = 6, 80
    estimates, variances = [], []
    for _ in range(4_000):
        image = 0.8 * rng.standard_normal((2, 1, num_images))
        seed = 0.3 * rng.standard_normal((2, num_seeds, 1))
        correct = image + seed + rng.standard_normal((2, num_seeds, num_images)) > 0
        result = accuracy_difference(correct[0], correct[1], np.ones(num_images))
        estimates.append(result.estimate)
        variances.append(result.total_se**2)
    # The relative standard error of a variance of 4,000 draws is 2 %.
    assert np.mean(variances) == pytest.approx(np.var(estimates), rel=0.08)


def test_total_is_at_least_each_source() -> None:
    for seed in range(30):
        result = accuracy_difference(*predictions(np.random.default_rng(seed), 3, 20))
        assert result.total_se >= max(result.seed_se, result.image_se)


def test_equal_arms_differ_by_nothing() -> None:
    treatment, _, labels = predictions(np.random.default_rng(4), 3, 50)
    result = accuracy_difference(treatment, treatment, labels)
    assert (result.estimate, result.seed_se, result.image_se, result.total_se) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("t", "c", "y"),
    [
        ((2, 5), (3, 5), (5,)),
        ((2, 5), (2, 5), (4,)),
        ((5,), (5,), (5,)),
        ((2, 1), (2, 1), (1,)),
        ((0, 5), (0, 5), (5,)),
    ],
)
def test_refuses_shapes_that_do_not_fit(t: tuple[int, ...], c: tuple[int, ...], y: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"shape \(num_seeds, num_images\)"):
        accuracy_difference(np.zeros(t), np.zeros(c), np.zeros(y))

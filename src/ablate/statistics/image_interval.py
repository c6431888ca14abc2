"""Uncertainty of an accuracy difference that comes from the test images, beside that from the seeds."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from ablate.statistics.effects import FloatArray, Interval, check_alpha


@dataclass(frozen=True)
class AccuracyDifference:
    """A difference of test accuracies and its uncertainty over other seeds, other images, or both.

    Args:
        estimate: mean over seeds and images of [treatment correct] - [control correct], in [-1, 1].
        seed_se: standard error over seeds, for these test images; nan with one seed.
        image_se: standard error over images, for these trained nets.
        total_se: standard error for new seeds and new images; nan with one seed.
        seed_interval: t interval for these images, num_seeds - 1 degrees of freedom.
        image_interval: t interval for these nets, num_images - 1 degrees of freedom.
        total_interval: t interval for new seeds and images, num_seeds - 1 degrees of freedom, hence conservative.
    """

    estimate: float
    seed_se: float
    image_se: float
    total_se: float
    seed_interval: Interval
    image_interval: Interval
    total_interval: Interval


def accuracy_difference(
    treatment: ArrayLike, control: ArrayLike, labels: ArrayLike, alpha: float = 0.05
) -> AccuracyDifference:
    """Return the paired difference of accuracies with its uncertainty over seeds, over images, and over both.

    With e_si in {-1, 0, 1} the difference in correctness of seed s on image i, S seeds and I images:
    seed_se^2 = var_s(mean_i e) / S, image_se^2 = var_i(mean_s e) / I (for S = 1 McNemar's variance), and
    total_se^2 = seed_se^2 + image_se^2 - v / (S I), where v is the mean square of the residual of the two-way layout,
    which both terms contain.

    Args:
        treatment: predicted labels, shape (num_seeds, num_images).
        control: predicted labels of the same seeds and images, shape (num_seeds, num_images).
        labels: true labels, shape (num_images,).
        alpha: error level of each interval, in (0, 1).

    Raises:
        ValueError: shapes that do not fit, fewer than two images, or no seed.

    Example: two seeds, four images.

        >>> accuracy_difference([[0, 1, 1, 0], [0, 1, 1, 1]], [[0, 1, 0, 0], [0, 0, 1, 1]], [0, 1, 1, 1]).estimate
        0.25
    """
    t, c, y = np.asarray(treatment), np.asarray(control), np.asarray(labels)
    if t.ndim != 2 or t.shape != c.shape or t.shape[1:] != y.shape or t.shape[0] < 1 or t.shape[1] < 2:
        raise ValueError(
            "predictions must both have shape (num_seeds, num_images) and labels (num_images,), with at least one seed "
            f"and two images, got {t.shape}, {c.shape} and {y.shape}"
        )
    return hit_difference(t == y, c == y, alpha)


def hit_difference(treatment: ArrayLike, control: ArrayLike, alpha: float = 0.05) -> AccuracyDifference:
    """Return `accuracy_difference` of hits that may be fractions (ties); e_si is then any number in [-1, 1].

    Args:
        treatment: hit of each prediction, in [0, 1], shape (num_seeds, num_images): 1 if right, 0 if wrong, 1/m where m
            classes share the largest output.
        control: hits of the same seeds and images, shape (num_seeds, num_images).
        alpha: error level of each interval, in (0, 1).

    Raises:
        ValueError: shapes that do not fit, fewer than two images, or no seed.

    Example: one seed has no spread over seeds.

        >>> result = hit_difference([[1.0, 0.5, 1.0, 0.0]], [[1.0, 0.0, 0.0, 0.0]])
        >>> result.estimate, round(result.image_se, 3), result.seed_se
        (0.375, 0.239, nan)
    """
    check_alpha(alpha)
    e = _differences(treatment, control)
    num_seeds, num_images = e.shape
    by_seed, by_image, estimate = e.mean(axis=1), e.mean(axis=0), float(e.mean())
    image_variance = by_image.var(ddof=1) / num_images
    seed_variance = total_variance = float("nan")
    if num_seeds > 1:
        seed_variance = by_seed.var(ddof=1) / num_seeds
        residual = e - by_seed[:, None] - by_image + estimate
        shared = (residual**2).sum() / ((num_seeds - 1) * (num_images - 1)) / (num_seeds * num_images)
        # The total is at least each part; its estimate may be below by chance.
        total_variance = max(seed_variance + image_variance - shared, seed_variance, image_variance)

    def interval(variance: float, df: int) -> Interval:
        half_width = -special.stdtrit(df, alpha / 2) * variance**0.5 if df else np.inf
        return Interval(float(estimate - half_width), float(estimate + half_width), 1 - alpha)

    return AccuracyDifference(
        estimate=estimate,
        seed_se=float(seed_variance**0.5),
        image_se=float(image_variance**0.5),
        total_se=float(total_variance**0.5),
        seed_interval=interval(seed_variance, num_seeds - 1),
        image_interval=interval(image_variance, num_images - 1),
        total_interval=interval(total_variance, num_seeds - 1),
    )


def image_differences(treatment: ArrayLike, control: ArrayLike) -> FloatArray:
    """Return the difference in hits of each image, mean over nets, in [-1, 1].

    Their mean is the difference of accuracies. Where both arms are the same trained nets, evaluated in two ways, images
    are the replicates, and the effect is judged by these differences.

    Args:
        treatment, control: see `hit_difference`.

    Returns:
        Shape (num_images,).

    Raises:
        ValueError: shapes that do not fit, fewer than two images, or no seed.

    Example:
        >>> image_differences([[1, 1, 0], [1, 0, 0]], [[1, 0, 0], [1, 0, 1]]).tolist()
        [0.0, 0.5, -0.5]
    """
    return _differences(treatment, control).mean(axis=0)


def _differences(treatment: ArrayLike, control: ArrayLike) -> FloatArray:
    """Return treatment - control, shape (num_seeds, num_images)."""
    t, c = np.asarray(treatment, dtype=np.float64), np.asarray(control, dtype=np.float64)
    if t.ndim != 2 or t.shape != c.shape or t.shape[0] < 1 or t.shape[1] < 2:
        raise ValueError(
            "hits must both have shape (num_seeds, num_images), with at least one seed and two images, got "
            f"{t.shape} and {c.shape}"
        )
    difference: FloatArray = t - c
    return difference

"""Many tests at one error level: Holm in a family, alpha / num_looks at interim looks, Benjamini-Hochberg on a page."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ablate.statistics.effects import FloatArray, check_alpha


@dataclass(frozen=True, eq=False)
class Holm:
    """Holm's step-down test of a family.

    Args:
        adjusted: p values to compare with the family's alpha, shape of the p values.
        alphas: error level at which each claim was tested, same shape; its interval of confidence 1 - alpha excludes
            the null exactly when Holm rejects.
        rejected: whether Holm rejects, same shape.
    """

    adjusted: FloatArray
    alphas: FloatArray
    rejected: NDArray[np.bool_]


def holm(p_values: ArrayLike, alpha: float) -> Holm:
    """Test m claims so that the probability of any false rejection is at most `alpha`, however the claims depend.

    With p_(1) <= ... <= p_(m), step k compares p_(k) with alpha / (m - k + 1), and the test ends at the first step that
    does not reject. A rejected claim is tested at the error level of its own step, every other claim at that of the
    step where the test ended, since its p value is at least the one there. So Holm rejects a claim exactly when p is at
    most its error level, and an interval at that error level shows it. The error levels depend on the data: such an
    interval shows on which side of 0 the effect lies; for limits that hold for all claims at once take alpha / m.

    Args:
        p_values: values in [0, 1], shape (..., m); leading axes are independent families.
        alpha: error level of the family in (0, 1).

    Raises:
        ValueError: a p value outside [0, 1] or nan, no claim, or alpha outside (0, 1).

    Source: Holm 1979.

    Example:
        >>> holm([0.01, 0.04, 0.20], alpha=0.05).rejected.tolist()
        [True, False, False]
    """
    check_alpha(alpha)
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim == 0 or p.shape[-1] == 0:
        raise ValueError(f"`p_values` must have shape (..., num_claims) with at least one claim, got {p.shape}")
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"`p_values` must lie in [0, 1], got {p}; an incomplete claim has the p value 1")
    num_left = np.arange(p.shape[-1], 0, -1)
    order = np.argsort(p, axis=-1, kind="stable")
    ordered = np.take_along_axis(p, order, axis=-1)
    steps = alpha / num_left
    passed = np.logical_and.accumulate(ordered <= steps, axis=-1)
    stop = np.minimum(passed.sum(axis=-1, keepdims=True), p.shape[-1] - 1)
    adjusted = np.minimum(np.maximum.accumulate(ordered * num_left, axis=-1), 1.0)

    rank = np.argsort(order, axis=-1, kind="stable")
    return Holm(
        adjusted=np.take_along_axis(adjusted, rank, axis=-1),
        alphas=np.take_along_axis(np.where(passed, steps, steps[stop]), rank, axis=-1),
        rejected=np.take_along_axis(passed, rank, axis=-1),
    )


def false_discovery(p_values: ArrayLike) -> FloatArray:
    """Return the q value of each of m tests: the least error level at which Benjamini-Hochberg rejects it.

    q_(k) = min over j >= k of p_(j) m / j. Of the tests with q <= alpha, the expected share of false ones is at most
    alpha where the p values are independent or positively dependent (tests that share a control arm are).

    Args:
        p_values: values in [0, 1], shape (..., m); leading axes are independent pages; m may be 0.

    Raises:
        ValueError: a p value outside [0, 1] or nan.

    Source: Benjamini & Hochberg 1995; Benjamini & Yekutieli 2001 for positive dependence.

    Example:
        >>> false_discovery([0.01, 0.02, 0.60]).round(3).tolist()
        [0.03, 0.03, 0.6]
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim == 0 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"`p_values` must lie in [0, 1] and have shape (..., num_tests), got {p}")
    num_tests = p.shape[-1]
    order = np.argsort(p, axis=-1, kind="stable")
    scaled = np.take_along_axis(p, order, axis=-1) * num_tests / np.arange(1, num_tests + 1)
    ordered = np.minimum.accumulate(scaled[..., ::-1], axis=-1)[..., ::-1]
    return np.take_along_axis(np.minimum(ordered, 1.0), np.argsort(order, axis=-1, kind="stable"), axis=-1)


def look_alpha(alpha: float, look: int, num_looks: int) -> float:
    """Return the error level of one look (an interim analysis): alpha / num_looks.

    This is the union bound. It needs neither normal statistics nor information fractions that are known beforehand, and
    so holds for t statistics of a few seeds and for any number of seeds added at each look.

    Args:
        alpha: error level over all looks, in (0, 1).
        look: which look this is, from 1.
        num_looks: looks that the study declared before its first run.

    Raises:
        ValueError: a look that was not declared.

    Example:
        >>> look_alpha(0.05, look=1, num_looks=2)
        0.025
    """
    check_alpha(alpha)
    if not 1 <= look <= num_looks:
        raise ValueError(
            f"`look` must lie in [1, num_looks = {num_looks}], got {look}; an undeclared look has no error level left: "
            "declare it in a new study with new seeds"
        )
    return alpha / num_looks

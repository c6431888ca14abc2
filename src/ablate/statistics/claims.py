"""From scores to the effect that a claim is about; its direction and smallest effect are applied by `verdicts.decide`.

A difference, a ratio ("k times faster") and a trend each give one effect, which is positive where the treatment's
scores (of a trend: the last arm's) are larger. Scores are paired by seed: row s of every arm has the same seed.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ablate.statistics.censoring import RankEffect, rank_effect
from ablate.statistics.effects import FloatArray, MeanEffect, check_margin, check_vector, mean_effect
from ablate.statistics.guarded import GuardedEffect

Effect = MeanEffect | RankEffect | GuardedEffect


def difference(treatment: ArrayLike, control: ArrayLike) -> MeanEffect:
    """Return the effect treatment - control, in the unit of the scores.

    Args:
        treatment: scores, shape (num_seeds,); nan where the run is missing. A diverged run is scored as guessing.
        control: scores of the same seeds, shape (num_seeds,).

    Example:
        >>> round(difference([0.70, 0.72, 0.71], [0.65, 0.66, 0.67]).estimate, 3)
        0.05
    """
    return mean_effect(np.subtract(*_paired(treatment, control)))


def ratio(treatment: ArrayLike, control: ArrayLike, budget: float | None = None) -> Effect:
    """Return the effect log(treatment / control); exp of it is the geometric mean ratio.

    "k times faster" is a claim "smaller" on times with the smallest effect log(k). A time of inf was not reached within
    the budget B: log(t / c) is then known to lie above log(B / c) or below log(t / B), and is not known at all where
    neither arm reached it. With a censored pair the log ratios are judged by signed ranks, otherwise by t. The number
    of censored pairs does not change when treatment and control of a pair are exchanged; choosing the test by it
    therefore keeps the error level where the treatment has no effect.

    Args:
        treatment: positive values, shape (num_seeds,), e.g. epochs to a threshold; inf where it was never reached, nan
            where the run is missing.
        control: values of the same seeds, shape (num_seeds,).
        budget: the largest value that can be observed, e.g. the number of epochs; needed where a value is inf.

    Raises:
        ValueError: shapes differ; a value is not positive or above the budget; a value is inf and no budget is given.

    Example:
        >>> round(float(np.exp(ratio([2.0, 4.0], [8.0, 4.0]).estimate)), 3)
        0.5
    """
    t, c = _paired(treatment, control)
    seen = np.concatenate([t, c])
    seen = seen[~np.isnan(seen)]
    if (seen <= 0).any():
        raise ValueError(f"a ratio needs positive values, got {seen.min()}; compare by difference instead")
    if budget is not None and (seen[np.isfinite(seen)] > budget).any():
        raise ValueError(f"values must not exceed `budget` = {budget}, got {seen[np.isfinite(seen)].max()}")
    if not np.isinf(seen).any():
        return mean_effect(np.log(t) - np.log(c))
    if budget is None:
        raise ValueError(
            "`budget` must be given where a value is inf (never reached), got None; pass the epochs allowed"
        )
    log_budget = np.log(budget)
    log_t, log_c = np.log(t), np.log(c)
    missing = np.isnan(t) | np.isnan(c)
    lower = np.where(np.isinf(c), -np.inf, np.minimum(log_t, log_budget) - log_c)
    upper = np.where(np.isinf(t), np.inf, log_t - np.minimum(log_c, log_budget))
    return rank_effect(np.where(missing, np.nan, lower), np.where(missing, np.nan, upper))


def trend(scores: ArrayLike, positions: ArrayLike | None = None) -> MeanEffect:
    """Return the change along the least-squares line from the lowest to the highest position, fitted seed by seed.

    The contrast of a seed is sum_a w_a y_a with w = (x - mean x) / sum (x - mean x)^2 * (max x - min x), in the unit of
    the scores. It measures the linear part alone: a peak in the middle shows no trend.

    Args:
        scores: shape (num_seeds, num_arms), arms in the order of the factor.
        positions: where the arms lie, shape (num_arms,), e.g. depths or log learning rates; 0, 1, 2, ... by default.

    Raises:
        ValueError: fewer than two arms, or positions that are all equal or of another shape.

    Example:
        >>> round(trend([[0.50, 0.60, 0.70], [0.52, 0.61, 0.72]]).estimate, 3)
        0.2
    """
    y = np.asarray(scores, dtype=np.float64)
    if y.ndim != 2 or y.shape[1] < 2:
        raise ValueError(f"`scores` must have shape (num_seeds, num_arms) with at least 2 arms, got {y.shape}")
    x = np.arange(y.shape[1], dtype=np.float64) if positions is None else np.asarray(positions, dtype=np.float64)
    if x.shape != y.shape[1:] or not np.isfinite(x).all() or np.ptp(x) == 0:
        raise ValueError(f"`positions` must be {y.shape[1]} finite numbers, not all equal, got {x.tolist()}")
    centred = x - x.mean()
    return mean_effect(y @ (centred / (centred @ centred) * np.ptp(x)))


@dataclass(frozen=True)
class Identity:
    """Whether two arms gave the same scores: a fact about the runs, which needs no test.

    Args:
        holds: largest difference <= tolerance; None where a score is missing.
        largest_difference: max |treatment - control| over seeds; nan where a score is missing.
        tolerance: largest difference that counts as the same, in the unit of the scores.
    """

    holds: bool | None
    largest_difference: float
    tolerance: float


def identity(treatment: ArrayLike, control: ArrayLike, tolerance: float = 0.0) -> Identity:
    """Return whether max |treatment - control| over all seeds is at most `tolerance`.

    Args:
        treatment: scores, shape (num_seeds,); nan where the run is missing.
        control: scores of the same seeds, shape (num_seeds,).
        tolerance: at least 0, in the unit of the scores; 0 asks for equality to the last bit.

    Example:
        >>> identity([0.7, 0.8], [0.7, 0.8]).holds
        True
    """
    check_margin(tolerance)
    t, c = _paired(treatment, control)
    largest = float(np.abs(t - c).max()) if t.size else float("nan")
    return Identity(None if np.isnan(largest) else largest <= tolerance, largest, tolerance)


def _paired(treatment: ArrayLike, control: ArrayLike) -> tuple[FloatArray, FloatArray]:
    t, c = check_vector("treatment", treatment), check_vector("control", control)
    if t.shape != c.shape:
        raise ValueError(f"treatment and control must have the same seeds, got {t.size} and {c.size} of them")
    return t, c

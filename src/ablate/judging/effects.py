"""From the scores of a claim's cells to the effect that `ablate.statistics` decides."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from ablate.statistics import Comparison, Direction, Effect, Exposure, guarded_effect, mean_effect, rank_effect, trend
from ablate.statistics.effects import FloatArray
from ablate.statistics.verdicts import NO_EXPOSURE
from ablate.study.claim import DIFFERENCE_FORMS, Claim
from ablate.study.manifest import Variant
from ablate.study.results import metric_value
from ablate.training.record import Record

# The runs of an arm that are compared: its variant, and the records by seed.
Sample = tuple[Variant, Mapping[int, Record]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Scores:
    """The metric of all runs of a claim.

    Args:
        values: shape (num_cells, num_arms, num_seeds); nan where a run is missing, inf where its metric is null.
        budgets: epochs of each arm, shape (num_cells, num_arms, 1): the lower bound of an epoch that was never reached;
            nan where they are not known.
    """

    values: FloatArray
    budgets: FloatArray


def read_scores(cells: Sequence[Sequence[Sample]], metric: str, seeds: Sequence[int]) -> Scores:
    """Return the scores of a claim's cells.

    Args:
        cells: the arms of each cell; arms at equal positions are matched.
        metric: key of `Record.metrics`.
        seeds: by which the runs are paired.

    Raises:
        UserError: the runs have no such metric.
    """
    values = [[[metric_value(records.get(seed), metric) for seed in seeds] for _, records in cell] for cell in cells]
    budgets = [[[epochs_of(variant)] for variant, _ in cell] for cell in cells]
    return Scores(values=np.array(values, dtype=np.float64), budgets=np.array(budgets, dtype=np.float64))


def epochs_of(variant: Variant) -> float:
    """Return for how many epochs a variant trains, nan where only its own program knows."""
    trainer = variant.settings.get("trainer")
    return float(trainer["epochs"]) if isinstance(trainer, Mapping) else math.nan


def is_censored(claim: Claim) -> bool:
    """Return whether a null of the claim's metric is censored, a value above the budget, and not a missing one."""
    return claim.form == "ratio" and claim.metric.startswith("epochs_to/")


def bounds(claim: Claim, scores: Scores) -> tuple[FloatArray, FloatArray]:
    """Return the least and the greatest value that the effect can have in each seed, shape (num_seeds,) both.

    They are equal where all runs of the seed have a value, and nan where one is missing. Arms of a cell are averaged
    (of a ratio: the logarithms), then the cells are contrasted: the difference of treatment and control (or a value),
    that of two such differences, or the change along the least-squares line over the cells at equal steps.
    An epoch that was never reached is above its arm's budget B: its logarithm is between log B and infinity. The unit
    is that of the metric; of a ratio, the bounds are logarithms.
    """
    if claim.form == "ratio":
        # With one arm a cell and one budget this is `statistics.ratio`.
        known = is_censored(claim) & ~np.isnan(scores.budgets)
        least = np.log(np.where(known, np.minimum(scores.values, scores.budgets), scores.values)).mean(axis=1)
        greatest = np.log(scores.values).mean(axis=1)
        return least[0] - greatest[1], greatest[0] - least[1]
    cells = scores.values.mean(axis=1)
    if claim.form == "trend":
        contrast = np.array([trend(seed[None]).estimate for seed in cells.T])
    elif claim.form == "interaction":
        contrast = (cells[0] - cells[1]) - (cells[2] - cells[3])
    else:
        contrast = cells[0] - (cells[1] if claim.value is None else claim.value)
    return contrast, contrast


def weights(claim: Claim, num_cells: int) -> FloatArray:
    """Return the weight of each cell's mean in the effect (of a ratio: of its logarithm), shape (num_cells,)."""
    if claim.form == "trend":
        return np.array([trend(unit[None]).estimate for unit in np.eye(num_cells)])
    return np.array([1.0, -1.0, -1.0, 1.0][:num_cells])


def is_accuracy(metric: str) -> bool:
    """Return whether a metric is an accuracy, of which the value for guessing is known.

    Example:
        >>> is_accuracy("test/accuracy"), is_accuracy("test/loss")
        (True, False)
    """
    return metric.rpartition("/")[2] == "accuracy"


def resolution(claim: Claim, scores: Scores, num_images: int | None) -> float:
    """Return the least standard error of the claim's effect, in its unit, however many seeds agree.

    For an accuracy it is the contribution of one image, since all seeds are measured on the same images. A count of
    whole epochs has been rounded up, which has a variance of 1/12. The error of a share of n runs is at least that
    of p = 1 / (n + 2), as Laplace estimates a share of 0. For other metrics it is not known: 0.

    Args:
        claim: any.
        scores: complete.
        num_images: number of images that the metric is measured on; None where it is not known.
    """
    w = np.abs(weights(claim, len(scores.values)))
    if claim.metric.startswith("reaches/"):
        n = scores.values.shape[2]
        p = 1 / (n + 2)
        return float(np.sqrt((w**2).sum() * p * (1 - p) / n))
    means = scores.values.mean(axis=(1, 2)) if claim.form == "ratio" else np.ones(len(w))
    if not (np.isfinite(means).all() and (means > 0).all()):
        return 0.0
    if is_accuracy(claim.metric):
        return float((w / means).max() / num_images) if num_images else 0.0
    return float(np.sqrt(((w / means) ** 2).sum() / 12)) if claim.metric.startswith("epochs_to/") else 0.0


def effect_of(claim: Claim, scores: Scores, least_error: float = 0.0, is_mixture: bool = False) -> Effect:
    """Return the claim's effect: the mean difference, or signed ranks where a threshold was never reached.

    Args:
        claim: any but an identity.
        scores: of its runs.
        least_error: see `resolution`.
        is_mixture: whether some runs of an arm trained and others did not; the sign flips have to agree with t then.
    """
    lower, upper = bounds(claim, scores)
    if np.isinf(scores.values).any():
        return rank_effect(lower, upper)
    if is_mixture:
        return guarded_effect(lower, least_error, null=null_of(claim))
    return mean_effect(lower, least_error)


def comparison_of(
    claim: Claim, effect: Effect, exposure: Exposure = NO_EXPOSURE, neither_trains: bool = False
) -> Comparison:
    """Return the claim in the form that `statistics.decide` takes."""
    return Comparison(
        effect=effect,
        direction=direction_of(claim),
        smallest_effect=smallest_effect(claim),
        at_least=claim.at_least,
        exposure=exposure,
        neither_trains=neither_trains,
    )


def null_of(claim: Claim) -> float:
    """Return the value that the effect is tested against, in its unit."""
    return comparison_of(claim, mean_effect([math.nan])).null


def direction_of(claim: Claim) -> Direction:
    """Return the direction that is claimed: the form of a difference, the `direction` of any other form."""
    return cast(Direction, claim.form if claim.form in DIFFERENCE_FORMS else claim.direction)


def smallest_effect(claim: Claim) -> float:
    """Return the claim's smallest effect in the unit of its effect: log k for a ratio."""
    return math.log(claim.smallest_effect) if claim.form == "ratio" else claim.smallest_effect


def in_unit(claim: Claim, value: float) -> float | None:
    """Return an effect in the unit of the judgement: a log ratio becomes a factor, nan None."""
    if math.isnan(value):
        return None
    return float(np.exp(value)) if claim.form == "ratio" else float(value)


def unusable(claim: Claim, scores: Scores) -> NDArray[np.bool_]:
    """Return which scores exist and cannot be used in the claim's effect, shape (num_cells, num_arms, num_seeds).

    These are nulls, except epochs censored by a known budget, and in a ratio all values without a logarithm.
    """
    null = np.isinf(scores.values) & (np.isnan(scores.budgets) | (not is_censored(claim)))
    return null | (scores.values <= 0) if claim.form == "ratio" else null

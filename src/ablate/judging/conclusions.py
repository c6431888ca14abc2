"""The fields of a judgement that state scores and their test: means, differences, intervals, p values."""

import math
from typing import Any

import numpy as np

from ablate.judging.effects import (
    Scores,
    bounds,
    direction_of,
    effect_of,
    in_unit,
    unusable,
)
from ablate.statistics import (
    Outcome,
    Verdict,
    bca_interval,
    identity,
    improvement,
    sign_flip,
)
from ablate.statistics.effects import FloatArray
from ablate.study.claim import Claim


def summarize(claim: Claim, scores: Scores) -> dict[str, Any]:
    """Return the means, the estimate and the differences of the pairs that are complete."""
    complete = ~(np.isnan(scores.values) | unusable(claim, scores)).any(axis=(0, 1))
    kept = Scores(values=scores.values[..., complete], budgets=scores.budgets)
    found: dict[str, Any] = {"num_seeds": int(complete.sum())}
    if not complete.any():
        return found
    lower, upper = bounds(claim, kept)
    is_identity = claim.form == "identity"
    estimate = (
        np.abs(kept.values[0] - other_side(claim, kept)).max() if is_identity else effect_of(claim, kept).estimate
    )
    sides = positions_of_sides(claim)
    treatment, control = (mean_of(claim, kept.values[side]) if side else claim.value for side in sides)
    return found | {
        "treatment_mean": treatment,
        "control_mean": control,
        "estimate": in_unit(claim, estimate),
        "differences": lower[lower == upper].tolist(),
    }


def mean_of(claim: Claim, values: FloatArray) -> float | None:
    """Return the mean of scores (of a ratio: the geometric mean), None where a threshold was never reached."""
    mean = float(np.exp(np.log(values).mean()) if claim.form == "ratio" else values.mean())
    return mean if math.isfinite(mean) else None


def holds(claim: Claim, scores: Scores) -> bool:
    """Return whether an identity holds in every pair of matched runs, none of which is missing."""
    found = identity(scores.values[0].ravel(), other_side(claim, scores).ravel(), claim.tolerance).holds
    assert found is not None, "a missing run is an obstacle"
    return found


def other_side(claim: Claim, scores: Scores) -> FloatArray:
    """Return the scores that an identity compares the treatment's with, shape (num_arms, num_seeds)."""
    return scores.values[1] if claim.value is None else np.full_like(scores.values[0], claim.value)


def report_verdict(claim: Claim, verdict: Verdict, failure_share: float) -> dict[str, Any]:
    """Return the numbers of a verdict in the unit of the judgement."""
    return {
        "outcome": verdict.outcome.value,
        "low": in_unit(claim, verdict.interval.lower),
        "high": in_unit(claim, verdict.interval.upper),
        "level": verdict.interval.confidence,
        "p": verdict.p,
        "p_adjusted": verdict.p_adjusted,
        "equivalence_p": verdict.equivalence_p,
        "equivalence_p_adjusted": verdict.equivalence_p_adjusted,
        **equivalence(claim, verdict),
        "further_seeds": verdict.further_seeds,
        "stands_to": stands_to(verdict, failure_share),
    }


def equivalence(claim: Claim, verdict: Verdict) -> dict[str, Any]:
    """Return the interval of the equivalence test and its confidence; nothing where equivalence is not tested."""
    interval = verdict.equivalence_interval
    if not (math.isfinite(interval.lower) and math.isfinite(interval.upper)):
        return {}
    return {
        "equivalence_low": in_unit(claim, interval.lower),
        "equivalence_high": in_unit(claim, interval.upper),
        "equivalence_level": interval.confidence,
    }


def stands_to(verdict: Verdict, failure_share: float) -> float | None:
    """Return the share of failing runs, in [0, 1], up to which a difference holds; None where it is not known."""
    if verdict.outcome not in (Outcome.SUPPORTED, Outcome.CONTRADICTED):
        return None
    null, exposure = verdict.comparison.null, verdict.comparison.exposure
    room, move = max((verdict.interval.lower - null, exposure.down), (null - verdict.interval.upper, exposure.up))
    return min(1.0, failure_share * room / move) if room > 0 and move > 0 else None


def describe_differences(claim: Claim, scores: Scores, generator_seed: int) -> dict[str, Any]:
    """Return the statistics that are shown beside a verdict and do not decide it.

    A pair in which only one side reached the threshold has a sign, though no difference; one in which neither did is a
    tie. Each claim has a generator of its own, so its numbers do not depend on other claims.
    """
    lower, upper = bounds(claim, scores)
    sign = ((lower >= 0) & (upper > 0)).astype(float) - ((upper <= 0) & (lower < 0))
    better = -sign if direction_of(claim) == "smaller" else sign
    found: dict[str, Any] = {"improvement": improvement(better).probability}
    if np.array_equal(lower, upper):
        generator = np.random.default_rng([generator_seed, *claim.name.encode()])
        interval = bca_interval(lower, generator)
        if math.isfinite(interval.lower) and math.isfinite(interval.upper):
            found["bootstrap"] = (in_unit(claim, interval.lower), in_unit(claim, interval.upper))
        flips = sign_flip(lower, generator)
        found |= {"sign_flip_p": flips.p, "sign_flip_smallest_p": flips.smallest_p}
    return found


def positions_of_sides(claim: Claim) -> tuple[list[int], list[int]]:
    """Return the positions of the treatment's and of the control's cells; none where a value is the control."""
    if claim.value is not None:
        return [0], []
    return {"trend": ([-1], [0]), "interaction": ([0, 2], [1, 3])}.get(claim.form, ([0], [1]))

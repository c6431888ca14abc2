"""A claim on the tuning runs: the effect at equal values, and whether it depends on the chosen values."""

from collections.abc import Sequence

import numpy as np

from ablate.errors import UserError
from ablate.judging.effects import Scores, effect_of, in_unit, read_scores, smallest_effect, unusable
from ablate.judging.judgement import AtValue
from ablate.statistics import Effect
from ablate.statistics.effects import ROUNDING
from ablate.study.claim import Claim
from ablate.study.results import ArmResult, choice_of
from ablate.study.study import Study
from ablate.study.tuned import Fixed

Cells = Sequence[Sequence[ArmResult]]


def at_values(claim: Claim, cells: Cells, study: Study) -> list[AtValue]:
    """Return the claim's effect with all arms at each value of the tuned setting, from the tuning runs."""
    return [_at(claim, cells, study, i) for i in range(len(study.tuning.values))] if study.tuning else []


def value_sensitive(claim: Claim, cells: Cells, study: Study) -> bool | None:
    """Return whether the claim depends on the chosen values of the tuned setting.

    The effect over the tuning runs is in one of three categories: at least the smallest effect above 0, at least that
    much below 0, or between. The claim is sensitive if the category with every arm at its chosen value changes when one
    arm moves by one step of the grid, up or down, and all others stay; a run that diverged without a score there counts
    as a change. Only means are compared, so a claim close to its smallest effect is more likely called sensitive.

    Returns:
        None where nothing is tuned, tuning is not complete, tuning runs do not have the metric, or the claim is an
        identity.
    """
    if study.tuning is None or claim.form == "identity" or any(arm.chosen is None for cell in cells for arm in cell):
        return None
    chosen = [[position(arm) for arm in cell] for cell in cells]
    here = _category(claim, cells, study, chosen)
    if here is None:
        return None
    for c, cell in enumerate(chosen):
        for a, place in enumerate(cell):
            for neighbour in (place - 1, place + 1):
                if 0 <= neighbour < len(study.tuning.values):
                    moved = [list(places) for places in chosen]
                    moved[c][a] = neighbour
                    if _category(claim, cells, study, moved) != here:
                        return True
    return False


def known_sensitive(claim: Claim, cells: Cells, fixed: Fixed) -> bool | None:
    """Return whether a claim depended on the values in the tuning runs that fixed them, see `value_sensitive`.

    Returns:
        None where an arm has no value of its own, or the claim is not about test accuracies, the only score of which a
        table of tuning runs keeps the validation score.
    """
    has_own = all(arm.label in fixed.values for cell in cells for arm in cell)
    if not has_own or claim.metric != "test/accuracy" or claim.form == "identity":
        return None
    return claim.name in fixed.sensitive


def edges(cells: Cells, study: Study) -> list[str]:
    """Return the labels of arms for which a better value may be outside the grid, see `choice.choose_place`."""
    return [
        arm.label
        for cell in cells
        for arm in cell
        if study.tuning and arm.tuning and arm.chosen is not None and choice_of(study.tuning, arm.tuning).is_edge
    ]


def position(arm: ArmResult) -> int:
    """Return the place of the chosen value in the grid of an arm whose tuning is complete."""
    assert arm.chosen is not None
    return arm.planned.variants.index(arm.chosen)


def _scores(claim: Claim, cells: Cells, study: Study, places: Sequence[Sequence[int]]) -> Scores | None:
    """Return the tuning runs' scores with each arm at its place in the grid; None where they do not have the metric."""
    # Tuning never uses test images.
    metric = f"val/{claim.metric.removeprefix('test/')}" if claim.metric.startswith("test/") else claim.metric
    samples = [
        [(arm.planned.tuned[i], arm.tuning[i]) for arm, i in zip(cell, row, strict=True)]
        for cell, row in zip(cells, places, strict=True)
    ]
    try:
        return read_scores(samples, metric, study.tuning_seeds)
    except UserError:
        return None


def _effect(claim: Claim, scores: Scores | None) -> Effect | None:
    """Return the effect, None where a run is missing or has no score."""
    if scores is None or np.isnan(scores.values).any() or unusable(claim, scores).any():
        return None
    return effect_of(claim, scores)


def _category(claim: Claim, cells: Cells, study: Study, places: Sequence[Sequence[int]]) -> int | None:
    effect = _effect(claim, _scores(claim, cells, study, places))
    if effect is None:
        return None
    reached = abs(effect.estimate) >= smallest_effect(claim) * (1 - ROUNDING)
    return int(np.sign(effect.estimate)) if reached else 0


def _at(claim: Claim, cells: Cells, study: Study, place: int) -> AtValue:
    assert study.tuning is not None
    scores = _scores(claim, cells, study, [[place] * len(cell) for cell in cells])
    effect = _effect(claim, scores)
    interval = effect.interval(0.05) if effect else None
    return AtValue(
        value=study.tuning.values[place],
        estimate=in_unit(claim, effect.estimate) if effect else None,
        low=in_unit(claim, interval.lower) if interval else None,
        high=in_unit(claim, interval.upper) if interval else None,
        num_seeds=0 if scores is None else int((~np.isnan(scores.values).any(axis=(0, 1))).sum()),
    )

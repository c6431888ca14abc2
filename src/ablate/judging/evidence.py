"""What a claim is decided from: its arms, their scores, which of their runs trained, and the effect."""

from dataclasses import dataclass, field, replace

from ablate.errors import Unusable, UserError
from ablate.judging.effects import Scores, comparison_of, effect_of, null_of, read_scores, resolution
from ablate.judging.image_interval import (
    IntArray,
    Reader,
    are_same_nets,
    image_effect,
    labels_of,
    num_images,
    paired_hits,
    read_predictions,
)
from ablate.judging.incomplete import why_diverged, why_missing, why_unusable
from ablate.judging.selection import Selection, select, why_not_comparable
from ablate.judging.trained import (
    exposure,
    failures_of,
    guessing,
    neither_trains,
    which_trained,
)
from ablate.statistics import Comparison, Failures
from ablate.study.claim import Claim, depends_on_training
from ablate.study.results import ArmResult, Results


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a claim is decided from.

    Args:
        claim, selection: the claim and its arms.
        scores: of the report runs; None where the arms are not comparable or do not have the metric.
        obstacle: "incomplete" or "not comparable" where the claim cannot be decided, "" otherwise.
        reason: why there is an obstacle, "" where there is none.
        failures: number of failed runs of each cell; empty where the metric does not depend on training.
        comparison: what the family's decision takes; None where there is an obstacle, or nothing is tested.
        num_images: number of test images, where these are the replicates; None where seeds are.
    """

    claim: Claim
    selection: Selection[ArmResult]
    scores: Scores | None = None
    obstacle: str = ""
    reason: str = ""
    failures: list[Failures] = field(default_factory=list)
    comparison: Comparison | None = None
    num_images: int | None = None


def gather(claim: Claim, results: Results, read: Reader = read_predictions) -> Evidence:
    """Return what a claim is decided from.

    Args:
        claim: of the study.
        results: of the study.
        read: see `image_interval.interval_over_images`.

    Raises:
        UserError: the claim names arms that the study does not have.
    """
    selection = select(claim, results.arms)
    if reason := why_not_comparable(selection, results.study.nuisance):
        return Evidence(claim=claim, selection=selection, obstacle="not comparable", reason=reason)
    cells = selection.cells
    samples = [[(arm.chosen or arm.planned.variants[0], arm.records) for arm in cell] for cell in cells]
    try:
        scores = read_scores(samples, claim.metric, results.study.seeds)
    except UserError as error:
        return Evidence(claim=claim, selection=selection, obstacle="incomplete", reason=str(error))
    labels, unread = None, ""
    try:
        labels = labels_of([arm for cell in cells for arm in cell], results.output_dir, read)
    except Unusable as error:
        unread = f"which runs trained is not known without the test images' true classes: {error}"
    failures = []
    # Whether a number is reached is an outcome itself: a run that fails does not reach it.
    is_share = claim.metric.startswith("reaches/")
    if depends_on_training(claim.metric) and not is_share and not unread:
        program = results.study.foreign
        failures = [failures_of([which_trained(arm.records, labels, program) for arm in cell]) for cell in cells]
    found = Evidence(claim=claim, selection=selection, scores=scores, failures=failures)
    reason = why_missing(cells, results.study) or why_unusable(claim, cells, scores)
    if claim.form == "identity" and not neither_trains(claim, failures):
        reason = reason or why_diverged(claim, cells)
    if reason or (unread and depends_on_training(claim.metric) and not is_share):
        return replace(found, obstacle="incomplete", reason=reason or unread)
    return compare(found, results, labels, read) if claim.is_tested else found


def compare(evidence: Evidence, results: Results, labels: IntArray | None, read: Reader) -> Evidence:
    """Return complete evidence with its comparison: over seeds or, where the nets are the same, over test images."""
    claim, cells, scores, failures = evidence.claim, evidence.selection.cells, evidence.scores, evidence.failures
    study = results.study
    assert scores is not None
    neither = neither_trains(claim, failures)
    if are_same_nets(cells, study.seeds):
        try:
            hits = paired_hits(claim, cells, study.seeds, results.output_dir, read)
        except Unusable as error:
            if labels is not None:
                reason = f"the same trained nets evaluated in two ways are decided over test images: {error}"
                return replace(evidence, obstacle="incomplete", reason=reason)
            hits = None  # of an early version, whose records name no predictions: seeds decide
        if hits is not None:
            effect = image_effect(hits, null_of(claim))
            comparison = comparison_of(claim, effect, neither_trains=neither)
            return replace(evidence, comparison=comparison, num_images=hits[0].shape[1])
    # Shares are far from normal, so that the exact sign flips have to agree: for a value of 0.5 and for a difference
    # of shares these are the exact binomial tests.
    is_mixture = any(f.is_mixture for f in failures) or claim.metric.startswith("reaches/")
    smallest = resolution(claim, scores, num_images(claim, cells, labels, study.foreign))
    effect = effect_of(claim, scores, smallest, is_mixture)
    exposed = exposure(claim, scores, failures, guessing(labels, study.foreign), study.failure_share)
    return replace(evidence, comparison=comparison_of(claim, effect, exposed, neither))

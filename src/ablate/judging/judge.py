"""The judgements of a study: decide the claims family by family, and collect what a report shows of each."""

import functools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ablate.errors import Unusable
from ablate.judging import tuning
from ablate.judging.conclusions import describe_differences, holds, positions_of_sides, report_verdict, summarize
from ablate.judging.confounders import confounders
from ablate.judging.controls import restrict
from ablate.judging.effects import (
    Scores,
    bounds,
    comparison_of,
    in_unit,
)
from ablate.judging.evidence import Evidence, gather
from ablate.judging.image_interval import Reader, interval_over_images, read_predictions
from ablate.judging.judgement import Judgement, Mechanism, Trained
from ablate.judging.looks import Looked, replay
from ablate.judging.selection import Selection, apart, axes_text
from ablate.judging.trained import neither_trains
from ablate.statistics import (
    Verdict,
    decide,
    mean_effect,
)
from ablate.study.claim import Claim
from ablate.study.control import Control
from ablate.study.registration import Registration
from ablate.study.results import ArmResult, Results


def judge(results: Results, generator_seed: int = 0) -> list[Judgement]:
    """Return one judgement per claim, in the study's order, of a study that may be unfinished.

    The claims of a family are decided together at the study's alpha, divided over its looks. Where these are declared
    with their seeds, each claim is judged at the look that decided it, or at its last complete one (`looks.replay`).
    Claims that cannot be decided stay in their family, so that its size does not depend on what has been run;
    identities need no test and are in none. A positive control is decided by itself, at the same alpha over the same
    looks, and the claims that depend on it get a verdict only if it is supported, see `controls.restrict`. Besides
    `results`, it reads the predictions of runs whose test accuracies are compared.

    Args:
        results: of the study.
        generator_seed: for the bootstrap and for sign flips that are drawn.

    Raises:
        UserError: a claim that names arms the study does not have, or a look that was not declared.
    """
    study = results.study
    read = functools.cache(read_predictions)
    if study.schedule:
        views = [results.at(num_seeds) for num_seeds in study.schedule]
        found = {name: at_look(at, views, generator_seed, read) for name, at in replay(results, read).items()}
        own = [found[control.name] for control in study.asked_controls]
        return [restrict(found[claim.name], own) for claim in study.asked]
    evidence = {claim.name: gather(claim, results, read) for claim in study.asked}
    comparisons = {name: found.comparison for name, found in evidence.items()}
    verdicts: dict[str, Verdict] = {}
    for family in dict.fromkeys(claim.family for claim in study.asked):
        members = [claim for claim in study.claims if claim.family == family and claim.is_tested]
        # A claim that cannot be decided, or that `only` leaves out, has an incomplete effect in its family.
        known = [comparisons.get(claim.name) or comparison_of(claim, mean_effect([math.nan])) for claim in members]
        decided = decide(known, alpha=study.alpha, look=results.look, num_looks=study.looks)
        verdicts |= {claim.name: verdict for claim, verdict in zip(members, decided, strict=True)}
    controls = [judge_control(control, results, generator_seed, read) for control in study.asked_controls]
    return [
        restrict(conclude(found, verdicts.get(name), results, generator_seed, read), controls)
        for name, found in evidence.items()
    ]


def judge_control(control: Control, results: Results, generator_seed: int, read: Reader) -> Judgement:
    """Return the judgement of a positive control, a family of its own."""
    found = gather(control, results, read)
    verdict = None
    if control.is_tested:
        comparison = found.comparison or comparison_of(control, mean_effect([math.nan]))
        (verdict,) = decide([comparison], alpha=results.study.alpha, look=results.look, num_looks=results.study.looks)
    return conclude(found, verdict, results, generator_seed, read)


def at_look(looked: Looked, views: Sequence[Results], generator_seed: int, read: Reader) -> Judgement:
    """Return the judgement of a claim at its look; `views` are the results at each declared look."""
    view = views[looked.look - 1]
    found = conclude(looked.evidence, looked.verdict, view, generator_seed, read)
    seeds = None if looked.next_look is None else len(views[looked.next_look - 1].study.seeds)
    return replace(
        found,
        look=looked.look,
        num_looks=len(views),
        planned_seeds=len(view.study.seeds),
        next_look=looked.next_look,
        next_seeds=seeds,
        missing=looked.missing,
    )


def conclude(
    evidence: Evidence, verdict: Verdict | None, results: Results, generator_seed: int, read: Reader
) -> Judgement:
    """Return the judgement of a claim.

    Args:
        evidence: of the claim.
        verdict: of the claim in its family; None for an identity.
        results: of the study.
        generator_seed: see `judge`.
        read: see `image_interval.interval_over_images`.
    """
    claim, cells, study = evidence.claim, evidence.selection.cells, results.study
    fields: dict[str, Any] = {"outcome": evidence.obstacle, "reason": evidence.reason}
    fields |= name_sides(claim, evidence.selection)
    fields["mechanisms"] = [mechanism(claim, metric, cells, len(study.seeds)) for metric in claim.explained_by]
    if len(evidence.selection.specs) == 2 and evidence.obstacle != "not comparable":
        registered = mechanisms_registered(claim, results.manifest.registration)
        fields["confounders"] = confounders(claim, cells, apart(*evidence.selection.specs), registered)
    if evidence.scores is not None:
        fields |= summarize(claim, evidence.scores)
    cell_labels = labels_of_cells(claim, evidence.selection)
    fields["trained"] = [
        Trained(label=label, failed=f.failed, total=f.total, at_most=f.at_most)
        for label, f in zip(cell_labels, evidence.failures, strict=False)
    ]
    fields["failure_share"] = study.failure_share if evidence.failures else None
    if evidence.scores is not None and not evidence.obstacle:
        if claim.is_timed:
            fields |= measured(claim, evidence.scores, cells)
        elif verdict is None and neither_trains(claim, evidence.failures):
            fields["outcome"] = "neither trains"
        elif verdict is None:
            fields["outcome"] = "supported" if holds(claim, evidence.scores) else "contradicted"
        else:
            fields |= report_verdict(claim, verdict, study.failure_share)
            if evidence.num_images is not None:
                fields |= {"num_images": evidence.num_images, "further_seeds": None}
            fields |= describe_differences(claim, evidence.scores, generator_seed)
            try:
                fields["item_interval"] = interval_over_images(claim, cells, study.seeds, results.output_dir, read)
            except Unusable as error:
                fields["unread"] = [f"no interval over test images: {error}"]
    if study.tuning is not None and evidence.obstacle != "not comparable":
        fields["at_values"] = tuning.at_values(claim, cells, study)
        fields["value_sensitive"] = tuning.value_sensitive(claim, cells, study)
        fields["edges"] = tuning.edges(cells, study)
    if study.fixed is not None:
        fields["edges"] = [arm.label for cell in cells for arm in cell if arm.label in study.fixed.edges]
        if evidence.obstacle != "not comparable":
            fields["value_sensitive"] = tuning.known_sensitive(claim, cells, study.fixed)
    fields |= known_before(claim, cells, results.manifest.registration)
    fields["devices"] = devices(cells)
    return Judgement(claim=claim, budget=budget_of([arm for cell in cells for arm in cell]), **fields)


def devices(cells: Sequence[Sequence[ArmResult]]) -> dict[str, int]:
    """Return the number of runs by type of device; empty where all known ones are of one type."""
    runs = {(r.fingerprint, r.seed): r.environment.get("device") for c in cells for a in c for r in a.records.values()}
    counts = Counter(str(device) for device in runs.values() if device)
    return dict(sorted(counts.items())) if len(counts) > 1 else {}


def mechanisms_registered(claim: Claim, registration: Registration | None) -> Sequence[str]:
    """Return what a claim named in `explained_by` when it was registered; its present list where that is not known."""
    if registration is None or registration.explained_by is None:
        return claim.explained_by
    return registration.explained_by.get(claim.name, [])


def known_before(
    claim: Claim, cells: Sequence[Sequence[ArmResult]], registration: Registration | None
) -> dict[str, Any]:
    """Return whether the claim is post hoc, and how many of its runs had finished when it was registered.

    Args:
        claim: names the reason that its file gives.
        cells: the claim's arms.
        registration: of the study; None where it was begun by an earlier version.
    """
    marked = registration.post_hoc.get(claim.name, "") if registration else ""
    reasons = [claim.post_hoc] * (claim.post_hoc not in marked) + [marked]
    found: dict[str, Any] = {"post_hoc": "; ".join(reason for reason in reasons if reason)}
    runs = {(r.fingerprint, r.seed): r.date for cell in cells for arm in cell for r in arm.records.values()}
    if registration and (k := sum(registration.was_finished(claim.name, *run, date) for run, date in runs.items())):
        found["finished_before"] = (k, len(runs))
    return found


def name_sides(claim: Claim, selection: Selection[ArmResult]) -> dict[str, str]:
    """Return the labels of treatment and control: the arm's own, or what several arms have in common."""
    labels = []
    for side, spec in zip(positions_of_sides(claim), (claim.treatment, claim.control), strict=True):
        if not side:
            labels.append(f"the value {claim.value:g}")
            continue
        arms = [arm for i in side for arm in selection.cells[i]]
        shared = selection.specs[side[0]] if claim.form == "trend" else spec
        labels.append(arms[0].label if len(arms) == 1 else f"{axes_text(shared)} (mean of {len(arms)} arms)")
    return {"treatment": labels[0], "control": labels[1]}


def labels_of_cells(claim: Claim, selection: Selection[ArmResult]) -> list[str]:
    """Return a label for each cell: that of its arm, or what its arms have in common."""
    pairs = zip(selection.specs, selection.cells, strict=True)
    return [cell[0].label if len(cell) == 1 else axes_text(spec) for spec, cell in pairs]


def measured(claim: Claim, scores: Scores, cells: Sequence[Sequence[ArmResult]]) -> dict[str, Any]:
    """Return the range over runs of a metric in seconds, which gets no verdict: runs do not replicate a machine."""
    contrast = bounds(claim, scores)[0] if claim.form != "identity" else scores.values[0].ravel()
    records = [record for cell in cells for arm in cell for record in arm.records.values()]
    machines = {(r.environment.get("host"), r.environment.get("device_name")) for r in records}
    spread = (in_unit(claim, float(contrast.min())), in_unit(claim, float(contrast.max())))
    return {"outcome": "measured", "spread": spread, "num_machines": len(machines)}


def mechanism(
    claim: Claim, metric: str, cells: Sequence[Sequence[ArmResult]], num_seeds: int | None = None
) -> Mechanism:
    """Return the means of a diagnostic on both sides of a claim.

    Args:
        claim: names the sides.
        metric: key of `Record.metrics`.
        cells: the claim's arms.
        num_seeds: number of report seeds of each arm; None: as many as have finished.
    """
    means: list[float | None] = []
    runs: list[tuple[int, int]] = []
    for side in positions_of_sides(claim):  # where the control is a value, it has no runs
        records = [record for i in side for arm in cells[i] for record in arm.records.values()]
        values = [value for record in records if (value := record.metrics.get(metric)) is not None]
        means.append(sum(values) / len(values) if values else None)
        runs.append((len(values), len(records) if num_seeds is None else num_seeds * sum(len(cells[i]) for i in side)))
    fewer = any(known < asked for known, asked in runs)
    return Mechanism(metric=metric, treatment=means[0], control=means[1], runs=tuple(runs) if fewer else None)


def budget_of(arms: Sequence[ArmResult]) -> str:
    """Return net, data and epochs, e.g. "micro, 2000 images of shapes, 8 epochs"; all values where the arms differ."""
    variants = [arm.chosen or arm.planned.variants[0] for arm in arms]
    if not all("net" in variant.levels for variant in variants):
        return ""  # of another program
    nets = [variant.levels["net"] for variant in variants]
    images = [variant.settings["data"]["train_size"] for variant in variants]
    epochs = [variant.settings["trainer"]["epochs"] for variant in variants]

    data = [variant.levels["data"] for variant in variants]

    def joined(values: Sequence[Any]) -> str:
        return " or ".join(dict.fromkeys("all" if value is None else str(value) for value in values))

    return (
        f"{joined(nets)}, {joined(images)} images of {joined(data)}, {joined(epochs)} epoch{'s' * (set(epochs) != {1})}"
    )

"""Looks that a study declares beforehand: which look each claim is at, and which seeds each arm needs.

A claim gets the seeds of the next look as long as it is open; once decided, it rests with the seeds of that look.
A claim rests too once a positive control that it depends on is decided against: no seeds make it interpretable.
Nothing of this is stored: the looks are replayed from the records, so an interrupted study goes on where it was, and
the verdicts do not depend on the order in which the runs were made. Where runs of a claim are missing, it stays at its
last complete look, and the other claims of its family go on; it counts as not rejected meanwhile. When its runs are
there, the family can only reject more: others may be decided at an earlier look than before, and none is opened again.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ablate.judging.controls import PASSED
from ablate.judging.evidence import Evidence, gather
from ablate.judging.image_interval import Reader, read_predictions
from ablate.judging.incomplete import why_missing
from ablate.judging.selection import select
from ablate.statistics import Looks, Outcome, Verdict, decide
from ablate.study import results as study_results
from ablate.study.claim import Claim
from ablate.study.manifest import Manifest
from ablate.study.results import Results


@dataclass(frozen=True, kw_only=True)
class Looked:
    """A claim at its last complete look, or at its first one.

    Args:
        evidence: of the look.
        verdict: of the look; None where the claim cannot be decided or needs no test.
        look: its number, from 1.
        next_look: the look whose runs the claim needs now, None where it needs no further ones.
        missing: which of these runs are missing, "" where there is no next look.
    """

    evidence: Evidence
    verdict: Verdict | None
    look: int
    next_look: int | None = None
    missing: str = ""


def replay(results: Results, read: Reader) -> dict[str, Looked]:
    """Return at which look each claim and each positive control is, by name; a control is a family of its own.

    Args:
        results: of a study with declared looks.
        read: see `image_interval.interval_over_images`.
    """
    study = results.study
    found: dict[str, Looked] = {}
    last: dict[str, int] = {}  # the look at which the first control of a claim was decided against
    for control in (control for control in study.asked_controls if control.is_tested):
        found |= replay_family([control], 1, results, read, {})
        if is_decided_against(found[control.name]):
            names = [claim.name for claim in study.asked if control.concerns(claim)]
            last |= {name: min(found[control.name].look, last.get(name, study.looks)) for name in names}
    for family in dict.fromkeys(claim.family for claim in study.asked):
        asked = [claim for claim in study.asked if claim.family == family]
        num_claims = sum(claim.family == family and claim.is_tested for claim in study.claims)
        found |= replay_family([claim for claim in asked if claim.is_tested], num_claims, results, read, last)
    first = results.at(study.schedule[0])
    for claim in (claim for claim in study.statements if not claim.is_tested):
        found[claim.name] = without_verdict(gather(claim, first, read), first)
    return {claim.name: found[claim.name] for claim in study.statements}


def is_decided_against(control: Looked) -> bool:
    """Return whether a positive control has a verdict at its look, and is not supported."""
    outcome = control.verdict.outcome if control.verdict else Outcome.INCOMPLETE
    return outcome.value not in (*PASSED, Outcome.INCONCLUSIVE, Outcome.INCOMPLETE)


def replay_family(
    claims: Sequence[Claim], num_claims: int, results: Results, read: Reader, last: Mapping[str, int]
) -> dict[str, Looked]:
    """Return at which look the claims of one family are, see `replay`.

    Args:
        claims: those asked for.
        num_claims: of the family, those not asked for too.
        results, read: see `replay`.
        last: by name, the look after which a claim rests, decided or not.
    """
    study, found = results.study, dict[str, Looked]()
    opened, declared = list(claims), Looks(seeds=tuple(study.schedule), num_claims=num_claims)
    for look, num_seeds in enumerate(study.schedule, start=1):
        view = results.at(num_seeds)
        tested: dict[str, Evidence] = {}
        for claim in opened:
            evidence = gather(claim, view, read)
            if evidence.comparison is not None:
                tested[claim.name] = evidence
            elif claim.name in found and (missing := missing_runs_of(evidence, view)):
                found[claim.name] = replace(found[claim.name], next_look=look, missing=missing)
            else:
                found[claim.name] = without_verdict(evidence, view, look)
        comparisons = [evidence.comparison for evidence in tested.values() if evidence.comparison is not None]
        verdicts = decide(comparisons, alpha=study.alpha, look=look, declared=declared)
        opened = []
        for (name, evidence), verdict in zip(tested.items(), verdicts, strict=True):
            found[name] = Looked(evidence=evidence, verdict=verdict, look=look)
            if verdict.outcome is Outcome.INCONCLUSIVE:
                opened += [evidence.claim] * (look < last.get(name, study.looks))
            else:
                declared = replace(
                    declared,
                    num_different=declared.num_different + verdict.differs,
                    num_equivalent=declared.num_equivalent + verdict.agrees,
                )
    return found


def without_verdict(evidence: Evidence, view: Results, look: int = 1) -> Looked:
    """Return a claim without a verdict; it waits for its runs, or, where none is missing, needs no further ones."""
    missing = missing_runs_of(evidence, view)
    return Looked(evidence=evidence, verdict=None, look=look, next_look=look if missing else None, missing=missing)


def missing_runs_of(evidence: Evidence, view: Results) -> str:
    """Return which runs of a claim are missing at a look, "" where none is, or where its arms are not comparable."""
    return "" if evidence.obstacle == "not comparable" else why_missing(evidence.selection.cells, view.study)


def needed_seeds(results: Results, looked: Mapping[str, Looked], granted: Mapping[str, int] | None = None) -> Results:
    """Return the results in which each arm has the seeds that its claims need, and no records of others.

    An arm that no claim names has the seeds of the first look.

    Args:
        results: of the study, with the records of all its seeds.
        looked: see `replay`.
        granted: by name of the claim, the last look that it may take; by default every declared one. The first look
            is taken always.
    """
    schedule = results.study.schedule
    needed = {arm.label: schedule[0] for arm in results.arms}
    for claim in results.study.statements:
        found = looked[claim.name]
        wanted = found.next_look or found.look
        look = wanted if granted is None else max(found.look, min(wanted, granted.get(claim.name, 1)))
        for arm in (arm for cell in select(claim, results.arms).cells for arm in cell):
            needed[arm.label] = max(needed[arm.label], schedule[look - 1])
    return results.with_seeds(needed)


def most_seeds(results: Results) -> dict[str, int]:
    """Return how many seeds each arm may still get, by its label, those that it has included."""
    study = results.study
    most = {arm.label: len(results.seeds_of(arm)) for arm in results.arms}
    if not study.schedule:
        return most
    looked = replay(results, functools.cache(read_predictions))
    for claim in study.statements:
        if claim.is_tested and looked[claim.name].next_look:
            for arm in (arm for cell in select(claim, results.arms).cells for arm in cell):
                most[arm.label] = study.schedule[-1]
    return most


def collect(manifest: Manifest, folder: Path, granted: Mapping[str, int] | None = None) -> Results:
    """Read the records of the seeds that every arm needs: all of the study's, or those of its claims' looks.

    Args:
        manifest, folder: of the study.
        granted: see `needed_seeds`.
    """
    results = study_results.collect(manifest, folder)
    if not results.study.schedule:
        return results
    return needed_seeds(results, replay(results, functools.cache(read_predictions)), granted)

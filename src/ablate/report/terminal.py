"""The summary of a sweep or study on the terminal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ablate.report.notes import failed
from ablate.report.provenance import REMADE, records_of, unsound
from ablate.report.table import arm_rows
from ablate.report.verdicts import VerdictRow, answer, verdict_table
from ablate.study.manifest import coinciding, same_runs
from ablate.study.results import Results
from ablate.tables import aligned, printable

if TYPE_CHECKING:
    from ablate.judging import Judgement


def summary(results: Results, judgements: "Sequence[Judgement]") -> str:
    """Return the table of arms, best first, one line per claim, and a line for each file that cannot be used.

    The table holds finished runs only.
    """
    records = records_of(results)
    parts = [aligned(arm_rows(records, len(results.study.seeds)))] if records else ["no run has finished yet"]
    notes = [same_runs(labels) for labels in coinciding(arm.planned for arm in results.arms)]
    if lines := [*notes, *unsound(results)]:
        parts.append("\n".join(lines))
    if judgements:
        parts.append("\n".join(map(verdict_line, verdict_table(results, judgements))))
        parts.append(answer(judgements))
    if lines := unusable_lines(results, judgements):
        parts.append("\n".join(lines))
    return printable("\n\n".join(parts))


def unusable_lines(results: Results, judgements: "Sequence[Judgement]") -> list[str]:
    """Return a line for each record and each file of predictions that exists and cannot be used."""
    refused = {directory: why for arm in results.arms for directory, why in arm.refused.items()}
    lines = [f"counts as missing: {why}; {REMADE}" for why in refused.values()]
    return lines + list(dict.fromkeys(why for judgement in judgements for why in judgement.unread))


def verdict_line(verdict: VerdictRow) -> str:
    """Return outcome, sentence and effect of a claim."""
    judgement = verdict.judgement
    interval = "" if judgement.spread else verdict.interval
    shown = f"  {verdict.effect} {interval}".rstrip() if verdict.effect not in ("", "–") else ""
    more = f"  ({judgement.reason})" if judgement.reason else ""
    if any(side.failed for side in judgement.trained) or judgement.outcome.endswith("if trained"):
        more += f"  ({failed(judgement)})"
    if judgement.further_seeds:
        more += f"  (about {judgement.further_seeds} more seeds would decide)"
    return f"{verdict.marked}: {judgement.claim.text}{shown}{more}"

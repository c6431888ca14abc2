"""What a sweep or study says on the terminal when it is over."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ablate.report.phrases import OUTCOME_STYLES, unit_of
from ablate.report.provenance import REMADE, records_of, unsound
from ablate.report.table import arm_rows
from ablate.report.verdicts import answer, failed
from ablate.study.manifest import coinciding, same_runs
from ablate.study.results import Results
from ablate.tables import aligned

if TYPE_CHECKING:
    from ablate.judging import Judgement


def summary(results: Results, judgements: "Sequence[Judgement]") -> str:
    """Return the table of arms, best first, one line a claim, and a line for each file that cannot be used.

    What is not finished is left out of the table.
    """
    records = records_of(results)
    parts = [aligned(arm_rows(records, len(results.study.seeds)))] if records else ["no run has finished yet"]
    notes = [same_runs(labels) for labels in coinciding(arm.planned for arm in results.arms)]
    if lines := [*notes, *unsound(results)]:
        parts.append("\n".join(lines))
    if judgements:
        parts.append("\n".join(verdict_line(judgement) for judgement in judgements))
        parts.append(answer(judgements))
    if lines := unusable_lines(results, judgements):
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def unusable_lines(results: Results, judgements: "Sequence[Judgement]") -> list[str]:
    """Return a line for each record and each file of predictions that is there and cannot be used."""
    refused = {home: why for arm in results.arms for home, why in arm.refused.items()}
    lines = [f"counts as missing: {why}; {REMADE}" for why in refused.values()]
    return lines + list(dict.fromkeys(why for judgement in judgements for why in judgement.unread))


def verdict_line(judgement: "Judgement") -> str:
    """Return outcome, sentence and effect of a claim."""
    unit = unit_of(judgement.claim)
    effect = unit.effect(judgement.estimate)
    interval = unit.interval(judgement.low, judgement.high)
    shown = f"  {effect} {interval}".rstrip() if effect != "–" else ""
    more = f"  ({judgement.reason})" if judgement.reason else ""
    if any(side.failed for side in judgement.trained) or judgement.outcome.endswith("if trained"):
        more += f"  ({failed(judgement)})"
    if judgement.further_seeds:
        more += f"  (about {judgement.further_seeds} more seeds would decide)"
    return f"{OUTCOME_STYLES[judgement.outcome].symbol} {judgement.outcome}: {judgement.claim.text}{shown}{more}"

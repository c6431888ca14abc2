"""What a sweep or study says on the terminal when it is over."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ablate.report.findings import answer, failed
from ablate.report.table import arm_rows
from ablate.report.wording import LOOKS, unit_of
from ablate.results import Results
from ablate.tables import aligned

if TYPE_CHECKING:
    from ablate.judging import Judgement


def summary(results: Results, judgements: "Sequence[Judgement]") -> str:
    """Return the table of arms, best first, and one line a claim; what is not finished is left out of the table."""
    records = [record for arm in results.arms for record in arm.records.values()]
    parts = [aligned(arm_rows(records))] if records else ["no run has finished yet"]
    if judgements:
        parts.append("\n".join(verdict_line(judgement) for judgement in judgements))
        parts.append(answer(judgements))
    return "\n\n".join(parts)


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
    return f"{LOOKS[judgement.outcome].symbol} {judgement.outcome}: {judgement.claim.text}{shown}{more}"

"""The summary of a sweep or study on the terminal."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ablate.report.contrasts import contrasts, note
from ablate.report.controls import control_lines
from ablate.report.notes import MANY_SEEDS, failed, known_before, mechanism, next_look
from ablate.report.provenance import REMADE, records_of, registration_of, unsound
from ablate.report.table import arm_rows, planned_by_fingerprint, shown_rows
from ablate.report.teaching import reason_open
from ablate.report.verdicts import VerdictRow, answer, verdict_table
from ablate.screen import fitted, width
from ablate.study.manifest import coinciding, same_runs
from ablate.study.results import Results
from ablate.tables import aligned, printable

if TYPE_CHECKING:
    from ablate.judging import Judgement

WIDTH = 79
WENT_WRONG = ("diverged", "not finite")


def summary(results: Results, judgements: "Sequence[Judgement]") -> str:
    """Return the table of arms, best first, one line per claim, and a line for each file that cannot be used.

    The table holds finished runs only.
    """
    records, columns = records_of(results), width()
    if not records:
        parts = ["no run has finished yet"]
    elif results.study.foreign:
        parts = [aligned(narrow(shown_rows(results)), columns)]
    else:
        parts = [aligned(narrow(arm_rows(records, planned_by_fingerprint(results))), columns)]
    if records and (rows := contrasts(results)):
        parts += [aligned(rows, columns), textwrap.fill(note(rows), WIDTH)]
    notes = [same_runs(labels) for labels in coinciding(arm.planned for arm in results.arms)]
    if lines := [*notes, *unsound(results)]:
        parts.append("\n".join(lines))
    if lines := control_lines(judgements):
        parts.append("\n".join(lines))
    if judgements:
        parts.append("\n".join(map(with_mechanism, verdict_table(results, judgements))))
        parts.append(answer(judgements))
        parts.append(f"registered: {registration_of(results)}")
    if lines := unusable_lines(results, judgements):
        parts.append("\n".join(lines))
    return fitted(printable("\n\n".join(parts)), columns)


def with_mechanism(verdict: VerdictRow) -> str:
    """Return the line of a claim, and below it the measurements that should explain it."""
    judgement = verdict.judgement
    shown = (mechanism(judgement.claim, found) for found in judgement.mechanisms)
    return "\n".join([verdict_line(verdict), *(f"    measured: {line}" for line in shown)])


def narrow(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return a table of arms for a terminal: short heads, no column that says of every arm that nothing went wrong.

    >>> narrow([["arm", "test accuracy %", "diverged"], ["relu", "54.1", "0"]])
    [['arm', 'test %'], ['relu', '54.1']]
    """
    head, *body = rows
    kept = [
        place for place, name in enumerate(head) if name not in WENT_WRONG or any(row[place] != "0" for row in body)
    ]
    short = [name.replace(" accuracy %", " %").replace("seconds a run", "s a run") for name in head]
    return [[row[place] for place in kept] for row in (short, *body)]


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
    more += "".join(f"  ({line})" for line in known_before(judgement))
    if any(side.failed for side in judgement.trained) or judgement.outcome.endswith("if trained"):
        more += f"  ({failed(judgement)})"
    if judgement.outcome == "inconclusive":
        more += f"  ({reason_open(judgement)})"
    if judgement.next_look and judgement.look:
        more += f"  (open: {next_look(judgement)})"
    elif judgement.further_seeds:
        many = ", too many to be worth it: see the report" if judgement.further_seeds > MANY_SEEDS else ""
        more += f"  (about {judgement.further_seeds} more seeds would decide{many})"
    return f"{verdict.marked}: {judgement.claim.text}{shown}{more}"

"""The report as Markdown: the same tables as the page, without figures."""

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ablate.report.phrases import percent, probability
from ablate.report.provenance import (
    command_with,
    environment,
    failures,
    own_code,
    progress,
    setting,
    undeclared,
)
from ablate.report.table import shown_rows
from ablate.report.verdicts import VerdictRow, answer, failed
from ablate.study.results import Results
from ablate.study.study import Study
from ablate.tables import markdown

if TYPE_CHECKING:
    from ablate.judging import Judgement


def plain_cell(content: str) -> str:
    """Return text that Markdown shows as it is, in one line, without taking a tag for one."""
    return " ".join(html.escape(content, quote=False).split())


def verdict_rows(findings: Sequence[VerdictRow]) -> list[list[str]]:
    """Return head and rows of the verdicts, escaped."""
    rows = [
        ["", "claim", "verdict", "effect", "interval", "p adjusted", "seeds", "failed", "published", "ours", "notes"]
    ]
    for finding in findings:
        judgement = finding.judgement
        claim = judgement.claim
        interval = f"{finding.interval} at {percent(judgement.level)}" if finding.interval else ""
        interval = finding.interval if judgement.spread else interval
        notes = "; ".join(
            f"{note.text} {f'`{note.command}`' if note.command else ''}".strip() for note in finding.notes
        )
        row = [
            str(finding.number),
            claim.text + (f" ({claim.source})" if claim.source else ""),
            f"{finding.look.symbol} {judgement.outcome}",
            finding.effect,
            interval,
            probability(judgement.p_adjusted),
            finding.seeds,
            failed(judgement).replace(" failed", ""),
            claim.published,
            finding.ours if claim.published else "",
            notes,
        ]
        rows.append([plain_cell(cell) for cell in row])
    kept = [i for i, name in enumerate(rows[0]) if i < 7 or any(row[i] for row in rows[1:]) or name == "notes"]
    return [[row[i] for i in kept] for row in rows]


def stands(study: Study) -> str:
    """Return what every verdict of a study withstands."""
    return (
        f"A verdict has to stand if {100 * study.failure_share:g} % of the runs failed to train, or the seeds exclude "
        'so many; otherwise it says "if trained".'
    )


def to_markdown(results: Results, judgements: "Sequence[Judgement]", findings: Sequence[VerdictRow]) -> str:
    """Return the whole report as Markdown."""
    study, state = results.study, progress(results)
    parts = [f"# {plain_cell(study.title or study.name)}"]
    if study.source:
        parts.append(plain_cell(study.source))
    if judgements:
        parts.append(f"**{answer(judgements)}**")
    if not state.is_complete:
        parts.append(f"> **Unfinished**: {state.sentence()}. The rest: `{command_with(results)}`")
    parts.append("\n".join(f"- {what}: {plain_cell(value)}" for what, value in setting(results, judgements)))
    if findings:
        parts += ["## Verdicts", markdown(verdict_rows(findings)), stands(study)]
    parts += ["## Arms", markdown([[plain_cell(cell) for cell in row] for row in shown_rows(results)])]
    for title, rows in (("Failures", failures(results)), ("Undeclared differences between arms", undeclared(results))):
        if len(rows) > 1:
            parts += [f"## {title}", markdown([[plain_cell(cell) for cell in row] for row in rows])]
    if len(code := own_code(results)) > 1:
        parts += ["## Own code", markdown([[plain_cell(cell) for cell in row] for row in code])]
    parts += ["## How to reproduce", f"```\n{command_with(results)}\n```"]
    known = environment(results)[1:]
    parts.append(
        "\n".join(f"- {name}: {plain_cell(value)}{f' ({told})' if told else ''}" for name, value, told in known)
    )
    return "\n\n".join(part for part in parts if part) + "\n"

"""The report as Markdown: the same tables as the page, without figures."""

import html
from collections.abc import Sequence

from ablate.report.content import StudyContent
from ablate.report.contrasts import note
from ablate.report.controls import CONTROLS_RULE
from ablate.report.phrases import percent
from ablate.report.provenance import Rows
from ablate.report.verdicts import VerdictRow
from ablate.tables import markdown, printable


def plain_cell(content: str) -> str:
    """Return text in one line that Markdown shows as it is, with "<", ">" and "&" escaped, and no link or image.

    Example:
        >>> plain_cell("a < b")
        'a &lt; b'
        >>> print(plain_cell("![x](http://example.org)"))
        ![x]\\(http://example.org)
    """
    return printable(" ".join(html.escape(content, quote=False).split())).replace("](", "]\\(")


def escaped(rows: Sequence[Sequence[str]]) -> Rows:
    """Return rows with `plain_cell` of every cell."""
    return [[plain_cell(cell) for cell in row] for row in rows]


def without_empty_columns(rows: Rows, keep: Sequence[str] = ()) -> Rows:
    """Return head and rows without the columns in which every row is empty, but for those named in `keep`.

    Example:
        >>> without_empty_columns([["a", "b", "c"], ["1", "", ""]], keep=["c"])
        [['a', 'c'], ['1', '']]
    """
    kept = [i for i, name in enumerate(rows[0]) if name in keep or any(row[i] for row in rows[1:])]
    return [[row[i] for i in kept] for row in rows]


def verdict_rows(verdicts: Sequence[VerdictRow]) -> Rows:
    """Return head and rows of the verdicts, escaped."""
    always = ["", "claim", "verdict", "effect", "interval", "p adjusted", "seeds", "notes"]
    rows = [[*always[:-1], "failed", "published", "ours", "notes"]]
    for verdict in verdicts:
        judgement = verdict.judgement
        claim = judgement.claim
        has_level = verdict.interval and not judgement.spread
        rows.append(
            [
                str(verdict.number),
                claim.text + (f" ({claim.source})" if claim.source else ""),
                verdict.marked,
                verdict.effect,
                verdict.interval + (f" at {percent(judgement.level)}" if has_level else ""),
                verdict.p,
                verdict.seeds,
                verdict.failed,
                claim.published,
                verdict.ours if claim.published else "",
                "; ".join(f"{n.text} {f'`{n.command}`' if n.command else ''}".strip() for n in verdict.notes),
            ]
        )
    return without_empty_columns(escaped(rows), keep=always)


def to_markdown(content: StudyContent) -> str:
    """Return the whole report as Markdown."""
    study = content.study
    parts = [f"# {plain_cell(study.title or study.name)}", plain_cell(study.source)]
    if content.verdicts:
        parts.append(f"**{content.answer}**")
    if not content.progress.is_complete:
        judged = plain_cell(study.foreign.judged) if study.foreign else ""
        rest = f"{judged} lacks the rest: add their results and judge it again" if judged else ""
        rest = rest or f"The rest: `{content.command}`"
        parts.append(f"> **Unfinished**: {content.progress.sentence()}. {rest}")
    parts.append("\n".join(f"- {what}: {plain_cell(value)}" for what, value in content.setting))
    if len(content.controls) > 1:
        parts += ["## Controls", markdown(escaped(content.controls)), CONTROLS_RULE]
    if content.verdicts:
        parts += ["## Verdicts", markdown(verdict_rows(content.verdicts)), content.rule]
    if content.contrasts:
        parts += ["## Differences (exploratory)", markdown(escaped(content.contrasts)), note(content.contrasts)]
    parts += ["## Arms", markdown(escaped(content.arms))]
    for title, rows in (
        ("Failures", content.failures),
        ("Undeclared differences between arms", content.undeclared),
        ("Own code", content.own_code),
    ):
        if len(rows) > 1:
            parts += [f"## {title}", markdown(escaped(rows))]
    parts += ["## How to reproduce", "```\n" + "\n".join(content.commands) + "\n```"]
    facts = (
        f"{name}: {plain_cell(value)}{f' ({remark})' if remark else ''}"
        for name, value, remark in content.environment[1:]
    )
    parts.append("\n".join(f"- {fact}" for fact in facts))
    return "\n\n".join(part for part in parts if part) + "\n"

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

KINDS = {"warning": "Warning", "step": "Next step", "remark": "Note"}  # of a `notes.Note`


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


def without_empty_columns(rows: Rows) -> Rows:
    """Return head and rows without the columns in which every row is empty.

    Example:
        >>> without_empty_columns([["a", "b", "c"], ["1", "", "2"]])
        [['a', 'c'], ['1', '2']]
    """
    kept = [i for i in range(len(rows[0])) if any(row[i] for row in rows[1:])]
    return [[row[i] for i in kept] for row in rows]


def verdict_rows(verdicts: Sequence[VerdictRow]) -> Rows:
    """Return head and rows of the verdicts, escaped; `verdict_notes` has the rest."""
    rows = [["", "claim", "verdict", "effect", "interval", "p adjusted", "seeds"]]
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
            ]
        )
    return escaped(rows)


def verdict_notes(verdicts: Sequence[VerdictRow]) -> str:
    """Return what to know about each verdict as Markdown: a paragraph and a list for each claim that has notes.

    Every item begins with a word of the program, so that no text of a study begins a heading or a definition of a link.
    """
    parts = []
    for verdict in verdicts:
        published = verdict.judgement.claim.published
        items = [f"Published: {published}", f"Ours: {verdict.ours}"] if published else []
        items += [f"Failed to train: {verdict.failed}"] if verdict.failed else []
        items += [f"{KINDS[n.kind]}: {n.text} {f'`{n.command}`' if n.command else ''}".strip() for n in verdict.notes]
        if items:
            parts.append(f"**{verdict.number}.** {plain_cell(verdict.judgement.claim.text)}")
            parts.append("\n".join(f"- {plain_cell(item)}" for item in items))
    return "\n\n".join(parts)


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
        parts += ["### Notes", notes] if (notes := verdict_notes(content.verdicts)) else []
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

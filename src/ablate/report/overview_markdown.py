"""The first page of a collection as Markdown."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ablate.report.markdown import plain_cell
from ablate.report.phrases import OUTCOME_STYLES, probability
from ablate.report.verdicts import answer, failed
from ablate.study.collection import Collection
from ablate.tables import markdown

if TYPE_CHECKING:
    from ablate.report.overview import Part


def to_markdown(collection: Collection, parts: "Sequence[Part]", unread: Sequence[str], page: Mapping[str, Any]) -> str:
    """Return the page as Markdown.

    Args:
        collection: what ties the studies together.
        parts: one a study.
        unread: why a study at another budget could not be read, one line each.
        page: what is said of all claims together, see `page_level.summarize`.
    """
    lines = [f"# {plain_cell(collection.title or collection.name)}", plain_cell(collection.source)]
    lines += [f"Profile: {plain_cell(collection.profile)}" if collection.profile else "", f"**{page['text']}**"]
    lines += [page["rule"], page["errors"]]
    lines.append("; ".join(f"{OUTCOME_STYLES[name].symbol} {OUTCOME_STYLES[name].meaning}" for name in page["seen"]))
    if unfinished := [part for part in parts if not part.progress.is_complete]:
        states = "; ".join(f"{plain_cell(part.title)}: {part.progress.sentence()}" for part in unfinished)
        lines.append(f"> **Unfinished**: {states}. The rest: `{collection.command}`")
    lines += ["## At a glance", markdown(glance_rows(parts))]
    for part in parts:
        facts = [plain_cell(part.budget), part.size, f"[report]({part.folder}/report.md)"]
        lines += [f"## {plain_cell(part.title)}", " · ".join(fact for fact in facts if fact)]
        lines.append(markdown(claim_rows(part)) if part.entries else "Nothing was claimed.")
    if unread:
        lines += ["## Not read", "\n".join(f"- {plain_cell(line)}" for line in unread)]
    lines += ["## How to reproduce", f"```\n{collection.command}\n```"]
    return "\n\n".join(line for line in lines if line) + "\n"


def glance_rows(parts: "Sequence[Part]") -> list[list[str]]:
    """Return head and one row a study: one symbol a claim, and what they come to."""
    rows = [["part", "claims", "verdicts"]]
    for part in parts:
        symbols = " ".join(entry.finding.look.symbol for entry in part.entries)
        rows.append([plain_cell(part.title), symbols, answer(part.judgements)])
    return rows


def claim_rows(part: "Part") -> list[list[str]]:
    """Return head and one row a claim, escaped; a column that is empty is left out."""
    rows = [
        [
            "id",
            "claim",
            "verdict",
            "effect",
            "interval",
            "q",
            "failed",
            "budget",
            "why",
            "published",
            "other budgets",
            "notes",
        ]
    ]
    for entry in part.entries:
        told = entry.finding
        judgement = told.judgement
        claim = judgement.claim
        figure = f" (`ablate figure {claim.figure}`)" if claim.figure else ""
        row = [
            entry.identifier,
            claim.text + figure,
            f"{told.look.symbol} {judgement.outcome}" + (f", {entry.remark}" if entry.remark else ""),
            f"{told.effect} of {entry.metric}" if told.effect and entry.metric else told.effect,
            told.interval,
            probability(entry.q) if entry.q is not None else "",
            failed(judgement).replace(" failed", ""),
            "" if part.budget else judgement.budget,
            "; ".join(" ".join(measured) for measured in entry.why),
            claim.published,
            "; ".join(f"{e.finding.look.symbol} {e.budget}: {e.finding.effect}" for e in entry.elsewhere),
            "; ".join([*entry.warnings, *([claim.note] if claim.note else [])]),
        ]
        rows.append([plain_cell(cell) for cell in row])
    kept = [i for i in range(len(rows[0])) if any(row[i] for row in rows[1:])]
    return [[row[i] for i in kept] for row in rows]

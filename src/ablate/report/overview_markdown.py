"""The first page of a collection as Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

from ablate.report.markdown import escaped, plain_cell, without_empty_columns
from ablate.report.overview_content import POST_HOC, Part
from ablate.report.phrases import OUTCOME_STYLES, probability
from ablate.report.verdicts import answer
from ablate.study.collection import Collection
from ablate.tables import markdown


def to_markdown(collection: Collection, parts: Sequence[Part], unread: Sequence[str], page: Mapping[str, Any]) -> str:
    """Return the page as Markdown.

    Args:
        collection: what ties the studies together.
        parts: one a study.
        unread: why a study at another budget could not be read, one line each.
        page: the summary of all claims, see `page_level.summarize`.
    """
    lines = [f"# {plain_cell(collection.title or collection.name)}", plain_cell(collection.source)]
    lines += [f"Profile: {plain_cell(collection.profile)}" if collection.profile else ""]
    lines += [plain_cell(collection.remark), f"**{page['text']}**"]
    lines += [page["rule"], page["errors"]]
    meanings = "; ".join(f"{OUTCOME_STYLES[name].symbol} {OUTCOME_STYLES[name].meaning}" for name in page["seen"])
    lines.append(f"Symbols: {meanings}" if meanings else "")  # a line that begins with + or * would be a list
    lines.append(rf"\{POST_HOC}" if any(entry.verdict.post_hoc for part in parts for entry in part.entries) else "")
    if unfinished := [part for part in parts if not part.progress.is_complete]:
        states = "; ".join(f"{plain_cell(part.title)}: {part.progress.sentence()}" for part in unfinished)
        lines.append(f"> **Unfinished**: {states}. The rest: `{collection.command}`")
    lines += ["## At a glance", markdown(glance_rows(parts))]
    for part in parts:
        facts = [plain_cell(part.budget), part.size, f"[report]({part.folder}/report.md)"]
        lines += [f"## {plain_cell(part.title)}", " · ".join(fact for fact in facts if fact)]
        lines.append(f"Registered: {part.registration}" if part.registration else "")
        lines.append("\n".join(f"- {plain_cell(line)}" for line in part.controls))
        lines.append(markdown(claim_rows(part)) if part.entries else "Nothing was claimed.")
    if unread:
        lines += ["## Not read", "\n".join(f"- {plain_cell(line)}" for line in unread)]
    lines += ["## How to reproduce", f"```\n{collection.command}\n```"]
    lines.append(f"All budgets that were run, side by side: `ablate map study={collection.name}`")
    return "\n\n".join(line for line in lines if line) + "\n"


def glance_rows(parts: Sequence[Part]) -> list[list[str]]:
    """Return head and one row per study: one symbol a claim, and what they come to."""
    rows = [["part", "claims", "verdicts"]]
    for part in parts:
        symbols = " ".join(entry.verdict.symbol for entry in part.entries)
        rows.append([plain_cell(part.title), symbols, answer(part.judgements)])
    return rows


def claim_rows(part: Part) -> list[list[str]]:
    """Return head and one row per claim, escaped; a column that is empty is left out."""
    head = "id, claim, verdict, effect, interval, q, failed, budget, why, teach, published, other budgets, notes"
    rows = [head.split(", ")]
    for entry in part.entries:
        verdict = entry.verdict
        claim = verdict.judgement.claim
        rows.append(
            [
                entry.identifier,
                claim.text + (f" (`ablate figure {claim.figure}`)" if claim.figure else ""),
                verdict.marked + (f", {entry.remark}" if entry.remark else ""),
                f"{verdict.effect} of {entry.metric}" if verdict.effect and entry.metric else verdict.effect,
                verdict.interval,
                probability(entry.q) if entry.q is not None else "",
                verdict.failed,
                "" if part.budget else verdict.judgement.budget,
                "; ".join(" ".join(measured) for measured in entry.why),
                entry.teach,
                claim.published,
                "; ".join(f"{e.verdict.symbol} {e.budget}: {e.verdict.effect}" for e in entry.elsewhere),
                "; ".join([*entry.warnings, *([claim.note] if claim.note else [])]),
            ]
        )
    return without_empty_columns(escaped(rows))

"""The first page of a collection of studies: which claims hold, at one glance, with links to the studies' reports."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from ablate.errors import UserError
from ablate.report.overview_markdown import to_markdown
from ablate.report.page import csv_rows, write_report
from ablate.report.page_level import (
    AGREEMENTS,
    CONTRADICTIONS,
    DIFFERENCES,
    Key,
    Told,
    all_of,
    page_level,
    summarize,
)
from ablate.report.phrases import plural
from ablate.report.provenance import Progress, progress, unsound
from ablate.report.rendering import render
from ablate.report.table import write_text
from ablate.report.terminal import unusable_lines, verdict_line
from ablate.report.verdicts import VerdictRow, answer, mechanism, verdict_row, verdict_table
from ablate.study.collection import Collection, others
from ablate.study.manifest import Manifest, read_manifest
from ablate.study.results import Results, collect
from ablate.tables import comma_separated

if TYPE_CHECKING:
    from ablate.judging import Judgement

DECIDED = (*DIFFERENCES, *AGREEMENTS)


@dataclass(frozen=True, kw_only=True)
class Elsewhere:
    """What a study at another budget says of a claim; `link` leads to its evidence."""

    finding: VerdictRow
    link: str

    @property
    def budget(self) -> str:
        return self.finding.judgement.budget


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A claim on the page.

    Args:
        finding: what is told of it.
        anchor: unique on the page.
        link: to its evidence.
        elsewhere: what studies at other budgets say.
        q: value over the whole page of the test that the verdict rests on; None where nothing is tested.
    """

    finding: VerdictRow
    anchor: str
    link: str
    elsewhere: list[Elsewhere]
    q: float | None = None

    @property
    def identifier(self) -> str:
        """The number in the name of the claim's file, e.g. C05 of c05 and of c05_depth, "" where there is none."""
        found = re.match(r"[a-z]\d+", self.finding.judgement.claim.file)
        return found[0].upper() if found else ""

    @property
    def metric(self) -> str:
        """What the effect is one of, "" where its unit says so."""
        return "" if self.finding.unit.name == "points" else self.finding.judgement.claim.metric

    @property
    def why(self) -> list[tuple[str, str]]:
        """(metric, "0.91 against 0.02") of the measurements that explain it."""
        judgement = self.finding.judgement
        told = (mechanism(judgement.claim, found).partition(" ") for found in judgement.mechanisms)
        return [(metric, sides) for metric, _, sides in told]

    @property
    def warnings(self) -> list[str]:
        """What weakens the verdict."""
        return [note.text for note in self.finding.notes if note.kind == "warning"]

    @property
    def remark(self) -> str:
        """Of a verdict: at which other budgets it is the same and where it flips; an identity hangs on no budget.

        That there is one budget only is said of contradictions alone: a second one is asked of them.
        """
        judgement = self.finding.judgement
        if judgement.outcome not in DECIDED or judgement.claim.form == "identity":
            return ""
        alike = dict.fromkeys(e.budget for e in self.elsewhere if same(e.finding.judgement.outcome, judgement.outcome))
        told = [f"also at {'; '.join(alike)}"] if alike else []
        if judgement.outcome in CONTRADICTIONS:
            return told[0] if told else "at one budget only"
        flips = [e for e in self.elsewhere if not same(e.finding.judgement.outcome, judgement.outcome)]
        return "; ".join([*told, *(f"flips at {e.budget}: {e.finding.judgement.outcome}" for e in flips)])

    @property
    def is_confirmed(self) -> bool:
        """Whether a second budget agrees, or none is asked for: what is measured before training hangs on no budget."""
        from ablate.judging.trained import depends_on_training

        judgement = self.finding.judgement
        alike = any(same(e.finding.judgement.outcome, judgement.outcome) for e in self.elsewhere)
        return alike or not depends_on_training(judgement.claim.metric)


@dataclass(frozen=True, kw_only=True)
class Part:
    """A study on the page.

    Args:
        results: of the study.
        judgements: one a claim.
        folder: of the study's report, relative to the page.
        progress: how much of it is done.
        entries: one a claim.
    """

    results: Results
    judgements: "Sequence[Judgement]"
    folder: str
    progress: Progress
    entries: list[Entry]

    @property
    def title(self) -> str:
        return self.results.study.title or self.results.study.name

    @property
    def budget(self) -> str:
        """The budget of all verdicts, "" where they do not share one."""
        found = {judgement.budget for judgement in self.judgements}
        return found.pop() if len(found) == 1 else ""

    @property
    def size(self) -> str:
        """How many arms and seeds it has."""
        return f"{plural(len(self.results.arms), 'arm')} × {plural(len(self.results.study.seeds), 'seed')}"


def same(one: str, other: str) -> bool:
    """Return whether two outcomes say the same, "if trained" or not."""
    return one.removesuffix(" if trained") == other.removesuffix(" if trained")


def collection_summary(told: Told, summary: str = "") -> str:
    """Return one paragraph a study, its title and one line a claim, and the page's headline.

    Args:
        told: of each study.
        summary: the headline; the counts of outcomes over all studies where it is "".
    """
    paragraphs = []
    for results, judgements in told:
        state = progress(results)
        title = (results.study.title or results.study.name) + (f" ({state.sentence()})" * (not state.is_complete))
        lines = [*unsound(results), *map(verdict_line, judgements), *unusable_lines(results, judgements)]
        paragraphs.append("\n".join([title, *lines]))
    return "\n\n".join([*paragraphs, summary or answer(all_of(told))])


def report_collection(collection: Collection, studies: Sequence[tuple[Manifest, Path]]) -> tuple[str, Path]:
    """Judge the studies of a collection and write all their reports and the first page.

    Args:
        collection: what ties the studies together.
        studies: their manifests and folders; they may be unfinished.

    Returns:
        What is said of them on the terminal, and the path of the first page.
    """
    from ablate.judging import judge

    told = [(found, judge(found)) for found in (collect(manifest, folder) for manifest, folder in studies)]
    for results, judgements in told:
        write_report(results, judgements)
    folder = collection.folder_in(told[0][0].output_dir)
    elsewhere, unread = at_other_budgets(collection, told, folder)
    parts = as_parts(told, elsewhere)
    path = write_page(collection, told, parts, unread, folder)
    return collection_summary(told, summarize(told, confirmed(parts))["text"]), path


def write_overview(collection: Collection, told: Told, folder: Path) -> Path:
    """Write report.html, report.md and verdicts.csv of a collection.

    Args:
        collection: what ties the studies together.
        told: in the collection's order; the studies may be unfinished.
        folder: of the collection; the studies' folders, with their reports, lie beside it.

    Returns:
        The path of report.html.
    """
    elsewhere, unread = at_other_budgets(collection, told, folder)
    return write_page(collection, told, as_parts(told, elsewhere), unread, folder)


def write_page(
    collection: Collection, told: Told, parts: "Sequence[Part]", unread: Sequence[str], folder: Path
) -> Path:
    """Write the files of `write_overview`, with what is known of other budgets in the parts."""
    rows = [["study", *csv_rows([])[0], "q"]]
    for part in parts:
        for row, entry in zip(csv_rows(part.judgements)[1:], part.entries, strict=True):
            rows.append([part.results.study.name, *row, "" if entry.q is None else str(entry.q)])
    path = folder / "report.html"
    found = summarize(told, confirmed(parts))
    write_text(folder / "verdicts.csv", comma_separated(rows))
    write_text(folder / "report.md", to_markdown(collection, parts, unread, found))
    content = render("overview.html", collection=collection, page=found, parts=parts, unread=unread)
    write_text(path, content)
    return path


def confirmed(parts: "Sequence[Part]") -> dict[Key, bool]:
    """Return of each claim whether a second budget agrees with its verdict, see `Entry.is_confirmed`."""
    return {
        (part.results.study.name, entry.finding.judgement.claim.name): entry.is_confirmed
        for part in parts
        for entry in part.entries
    }


def as_parts(told: Told, elsewhere: Mapping[tuple[str, str], list[Elsewhere]]) -> list[Part]:
    """Return what is told of each study.

    Args:
        told: of each study.
        elsewhere: see `at_other_budgets`; what is of the claim's own budget is left out.
    """
    parts, q = [], page_level(told).q
    for number, (results, judgements) in enumerate(told, start=1):
        folder = f"../{quote(results.folder.name)}"
        entries = [
            Entry(
                finding=found,
                anchor=f"part-{number}-{found.anchor}",
                link=f"{folder}/report.html#{found.anchor}",
                elsewhere=[
                    other
                    for other in elsewhere.get((results.study.name, found.judgement.claim.name), [])
                    if other.budget != found.judgement.budget
                ],
                q=q.get((results.study.name, found.judgement.claim.name)),
            )
            for found in verdict_table(results, judgements)
        ]
        parts.append(
            Part(results=results, judgements=judgements, folder=folder, progress=progress(results), entries=entries)
        )
    return parts


def at_other_budgets(
    collection: Collection, told: Told, folder: Path
) -> tuple[dict[tuple[str, str], list[Elsewhere]], list[str]]:
    """Judge the studies of the collections of the same name that lie beside this one.

    A study that is in this collection too is passed over, and so is one whose folder is no longer there.

    Returns:
        {(study, claim): what is decided of it there}, and why a study could not be read, one line each.
    """
    from ablate.judging import judge

    found: dict[tuple[str, str], list[Elsewhere]] = defaultdict(list)
    names = {results.study.name for results, _ in told}
    beside, unread = others(collection, folder)
    folders = (name for other in beside for name in other.folders)
    for name in dict.fromkeys(name for name in folders if name not in collection.folders):
        try:
            manifest = read_manifest(folder.parent / name)
            if manifest is None or manifest.name not in names:
                continue
            results = collect(manifest, folder.parent / name)
            judgements = judge(results)
        except UserError as error:  # what another version left must not keep this page from being written
            unread.append(f"{name}: {error}")
            continue
        for number, judgement in enumerate(judgements, start=1):
            if judgement.outcome in DECIDED:
                told_there = verdict_row(results, judgement, number)
                link = f"../{quote(name)}/report.html#{told_there.anchor}"
                found[manifest.name, judgement.claim.name].append(Elsewhere(finding=told_there, link=link))
    return found, unread

"""The first page of a collection of studies: all verdicts on one page, with links to the studies' reports."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from ablate.errors import UserError
from ablate.report.controls import control_lines
from ablate.report.overview_content import POST_HOC, UNTESTED, Elsewhere, Entry, Part
from ablate.report.overview_markdown import to_markdown
from ablate.report.page import write_report
from ablate.report.page_level import Judged, Key, all_of, page_level, summarize
from ablate.report.provenance import progress, registration_of, unsound
from ablate.report.rendering import render
from ablate.report.table import write_text
from ablate.report.terminal import unusable_lines, verdict_line
from ablate.report.verdict_rows import VERDICTS_TABLE, page_rows
from ablate.report.verdicts import answer, verdict_row, verdict_table
from ablate.screen import fitted, width
from ablate.study.collection import Collection, others
from ablate.study.manifest import Manifest, read_manifest
from ablate.tables import comma_separated, printable


def collection_summary(judged: Judged, summary: str = "") -> str:
    """Return one paragraph per study, its title and one line per claim, and the page's headline.

    Args:
        judged: the results and judgements of each study.
        summary: the headline; by default the counts of outcomes over all studies.
    """
    paragraphs = []
    for results, judgements in judged:
        state = progress(results)
        title = (results.study.title or results.study.name) + (f" ({state.sentence()})" * (not state.is_complete))
        lines = [
            *([f"registered: {registration_of(results)}"] if judgements else []),
            *unsound(results),
            *control_lines(judgements),
            *map(verdict_line, verdict_table(results, judgements)),
            *unusable_lines(results, judgements),
        ]
        paragraphs.append("\n".join([title, *lines]))
    return fitted(printable("\n\n".join([*paragraphs, summary or answer(all_of(judged))])), width())


def report_collection(collection: Collection, studies: Sequence[tuple[Manifest, Path]]) -> tuple[str, Path]:
    """Judge the studies of a collection and write all their reports and the first page.

    Args:
        collection: the studies that belong together.
        studies: their manifests and folders; they may be unfinished.

    Returns:
        The text for the terminal, and the path of the first page.
    """
    from ablate.judging import collect, judge

    judged = [(found, judge(found)) for found in (collect(manifest, folder) for manifest, folder in studies)]
    for results, judgements in judged:
        write_report(results, judgements)
    folder = collection.folder_in(judged[0][0].output_dir)
    elsewhere, unread = at_other_budgets(collection, judged, folder)
    parts = as_parts(judged, elsewhere)
    path = write_page(collection, judged, parts, unread, folder)
    return collection_summary(judged, summarize(judged, confirmed(parts))["text"]), path


def write_overview(collection: Collection, judged: Judged, folder: Path) -> Path:
    """Write report.html, report.md and verdicts.csv of a collection.

    Args:
        collection: the studies that belong together.
        judged: the results and judgements of each study, in the collection's order; they may be unfinished.
        folder: of the collection; the studies' folders, with their reports, are its siblings.

    Returns:
        The path of report.html.
    """
    elsewhere, unread = at_other_budgets(collection, judged, folder)
    return write_page(collection, judged, as_parts(judged, elsewhere), unread, folder)


def write_page(
    collection: Collection, judged: Judged, parts: Sequence[Part], unread: Sequence[str], folder: Path
) -> Path:
    """Write the files of `write_overview`; the parts hold the verdicts at other budgets."""
    path = folder / "report.html"
    found = summarize(judged, confirmed(parts))
    write_text(folder / VERDICTS_TABLE, comma_separated(page_rows(judged)))
    write_text(folder / "report.md", to_markdown(collection, parts, unread, found))
    content = render("overview.html", collection=collection, page=found, parts=parts, unread=unread, post_hoc=POST_HOC)
    write_text(path, content)
    return path


def confirmed(parts: Sequence[Part]) -> dict[Key, bool]:
    """Return of each claim whether other budgets leave its verdict in the headline, see `Entry.is_confirmed`."""
    return {
        (part.results.study.name, entry.verdict.judgement.claim.name): entry.is_confirmed
        for part in parts
        for entry in part.entries
    }


def as_parts(judged: Judged, elsewhere: Mapping[tuple[str, str], list[Elsewhere]]) -> list[Part]:
    """Return one part a study.

    Args:
        judged: the results and judgements of each study.
        elsewhere: see `at_other_budgets`; verdicts at the claim's own budget are left out.
    """
    parts, q = [], page_level(judged).q
    for number, (results, judgements) in enumerate(judged, start=1):
        folder = f"../{quote(results.folder.name)}"
        entries = [
            Entry(
                verdict=found,
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
    collection: Collection, judged: Judged, folder: Path
) -> tuple[dict[tuple[str, str], list[Elsewhere]], list[str]]:
    """Judge the studies of the other collections of this name in the same folder.

    A study of this collection is skipped, and so is one whose folder no longer exists.

    Returns:
        {(study, claim): its verdicts there}, and one line for each study that could not be read, with the reason.
    """
    from ablate.judging import collect, judge

    found: dict[tuple[str, str], list[Elsewhere]] = defaultdict(list)
    names = {results.study.name for results, _ in judged}
    beside, unread = others(collection, folder)
    folders = (name for other in beside for name in other.folders)
    for name in dict.fromkeys(name for name in folders if name not in collection.folders):
        try:
            manifest = read_manifest(folder.parent / name)
            if manifest is None or manifest.name not in names:
                continue
            results = collect(manifest, folder.parent / name)
            judgements = judge(results)
        except UserError as error:  # a study that another version wrote must not stop this page
            unread.append(f"{name}: {error}")
            continue
        for number, judgement in enumerate(judgements, start=1):
            if judgement.outcome not in UNTESTED:
                elsewhere_row = verdict_row(results, judgement, number)
                link = f"../{quote(name)}/report.html#{elsewhere_row.anchor}"
                found[manifest.name, judgement.claim.name].append(Elsewhere(verdict=elsewhere_row, link=link))
    return found, unread

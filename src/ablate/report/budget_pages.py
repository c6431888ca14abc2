"""The files of a map of budgets: a page, Markdown, a table and the picture."""

from pathlib import Path

from ablate.report.budget_map import BudgetMap, Track
from ablate.report.budget_plots import curve, draw_picture, picture
from ablate.report.budget_points import Point
from ablate.report.markdown import escaped, plain_cell
from ablate.report.plotting import style
from ablate.report.rendering import render
from ablate.report.table import write_text
from ablate.report.teaching import teach
from ablate.storage.integrity import replacing
from ablate.tables import comma_separated, markdown

HEAD = (
    "study", "claim", "text", "profile", "net", "data", "width", "images", "epochs", "outcome", "controls", "estimate",
    "low", "high", "level", "seeds", "post_hoc", "headline", "folder",
)  # fmt: skip
DPI = 150


def write_map(found: BudgetMap, folder: Path) -> Path:
    """Write map.html, map.md, map.csv, map.svg and map.png into a folder, and return the path of map.html.

    Files of an earlier map are replaced.
    """
    svg = picture(found)
    curves = [curve(track) for track in found.tracks]
    write_text(folder / "map.csv", comma_separated(csv_rows(found)))
    write_text(folder / "map.md", to_markdown(found))
    write_text(folder / "map.svg", as_file(svg))
    with replacing(folder / "map.png") as temporary, style():
        draw_picture(found).savefig(temporary, format="png", dpi=DPI)
    page = render("map.html", map=found, picture=svg, curves=curves, lesson=lesson, verdicts=verdict_lines)
    write_text(folder / "map.html", page)
    return folder / "map.html"


def as_file(svg: str) -> str:
    """Return an <svg> of a page as a file of its own."""
    if "xmlns=" in svg.partition(">")[0]:
        return svg
    return svg.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)


def lesson(track: Track) -> str:
    """Return what to teach of a claim: that of its headline, or why it has none."""
    point = track.headline or track.points[-1]
    return teach(point.judgement)


def verdict_lines(track: Track) -> list[tuple[Point, str]]:
    """Return each point with its verdict, effect and interval in one line."""
    return [(p, " ".join(part for part in (p.row.marked, p.row.effect, p.row.interval) if part)) for p in track.points]


def csv_rows(found: BudgetMap) -> list[list[str]]:
    """Return head and one row for each claim and budget; numbers are those of the verdict, in the metric's unit."""
    rows = [list(HEAD)]
    for track in found.tracks:
        for point in track.points:
            judgement = point.judgement
            cells = [track.study, track.claim.name, track.claim.text, point.profile, point.net, point.data, point.width]
            cells += ["all" if point.images is None and point.epochs is not None else point.images, point.epochs]
            cells += [judgement.outcome, "hold" if point.controls_hold else "fail", judgement.estimate, judgement.low]
            cells += [judgement.high, judgement.level, judgement.num_seeds, judgement.post_hoc]
            cells += ["yes" if point is track.headline else "", point.folder.name]
            rows.append(["" if cell is None else str(cell) for cell in cells])
    return rows


def to_markdown(found: BudgetMap) -> str:
    """Return the map as Markdown: a row a claim, its verdicts over budgets, its headline and where it flips."""
    lines = [
        f"# {plain_cell(found.name)}: verdicts over budgets",
        "A claim's headline is its verdict at the largest budget at which its controls hold. Budgets are ordered by "
        "images × epochs × width squared; the width is the mean of the stages' channels.",
        "![All claims at all budgets](map.svg)",
    ]
    for study in dict.fromkeys(track.study for track in found.tracks):
        tracks = [track for track in found.tracks if track.study == study]
        rows = [["claim", "over budgets", "headline", "teach", "published"]]
        for track in tracks:
            over = "; ".join(f"{point.budget}: {line}" for point, line in verdict_lines(track))
            head = track.headline
            named = f"{head.row.marked} at {head.budget}" if head else "none: its controls hold at no budget"
            rows.append([track.claim.text, over, f"{named}; {track.sentence}", lesson(track), track.claim.published])
        lines += [f"## {plain_cell(tracks[0].title)}", markdown(escaped(rows))]
    if found.left_out:
        lines += ["## Left out", "\n".join(f"- {plain_cell(line)}" for line in found.left_out)]
    return "\n\n".join(lines) + "\n"

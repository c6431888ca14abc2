"""Figures of a map of budgets: one picture for all claims, and a small curve for each."""

import re
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ablate.report.budget_map import BudgetMap, Track
from ablate.report.budget_points import Point
from ablate.report.effect_plots import axis_title, margin, shown
from ablate.report.overview_content import POST_HOC
from ablate.report.phrases import OUTCOME_STYLES
from ablate.report.plotting import (
    INK,
    MUTED,
    RULE,
    SHADE,
    factor_ticks,
    fitting_size,
    limits,
    new_figure,
    style,
    to_svg,
)
from ablate.study.control import NOT_INTERPRETABLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

HEIGHT = 1.9  # of a curve, in inches
ROW = 0.3  # height of a claim in the picture, in inches: two lines
LINE = 0.44  # height of a line, in rows
LEGEND_ROW = 0.22  # height of a verdict in the picture's legend, in inches
MOST_ROWS = 400  # a picture of more claims has no use, and matplotlib no room


def curve(track: Track) -> str:
    """Return an <svg> of a claim's effect with its interval over budgets; the zone is too small to matter."""
    points = [point for point in track.points if point.judgement.estimate is not None]
    if not points:
        return ""
    with style():
        figure = new_figure(5.2, HEIGHT)
        ax = figure.subplots()
        ends = [(p.judgement.estimate, p.judgement.low, p.judgement.high) for p in points]
        values = [shown(p.row, value) for p, triple in zip(points, ends, strict=True) for value in triple]
        zone = max(margin(point.row) for point in points)
        ax.set_ylim(*limits([*values, -zone, zone, 0.0]))
        if zone > 0:
            ax.axhspan(-zone, zone, color=SHADE, zorder=0, linewidth=0)
        ax.axhline(0, color=MUTED, linewidth=0.9, zorder=1)
        estimates = [shown(p.row, p.judgement.estimate) for p in points]
        known = [(x, y) for x, y in enumerate(estimates) if y is not None]
        ax.plot(*zip(*known, strict=True), color=RULE, linewidth=1.2, zorder=2)
        for x, point in enumerate(points):
            draw(ax, x, point)
        ax.set_xlim(-0.5, len(points) - 0.5)
        ax.set_xticks(range(len(points)), [f"{point.label}\n{point.profile}" for point in points])
        if points[0].row.unit.is_factor:
            factor_ticks(ax.yaxis, *ax.get_ylim())
        lines = title_lines(axis_title(points[0].row))
        ax.set_ylabel("\n".join(lines), fontsize=fitting_size(lines, 0.9 * HEIGHT, 8))
        ax.grid(axis="y", color=RULE)
        ax.set_axisbelow(True)
        verdicts = "; ".join(f"{p.budget}: {p.row.effect} {p.row.interval} {p.outcome}" for p in points)
        return to_svg(figure, f"{track.claim.text} {verdicts}")


def title_lines(title: str, most: int = 24) -> list[str]:
    """Return the title of an axis in lines of at most so many characters, broken at spaces and after a "/" alone.

    Example:
        >>> title_lines("treatment / control, initial/gradient_norm/first_last")
        ['treatment / control,', 'initial/gradient_norm/', 'first_last']
    """
    lines = [""]
    for piece in re.findall(r"[^\s/]+/?\s*|/\s*", title):
        if lines[-1] and len(lines[-1] + piece.rstrip()) > most:
            lines.append("")
        lines[-1] += piece
    return [line.rstrip() for line in lines]


def draw(ax: "Axes", x: int, point: Point) -> None:
    """Draw a verdict: its effect, filled where its controls hold, and its interval, cut off at the axis."""
    bottom, top = ax.get_ylim()
    colour, marker = point.row.style.colour, point.row.style.marker
    low, high = (shown(point.row, value) for value in (point.judgement.low, point.judgement.high))
    if low is not None and high is not None:
        ax.plot([x, x], [max(low, bottom), min(high, top)], color=colour, linewidth=2.0, zorder=3)
    estimate = shown(point.row, point.judgement.estimate)
    if estimate is not None:
        face = colour if point.controls_hold else "white"
        ax.plot([x], [estimate], marker, color=colour, markerfacecolor=face, markersize=8, zorder=4)


def picture(found: BudgetMap) -> str:
    """Return an <svg> of all claims: a row each, a column a profile, the symbol of the verdict and the effect."""
    with style():
        figure = draw_picture(found)
        return to_svg(figure, f"The verdicts of {found.name} at each budget; the table holds the same")


def draw_picture(found: BudgetMap) -> "Figure":
    """Return the figure of `picture`; it is drawn inside `style()`."""
    tracks = [track for track in found.tracks if track.claim.is_tested][:MOST_ROWS] or found.tracks[:MOST_ROWS]
    profiles = found.profiles
    legend = legend_handles(tracks)
    figure = new_figure(10.6, ROW * len(tracks) + LEGEND_ROW * len(legend) + 0.9)
    ax = figure.subplots()
    ax.set_xlim(-0.5, len(profiles) - 0.5)
    ax.set_ylim(len(tracks) - 0.5, -0.5)
    for y, track in enumerate(tracks):
        if y and track.study != tracks[y - 1].study:
            ax.axhline(y - 0.5, color=RULE, linewidth=0.8)
        for x, profile in enumerate(profiles):
            cell(ax, x, y, [point for point in track.points if point.profile == profile])
    ax.set_xticks(range(len(profiles)), [profile or "the study itself" for profile in profiles])
    ax.xaxis.tick_top()
    ax.set_yticks([])
    left = ax.get_yaxis_transform()  # x in parts of the axes, y in rows
    for y, track in enumerate(tracks):
        lines = text_lines(track.claim.text)
        for number, line in enumerate(lines):  # one text a line: a browser's other font keeps them aligned
            below = LINE * (number - (len(lines) - 1) / 2)
            ax.text(-0.01, y + below, line, transform=left, ha="right", va="center", color=INK, fontsize=8)
    ax.tick_params(axis="x", labelcolor=INK, length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    figure.legend(handles=legend, loc="outside lower center", fontsize=8)
    return figure


def text_lines(text: str) -> list[str]:
    """Return a claim in at most two lines of the picture; what does not fit is cut off and marked.

    Example:
        >>> text_lines("ReLU reaches a higher accuracy than tanh.")
        ['ReLU reaches a higher accuracy than tanh.']
    """
    return textwrap.wrap(text, 76, max_lines=2, placeholder=" …")


def legend_handles(tracks: Sequence[Track]) -> list["Line2D"]:
    """Return a legend's handles: one for each verdict among some claims, and what the asterisk means."""
    from matplotlib.lines import Line2D  # not before a figure is drawn: matplotlib loads slowly

    points = [point for track in tracks for point in track.points]
    present = {point.outcome for point in points}
    handles = [
        Line2D(
            [],
            [],
            linestyle="",
            label=f"{outcome}: {of.meaning}",
            marker=of.marker,
            color=of.colour,
            markerfacecolor="white" if outcome == NOT_INTERPRETABLE else of.colour,
        )
        for outcome, of in OUTCOME_STYLES.items()
        if outcome in present
    ]
    if any(point.judgement.post_hoc for point in points):
        handles.append(Line2D([], [], linestyle="", label=POST_HOC))
    return handles


def cell(ax: "Axes", x: int, y: int, points: Sequence[Point]) -> None:
    """Draw the verdict of the largest of some budgets, hollow where a control has not passed."""
    if not points:
        return
    point = points[-1]
    colour = point.row.style.colour
    face = colour if point.controls_hold else "white"
    ax.plot([x - 0.32], [y], point.row.style.marker, color=colour, markerfacecolor=face, markersize=7.5)
    text = f"{point.row.unit.number(point.judgement.estimate)}{'*' * bool(point.judgement.post_hoc)}"
    ax.text(x - 0.22, y, text, color=colour, va="center", fontsize=8)

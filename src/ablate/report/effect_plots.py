"""Figures of effects: the paired differences behind one claim, and all effects side by side."""

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ablate.report.plotting import INK, MUTED, RULE, SHADE, factor_ticks, limits, new_figure, style, to_svg, whisker
from ablate.report.table import of_seeds
from ablate.report.verdicts import VerdictRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def shown(verdict: VerdictRow, value: float | None) -> float | None:
    """Return an effect on the axis of a figure: scaled to the unit, a factor as its logarithm."""
    if value is None or math.isnan(value):
        return None
    if not verdict.unit.is_factor:
        return verdict.unit.scale * verdict.unit.within(value)
    return math.log(value) if value > 0 else -math.inf


def margin(verdict: VerdictRow) -> float:
    """Return half the width, on the axis of a figure, of the zone of effects too small to matter."""
    claim = verdict.judgement.claim
    if verdict.unit.is_factor:
        return math.log(claim.smallest_effect)
    return verdict.unit.scale * (claim.tolerance if claim.form == "identity" else claim.smallest_effect)


def axis_title(verdict: VerdictRow) -> str:
    """Return what the axis of effects shows."""
    claim, unit = verdict.judgement.claim, verdict.unit
    if unit.is_factor:
        return f"treatment / control, {claim.metric}"
    return f"effect on {claim.metric}{f', {unit.name}' if unit.name else ''}"


def strip(verdict: VerdictRow) -> str:
    """Return an <svg> of the paired differences, one dot a seed, with their mean and its adjusted interval below."""
    judgement, marker, colour = verdict.judgement, verdict.style.marker, verdict.style.colour
    # Differences of a ratio are logarithms already, as the axis is.
    dots = [d if verdict.unit.is_factor else verdict.unit.scale * d for d in judgement.differences]
    estimate, low, high = (shown(verdict, value) for value in (judgement.estimate, judgement.low, judgement.high))
    zone = margin(verdict)
    with style():
        figure = new_figure(5.6, 1.65)
        ax = figure.subplots()
        ax.set_xlim(*limits([*dots, estimate, low, high, -zone, zone, 0.0]))
        ax.set_ylim(-0.75, 1.75)
        ground(ax, zone)
        # Heights vary from seed to seed, so that equal differences do not hide each other.
        heights = [1 + 0.4 * math.sin(2.4 * i) for i in range(len(dots))]
        ax.plot(dots, heights, "o", color=colour, alpha=0.55, markersize=5.5, markeredgewidth=0, zorder=3)
        whisker(ax, 0, low, high, colour, width=2.4)
        if estimate is not None:
            ax.plot([estimate], [0], marker, color=colour, markersize=8, markeredgecolor="white", zorder=4)
        some = f"\n({of_seeds(len(dots), judgement.num_seeds)})" if len(dots) < judgement.num_seeds else ""
        ax.set_yticks([1, 0], [f"each seed{some}", "largest" if judgement.claim.form == "identity" else "mean"])
        finish(ax, verdict)
        alt = (
            f"Claim {verdict.number}, paired differences: {len(dots)} seeds, mean {verdict.effect or 'unknown'}, "
            f"interval {verdict.interval or 'unknown'}"
        )
        return to_svg(figure, alt)


def forest(verdicts: Sequence[VerdictRow]) -> str:
    """Return an <svg> of all effects with their adjusted intervals, "" where there is none.

    Effects in one unit share an axis.
    """
    groups: dict[tuple[str, str], list[VerdictRow]] = {}
    for verdict in verdicts:
        if verdict.judgement.estimate is not None:
            claim = verdict.judgement.claim
            unit = verdict.unit.name
            groups.setdefault((unit, "" if unit in ("points", "factor") else claim.metric), []).append(verdict)
    if not groups:
        return ""
    rows = [len(group) for group in groups.values()]
    with style():
        figure = new_figure(10.6, 0.46 * sum(rows) + 0.75 * len(rows))
        axes = figure.subplots(len(rows), 1, squeeze=False, height_ratios=[0.46 * n + 0.3 for n in rows])[:, 0]
        for ax, group in zip(axes, groups.values(), strict=True):
            forest_panel(ax, group)
        return to_svg(
            figure, "Effects of all claims with their intervals; the table of verdicts holds the same numbers"
        )


def forest_panel(ax: "Axes", group: Sequence[VerdictRow]) -> None:
    """Draw the effects of one unit, the first claim on top."""
    ends = [(f.judgement.estimate, f.judgement.low, f.judgement.high) for f in group]
    values = [shown(f, v) for f, triple in zip(group, ends, strict=True) for v in triple]
    ax.set_xlim(*limits([*values, *(sign * margin(f) for f in group for sign in (-1, 1)), 0.0]))
    ax.set_ylim(len(group) - 0.5, -0.5)
    ax.axvline(0, color=MUTED, linewidth=0.9, zorder=2)
    for y, verdict in enumerate(group):
        zone, marker, colour = margin(verdict), verdict.style.marker, verdict.style.colour
        ax.barh(y, 2 * zone, left=-zone, height=0.74, color=SHADE, zorder=1)
        estimate, low, high = (shown(verdict, value) for value in ends[y])
        whisker(ax, y, low, high, colour)
        if estimate is not None:
            ax.plot([estimate], [y], marker, color=colour, markersize=7.5, markeredgecolor="white", zorder=4)
        numbers = f"{verdict.unit.number(verdict.judgement.estimate)} {verdict.interval}"
        if verdict.judgement.claim.form == "identity":
            numbers = verdict.effect
        label = f"{verdict.marked}\n{numbers}"
        ax.annotate(label, (1.015, y), xycoords=("axes fraction", "data"), color=colour, va="center", fontsize=8.5)
    sentences = [textwrap.shorten(f"{f.number}  {f.judgement.claim.text}", 110, placeholder=" …") for f in group]
    ax.set_yticks(range(len(group)), ["\n".join(textwrap.wrap(sentence, 58)) for sentence in sentences])
    ax.tick_params(axis="y", labelcolor=INK, labelsize=8.5)
    finish(ax, group[0], common=True)


def ground(ax: "Axes", zone: float) -> None:
    """Draw the line of no effect and the zone of effects too small to matter."""
    if zone > 0:
        ax.axvspan(-zone, zone, color=SHADE, zorder=0, linewidth=0)
    ax.axvline(0, color=MUTED, linewidth=0.9, zorder=2)


def finish(ax: "Axes", verdict: VerdictRow, common: bool = False) -> None:
    """Draw what surrounds effects: ticks, the axis' title, and no box."""
    if verdict.unit.is_factor:
        factor_ticks(ax.xaxis, *ax.get_xlim())
    titles = {"points": "effect, points", "factor": "treatment / control"}
    ax.set_xlabel(titles.get(verdict.unit.name, axis_title(verdict)) if common else axis_title(verdict))
    ax.grid(axis="x", color=RULE)
    ax.set_axisbelow(True)
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)

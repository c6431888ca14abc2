"""Figures of arms: learning curves with bands, tuning curves, and mean accuracy over two axes."""

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ablate.config.overrides import text
from ablate.report.curves import Band, PairTable, averaged_over, band, history
from ablate.report.headline import Headline
from ablate.report.phrases import OUTCOME_STYLES, short_names
from ablate.report.plotting import COLOURS, INK, MUTED, RULE, new_figure, style, to_svg
from ablate.study.results import ArmResult, Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ARMS_A_PANEL = 12
LEGEND_WIDTH = 44  # characters
MOST_PANELS = 8
MOST_TUNING_PANELS = 36
WARNING = OUTCOME_STYLES["contradicted"].colour


def learning_curves(results: Results, key: str = "val/accuracy") -> list[str]:
    """Return <svg>s of an accuracy by epoch: mean over seeds and pointwise 95 % t interval of each arm.

    Neighbours in the study's order share a figure of at most `ARMS_A_PANEL` arms; at most `MOST_PANELS` are drawn, all
    with the same axis of accuracies.
    """
    import numpy as np

    title, names = short_names(results.arms)
    named = zip(names, results.arms, strict=True)
    values = [(name, history(list(arm.records.values()), key)) for name, arm in named if arm.records]
    runs = [averaged_over(found, len(found)) for _, found in values]
    curves = [
        (f"{name} ({count})" if count else name, band(100 * found, (0, 100)))
        for (name, found), count in zip(values, runs, strict=True)
    ]
    curves = [(name, curve) for name, curve in curves if np.isfinite(curve.mean).any()]
    if not curves:
        return []
    # As even as possible: 14 arms are two figures of 7.
    size = math.ceil(len(curves) / math.ceil(len(curves) / ARMS_A_PANEL))
    panels = [curves[i : i + size] for i in range(0, len(curves), size)][:MOST_PANELS]
    ends = np.concatenate(
        [end for panel in panels for _, curve in panel for end in (curve.mean, curve.low, curve.high)]
    )
    low, high = max(0.0, float(np.nanmin(ends)) - 2), min(100.0, float(np.nanmax(ends)) + 2)
    svgs = []
    with style():
        for panel in panels:
            num_lines = sum(len(textwrap.wrap(name, LEGEND_WIDTH)) for name, _ in panel)
            figure = new_figure(10.6, max(3.7, 0.17 * num_lines + 0.6))  # high enough for the legend
            ax = figure.subplots()
            learning_panel(ax, panel, title)
            ax.set_ylim(low, high)
            ax.set_ylabel(f"{key}, %")
            ends_at = "; ".join(f"{name} ends at {curve.mean[-1]:.1f} %" for name, curve in panel)
            svgs.append(to_svg(figure, f"Learning curves of {key}: {ends_at}"))
    return svgs


def learning_panel(ax: "Axes", curves: Sequence[tuple[str, Band]], title: str) -> None:
    """Draw the curves of named arms; the legend has the order of the last epoch."""
    from matplotlib.ticker import MaxNLocator

    ends = []
    for i, (name, curve) in enumerate(curves):
        colour, dashes = COLOURS[i % len(COLOURS)], ("-", (0, (4, 1.5)))[i // len(COLOURS)]
        epochs = range(1, len(curve.mean) + 1)
        marker = "o" if len(epochs) == 1 else ""
        (line,) = ax.plot(epochs, curve.mean, color=colour, linestyle=dashes, marker=marker)
        ax.fill_between(epochs, curve.low, curve.high, color=colour, alpha=0.13, linewidth=0)
        ends.append((curve.mean[-1], line, "\n".join(textwrap.wrap(name, LEGEND_WIDTH))))
    ends.sort(key=lambda end: -end[0] if math.isfinite(end[0]) else math.inf)
    ax.legend(
        [line for _, line, _ in ends],
        [name for _, _, name in ends],
        title=title or None,
        loc="center left",
        bbox_to_anchor=(1.01, 0.5),
        title_fontsize=9,
        alignment="left",
    )
    ax.set_xlabel("epoch")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(axis="y")


def tuning_curves(results: Results) -> str:
    """Return an <svg> of validation accuracy against the tuned setting, a panel per arm, "" where nothing is tuned."""
    tuning = results.study.tuning
    arms = [arm for arm in results.arms if any(arm.tuning)][:MOST_TUNING_PANELS]
    if tuning is None or not arms:
        return ""
    _, names = short_names(results.arms)
    named = {id(arm): name for arm, name in zip(results.arms, names, strict=True)}
    positions, is_log = axis_positions(tuning.values)
    num_columns = min(4, len(arms))
    num_rows = math.ceil(len(arms) / num_columns)
    scale = Headline(tuning.metric).scale
    means = [scale * tuning_band(arm, tuning.metric).mean for arm in arms]
    with style():
        figure = new_figure(10.6 * max(num_columns, 2) / 4, 2.0 * num_rows + 0.3)
        axes = figure.subplots(num_rows, num_columns, sharex=True, sharey=True, squeeze=False).ravel()
        for i, (ax, arm) in enumerate(zip(axes, arms, strict=False)):
            for other in means:
                ax.plot(positions, other, color=RULE, linewidth=1, zorder=1)
            tuning_panel(ax, arm, positions, tuning.metric, tuning.seeds)
            ax.set_title("\n".join(textwrap.wrap(named[id(arm)], 34)), color=INK)
            if is_log:
                ax.set_xscale("log")
            ax.minorticks_off()
            ax.set_xticks(positions, [f"{v:g}" if isinstance(v, float) else text(v) for v in tuning.values])
            ax.tick_params(axis="x", labelrotation=45 if len(positions) > 5 else 0, labelbottom=True)
            ax.set_xlabel(tuning.key if i + num_columns >= len(arms) else "")
            ax.grid(axis="y")
        for ax in axes[len(arms) :]:
            ax.set_visible(False)
        for ax in axes[::num_columns]:
            ax.set_ylabel(f"{tuning.metric}, %" if scale != 1 else tuning.metric)
        chosen = "; ".join(f"{named[id(a)]}: {text(a.chosen.value) if a.chosen else 'not yet chosen'}" for a in arms)
        return to_svg(figure, f"Tuning curves of {tuning.metric} against {tuning.key}. Chosen: {chosen}")


def tuning_panel(ax: "Axes", arm: ArmResult, positions: Sequence[float], metric: str, num_seeds: int) -> None:
    """Draw one arm's scores, their mean, and the chosen value or how many runs there are yet."""
    colour = COLOURS[0]
    curve = tuning_band(arm, metric)
    headline = Headline(metric)
    mean = headline.scale * curve.mean
    for position, records in zip(positions, arm.tuning, strict=True):
        scores = headline.values(list(records.values()))
        ax.plot([position] * len(scores), scores, "o", color=colour, alpha=0.35, markersize=3.5, markeredgewidth=0)
    ax.plot(positions, mean, color=colour, zorder=3)
    if arm.chosen is None:
        done, planned = sum(map(len, arm.tuning)), num_seeds * len(arm.tuning)
        ax.text(0.98, 0.04, f"{done} of {planned} runs", transform=ax.transAxes, ha="right", color=MUTED, fontsize=8)
        return
    best = arm.planned.variants.index(arm.chosen)
    on_edge = best in (0, len(positions) - 1)
    ax.plot(
        [positions[best]],
        [mean[best]],
        "^" if on_edge else "o",
        color=WARNING if on_edge else colour,
        markersize=9,
        markeredgecolor="white",
        zorder=4,
    )
    label = f"chosen {text(arm.chosen.value)}{', on the edge' if on_edge else ''}"
    ax.text(0.98, 0.04, label, transform=ax.transAxes, ha="right", color=WARNING if on_edge else colour, fontsize=8)


def tuning_band(arm: ArmResult, metric: str) -> Any:
    """Return mean and interval of an arm's scores, shape (num_values,)."""
    import numpy as np

    seeds = sorted({seed for records in arm.tuning for seed in records})
    scores = np.full((len(seeds), len(arm.tuning)), np.nan)
    for column, records in enumerate(arm.tuning):
        for row, seed in enumerate(seeds):
            if seed in records:
                value = Headline(metric).values([records[seed]])
                scores[row, column] = value[0] / Headline(metric).scale if value else np.nan
    return band(scores)


def axis_positions(values: Sequence[Any]) -> tuple[list[float], bool]:
    """Return where values lie on an axis and whether it is logarithmic.

    Positive numbers that span a factor of 4 lie on a logarithmic axis, other numbers on a linear one, and anything else
    at 0, 1, 2, ...

    Example:
        >>> axis_positions([0.01, 0.1]), axis_positions(["relu", "tanh"])
        (([0.01, 0.1], True), ([0.0, 1.0], False))
    """
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return [float(i) for i in range(len(values))], False
    numbers = [float(value) for value in values]
    return numbers, min(numbers) > 0 and max(numbers) / min(numbers) >= 4


def heat_map(table: PairTable) -> str:
    """Return an <svg> of the study's first metric, averaged, for each pair of values of two axes."""
    import matplotlib
    import matplotlib.colors
    import numpy as np

    means = np.array([[np.nan if mean is None else table.headline.scale * mean for mean in row] for row in table.means])
    # From pale to dark, so that it reads without colour too.
    colours = matplotlib.colormaps["YlGnBu"]
    known = means[np.isfinite(means)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    with style():
        longest = max(map(len, table.rows))
        width = min(10.6, 1.2 + 0.075 * longest + 0.95 * len(table.columns))
        figure = new_figure(max(width, 3.2), 1.0 + 0.42 * len(table.rows))
        ax = figure.subplots()
        # The darkest quarter of the colours is left out: two dark cells look alike.
        span = max(high - low, 1e-9)
        scale = matplotlib.colors.Normalize(low - 0.05 * span, high + 0.35 * span)
        ax.pcolormesh(means, cmap=colours, norm=scale, edgecolors="white", linewidth=2)
        for (row, column), mean in np.ndenumerate(means):
            known_cell = bool(np.isfinite(mean))
            ink = ink_on(colours(float(scale(mean)))) if known_cell else MUTED
            label = (f"{mean:.1f}" if table.headline.scale != 1 else f"{mean:.3g}") if known_cell else "–"
            ax.text(column + 0.5, row + 0.5, label, ha="center", va="center", color=ink)
        wide = max(map(len, table.columns)) > 11
        ax.set_xticks(
            np.arange(len(table.columns)) + 0.5,
            table.columns,
            rotation=30 if wide else 0,
            ha="right" if wide else "center",
        )
        ax.set_yticks(np.arange(len(table.rows)) + 0.5, table.rows)
        ax.invert_yaxis()
        ax.set_xlabel(table.column_axis)
        ax.set_ylabel(table.row_axis)
        ax.tick_params(length=0, labelcolor=INK)
        for spine in ax.spines.values():
            spine.set_visible(False)
        # Its cells have colours that need a white page.
        return to_svg(
            figure, f"Mean {table.headline.caption} by {table.row_axis} and {table.column_axis}", follows_page=False
        )


def ink_on(background: Sequence[float]) -> str:
    """Return the colour of text with the greater contrast (WCAG 2) on a background of red, green, blue in [0, 1].

    Example:
        >>> ink_on((0.0, 0.0, 0.2)) == "white", ink_on((1.0, 1.0, 0.8)) == INK
        (True, True)
    """
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in background[:3]]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "white" if 1.05 / (luminance + 0.05) > (luminance + 0.05) / 0.06 else INK

"""Means over seeds with 95 % t intervals, as arrays for plots and TensorBoard; numpy is loaded when used."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ablate.config.overrides import text
from ablate.report.headline import Headline, headlines
from ablate.report.phrases import of_runs
from ablate.study.results import Results
from ablate.training.record import Record

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Band:
    """A mean over seeds along an axis.

    Args:
        mean: shape (num_points,); nan where no seed has a value.
        low, high: limits of the pointwise 95 % t interval, shape (num_points,); nan with fewer than two seeds.
    """

    mean: "FloatArray"
    low: "FloatArray"
    high: "FloatArray"


def band(values: "FloatArray", limits: tuple[float, float] = (-math.inf, math.inf)) -> Band:
    """Return mean +- t_{0.975, n - 1} sd / sqrt(n) at each point, n being the seeds that have a value there.

    Args:
        values: shape (num_seeds, num_points), nan where a seed has none.
        limits: the least and the greatest possible value; the interval ends there.

    Example:
        >>> import numpy as np
        >>> found = band(np.array([[0.5], [0.7]]))
        >>> print(f"{found.mean[0]:.2f} [{found.low[0]:.2f}, {found.high[0]:.2f}]")
        0.60 [-0.67, 1.87]
        >>> band(np.array([[0.5], [0.7]]), limits=(0, 1)).high.tolist()
        [1.0]
    """
    import numpy as np
    from scipy.special import stdtrit

    known = np.isfinite(values)
    n = known.sum(axis=0)
    filled = np.where(known, values, 0.0)
    mean = np.divide(filled.sum(axis=0), n, out=np.full(n.shape, np.nan), where=n > 0)
    squares = np.where(known, (filled - np.where(n > 0, mean, 0.0)) ** 2, 0.0).sum(axis=0)
    variance = np.divide(squares, n - 1, out=np.full(n.shape, np.nan), where=n > 1)
    half_width = stdtrit(np.maximum(n - 1, 1), 0.975) * np.sqrt(variance / np.maximum(n, 1))
    low, high = (np.clip(end, *limits) for end in (mean - half_width, mean + half_width))
    return Band(mean=mean, low=low, high=high)


def history(records: Sequence[Record], key: str) -> "FloatArray":
    """Return a scalar of the runs' histories by epoch, shape (num_seeds, num_epochs), nan where there is none.

    A diverged run keeps its score, guessing, from there on, so that the mean does not rise because the worst run is
    missing; a loss has no such score.
    """
    import numpy as np

    num_epochs = max((len(record.history) for record in records), default=0)
    values = np.full((len(records), num_epochs), np.nan)
    for row, record in zip(values, records, strict=True):
        for epoch, entry in enumerate(record.history):
            value = entry.get(key)
            row[epoch] = np.nan if value is None else value
        score = record.metrics.get(key)
        if record.status == "diverged" and score is not None:
            row[np.isnan(row)] = score
    return values


def averaged_over(values: "FloatArray", num_runs: int) -> str:
    """Return over how many runs a mean by epoch is, "" where it is over all of them in every epoch.

    Args:
        values: see `band`.
        num_runs: that the mean is shown for.

    Returns:
        For example "2 of 3 runs from epoch 4", or "epochs 1 to 3: 2 of 3 runs; epoch 4: 1 of 3 runs".

    Example:
        >>> import numpy as np
        >>> averaged_over(np.array([[0.1, 0.2], [0.1, np.nan]]), 2)
        '1 of 2 runs from epoch 2'
    """
    import numpy as np

    counts = np.isfinite(values).sum(axis=0).tolist()
    parts, start = [], 0
    for number, group in itertools.groupby(counts):
        end = start + len(list(group))
        if number < num_runs:
            epochs = f"epochs {start + 1} to {end}" if end > start + 1 else f"epoch {end}"
            parts.append((start, end, f"{number} of {num_runs} runs", epochs))
        start = end
    if len(parts) == 1 and parts[0][1] == len(counts):
        begin, _, share, _ = parts[0]
        return f"{share} from epoch {begin + 1}" if begin else share
    return "; ".join(f"{epochs}: {share}" for _, _, share, epochs in parts)


@dataclass(frozen=True, kw_only=True)
class PairTable:
    """Mean of the study's first metric, most often the test accuracy, for each pair of values of two axes.

    Args:
        row_axis, column_axis: keys of the axes.
        rows, columns: their values, as text.
        means: by row and column, in the metric's own unit; None where no run has finished.
        num_arms: how many arms each mean is over.
        runs: " (11 of 12 runs)" where runs are missing, "" where none is.
        headline: the metric.
    """

    row_axis: str
    column_axis: str
    rows: list[str]
    columns: list[str]
    means: list[list[float | None]]
    num_arms: int
    runs: str = ""
    headline: Headline = field(default_factory=lambda: Headline("test/accuracy"))


def pair_tables(results: Results, most: int = 12) -> list[PairTable]:
    """Return a table for each pair of varied axes whose every cell holds the same settings of all other axes.

    Cells over different settings would show the others' effects as an interaction, hence none of a leave-one-out grid.

    Args:
        results: of the study.
        most: at most so many tables.
    """
    values: dict[str, dict[str, Any]] = {}
    for arm in results.arms:
        for axis, value in arm.axes.items():
            values.setdefault(axis, {})[text(value)] = value
    axes = [axis for axis, found in values.items() if len(found) > 1]
    pairs = [(a, b) for i, a in enumerate(axes) for b in axes[i + 1 :]]
    tables = (pair_table(results, a, b, list(values[a]), list(values[b])) for a, b in pairs)
    return [table for table in tables if table is not None][:most]


def pair_table(results: Results, a: str, b: str, rows: list[str], columns: list[str]) -> PairTable | None:
    """Return the table of axes `a` and `b`, None where it is not balanced."""
    headline = headlines(results)[0]
    others: dict[tuple[str, str], set[str]] = {(row, column): set() for row in rows for column in columns}
    scores: dict[tuple[str, str], list[float]] = {cell: [] for cell in others}
    for arm in results.arms:
        if a not in arm.axes or b not in arm.axes:
            return None
        cell = (text(arm.axes[a]), text(arm.axes[b]))
        others[cell].add(" ".join(f"{key}={text(value)}" for key, value in arm.axes.items() if key not in (a, b)))
        values = headline.values(list(arm.records.values()))
        scores[cell] += [sum(values) / len(values) / headline.scale] if values else []
    settings = next(iter(others.values()))
    if not settings or any(found != settings for found in others.values()):
        return None
    complete = {cell: sum(found) / len(found) for cell, found in scores.items() if len(found) == len(settings)}
    means = [[complete.get((row, column)) for column in columns] for row in rows]
    planned = sum(len(results.seeds_of(arm)) for arm in results.arms)
    runs = of_runs(sum(len(arm.records) for arm in results.arms), planned)
    return PairTable(
        row_axis=a,
        column_axis=b,
        rows=rows,
        columns=columns,
        means=means,
        num_arms=len(settings),
        runs=runs,
        headline=headline,
    )

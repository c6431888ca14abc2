"""A difference between two sides of loaded runs, paired by seed: for questions that no study has claimed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ablate.config.overrides import text
from ablate.errors import UserError
from ablate.export.loaded import Loaded
from ablate.statistics import Comparison, decide, difference

if TYPE_CHECKING:
    from pandas import DataFrame

Side = Mapping[str, Any] | str


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Treatment minus control of a metric; exploratory, since it was asked after the runs.

    Args:
        treatment, control: the two sides, as "activation=relu".
        metric: a column of the runs.
        estimate, low, high: mean of the differences and its t interval, in the unit of the metric; infinite limits
            where one seed alone has both sides.
        level: confidence of the interval.
        p: two-sided, of no difference.
        num_seeds: number of pairs.
        outcome: what `ablate.statistics.decide` says for the smallest effect, "" without one.
    """

    treatment: str
    control: str
    metric: str
    estimate: float
    low: float
    high: float
    level: float
    p: float
    num_seeds: int
    outcome: str = ""

    def __str__(self) -> str:
        verdict = f"{self.outcome}: " if self.outcome else ""
        return (
            f"{verdict}{self.treatment} minus {self.control}, {self.metric}: {self.estimate:+.4g} "
            f"[{self.low:+.4g}, {self.high:+.4g}] ({100 * self.level:g} %, {self.num_seeds} seeds; exploratory)"
        )


def compare(
    runs: Loaded | DataFrame,
    treatment: Side,
    control: Side,
    metric: str = "test/accuracy",
    *,
    smallest_effect: float | None = None,
    alpha: float = 0.05,
) -> Compared:
    """Return a paired difference: see `ablate.compare`."""
    table = runs.runs if isinstance(runs, Loaded) else runs
    if metric not in table:
        close = [name for name in table.columns if metric.rpartition("/")[2] in str(name)][:4]
        hint = (
            f"did you mean one of {', '.join(map(str, close))}?" if close else f"there are {', '.join(table.columns)}"
        )
        raise UserError(f"the runs have no column {metric!r}; {hint}")
    used = table[table["state"] == "finished"]
    used = used[used["role"] == "report"] if "role" in used else used
    sides = [by_seed(used, named(side), metric) for side in (treatment, control)]
    seeds = sorted(sides[0].keys() & sides[1].keys())
    shown = [" ".join(f"{key}={text(value)}" for key, value in named(side).items()) for side in (treatment, control)]
    if not seeds:
        raise UserError(f"no seed has a finished run of both {shown[0]} and {shown[1]} with {metric}")
    effect = difference([sides[0][seed] for seed in seeds], [sides[1][seed] for seed in seeds])
    interval = effect.interval(alpha)
    outcome = ""
    if smallest_effect is not None:
        (verdict,) = decide(
            [Comparison(effect=effect, direction="greater", smallest_effect=smallest_effect)], alpha=alpha, plan=False
        )
        outcome = str(verdict.outcome)
    return Compared(
        treatment=shown[0],
        control=shown[1],
        metric=metric,
        estimate=effect.estimate,
        low=interval.lower,
        high=interval.upper,
        level=1 - alpha,
        p=effect.p_value(),
        num_seeds=len(seeds),
        outcome=outcome,
    )


def named(side: Side) -> dict[str, Any]:
    """Return a side as {factor: value}.

    >>> named("activation=relu normalization=none")
    {'activation': 'relu', 'normalization': 'none'}
    """
    if not isinstance(side, str):
        return dict(side)
    pairs = [word.partition("=") for word in side.split()]
    if not pairs or not all(equals for _, equals, _ in pairs):
        raise UserError(f"a side must be like 'activation=relu', got {side!r}")
    return {key: value for key, _, value in pairs}


def by_seed(table: DataFrame, side: Mapping[str, Any], metric: str) -> dict[int, float]:
    """Return {seed: the metric} of the runs of one side.

    Raises:
        UserError: a factor is no column, no run has these values, a seed has several such runs, or the metric is no
            number.
    """
    for key, value in side.items():
        if key not in table:
            raise UserError(f"the runs have no column {key!r}; a side names factors, such as 'activation=relu'")
        there = list(dict.fromkeys(map(text, table[key])))
        table = table[[text(found) == text(value) for found in table[key]]]
        if table.empty:
            raise UserError(f"no finished run has {key}={text(value)}; there are {', '.join(there) or 'none'}")
    table = table.dropna(subset=[metric])
    if table["seed"].duplicated().any():
        arms = ", ".join(dict.fromkeys(map(str, table["arm"])))
        raise UserError(f"{' '.join(f'{k}={text(v)}' for k, v in side.items())} fits several arms ({arms}); name one")
    try:
        values = list(map(float, table[metric]))
    except (TypeError, ValueError) as error:
        raise UserError(
            f"`metric` must be a column of numbers, such as test/accuracy, got {metric!r}, which holds "
            f"{table[metric].iloc[0]!r}"
        ) from error
    return dict(zip(map(int, table["seed"]), values, strict=True))

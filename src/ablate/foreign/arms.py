"""From the rows of a table to arms with runs by unit: what differs within an arm is refused."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from ablate.config.overrides import text
from ablate.errors import UserError
from ablate.foreign.options import Options
from ablate.foreign.roles import as_setting, is_empty, key_of, plain, roles, values_in
from ablate.foreign.table import Row, Table, to_number
from ablate.judging.effects import is_accuracy
from ablate.study.claim import Claim
from ablate.study.study import TUNING_SEED
from ablate.training.identity import canonical, is_unscientific

SHARES = {"acc", "accuracy", "top1", "top5", "f1", "auc", "auroc", "iou", "dice"}  # words in names of shares


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A finished run.

    Args:
        where: of its row.
        metrics: by name; None for one that is not finite.
        diverged: whether a claimed metric is not finite, or the status says so.
        notes: columns that say how or where it was made.
    """

    where: str
    metrics: dict[str, float | None]
    diverged: bool
    notes: dict[str, Any]


@dataclass(kw_only=True)
class ForeignArm:
    """An arm of a table.

    Args:
        axes: values of the varied columns.
        settings: of all columns that are settings, the axes among them.
        runs: finished runs by unit.
        failures: why a run has no result, by unit.
    """

    axes: dict[str, Any]
    settings: dict[str, Any] = field(default_factory=dict)
    runs: dict[str, Outcome] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        return " ".join(f"{key}={text(value)}" for key, value in self.axes.items())


@dataclass(frozen=True, kw_only=True)
class Arms:
    """What a table holds for some claims.

    Args:
        arms: sorted by label.
        units: of pairing, by name, in the order in which they occur.
        metrics: names of the metrics, those of claims first.
        remarks: what was left out, one line each.
    """

    arms: list[ForeignArm]
    units: list[str]
    metrics: list[str]
    remarks: list[str]

    def numbered(self, known: Sequence[str] = (), *, may_grow: bool = False) -> tuple[list[int], list[str]]:
        """Return the seed of every unit, and the units' names by seed if they are no seeds themselves.

        Args:
            known: the units of an earlier look, which keep their numbers.
            may_grow: whether units may be added at a further look: they get the next numbers, whatever their names.
        """
        are_seeds = all(u.isascii() and u.isdecimal() and str(int(u)) == u and int(u) < TUNING_SEED for u in self.units)
        if are_seeds and not known and not may_grow:
            return sorted(map(int, self.units)), []
        names = [*known, *(unit for unit in self.units if unit not in known)]
        return list(range(len(names))), names


def arms_of(table: Table, claims: Sequence[Claim], options: Options) -> Arms:
    """Return the arms of a table.

    Columns are: units of pairing (`unit`), axes (those that claims name, and `axes`), metrics (those that claims name,
    `metrics`, and what the tracker calls a metric), what is ignored, and settings: all others. A setting must be the
    same in all runs of an arm.

    Raises:
        UserError: a column does not exist, a cell is no number, two rows are the same run, or a column differs within
            an arm; each with file and line.
    """
    unit, axes, metrics = roles(table, claims, options)
    others = [key for key in table.columns if key not in (*unit, *axes, *metrics, *options.ignore)]
    notes = [key for key in others if is_unscientific(key)]
    settings = [key for key in others if key not in notes]
    wanted = {axis: values_in(claims, axis) for axis in axes}
    claimed = [claim.metric for claim in claims]
    arms: dict[str, ForeignArm] = {}
    units: dict[str, None] = {}
    rows_of: dict[tuple[str, str], Row] = {}
    remarks = list(table.remarks)
    for row in table.rows:
        if missing := [key for key in unit if is_empty(row.cells.get(key))]:
            raise UserError(
                f"{row.where}: has no {missing[0]}, by which runs are paired; give it one, or take the row out"
            )
        values = {axis: as_setting(row.cells.get(axis), wanted[axis]) for axis in axes}
        name = " ".join(plain(row.cells[key]) for key in unit)
        found = arms.setdefault(key_of(values), ForeignArm(axes=values))
        units.setdefault(name)
        if not row.is_finished:
            found.failures.setdefault(name, f"{row.where}: {row.status}")
            found.settings = found.settings or {key: as_setting(row.cells.get(key)) for key in settings}
            remarks.append(f"{row.where}: {row.status}, so that it has no result")
            continue
        if name in found.runs:
            named = " ".join(f"{key}={plain(row.cells[key])}" for key in unit)
            raise UserError(twice(rows_of[key_of(values), name], row, f"{found.label} {named}", others))
        rows_of[key_of(values), name] = row
        found.runs[name] = outcome(row, metrics, claimed, notes, options)
    check_settings(arms, rows_of, settings, table)
    for metric in dict.fromkeys(claimed):
        check_unit_of(metric, list(rows_of.values()))
        remarks += last_steps(metric, list(rows_of.values()))
    for key, arm in arms.items():
        first = next((row for (other, _), row in rows_of.items() if other == key), None)
        if first is not None:
            arm.settings = {name: as_setting(first.cells.get(name)) for name in settings}
        arm.settings = {**arm.axes, **{k: v for k, v in arm.settings.items() if v is not None}}
        arm.failures = {name: why for name, why in arm.failures.items() if name not in arm.runs}
    return Arms(
        arms=sorted(arms.values(), key=lambda arm: arm.label), units=list(units), metrics=metrics, remarks=remarks
    )


def outcome(
    row: Row, metrics: Sequence[str], claimed: Sequence[str], notes: Sequence[str], options: Options
) -> Outcome:
    """Return a finished run.

    Raises:
        UserError: a metric is no number, or an accuracy lies outside [0, 1].
    """
    found: dict[str, float | None] = {}
    diverged = row.has_diverged
    for name in metrics:
        if is_empty(cell := row.cells.get(name)):
            continue
        try:
            value = to_number(cell)
        except ValueError as error:
            if name not in claimed and name not in options.metrics:
                continue  # what a tracker logs besides, such as an image
            raise UserError(
                f"{row.where}: {name} must be a number, got {cell!r}; write 0.81 with a point and no unit, and nan for "
                "a run that diverged"
            ) from error
        if is_accuracy(name) and math.isfinite(value) and not 0 <= value <= 1:
            raise UserError(
                f"{row.where}: {name} must be a fraction in [0, 1], as an accuracy is, got {value:g}; divide "
                "percentages by 100, or give the column another name (rename={" + f"{name}: NAME" + "})"
            )
        found[name] = value if math.isfinite(value) else None
        diverged |= name in claimed and not math.isfinite(value)
    if diverged and options.guessing is not None:
        found |= {name: options.guessing for name in metrics if is_accuracy(name)}
    return Outcome(
        where=row.where,
        metrics=found,
        diverged=diverged,
        notes={key: cell for key in notes if not is_empty(cell := row.cells.get(key))},
    )


def check_unit_of(metric: str, rows: Sequence[Row]) -> None:
    """Refuse an accuracy that is a fraction in some runs and in percent in others.

    Raises:
        UserError: names a run of each kind.
    """
    words = set(re.split(r"[^a-z0-9]+", metric.lower()))
    if not words & SHARES:
        return
    known = [(to_number(cell), row) for row in rows if not is_empty(cell := row.cells.get(metric))]
    fractions = [one for one in known if 0 < one[0] <= 1]
    percents = [one for one in known if 1 < one[0] <= 100]
    if fractions and percents:
        (low, first), (high, second) = max(fractions, key=itemgetter(0)), max(percents, key=itemgetter(0))
        raise UserError(
            f"{metric} must have one unit in all runs, got {low:g} in {first.where} and {high:g} in {second.where}; "
            "divide percentages by 100, or, if all are in one unit, give the column a name that is no accuracy "
            "(rename={" + f"{metric}: NAME" + "})"
        )


def last_steps(metric: str, rows: Sequence[Row]) -> list[str]:
    """Return a remark where the value of a metric is not of the same step in all runs: one may have stopped early."""
    steps = Counter(row.steps[metric] for row in rows if metric in row.steps)
    if len(steps) < 2:
        return []
    usual = max(steps, key=lambda step: (steps[step], step))
    others = [row for row in rows if row.steps.get(metric, usual) != usual]
    shown = ", ".join(f"{row.steps[metric]} in {row.where}" for row in others[:3])
    more = f" and in {len(others) - 3} more" if len(others) > 3 else ""
    return [
        f"the last step of {metric} is {usual} in {steps[usual]} runs, and {shown}{more}; a run that was not finished "
        "has no result: take it out"
    ]


def twice(first: Row, second: Row, run: str, others: Sequence[str]) -> str:
    """Return the message for two rows of one run, with the columns that may tell them apart."""
    differing = [key for key in others if plain(first.cells.get(key)) != plain(second.cells.get(key))]
    if differing:
        shown = "; ".join(f"{key} is {first.cells.get(key)!r} and {second.cells.get(key)!r}" for key in differing[:3])
        cure = f"they differ in {shown}: if it is varied, axes=[{differing[0]}]; otherwise take one of the rows out"
    else:
        cure = "take one of them out"
    return f"{first.where}, and {second.where}, are both the run {run}; {cure}"


def check_settings(
    arms: Mapping[str, ForeignArm], rows_of: Mapping[tuple[str, str], Row], settings: Sequence[str], table: Table
) -> None:
    """Refuse a setting that differs within an arm: it may be a metric, a factor, or of no importance.

    Raises:
        UserError: names the columns, the first two rows that differ, and what to say.
    """
    wrong: dict[str, tuple[Row, Row]] = {}
    for key in arms:
        rows = [row for (other, _), row in rows_of.items() if other == key]
        for name in settings:
            values = {text(canonical(as_setting(row.cells.get(name)))): row for row in reversed(rows)}
            if len(values) > 1 and name not in wrong:
                first, second = sorted(values.values(), key=rows.index)[:2]
                wrong[name] = (first, second)
    if not wrong:
        return
    name, (first, second) = next(iter(wrong.items()))
    counts = Counter({name: len({plain(row.cells.get(name)) for row in table.rows}) for name in wrong})
    names = ",".join(wrong)
    raise UserError(
        f"{table.name}: {', '.join(wrong)} differ{'s' * (len(wrong) == 1)} between runs of one arm: {name} is "
        f"{first.cells.get(name)!r} in {first.where} and {second.cells.get(name)!r} in {second.where} "
        f"({counts[name]} values in all); say what it is: metrics=[{names}], axes=[{names}], or ignore=[{names}]"
    )

"""Which columns of results are settings, units and metrics, and their cells as settings."""

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ablate.config.overrides import text
from ablate.errors import UserError
from ablate.foreign.event_files import scalar
from ablate.foreign.options import Options
from ablate.foreign.table import Cell, Table, listed
from ablate.study.claim import Claim
from ablate.training.identity import canonical


def roles(table: Table, claims: Sequence[Claim], options: Options) -> tuple[list[str], list[str], list[str]]:
    """Return the columns that are units, axes and metrics.

    Raises:
        UserError: one of them does not exist, or is two things.
    """
    columns = table.columns
    for key in options.ignore:
        if key not in columns and key not in table.ignored:
            raise UserError(f"`ignore` names {key!r}, which is no column of {table.name}; {listed(columns)}")
    unit = list(options.unit)
    for key in unit:
        if key not in columns:
            raise UserError(
                f"`unit` must be columns of {table.name} that say which runs of two arms belong together, such as the "
                f"seed, got {key!r}{near(key, columns)}; {listed(columns)}; give another with unit=COLUMN"
            )
    axes: dict[str, str] = {}
    for claim in claims:
        for key in (*claim.treatment, *claim.control, *claim.at, *([claim.factor] if claim.factor else [])):
            axes.setdefault(key, f"{claim.kind} {claim.name!r}")
    for key in options.axes:
        axes.setdefault(key, "`axes`")
    metrics: dict[str, str] = {}
    for claim in claims:
        metrics.setdefault(claim.metric, f"{claim.kind} {claim.name!r}")
        for key in claim.explained_by:
            if key in columns:
                metrics.setdefault(key, f"{claim.kind} {claim.name!r}")
    for key in options.metrics:
        metrics.setdefault(key, "`metrics`")
    for kind, named in (("setting", axes), ("metric", metrics)):
        for key, who in named.items():
            if key not in columns:
                raise UserError(
                    f"{who} names the {kind} {key!r}, which is no column of {table.name}{near(key, columns)}; "
                    f"{listed(columns)}"
                )
    for key in table.measured:
        if key not in options.ignore and key not in axes and key not in unit and key in columns:
            metrics.setdefault(key, table.kind)
    for key in axes:
        if key in metrics or key in unit:
            other = "a metric" if key in metrics else "the unit of pairing"
            raise UserError(f"{axes[key]} varies {key!r}, which is {other} of {table.name} too; it can be one of them")
    if both := [key for key in metrics if key in unit]:
        raise UserError(
            f"{metrics[both[0]]} measures {both[0]!r}, which is the unit of pairing; give another unit=COLUMN"
        )
    return unit, list(axes), list(metrics)


def near(key: str, columns: Sequence[str]) -> str:
    """Return the columns that may be meant: those that end with the name, such as val/acc for acc, or the nearest."""
    found = [one for one in columns if one.endswith(f"/{key}")] or difflib.get_close_matches(key, columns, n=1)
    found = found or [one for one in columns if one.lower() == key.lower()]
    return f"; did you mean {' or '.join(found)}?" if found else ""


def values_in(claims: Sequence[Claim], axis: str) -> list[Any]:
    """Return the values that claims give an axis."""
    found = [side[axis] for claim in claims for side in (claim.treatment, claim.control, claim.at) if axis in side]
    return found + [value for claim in claims if claim.factor == axis for value in claim.order]


def as_setting(cell: Cell, wanted: Sequence[Any] = ()) -> Any:
    """Return a cell as a setting: as YAML reads it, and where a claim has that value, in the claim's spelling.

    >>> as_setting("0.10", [0.1]), as_setting("007", ["007"]), as_setting("relu"), as_setting("")
    (0.1, '007', 'relu', None)
    """
    if is_empty(cell):
        return None
    value = scalar(cell.strip()) if isinstance(cell, str) else cell
    value = value if isinstance(value, bool | int | float | str) else plain(value)
    for one in wanted:
        if text(canonical(one)) == text(canonical(value)) or (isinstance(cell, str) and one == cell.strip()):
            return one
    return value


def is_empty(cell: Cell) -> bool:
    return cell is None or (isinstance(cell, str) and not cell.strip())


def plain(cell: Cell) -> str:
    """Return a cell as text, a whole number without a point.

    >>> plain(3.0), plain(" 3.0"), plain("fold a")
    ('3', '3', 'fold a')
    """
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    words = str(cell).strip()
    return words.partition(".")[0] if re.fullmatch(r"-?\d+\.0+", words, re.ASCII) else words


def key_of(values: Mapping[str, Any]) -> str:
    """Return what tells arms apart: their values, 1 and 1.0 being one."""
    return " ".join(f"{key}={text(canonical(value))}" for key, value in values.items())

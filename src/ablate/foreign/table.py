"""What every reader returns: one row for each run, with settings, seed and metrics as columns."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ablate.errors import UserError

Cell = Any  # text as it stands in a file, a number, a truth value, or None

NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|[-+]?(nan|inf|infinity)", re.IGNORECASE | re.ASCII)

FINISHED = ("finished", "completed", "complete", "success", "succeeded", "ok", "done")
DIVERGED = ("diverged", "nan")
UNFINISHED: tuple[str, ...] = (
    "failed",
    "failure",
    "error",
    "crashed",
    "killed",
    "canceled",
    "cancelled",
    "preempted",
    "timeout",
)
UNFINISHED += ("running", "scheduled", "pending", "queued", "aborted", "interrupted", "unfinished", "paused")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One run as another program wrote it.

    Args:
        where: file and line, or the run's name, for messages.
        cells: by column; a column without a value is None or absent.
        status: "" where it is not known, which counts as finished.
        steps: at which a metric has the value in its cell, where the program says it.
    """

    where: str
    cells: Mapping[str, Cell]
    status: str = ""
    steps: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_finished(self) -> bool:
        """Whether the run has a result, be it that it diverged.

        Raises:
            UserError: the status is an unknown word.
        """
        word = self.status.strip().lower()
        if word and word not in (*FINISHED, *DIVERGED, *UNFINISHED):
            raise UserError(
                f"{self.where}: the status of a run must be one of finished, diverged, failed, killed, running and the "
                f"like, got {self.status!r}; if the column is something else: status=OTHER_COLUMN"
            )
        return word not in UNFINISHED

    @property
    def has_diverged(self) -> bool:
        return self.status.strip().lower() in DIVERGED


@dataclass(frozen=True, kw_only=True)
class Table:
    """The runs that a file or a folder holds.

    Args:
        name: of the file or folder, without the folders above it.
        kind: what it is, in words.
        rows: one for each run.
        measured: columns that are known to be metrics; a CSV does not say it.
        ignored: columns that say how or where a run was made, such as its name and its date.
        remarks: what was left out, one line each.
        sha256: of all that was read.
    """

    name: str
    kind: str
    rows: list[Row]
    measured: frozenset[str] = frozenset()
    ignored: frozenset[str] = frozenset()
    remarks: list[str] = field(default_factory=list)
    sha256: str = ""

    @property
    def columns(self) -> list[str]:
        """All columns that are not ignored, in the order in which they occur."""
        found = dict.fromkeys(key for row in self.rows for key in row.cells)
        return [key for key in found if key not in self.ignored]

    def renamed(self, names: Mapping[str, str]) -> "Table":
        """Return the table with other names for some columns.

        Raises:
            UserError: there is no such column, or the new name is taken.
        """
        columns = {key for row in self.rows for key in row.cells}
        for old, new in names.items():
            if old not in columns:
                raise UserError(f"`rename` names {old!r}, which is no column of {self.name}; {listed(self.columns)}")
            if new in columns - names.keys() or list(names.values()).count(new) > 1:
                raise UserError(f"`rename` gives {old!r} the name {new!r}, which another column of {self.name} has")
        rows = [
            replace(
                row,
                cells={names.get(key, key): cell for key, cell in row.cells.items()},
                steps={names.get(key, key): step for key, step in row.steps.items()},
            )
            for row in self.rows
        ]
        measured, ignored = (frozenset(names.get(key, key) for key in keys) for keys in (self.measured, self.ignored))
        return replace(self, rows=rows, measured=measured, ignored=ignored)


def listed(names: list[str]) -> str:
    """Return which names there are, at most twenty.

    >>> listed(["seed", "acc"])
    'there are seed, acc'
    """
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return f"there are {', '.join(names[:20])}{more}" if names else "there is none"


def to_number(cell: Cell) -> float:
    """Return a metric as a number, which may be nan or infinite.

    Raises:
        ValueError: it is no number, such as "81 %" or "0,81".

    >>> to_number(" 8.1e-1 "), to_number("NaN"), to_number(3)
    (0.81, nan, 3.0)
    """
    if isinstance(cell, str):
        if not NUMBER.fullmatch(cell.strip()):
            raise ValueError(f"{cell!r} is no number")
        return float(cell)
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        raise ValueError(f"{cell!r} is no number")
    return float(cell)

"""Every run of a study as a plain row: its factors, seed and state, and all metrics; no NumPy, no pandas."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ablate.storage.integrity import replacing
from ablate.study.manifest import Manifest, Variant
from ablate.study.results import ArmResult, Results, collect, state_of
from ablate.tables import comma_separated
from ablate.training.record import Record

FIRST = ("arm", "value", "seed", "state", "folder")
"""Columns that every row begins with, see `run_rows`."""


def run_rows(results: Results, seeds: Mapping[str, Sequence[int]] | None = None) -> list[dict[str, Any]]:
    """Return a row for each run of a study, tuning runs of an arm before its report runs.

    Keys, in this order: "arm"; "value" of the tuned setting, None where nothing is tuned; "seed"; "state", see below;
    "folder", relative to the output folder; "role", "report" or "tuning"; the axes of the study, such as "activation";
    and of a finished run "status" (finished or diverged), "wall_seconds", and every key of `Record.metrics`.

    States: finished (diverged runs too), failed, begun (a checkpoint or at least a configuration is there), to do; and
    not chosen for the report runs of an arm whose tuning is not finished.

    Args:
        results: of the study.
        seeds: by label of the arm, the report seeds that it needs now; by default all of the study's.
    """
    rows: list[dict[str, Any]] = []
    for arm in results.arms:
        tuning = arm.tuning or [{} for _ in arm.planned.tuned]
        for variant, records in zip(arm.planned.tuned, tuning, strict=True):
            runs = [(seed, records.get(seed)) for seed in results.study.tuning_seeds]
            rows += [_row(results.output_dir, arm, variant, seed, record, "tuning") for seed, record in runs]
        runs = [(seed, arm.records.get(seed)) for seed in (results.study.seeds if seeds is None else seeds[arm.label])]
        rows += [_row(results.output_dir, arm, arm.chosen, seed, record, "report") for seed, record in runs]
    return rows


def write_runs(manifest: Manifest, folder: Path, seeds: Mapping[str, Sequence[int]] | None = None) -> None:
    """Write runs.csv, the rows of `run_rows`, into a study's folder.

    Args:
        manifest, folder: of the study.
        seeds: see `run_rows`.
    """
    rows = run_rows(collect(manifest, folder), seeds)
    with replacing(folder / "runs.csv") as temporary:
        temporary.write_text(comma_separated(as_cells(rows)), encoding="utf-8")


def columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return every key of the rows, in the order in which they appear.

    >>> columns([{"arm": "a", "seed": 0}, {"arm": "b", "loss": 1.0}])
    ['arm', 'seed', 'loss']
    """
    return list(dict.fromkeys(key for row in rows for key in row))


def as_cells(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Return the head and the rows as text, "" where a row lacks a column or has None.

    >>> as_cells([{"arm": "a", "loss": None}, {"arm": "b", "loss": 0.5}])
    [['arm', 'loss'], ['a', ''], ['b', '0.5']]
    """
    names = columns(rows) or list(FIRST)
    return [names, *(["" if row.get(name) is None else str(row[name]) for name in names] for row in rows)]


def measured(record: Record) -> dict[str, Any]:
    """Return the columns of a finished run: status, seconds, metrics."""
    return {"status": record.status, "wall_seconds": record.wall_seconds, **record.metrics}


def _row(
    output_dir: Path, arm: ArmResult, variant: Variant | None, seed: int, record: Record | None, role: str
) -> dict[str, Any]:
    place = f"{variant.folder}/seed-{seed}" if variant else ""
    state = "not chosen" if not place else "finished" if record else state_of(output_dir / place)
    row = {"arm": arm.label, "value": variant.value if variant else None, "seed": seed, "state": state}
    row |= {"folder": place, "role": role, **arm.axes}
    return row | (measured(record) if record else {})

"""Read an MLflow file store (mlruns/) from its plain files; MLflow itself is not needed.

    mlruns/<experiment>/meta.yaml             name, experiment_id
    mlruns/<experiment>/<run>/meta.yaml       run_name, status (1 running, 2 scheduled, 3 finished, 4 failed, 5 killed)
    mlruns/<experiment>/<run>/params/KEY      the value as text
    mlruns/<experiment>/<run>/metrics/KEY     "timestamp value step" a line; a key may have folders (val/accuracy)

The final value of a metric is the one with the greatest step, then timestamp, then value, as in MLflow
(mlflow/store/tracking/file_store.py).
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from ablate.errors import UserError
from ablate.foreign.table import Row, Table

STATUS = {1: "running", 2: "scheduled", 3: "finished", 4: "failed", 5: "killed"}
META = "meta.yaml"
PARENT = "mlflow.parentRunId"


def is_store(folder: Path) -> bool:
    """Return whether a folder is an MLflow file store or one experiment of it."""
    return bool(experiments(folder)) or bool(runs_in(folder))


def read_store(folder: Path, experiment: str | None = None) -> Table:
    """Return the runs of one experiment.

    Args:
        folder: of the store, or of one experiment in it.
        experiment: name or number of the experiment; None where only one holds runs.

    Raises:
        UserError: several experiments hold runs, there is none, or a file cannot be read.
    """
    chosen = folder if runs_in(folder) else choose(folder, experiment)
    digest = hashlib.sha256()
    found: list[tuple[Row, str, str]] = []
    remarks = []
    for run in runs_in(chosen):
        meta = read_meta(run)
        name = str(meta.get("run_name") or meta.get("run_id") or run.name)
        if meta.get("lifecycle_stage") == "deleted":
            remarks.append(f"{name}: deleted in MLflow, left out")
            continue
        params = dict(values(run / "params", digest))
        finals = {key: final(text, run / "metrics" / key) for key, text in values(run / "metrics", digest)}
        metrics = {key: value for key, (value, _) in finals.items()}
        parent = next((text for key, text in values(run / "tags", digest) if key == PARENT), "")
        if twice := sorted(params.keys() & metrics.keys()):
            raise UserError(f"{run}: {twice[0]!r} is a parameter and a metric; log them under two names")
        status = meta.get("status")
        row = Row(
            where=f"run {name} of {chosen.parent.name}/{chosen.name}",
            cells={**params, **metrics},
            status=STATUS.get(status, str(status)) if isinstance(status, int) else str(status or ""),
            steps={key: step for key, (_, step) in finals.items() if step is not None},
        )
        found.append((row, run.name, parent))
    parents = {parent for _, _, parent in found}
    measured = frozenset(key for run in runs_in(chosen) for key, _ in values(run / "metrics", hashlib.sha256()))
    rows = []
    for row, number, _ in found:
        if number in parents and not measured & row.cells.keys():
            remarks.append(f"{row.where}: has nested runs and no metric of its own, left out")
        else:
            rows.append(row)
    if not rows:
        raise UserError(f"{chosen} holds no run that is not deleted")
    return Table(
        name=folder.resolve().name,
        kind="an MLflow file store",
        rows=rows,
        measured=measured,
        remarks=remarks,
        sha256=digest.hexdigest(),
    )


def experiments(folder: Path) -> list[Path]:
    """Return the folders of the experiments that hold runs."""
    return [path for path in sorted(folder.iterdir()) if not path.name.startswith(".") and runs_in(path)]


def runs_in(folder: Path) -> list[Path]:
    """Return the folders of the runs of an experiment, sorted by name."""
    if not folder.is_dir():
        return []
    return [path for path in sorted(folder.iterdir()) if (path / META).is_file() and (path / "metrics").is_dir()]


def choose(folder: Path, experiment: str | None) -> Path:
    """Return the folder of the experiment that is meant."""
    names = {
        path: str(read_meta(path).get("name") or path.name) if (path / META).is_file() else path.name
        for path in experiments(folder)
    }
    times = Counter(names.values())  # of several with one name, the folder says which
    found = {name if times[name] == 1 else path.name: path for path, name in names.items()}
    if experiment is None and len(found) == 1:
        return next(iter(found.values()))
    named = {**{path.name: path for path in found.values()}, **found}
    if experiment in named:
        return named[experiment]
    got = "" if experiment is None else f", got {experiment!r}"
    raise UserError(f"`experiment` must be one of those in {folder} that hold runs: {', '.join(found)}{got}")


def read_meta(folder: Path) -> dict[str, Any]:
    """Return the content of meta.yaml."""
    try:
        content = yaml.safe_load((folder / META).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{folder / META} cannot be read: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(content, dict):
        raise UserError(f"{folder / META} must hold a mapping, as MLflow writes it, got {content!r:.60}")
    return content


def values(folder: Path, digest: Any) -> Iterator[tuple[str, str]]:
    """Yield (key, text) of the files below a folder, sorted by key, and add them to a digest."""
    if not folder.is_dir():
        return
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise UserError(f"{path} cannot be read: {error}") from error
        key = path.relative_to(folder).as_posix()
        digest.update(f"{path.parent.parent.name}\0{key}\0{text}\0".encode())
        yield key, text.strip() if "\n" in text.strip() else text


def final(text: str, path: Path) -> tuple[float | None, int | None]:
    """Return the final value of a metric from the lines of its file, and its step; None where it has no line.

    >>> final("1 0.5 0\\n2 0.7 1\\n", Path("acc"))
    (0.7, 1)
    """
    best: tuple[int, float, float] | None = None
    value = None
    for number, line in enumerate(text.splitlines(), start=1):
        if not (parts := line.split()):
            continue
        try:
            when, value_here, step = int(parts[0]), float(parts[1]), int(parts[2]) if len(parts) > 2 else 0
        except (ValueError, IndexError) as error:
            raise UserError(f"{path}, line {number}, must be 'timestamp value step', got {line[:60]!r}") from error
        rank = (step, when, -math.inf if math.isnan(value_here) else value_here)
        if best is None or rank >= best:
            best, value = rank, value_here
    return value, None if best is None else best[0]

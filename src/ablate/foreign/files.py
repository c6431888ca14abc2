"""Read results from one file: CSV, Parquet, or JSON such as the public API of Weights & Biases gives."""

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ablate.errors import UserError
from ablate.foreign.table import Row, Table
from ablate.storage.integrity import read_bytes

TABLES = (".csv", ".tsv", ".txt")
PARQUET = (".parquet", ".pq")
JSON = (".json", ".jsonl", ".ndjson")
STATUS = ("status", "state", "State")  # columns that are read as the status of a run, if nothing else is said

# Columns that trackers add to their exports, about how and where a run was made.
OF_WANDB: tuple[str, ...] = (
    "Name",
    "ID",
    "Notes",
    "User",
    "Tags",
    "Created",
    "Updated",
    "End Time",
    "Runtime",
    "Sweep",
    "Group",
)
OF_WANDB += (
    "Job Type",
    "Hostname",
    "Commit",
    "GitHub",
    "Python Version",
    "OS",
    "Description",
    "Relative Time (Process)",
)
OF_WANDB += ("_step", "_runtime", "_timestamp", "_wandb")
OF_MLFLOW: tuple[str, ...] = (
    "run_id",
    "experiment_id",
    "artifact_uri",
    "start_time",
    "end_time",
    "run_name",
    "Run ID",
    "Start Time",
)


def read_file(path: Path, status: str | None = None) -> Table:
    """Return the runs that a file holds.

    Args:
        path: of a CSV file (the separator is a comma, semicolon, tab or |), a Parquet file, or JSON: a list of objects
            or one a line, with {"config": {...}, "summary": {...}, "state": ..., "name": ...} each, or plain columns.
        status: column with the status of the runs; None for one that is called status or state.

    Raises:
        UserError: it cannot be read, or does not hold runs; the line is named.
    """
    data = read_bytes(path)
    if data is None:
        raise UserError(f"there is no file {path}; `ablate judge` needs the results: CSV, Parquet, JSON, or a folder")
    kind = path.suffix.lower()
    remarks: list[str] = []
    if kind in PARQUET:
        rows = list(of_parquet(data, path))
    elif kind in JSON:
        rows = list(of_json(data, path))
    elif kind in TABLES:
        rows, remarks = of_csv(data, path)
    else:
        raise UserError(
            f"{path} must end in {', '.join((*TABLES, *PARQUET, *JSON))}, or be a folder of TensorBoard logs or an "
            f"MLflow file store, got {kind or 'no ending'}"
        )
    if not rows:
        raise UserError(f"{path} holds no run: it needs one row for each run")
    return with_kinds(path.name, rows, remarks, status, hashlib.sha256(data).hexdigest())


def of_csv(data: bytes, path: Path) -> tuple[list[Row], list[str]]:
    """Return the rows of a CSV file, all cells as text, and remarks."""
    try:
        content = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} must be text in UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8"
        ) from error
    head = content.lstrip("\r\n").partition("\n")[0]
    separator = max(",;\t|", key=head.count)
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=separator, strict=True)
    names: list[str] = []
    rows: list[Row] = []
    try:
        for cells in reader:
            line = reader.line_num
            if not any(cell.strip() for cell in cells):
                continue
            if not names:
                names = [cell.strip() for cell in cells]
                if twice := [name for name, count in Counter(names).items() if count > 1]:
                    raise UserError(f"{path}: the column {twice[0]!r} occurs twice in line {line}; name them apart")
                continue
            if len(cells) != len(names):
                raise UserError(
                    f"{path}, line {line}, has {len(cells)} cells, and the head has {len(names)}; put quotation marks "
                    f"around a cell with the separator {separator!r}"
                )
            row = {name: cell.strip() or None for name, cell in zip(names, cells, strict=True) if name}
            rows.append(Row(where=f"{path.name}, line {line}", cells=row))
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}, is not valid CSV: {error}") from error
    return rows, [f"{path.name}: a column without a name is left out"] if "" in names else []


def of_parquet(data: bytes, path: Path) -> Iterator[Row]:
    """Yield the rows of a Parquet file.

    Raises:
        UserError: pyarrow is not installed, or the file is damaged.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise UserError(
            f"{path} needs the package pyarrow to be read: pip install 'pandas>=2.2' 'pyarrow>=14', or save it as CSV"
        ) from error
    try:
        table = parquet.read_table(io.BytesIO(data))
        found = table.to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(f"{path} cannot be read as Parquet: {' '.join(str(error).split())[:200]}") from error
    if twice := [name for name, count in Counter(table.column_names).items() if count > 1]:
        raise UserError(f"{path}: the column {twice[0]!r} occurs twice; name them apart")
    for number, cells in enumerate(found):
        yield Row(where=f"{path.name}, row {number}", cells=cells)


def of_json(data: bytes, path: Path) -> Iterator[Row]:
    """Yield the runs of a JSON file: a list of objects, or one object a line."""
    try:
        content = data.decode("utf-8-sig")
        if path.suffix.lower() == ".json":
            found = json.loads(content, object_pairs_hook=each_once)
        else:
            found = [json.loads(line, object_pairs_hook=each_once) for line in content.splitlines() if line.strip()]
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON: {error}") from error
    if isinstance(found, dict) and isinstance(found.get("runs"), list):
        found = found["runs"]
    if not isinstance(found, list) or not all(isinstance(run, dict) for run in found):
        raise UserError(f"{path} must hold a list of runs, [{{...}}, ...], got {type(found).__name__}")
    for number, run in enumerate(found):
        name = run.get("name") or run.get("id")
        where = f"{path.name}, run {number}{f' ({name})' if isinstance(name, str) else ''}"
        if not isinstance(run.get("config"), dict):
            yield Row(where=where, cells=leaves(flat(run), where))
            continue
        summary = next((run[key] for key in ("summary", "summary_metrics", "summaryMetrics") if key in run), None)
        if not isinstance(summary, dict):
            raise UserError(f"{where}: `summary` must hold the metrics, {{name: number}}, got {summary!r:.60}")
        config = leaves(unwrapped(run["config"]), where)
        config = {key: value for key, value in config.items() if not key.startswith("_wandb")}
        metrics = {key: value for key, value in leaves(flat(summary, "/"), where).items() if not key.startswith("_")}
        if twice := sorted(config.keys() & metrics.keys()):
            raise UserError(f"{where}: {twice[0]!r} is in `config` and in `summary`; give them two names")
        cells = {f"params.{key}": value for key, value in config.items()}
        cells |= {f"metrics.{key}": value for key, value in metrics.items() if is_scalar(value)}
        yield Row(where=where, cells=cells, status=str(run.get("state") or ""))


def each_once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON as a dict.

    Raises:
        ValueError: a key occurs twice, of which JSON readers would take the last.
    """
    if twice := [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]:
        raise ValueError(f"the key {twice[0]!r} occurs twice in one object")
    return dict(pairs)


def leaves(pairs: Iterable[tuple[str, Any]], where: str) -> dict[str, Any]:
    """Return the leaves of nested mappings as a dict.

    Raises:
        UserError: two have the same name, such as {"val.acc": 0.5, "val": {"acc": 0.7}}.
    """
    try:
        return each_once(list(pairs))
    except ValueError as error:
        raise UserError(f"{where}: {error} once nested keys are joined; give them two names") from error


def unwrapped(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the settings of a run in Weights & Biases; its config.yaml writes {"lr": {"value": 0.1}}.

    >>> list(unwrapped({"lr": {"value": 0.1, "desc": None}, "net": {"depth": 3}}))
    [('lr', 0.1), ('net.depth', 3)]
    """
    for key, value in config.items():
        if isinstance(value, dict) and "value" in value and value.keys() <= {"value", "desc"}:
            value = value["value"]
        yield from flat({key: value})


def flat(content: Mapping[str, Any], separator: str = ".") -> Iterator[tuple[str, Any]]:
    """Yield the leaves of nested mappings under joined keys.

    >>> list(flat({"test": {"acc": 0.5}}, "/"))
    [('test/acc', 0.5)]
    """
    for key, value in content.items():
        if isinstance(value, dict) and value:
            yield from ((f"{key}{separator}{inner}", item) for inner, item in flat(value, separator))
        else:
            yield str(key), value


def of_tracker(column: str) -> str:
    """Return the name of a parameter or metric in an export.

    >>> of_tracker("params.lr"), of_tracker("metrics.acc"), of_tracker("params.metrics.x"), of_tracker("seed")
    ('lr', 'acc', 'metrics.x', 'seed')
    """
    kind, _, name = column.partition(".")
    return name if kind in ("params", "metrics") and name else column


def is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, int | float | str)


def with_kinds(name: str, rows: list[Row], remarks: list[str], status: str | None, sha256: str) -> Table:
    """Return a table whose columns are sorted: params.* and metrics.* of MLflow and W&B, status, and bookkeeping."""
    columns = {key for row in rows for key in row.cells}
    if status is not None and status not in columns:
        raise UserError(f"`status` must be a column of {name}, got {status!r}")
    column = status or next((key for key in STATUS if key in columns), None)
    tracked = any(key.startswith("metrics.") for key in columns)
    bare = {key: of_tracker(key) if tracked else key for key in columns if key != column}
    if twice := [name for name, count in Counter(bare.values()).items() if count > 1]:
        both = " and ".join(sorted(repr(key) for key in bare if bare[key] == twice[0]))
        raise UserError(f"{name}: the columns {both} would both be called {twice[0]!r}; rename one of them in the file")
    measured = frozenset(key.removeprefix("metrics.") for key in columns if tracked and key.startswith("metrics."))
    exported = {"Name", "State"} <= columns or any(key.startswith("_wandb") for key in columns)
    ignored = {key for key in columns if key.startswith("tags.")} if tracked else set()
    ignored |= columns & {*OF_MLFLOW} if tracked else set()
    ignored |= columns & {*OF_WANDB} if exported else set()
    prepared = []
    for row in rows:
        cells = {bare[key]: cell for key, cell in row.cells.items() if key != column}
        word = row.status or str(row.cells.get(column) or "" if column else "")
        prepared.append(Row(where=row.where, cells=cells, status=word))
    kind = "an export of Weights & Biases" if exported else "an export of a tracker" if tracked else "a table"
    return Table(
        name=name,
        kind=kind,
        rows=prepared,
        measured=measured,
        ignored=frozenset(ignored),
        remarks=remarks,
        sha256=sha256,
    )

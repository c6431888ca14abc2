"""What a run leaves behind: a `Record`, written last and atomically, so that its presence means "finished"."""

import contextlib
import json
import math
import os
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ablate.errors import UserError

SCHEMA_VERSION = 1
RECORD_NAME = "record.json"
PREDICTIONS_NAME = "predictions.npz"
FAILURE_NAME = "failure.txt"  # what a job of a sweep said when it failed

Metrics = dict[str, float | None]


@dataclass(frozen=True, kw_only=True)
class Record:
    """One finished run.

    Args:
        arm: readable name of the setting, shared by all seeds of the arm.
        fingerprint: hash of the scientific settings, the data's content and the numerics' version (see `identity`).
        seed: the replicate.
        status: "finished", or "diverged" when the training loss or a weight stopped being a finite number. A diverged
            run is scored: its accuracies are those of guessing, 1 / num_classes, and its losses are None. A loss that
            is not finite at inference alone is None too, and the run is finished.
        levels: the chosen level of every factor, e.g. {"activation": "relu"}.
        settings: the resolved configuration as plain data.
        metrics: final values. "train/loss" and "train/accuracy" are the last epoch's running means (training mode,
            augmented); "train_eval/...", "val/..." and "test/..." are measured with the final weights at inference;
            without validation images there is no "val/...".
            "epochs_to/<metric>/<threshold>" is the first epoch whose metric reaches the threshold, None if none did;
            "best/train/accuracy" and "best/val/accuracy" are the highest of all epochs.
            "<measure>/<key>" and "initial/<measure>/<key>" are diagnostics after the last and before the first step.
        history: one dict an epoch: "epoch" (from 1), "lr", "train/...", "val/...", "images_per_second", and
            "<measure>/<key>" in the epochs in which the net was measured.
        wall_seconds: time spent on training and evaluation, interruptions excluded.
        images_per_second: training images over the seconds spent in training steps.
        peak_memory_mb: the process's peak resident memory (CUDA: the device's peak allocated memory) in 2**20 bytes.
        environment: device, threads, precision, versions, git commit: what may change the last digits.
    """

    schema: int = SCHEMA_VERSION
    arm: str
    fingerprint: str
    seed: int
    status: str
    levels: dict[str, str]
    settings: dict[str, Any]
    metrics: Metrics
    history: list[Metrics]
    wall_seconds: float
    images_per_second: float
    peak_memory_mb: float
    environment: dict[str, Any]


def write_record(record: Record, folder: Path) -> Path:
    """Write `record` as `folder`/record.json in one atomic step and return the path."""
    path = folder / RECORD_NAME
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(finite(asdict(record)), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return path


def read_content(path: Path, schema: int) -> dict[str, Any] | None:
    """Return the JSON object in a file that says of which schema it is, None where there is no file.

    Raises:
        UserError: it is not JSON, or of another schema than `schema`.
    """
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON ({error}); move it away and start again") from error
    found = content.get("schema") if isinstance(content, dict) else None
    if found != schema:
        is_newer = isinstance(found, int) and found > schema
        cure = "update ablate" if is_newer else "move it away and give the command that made it again"
        raise UserError(f"{path} has schema {found!r}, this version of ablate reads {schema}; {cure}")
    return dict(content)


def read_record(folder: Path) -> Record | None:
    """Return the record in `folder`, or None where no run has finished.

    Raises:
        UserError: the file is there but is not a record this version can read.
    """
    path = folder / RECORD_NAME
    content = read_content(path, SCHEMA_VERSION)
    if content is None:
        return None
    names = {field.name for field in fields(Record)}
    if missing := names - content.keys():
        raise UserError(f"{path} lacks {', '.join(sorted(missing))}; move it away and start the run again")
    return Record(**{name: content[name] for name in names})


def finite(value: Any) -> Any:
    """Return `value` with every number that JSON cannot hold (nan, inf) replaced by None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its place when the block ends well, and vanishes otherwise.

    A reader sees the old file or the new one, never a part of it, whenever the process is killed.
    """
    temporary = path.with_name(f".{uuid.uuid4().hex}-{path.name}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)

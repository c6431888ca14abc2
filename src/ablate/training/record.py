"""The record of a finished run, written last and atomically, so that its presence means "finished"."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ablate.errors import Unusable, UserError
from ablate.storage.integrity import read_json, write_json
from ablate.storage.integrity import replacing as replacing  # imported from here too

SCHEMA_VERSION = 2
RECORD_NAME = "record.json"
PREDICTIONS_NAME = "predictions.npz"
WEIGHTS_NAME = "weights.safetensors"  # present if `keep_weights` asked for it
CHECKPOINT_NAME = "checkpoint.pt"
FAILURE_NAME = "failure.txt"  # the error of a sweep's job that failed

Metrics = dict[str, float | None]
STATUSES = ("finished", "diverged")
ALWAYS_MEASURED = ("test/accuracy",)  # every run has these metrics


@dataclass(frozen=True, kw_only=True)
class Record:
    """One finished run.

    Args:
        arm: readable name of the setting, shared by all seeds of the arm.
        fingerprint: hash of the scientific settings, the data's content and the numerics' version (see `identity`).
        seed: the replicate.
        status: "finished", or "diverged" when the training loss or a weight stopped being a finite number. A diverged
            run is scored as guessing: its accuracies, the best and that of training included, are 1 / num_classes, its
            losses None, and it reached no threshold. A finished run may have non-finite outputs at inference
            ("<split>/non_finite"): these images count as wrong, and the split's loss is None.
        levels: the chosen level of every factor, e.g. {"activation": "relu"}.
        settings: the resolved configuration as plain data.
        metrics: final values. "train/loss" and "train/accuracy" are the last epoch's running means (training mode,
            augmented); the loss holds label smoothing and the L1 penalty, not the L2 penalty, and
            "train/cross_entropy" has none of them. "train_eval/...", "val/..." and "test/..." are measured with the
            final weights at inference; without validation images there is no "val/...". An accuracy is the fraction of
            hits, see `scoring`; "<split>/non_finite" is the fraction of images with non-finite outputs, and diverged
            runs have none.
            "epochs_to/<metric>/<threshold>" is the first epoch whose metric reaches the threshold, None if none did;
            "best/train/accuracy" and "best/val/accuracy" are the highest of all epochs.
            "<measure>/<key>" and "initial/<measure>/<key>" are diagnostics after the last and before the first step.
        history: one dict per epoch: "epoch" (from 1), "lr", "train/...", "val/...", "images_per_second", and
            "<measure>/<key>" in the epochs with diagnostics.
        wall_seconds: time spent on training and evaluation, interruptions excluded.
        images_per_second: training images over the seconds spent in training steps.
        peak_memory_mb: the process's peak resident memory (CUDA: the device's peak allocated memory) in 2**20 bytes.
        environment: device, threads, precision, versions, git commits: all that may change the last digits.
        sources: the code that the settings name outside the program, see `sources.Source`; its text is kept beside
            the record, in sources/<path>.
        replaced: what the run put in place of what in a net of another package or the user's own, one line each.
        predictions: SHA-256 of predictions.npz, to detect a damaged file or one of another run; "" if unknown.
        program: the command, or the file of results, where another program made the run: its metrics are those that
            the program names, a metric that is not finite is None, and what is not known of the run is 0 or empty.
        date: when the run finished, see `storage.dates`; "" in records of earlier versions.
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
    sources: list[dict[str, Any]] = field(default_factory=list)
    predictions: str = ""
    program: str = ""
    date: str = ""
    replaced: list[str] = field(default_factory=list)

    @property
    def non_finite(self) -> float:
        """The largest fraction, of any split, of images whose outputs are not finite at inference."""
        return max(self.metrics.get(f"{split}/non_finite") or 0.0 for split in ("train_eval", "val", "test"))

    @property
    def is_sound(self) -> bool:
        """Whether the run finished with finite outputs for all images; tuning prefers values with such runs."""
        return self.status == "finished" and not self.non_finite


def write_record(record: Record, folder: Path) -> Path:
    """Write `record` as `folder`/record.json in one atomic step and return the path."""
    path = folder / RECORD_NAME
    write_json(finite(asdict(record)), path, allow_nan=False)
    return path


def read_record(folder: Path) -> Record | None:
    """Return the record in `folder`, None if no run has finished there.

    Raises:
        Unusable: the file is damaged, or of an earlier version.
        UserError: it is of a later version, or cannot be read.

    Example:
        >>> print(read_record(Path("no/such/run")))
        None
    """
    path = folder / RECORD_NAME
    record = read_json(Record, path, SCHEMA_VERSION)
    if record is None:
        return None
    if record.status not in STATUSES:
        raise Unusable(f"{path} is damaged: status must be {' or '.join(STATUSES)}, got {record.status!r}")
    if lacking := [] if record.program else [name for name in ALWAYS_MEASURED if name not in record.metrics]:
        raise Unusable(f"{path} is damaged: metrics lacks {', '.join(lacking)}")
    return record


def is_finished(folder: Path) -> bool:
    """Return whether `folder` holds a record that can be used.

    Example:
        >>> is_finished(Path("no/such/run"))
        False
    """
    try:
        return read_record(folder) is not None
    except UserError:
        return False


def finite(value: Any) -> Any:
    """Return `value` with every number that JSON cannot hold (nan, inf) replaced by None.

    Example:
        >>> finite({"loss": math.nan, "values": (1.0, math.inf)})
        {'loss': None, 'values': [1.0, None]}
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value

"""Export to experiment trackers: each finished run with its settings, history and final metrics.

Nothing is sent anywhere by default: MLflow and trackio write into the target folder, W&B into its offline files there.
"""

import importlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ablate.errors import UserError
from ablate.export.loaded import records_in, studies_in
from ablate.training.identity import flatten
from ablate.training.record import Record

MOST_TEXT = 250  # of a parameter in MLflow, in characters


class Tracked(NamedTuple):
    """A run to export.

    Args:
        project: the study's name, "ablate" for single runs.
        name: of the run: arm and seed.
        group: the arm.
        settings: flat, the seed and the arm's factors included.
        history: metrics by epoch.
        metrics: final ones.
    """

    project: str
    name: str
    group: str
    settings: dict[str, Any]
    history: list[tuple[int, dict[str, float]]]
    metrics: dict[str, float]


def to_mlflow(folder: Path, target: Path) -> list[Path]:
    """Write the runs into the database mlflow.db in `target`, or to $MLFLOW_TRACKING_URI, an experiment a study."""
    mlflow = package("mlflow")
    target.mkdir(parents=True, exist_ok=True)
    path = target / "mlflow.db"
    mlflow.set_tracking_uri(os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{path.resolve()}")
    for run in tracked(folder):
        mlflow.set_experiment(run.project)
        with mlflow.start_run(run_name=run.name, tags={"arm": run.group}):
            mlflow.log_params({mlflow_name(key): str(value)[:MOST_TEXT] for key, value in run.settings.items()})
            for epoch, row in run.history:
                mlflow.log_metrics({mlflow_name(key): value for key, value in row.items()}, step=epoch)
            last = run.history[-1][0] if run.history else 0
            mlflow.log_metrics({mlflow_name(key): value for key, value in run.metrics.items()}, step=last)
    return [path]


def to_wandb(folder: Path, target: Path) -> list[Path]:
    """Write the runs as offline runs of W&B in `target`; $WANDB_MODE=online sends them."""
    wandb = package("wandb")
    target.mkdir(parents=True, exist_ok=True)
    mode = os.environ.get("WANDB_MODE") or "offline"
    os.environ.setdefault("WANDB_SILENT", "true")  # otherwise forty lines for each run

    def begin(run: Tracked) -> Any:
        return wandb.init(
            project=run.project, name=run.name, group=run.group, config=run.settings, dir=str(target), mode=mode
        )

    return _log_each(folder, begin, target / "wandb")


def to_trackio(folder: Path, target: Path) -> list[Path]:
    """Write the runs into trackio's local database, in `target` unless $TRACKIO_DIR names another place."""
    os.environ.setdefault("TRACKIO_DIR", str((target / "trackio").resolve()))  # trackio reads it when it is imported
    trackio = package("trackio")

    def begin(run: Tracked) -> Any:
        return trackio.init(project=run.project, name=run.name, group=run.group, config=run.settings)

    return _log_each(folder, begin, Path(os.environ["TRACKIO_DIR"]))


def package(name: str) -> Any:
    """Return the module of a tracker.

    Raises:
        UserError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(f"{name} is missing, to which the runs are to be exported: pip install {name}") from error


def tracked(folder: Path) -> Iterator[Tracked]:
    """Yield every finished report run in a folder: of a study, a collection, or of single runs."""
    found = studies_in(folder)
    for name, results in found:
        for arm in results.arms:
            for seed, record in arm.records.items():
                yield as_tracked(record, name, f"{arm.label} seed {seed}", arm.label, arm.axes)
    if not found:
        for record, _ in records_in(folder):
            yield as_tracked(record, "ablate", f"{record.arm} seed {record.seed}", record.arm, record.levels)


def as_tracked(record: Record, project: str, name: str, group: str, factors: Mapping[str, Any]) -> Tracked:
    """Return a record as trackers take it: numbers that are not known left out."""
    settings = {**dict(flatten(record.settings)), **factors, "seed": record.seed, "fingerprint": record.fingerprint}
    history = [(int(row["epoch"] or 0), numbers(row, without=["epoch"])) for row in record.history]
    return Tracked(project, name, group, settings, history, numbers(record.metrics))


def numbers(row: Mapping[str, Any], without: Sequence[str] = ()) -> dict[str, float]:
    """Return the entries that are numbers.

    >>> numbers({"epoch": 1, "loss": 0.5, "val/loss": None}, without=["epoch"])
    {'loss': 0.5}
    """
    return {key: float(value) for key, value in row.items() if value is not None and key not in without}


def mlflow_name(key: str) -> str:
    """Return a name that MLflow accepts: letters, digits, and _ - . / and space.

    >>> mlflow_name("train/loss+l1")
    'train/loss_l1'
    """
    return "".join(character if character.isalnum() or character in "_-./ " else "_" for character in key)


def _log_each(folder: Path, begin: Callable[[Tracked], Any], path: Path) -> list[Path]:
    for run in tracked(folder):
        session = begin(run)
        for epoch, row in run.history:
            session.log(row, step=epoch)
        last = run.history[-1][0] + 1 if run.history else 0
        session.log({f"final/{key}": value for key, value in run.metrics.items()}, step=last)
        session.finish()
    return [path]

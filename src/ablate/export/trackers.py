"""Export to experiment trackers: each finished run with its settings, history and final metrics.

Nothing is sent anywhere by default: MLflow and trackio write into the target folder, W&B into its offline files there.
A run has the same `identity` in every export, so that exporting twice adds no run: MLflow keeps a finished one, trackio
replaces it, and W&B takes the second as the same run.
"""

import hashlib
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
IDENTITY = "ablate_id"  # a tag in MLflow, a setting in trackio


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

    @property
    def identity(self) -> str:
        """16 hexadecimal digits, equal for one run of one project in every export."""
        text = "\n".join([self.project, self.name, str(self.settings["fingerprint"]), str(self.settings["seed"])])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def to_mlflow(folder: Path, target: Path) -> list[Path]:
    """Write the runs into the database mlflow.db in `target`, or to $MLFLOW_TRACKING_URI, an experiment a study.

    A finished run that is there already is left as it is; one whose export was interrupted is deleted and written
    again.
    """
    mlflow = package("mlflow")
    target.mkdir(parents=True, exist_ok=True)
    path = target / "mlflow.db"
    mlflow.set_tracking_uri(os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{path.resolve()}")
    for run in tracked(folder):
        experiment = mlflow.set_experiment(run.project)
        there = mlflow.search_runs(
            experiment_ids=[experiment.experiment_id],
            filter_string=f"tags.{IDENTITY} = '{run.identity}'",
            output_format="list",
        )
        if any(found.info.status == "FINISHED" for found in there):
            continue
        for found in there:
            mlflow.delete_run(found.info.run_id)
        with mlflow.start_run(run_name=run.name, tags={"arm": run.group, IDENTITY: run.identity}):
            mlflow.log_params({mlflow_name(key): str(value)[:MOST_TEXT] for key, value in run.settings.items()})
            for epoch, row in run.history:
                mlflow.log_metrics({mlflow_name(key): value for key, value in row.items()}, step=epoch)
            last = run.history[-1][0] if run.history else 0
            mlflow.log_metrics({mlflow_name(key): value for key, value in run.metrics.items()}, step=last)
    return [path]


def to_wandb(folder: Path, target: Path) -> list[Path]:
    """Write the runs as offline runs of W&B in `target`; $WANDB_MODE=online sends them.

    A second export writes a second folder with the same id, which W&B takes as the same run.
    """
    wandb = package("wandb")
    target.mkdir(parents=True, exist_ok=True)
    mode = os.environ.get("WANDB_MODE") or "offline"
    os.environ.setdefault("WANDB_SILENT", "true")  # otherwise forty lines for each run

    def begin(run: Tracked) -> Any:
        return wandb.init(
            project=run.project,
            id=run.identity,
            resume="allow",
            name=run.name,
            group=run.group,
            config=run.settings,
            dir=str(target),
            mode=mode,
        )

    return _log_each(folder, begin, target / "wandb")


def to_trackio(folder: Path, target: Path) -> list[Path]:
    """Write the runs into trackio's local database, in `target` unless $TRACKIO_DIR names another place.

    A run that is there already is replaced.
    """
    os.environ.setdefault("TRACKIO_DIR", str((target / "trackio").resolve()))  # trackio reads it when it is imported
    trackio = package("trackio")

    def begin(run: Tracked) -> Any:
        for found in list(trackio.Api().runs(run.project)):
            if found.name == run.name and (found.config or {}).get(IDENTITY) == run.identity:
                found.delete()
        settings = {**run.settings, IDENTITY: run.identity}
        return trackio.init(project=run.project, name=run.name, group=run.group, config=settings)

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

"""From a composed configuration to a run with a name, a fingerprint and a home. With `cli` and the sweeper plugin, the
only module that sees Hydra's objects; what it hands on are plain ones.
"""

import functools
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from ablate import catalog, hardware
from ablate.callbacks import Progress
from ablate.identity import arm_name, fingerprint, run_folder
from ablate.nets import format_layer_table, layer_table
from ablate.record import RECORD_NAME, Record
from ablate.run import Run, start
from ablate.tensorboard import TensorBoard
from ablate.training import Callback


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Who a run is and where it lives: see `record.Record` for the fields."""

    arm: str
    fingerprint: str
    levels: dict[str, str]
    settings: dict[str, Any]
    seed: int
    folder: Path

    @property
    def group(self) -> str:
        """The arm's name and short hash, as its folder has them: what all its seeds share."""
        return self.folder.parent.name


def plan(cfg: DictConfig) -> Plan:
    """Decide every `auto`, and from the settings then follow name, fingerprint and folder."""
    defaults = catalog.default_levels()
    choices = HydraConfig.get().runtime.choices
    levels = {group: str(choices[group]) for group in defaults}
    if missing := OmegaConf.missing_keys(cfg):
        raise ValueError(f"{', '.join(sorted(missing))} has no default: give {min(missing)}=...")
    settings = plain(cfg)
    settings["device"] = hardware.resolve_device(settings["device"])
    settings["precision"] = hardware.resolve_precision(settings["precision"], settings["device"])
    settings["trainer"]["threads"] = hardware.resolve_threads(settings["trainer"]["threads"])
    identity = fingerprint(settings, make("data", settings["data"]).fingerprint())
    arm = arm_name(levels, defaults, settings, settings_of(tuple(levels.items())))
    folder = run_folder(Path(settings["output_dir"]), arm, identity, settings["seed"])
    return Plan(arm=arm, fingerprint=identity, levels=levels, settings=settings, seed=settings["seed"], folder=folder)


@functools.cache
def settings_of(levels: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """Return the settings of these levels with nothing overridden, which an arm's name is told against."""
    from hydra import compose

    return plain(compose("config", overrides=[f"{group}={level}" for group, level in levels]))


def plain(cfg: DictConfig) -> dict[str, Any]:
    """Return a configuration as plain data with every interpolation resolved."""
    settings = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(settings, dict)
    return {str(key): value for key, value in settings.items()}


def make_run(plan: Plan) -> Run:
    """Return the run of a plan, every level instantiated."""
    settings = plan.settings
    trainer: Mapping[str, Any] = settings["trainer"]
    parts = {group: make(group, settings[group]) for group in plan.levels if group != "trainer"}
    return Run(
        arm=plan.arm,
        fingerprint=plan.fingerprint,
        levels=plan.levels,
        settings=settings,
        seed=plan.seed,
        device=settings["device"],
        precision=settings["precision"],
        **parts,
        **trainer,
    )


def make(group: str, settings: Any) -> Any:
    """Return what the settings of a group describe.

    Raises:
        ValueError: they are refused; the group is named.
    """
    try:
        return instantiate(settings, _convert_="all")
    except InstantiationException as error:
        raise ValueError(f"{group}: {error.__cause__ or error}") from error


def carry_out(plan: Plan, *, verbose: bool) -> str | None:
    """Do a planned run, or show it where it is a dry run; return its folder.

    Args:
        verbose: show progress as it goes and the result in full; a job of a sweep prints one line instead.
    """
    run = make_run(plan)
    if plan.settings["dry_run"]:
        dataset = run.data.load()
        print(format_layer_table(layer_table(run.build(dataset), dataset.image_shape)))
        finished = " (finished)" if (plan.folder / RECORD_NAME).exists() else ""
        print(f"{len(dataset.train.labels)} training images, {run.epochs} epochs\nrun {plan.folder}{finished}")
        return None
    progress = Progress() if verbose else None
    observers: list[Callback] = [progress] if progress else []
    options = dict(plan.settings["tensorboard"])
    if options.pop("enabled"):
        observers.append(
            TensorBoard(plan.folder, group=plan.group, levels=plan.levels, settings=plan.settings, **options)
        )
    if verbose:
        print(f"run {plan.folder}", flush=True)
    try:
        record, fresh = start(run, plan.folder, observers, rerun=plan.settings["rerun"])
    except KeyboardInterrupt:
        command = shlex.join(["ablate", *sys.argv[1:]])
        print(f"\ninterrupted; to go on from the last finished epoch:\n  {command}", file=sys.stderr)
        sys.exit(130)
    finally:
        if progress:
            progress.close()
    print(conclusion(record, plan.folder, fresh=fresh) if verbose else one_line(record, fresh=fresh), flush=True)
    return str(plan.folder)


def one_line(record: Record, *, fresh: bool) -> str:
    """Return the result of a run in one line."""
    accuracy = 100 * (record.metrics["test/accuracy"] or 0.0)
    how = f"{record.wall_seconds:.1f} s" if fresh else "was finished"
    diverged = "  diverged, scored as guessing" if record.status == "diverged" else ""
    return f"{record.arm}  seed {record.seed}  test accuracy {accuracy:.2f} %  ({how}){diverged}"


def conclusion(record: Record, folder: Path, *, fresh: bool) -> str:
    """Return the result of a run in full."""
    metrics = record.metrics
    lines = [] if fresh else ["this run is finished already; rerun=true does it anew and keeps the old one"]
    if record.status == "diverged":
        lines.append(f"diverged in epoch {len(record.history)}: scored as guessing; a lower optimizer.lr may cure it")
    for split, name in (("train_eval", "train"), ("val", "val"), ("test", "test")):
        loss = metrics[f"{split}/loss"]
        shown = "-" if loss is None else f"{loss:.4f}"
        lines.append(f"{name:<6} accuracy {100 * (metrics[f'{split}/accuracy'] or 0):.2f} %  loss {shown}")
    speed = f"{record.wall_seconds:.1f} s, {record.images_per_second:.0f} images/s"
    lines += [f"{speed}, {record.environment['device_name']}, {record.environment['threads']} threads"]
    return "\n".join([*lines, f"record {folder / RECORD_NAME}", f"tensorboard --logdir {shlex.quote(str(folder))}"])

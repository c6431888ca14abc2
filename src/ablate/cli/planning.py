"""From a composed configuration to a run with a name, a fingerprint and a home. What it
hands on are plain objects: beside it only `cli`, `composition`, `drafting` and the sweeper plugin see Hydra's.
"""

import functools
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

from hydra._internal import utils as locating
from hydra._internal.instantiate import _instantiate2 as instantiation
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from ablate.cli.composition import checked, resolved, settings_with
from ablate.config import catalog
from ablate.errors import UserError, is_refusal
from ablate.study.declaration import follows
from ablate.study.manifest import Variant
from ablate.training import hardware, sources
from ablate.training.identity import arm_name, at_present, differences, fingerprint, is_unscientific, run_folder
from ablate.training.run import Run
from ablate.training.sources import Source


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Who a run is and where it lives: see `record.Record` for the fields.

    `changed` holds the settings that are not as the chosen levels have them.
    `sources` is the code that the settings name outside the program.
    """

    arm: str
    fingerprint: str
    levels: dict[str, str]
    settings: dict[str, Any]
    seed: int
    folder: Path
    changed: dict[str, Any]
    sources: list[Source] = field(default_factory=list)

    @property
    def group(self) -> str:
        """The arm's name and short hash, as its folder has them: what all its seeds share."""
        return self.folder.parent.name


def plan(cfg: DictConfig, choices: Mapping[str, Any], where: Sequence[Path] = ()) -> Plan:
    """Decide every `auto`, and from the settings then follow name, fingerprint and folder.

    Args:
        cfg, choices, where: see `composition.checked`.

    Raises:
        UserError: a setting that has no default is missing, or a value is refused.
    """
    settings, levels = checked(cfg, choices, where)
    defaults = catalog.default_levels()
    settings["device"] = hardware.resolve_device(settings["device"])
    settings["precision"] = hardware.resolve_precision(settings["precision"], settings["device"])
    settings["gpu"] = hardware.resolve_gpu(settings["gpu"], settings["device"])
    settings["trainer"]["compile"] = hardware.resolve_compile(settings["trainer"]["compile"])
    settings["trainer"]["threads"] = hardware.resolve_threads(settings["trainer"]["threads"])
    code = sources.find(settings)  # before anything of it is imported
    identity = fingerprint(settings, make("data", settings["data"]).fingerprint(), sources.as_identity(code))
    changed = {key: mine for key, (mine, _) in differences(settings, settings_of(tuple(levels.items()))).items()}
    factors = {group: level for group, level in levels.items() if not is_unscientific(f"{group}.")}
    arm = arm_name(factors, defaults, changed)
    folder = run_folder(Path(settings["output_dir"]), arm, identity, settings["seed"])
    return Plan(
        arm=arm,
        fingerprint=identity,
        levels=levels,
        settings=settings,
        seed=settings["seed"],
        folder=folder,
        changed=changed,
        sources=code,
    )


def variant(
    cfg: DictConfig, choices: Mapping[str, Any], overrides: Sequence[str], value: Any, where: Sequence[Path] = ()
) -> Variant:
    """Return who the runs of a composed configuration are, for a study's manifest.

    Args:
        cfg, choices, where: see `plan`.
        overrides: the command line that composes it, but for the seed.
        value: of the tuned nuisance, None where nothing is tuned.
    """
    found = plan(cfg, choices, where)
    home = found.folder.parent.relative_to(found.settings["output_dir"]).as_posix()
    unresolved = cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=False))
    return Variant(
        value=value,
        overrides=list(overrides),
        arm=found.arm,
        fingerprint=found.fingerprint,
        levels=found.levels,
        settings=found.settings,
        folder=home,
        sources=[asdict(source) for source in found.sources],
        follows=follows(unresolved, lambda text: OmegaConf.select(OmegaConf.merge(cfg, {"_": text}), "_")),
    )


@functools.cache
def settings_of(levels: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """Return the settings of these levels with nothing overridden, which an arm's name is told against."""
    from hydra import compose

    known = settings_with(dict(levels))
    return resolved(known or compose("config", overrides=[f"{group}={level}" for group, level in levels]))


def make_run(plan: Plan) -> Run:
    """Return the run of a plan, every level instantiated."""
    settings = plan.settings
    trainer: Mapping[str, Any] = settings["trainer"]
    optimizer = dict(settings["optimizer"])
    bias_lr_factor = optimizer.pop("bias_lr_factor", 1.0)  # the run's: torch has a learning rate a group, no factor
    described = {**settings, "optimizer": optimizer}
    parts = {group: make(group, described[group]) for group in plan.levels if group not in ("trainer", "diagnostics")}
    sources.check_unedited(plan.sources, settings)
    return Run(
        arm=plan.arm,
        fingerprint=plan.fingerprint,
        levels=plan.levels,
        settings=settings,
        seed=plan.seed,
        device=settings["device"],
        gpu=settings["gpu"],
        precision=settings["precision"],
        sources=plan.sources,
        bias_lr_factor=bias_lr_factor,
        **parts,
        **trainer,
    )


def make(group: str, settings: Any) -> Any:
    """Return what the settings of a group describe.

    Raises:
        UserError: they are refused, or their `_target_` is not there; the group is named.
        InstantiationException: the class or function is faulty.
    """
    try:
        return instantiate(at_present(settings), _convert_="all")
    except InstantiationException as error:
        cause = error.__cause__
        if cause is None or is_not_found(cause):
            problem = " ".join(str(cause or error).split())
            raise UserError(
                f"{group}: {problem} Its `_target_` must be the import path of a class or function: is the name right, "
                "and its folder the current one or on PYTHONPATH?"
            ) from error
        if is_refusal(cause, instantiation.__file__):
            raise UserError(f"{group}: {cause}") from error
        raise


def is_not_found(error: BaseException) -> bool:
    """Return whether Hydra did not find a `_target_`; a module that is found and fails is faulty."""
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    if not isinstance(error, ImportError | ValueError) or files[-1] != locating.__file__:
        return False
    origin = error.__cause__
    return origin is None or traceback.extract_tb(origin.__traceback__)[-1].filename in (
        locating.__file__,
        "<frozen importlib._bootstrap>",
    )

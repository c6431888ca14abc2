"""From a composed configuration to a plan (name, fingerprint, folder), and from a plan to a run.

Plans and runs are plain objects: code outside this package and the sweeper plugin sees no configuration object.
"""

import copy
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
from omegaconf import DictConfig, OmegaConf, open_dict
from torch.nn import Module

from ablate.cli.composition import checked, resolved, settings_with, without_default
from ablate.cli.cures import suggestion
from ablate.cli.hydra_version import permitting
from ablate.config import catalog
from ablate.errors import UserError, argument_cure, is_refusal, unexpected_keyword
from ablate.study.manifest import Variant
from ablate.study.undeclared import follows
from ablate.training import hardware, sources
from ablate.training.identity import arm_name, at_present, differences, fingerprint, is_unscientific, run_folder
from ablate.training.pieces import check_data, conform
from ablate.training.run import Run
from ablate.training.sources import Source

KEPT = {False: "", True: "last", "last": "last", "best": "best"}  # the values of keep_weights


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A run's identity and folder; for the fields see `ablate.training.record.Record`.

    `changed` holds the settings that differ from those of the chosen levels.
    `sources` is the user's code that the settings name, `data` the hash of the data's content.
    """

    arm: str
    fingerprint: str
    levels: dict[str, str]
    settings: dict[str, Any]
    seed: int
    folder: Path
    changed: dict[str, Any]
    sources: list[Source] = field(default_factory=list)
    data: str = ""

    @property
    def group(self) -> str:
        """The arm's name and short hash: the name of the folder that all its seeds share."""
        return self.folder.parent.name


def plan(cfg: DictConfig, choices: Mapping[str, Any], where: Sequence[Path] = (), *, here: bool = True) -> Plan:
    """Check the settings of a composed configuration and return the plan of its run, see `plan_checked`.

    >>> from ablate.cli.figure import composing
    >>> with composing(catalog.folders()) as compose:
    ...     plan(*compose(["data=shapes", "net=micro", "seed=3"])).folder.name
    'seed-3'

    Args:
        cfg, choices, where: see `composition.checked`.
        here: see `plan_checked`.

    Raises:
        UserError: a setting that has no default is missing, or a value is refused.
    """
    return plan_checked(*checked(cfg, choices, where), here=here)


def plan_checked(settings: dict[str, Any], levels: dict[str, str], *, here: bool = True) -> Plan:
    """Resolve every `auto` in checked settings; return them with name, fingerprint and folder.

    Args:
        settings, levels: what `composition.checked` returns; the settings are changed.
        here: whether the run is done on this computer; if not, device, GPU and precision are left to the node that does
            it, which may have a GPU where this computer has none.

    Raises:
        UserError: a value is refused.
    """
    defaults = catalog.default_levels()
    if here:
        settings["device"] = hardware.resolve_device(settings["device"])
        settings["precision"] = hardware.resolve_precision(settings["precision"], settings["device"])
        settings["gpu"] = hardware.resolve_gpu(settings["gpu"], settings["device"])
    settings["trainer"]["compile"] = hardware.resolve_compile(settings["trainer"]["compile"])
    hardware.check_capture(settings["trainer"].get("capture", "auto"), settings["device"])
    settings["trainer"]["threads"] = hardware.resolve_threads(settings["trainer"]["threads"])
    code = sources.find(settings)  # before anything of it is imported
    data = make("data", settings["data"])
    check_data(data)
    content = data.fingerprint()
    identity = fingerprint(settings, content, sources.as_identity(code))
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
        data=content,
    )


def variant(
    cfg: DictConfig,
    choices: Mapping[str, Any],
    overrides: Sequence[str],
    value: Any,
    where: Sequence[Path] = (),
    *,
    here: bool = True,
) -> Variant:
    """Return the entry of a study's manifest for the runs of a composed configuration.

    Args:
        cfg, choices, where: see `plan`.
        overrides: the settings that compose it, without the seed.
        value: of the tuned setting, None where nothing is tuned.
        here: see `plan_checked`.
    """
    found = plan(cfg, choices, where, here=here)
    unresolved = cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=False))
    return Variant(
        value=value,
        overrides=list(overrides),
        arm=found.arm,
        fingerprint=found.fingerprint,
        levels=found.levels,
        settings=found.settings,
        folder=found.folder.parent.relative_to(found.settings["output_dir"]).as_posix(),
        sources=[asdict(source) for source in found.sources],
        data=found.data,
        follows=follows(unresolved, lambda text: value_of(text, cfg)),
    )


def value_of(text: str, cfg: DictConfig) -> Any:
    """Return the value that an interpolation has in a configuration, which stays as it is.

    >>> value_of("${seed}", OmegaConf.create({"seed": 3}))
    3
    """
    with open_dict(cfg):  # that of a sweep takes no new key
        return OmegaConf.select(OmegaConf.merge(cfg, {"_": text}), "_")


@functools.cache
def settings_of(levels: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """Return the settings of these levels without overrides: an arm's name lists the differences from them."""
    from hydra import compose

    known = settings_with(dict(levels))
    cfg = known or compose("config", overrides=[f"{group}={level}" for group, level in levels])
    if missing := without_default(cfg):
        cfg = copy.deepcopy(cfg)
        for key in missing:  # a value that is given differs from none
            OmegaConf.update(cfg, key, None)
    return resolved(cfg)


def make_run(plan: Plan, *, with_data: bool = True) -> Run:
    """Return the run of a plan, with the objects of its levels.

    >>> from ablate.cli.figure import composing
    >>> with composing(catalog.folders()) as compose:
    ...     run = make_run(plan(*compose(["data=shapes", "net=micro", "trainer.epochs=3"])))
    >>> run.epochs, run.seed
    (3, 0)

    Args:
        plan: of the run.
        with_data: whether to make the data too; a net with known weights needs none.
    """
    settings = plan.settings
    trainer: Mapping[str, Any] = settings["trainer"]
    optimizer = dict(settings["optimizer"])
    bias_lr_factor = optimizer.pop("bias_lr_factor", 1.0)  # torch has no such factor
    described = {**settings, "optimizer": optimizer}
    others = ("trainer", "diagnostics") if with_data else ("trainer", "diagnostics", "data")
    parts = {group: make(group, described[group]) for group in plan.levels if group not in others}
    if isinstance(parts["net"], Module):  # made before anything is seeded: the run makes its own
        parts["net"] = make("net", {**described["net"], "_partial_": True})
    sources.check_unedited(plan.sources, settings)
    parts = conform(parts, trainer["epochs"])
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
        keep_weights=KEPT[settings.get("keep_weights", False)],
        **{"data": None, **parts},
        **trainer,
    )


def make(group: str, settings: Any) -> Any:
    """Return the object that the settings of a group describe.

    Raises:
        UserError: a value is refused, or the `_target_` is not found; the message names the group.
        InstantiationException: the class or function has a bug.
    """
    try:
        settings = at_present(settings)
        with permitting(settings):
            return instantiate(settings, _convert_="all")
    except InstantiationException as error:
        cause = error.__cause__
        if cause is None or is_not_found(cause):
            problem = " ".join(str(cause or error).split())
            raise UserError(
                f"{group}: {problem} Its `_target_` must be the import path of a class or function: is the name right, "
                f"and its folder the current one or on PYTHONPATH?{suggestion(problem)}"
            ) from error
        if is_refusal(cause, instantiation.__file__):
            raise UserError(f"{group}: {cause}{argument_cure(group, cause)}") from error
        if group == "net" and (key := unexpected_keyword(cause, settings)):
            raise UserError(
                f"net: {settings['_target_']} takes no {key!r}, which the level sets; for a net that is not of ablate "
                "choose net=module net._target_=..., or net=torchvision"
            ) from error
        raise
    except Exception as error:  # Hydra 1.4 does not wrap what the class or function raises
        if is_refusal(error, instantiation.__file__):
            raise UserError(f"{group}: {error}") from error
        raise


def is_not_found(error: BaseException) -> bool:
    """Return whether Hydra did not find a `_target_`; a module that is found but cannot be imported has a bug."""
    place = Path(locating.__file__).parent  # Hydra 1.3 and 1.4 locate in different modules of one folder
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    if not isinstance(error, ImportError | ValueError) or Path(files[-1]).parent != place:
        return False
    origin = error.__cause__
    file = "" if origin is None else traceback.extract_tb(origin.__traceback__)[-1].filename
    return origin is None or Path(file).parent == place or file == "<frozen importlib._bootstrap>"

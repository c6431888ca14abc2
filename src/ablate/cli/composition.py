"""A composed configuration as checked plain data; and Hydra's loader for the jobs of a sweep.

In each process the loader composes a choice of levels once, and then sets the values of each job in it.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import MISSING, DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from ablate.cli.grammar import plainly
from ablate.config import catalog, schema
from ablate.config.overrides import key_of
from ablate.errors import UserError

MOST_KEPT = 256  # compositions kept in a process, a quarter of a megabyte each


def checked(
    cfg: DictConfig, choices: Mapping[str, Any], where: Sequence[Path] = ()
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the settings of a composed configuration, every value checked, and the chosen level of every group.

    Neither torch nor anything that a level names is imported.

    Args:
        cfg: the composed configuration, without Hydra's own node.
        choices: the chosen level of every group (hydra.runtime.choices).
        where: the conf folders, whose schema files hold the rules; by default the program's own.

    Raises:
        UserError: a group is removed, a setting that has no default is missing, or a value is refused.
    """
    where = where or catalog.folders()
    groups = catalog.default_levels()
    if removed := [group for group in groups if choices.get(group) is None]:
        off = "none" in catalog.levels(where, removed[0])
        cure = f"{removed[0]}=none switches it off" if off else f"choose another level, see `ablate list {removed[0]}`"
        raise UserError(f"{removed[0]} cannot be removed; {cure}")
    levels = {group: str(choices[group]) for group in groups}
    try:
        if missing := without_default(cfg):
            raise UserError(f"{', '.join(sorted(missing))} has no default: give {min(missing)}=...")
        settings = resolved(cfg)
    except OmegaConfBaseException as error:
        raise UserError(plainly(error, where)) from error
    rules = schema.read_rules(tuple(where))
    settings = schema.check(settings, rules, cure=lambda key: schema.usual(key, levels, where))
    optimizer = settings["optimizer"]
    if optimizer.get("nesterov") and optimizer.get("momentum", 0) == 0:
        raise UserError(
            "`optimizer.momentum` must be above 0 with optimizer.nesterov=true, got 0; optimizer=sgd has no momentum"
        )
    return settings, levels


def conf_folders(sources: Sequence[Any]) -> list[Path]:
    """Return the conf folders of a composed configuration: the program's own, then those given as --config-dir.

    Args:
        sources: hydra.runtime.config_sources.
    """
    given = [Path(source.path) for source in sources if source.schema == "file"]
    return list(dict.fromkeys([*catalog.folders(), *given]))


def resolved(cfg: DictConfig) -> dict[str, Any]:
    """Return a configuration as plain data with every interpolation resolved.

    >>> resolved(OmegaConf.create({"seed": 3, "split_seed": "${seed}"}))
    {'seed': 3, 'split_seed': 3}
    """
    settings = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(settings, dict)
    return {str(key): value for key, value in settings.items()}


def without_default(cfg: DictConfig) -> list[str]:
    """Return the keys that a configuration leaves to the user (`key: ???`), also where interpolations name them.

    >>> without_default(OmegaConf.create({"optimizer": {"lr": "???"}, "rate": "${optimizer.lr}"}))
    ['optimizer.lr']
    """
    return [key for key, value in leaves(OmegaConf.to_container(cfg, resolve=False)) if value == MISSING]


def leaves(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the key of each value in nested mappings and lists, and the value."""
    if isinstance(node, dict):
        for name, value in node.items():
            yield from leaves(value, f"{key}.{name}" if key else str(name))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from leaves(value, f"{key}[{index}]")
    else:
        yield key, node


class ComposeOnce(ConfigLoaderImpl):
    """Hydra's loader that composes each choice of levels once: otherwise most of a short run's overhead."""

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        """Return what Hydra's loader returns, except that `hydra.job.override_dirname` lacks the values."""
        groups = catalog.default_levels()
        values = [line for line in sweep_overrides if _is_value(key_of(line), groups)]
        levels = [line for line in sweep_overrides if not _is_value(key_of(line), groups)]
        of_hydra = OmegaConf.to_container(master_config.hydra.overrides.hydra, resolve=False)  # may name hydra.job.num
        assert isinstance(of_hydra, list)
        key = (str(self.config_search_path), *of_hydra, "", *levels)
        if key not in _composed:
            while len(_composed) >= MOST_KEPT:
                del _composed[next(iter(_composed))]
            _composed[key] = super().load_sweep_config(master_config, levels)
            if all(line.partition("=")[0] in groups for line in levels):
                _chosen[_choice(_composed[key].hydra.runtime.choices)] = key
        cfg = copy.deepcopy(_composed[key])
        parsed = OverridesParser.create().parse_overrides(values)
        self.validate_sweep_overrides_legal(parsed, run_mode=RunMode.RUN, from_shell=True)
        self._apply_overrides_to_config(parsed, cfg)
        with open_dict(cfg.hydra):
            cfg.hydra.overrides.task = list(sweep_overrides)
        return cfg


def settings_with(levels: Mapping[str, str]) -> DictConfig | None:
    """Return the configuration of these levels without overrides and Hydra's node; None if it was not composed.

    Args:
        levels: the level of every group.
    """
    found = _composed.get(_chosen.get(_choice(levels), ()))
    return None if found is None else OmegaConf.masked_copy(found, [str(key) for key in found if key != "hydra"])


def _is_value(key: str, groups: Mapping[str, str]) -> bool:
    """Return whether an override of `key` sets a value; all others are left to Hydra."""
    first, _, rest = key.partition(".")
    known = catalog.keys()
    return first in known and (bool(rest) or first not in groups)


def _choice(levels: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    return frozenset((str(group), str(level)) for group, level in levels.items() if not str(group).startswith("hydra/"))


# A worker gets a new loader with every job, so these are kept outside it.
_composed: dict[tuple[str, ...], DictConfig] = {}
_chosen: dict[frozenset[tuple[str, str]], tuple[str, ...]] = {}  # choice of levels -> key of `_composed`

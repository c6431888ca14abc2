"""Composing a sweep's jobs: a choice of levels is composed once a process, and a job's own values are put into it."""

import copy
from collections.abc import Mapping

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from ablate import catalog
from ablate.overrides import key_of

MOST_KEPT = 256  # compositions of one process, a quarter of a megabyte each


class ComposeOnce(ConfigLoaderImpl):
    """Hydra's loader for jobs that come again and again with other values: most of a short run's overhead otherwise."""

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        """Return what Hydra's own loader would, but for `hydra.job.override_dirname`, which lacks the values."""
        groups = catalog.default_levels()
        values = [line for line in sweep_overrides if _is_value(key_of(line), groups)]
        levels = [line for line in sweep_overrides if not _is_value(key_of(line), groups)]
        key = (str(self.config_search_path), *master_config.hydra.overrides.hydra, "", *levels)
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
    """Return the configuration, without Hydra's node, of these levels and nothing else; None if it was not composed.

    Args:
        levels: of every group.
    """
    found = _composed.get(_chosen.get(_choice(levels), ()))
    return None if found is None else OmegaConf.masked_copy(found, [str(key) for key in found if key != "hydra"])


def _is_value(key: str, groups: Mapping[str, str]) -> bool:
    """Return whether an override of `key` sets a value; whatever else it may be is left to Hydra."""
    first, _, rest = key.partition(".")
    known = catalog.keys()
    return first in known and (bool(rest) or first not in groups)


def _choice(levels: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    return frozenset((str(group), str(level)) for group, level in levels.items() if not str(group).startswith("hydra/"))


# A worker gets a loader with every job, so these outlive the loader.
_composed: dict[tuple[str, ...], DictConfig] = {}
_chosen: dict[frozenset[tuple[str, str]], tuple[str, ...]] = {}  # choice of levels -> key of `_composed`

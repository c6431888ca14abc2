"""Composing a sweep's jobs: what differs in the run alone is composed once a process, not once a job."""

import copy

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, open_dict

from ablate.overrides import key_of

RUN_KEYS = ("seed", "gpu", "wait", "rerun")  # keys of conf/config.yaml itself: no group and no default hangs on them
MOST_KEPT = 256  # compositions of one process, a quarter of a megabyte each


class ComposeOnce(ConfigLoaderImpl):
    """Hydra's loader for jobs that come again and again with another seed: most of a short run's overhead otherwise."""

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        """Return what Hydra's own loader would, but for `hydra.job.override_dirname`, which lacks the run's keys."""
        own = [line for line in sweep_overrides if key_of(line) in RUN_KEYS]
        shared = [line for line in sweep_overrides if key_of(line) not in RUN_KEYS]
        key = (str(self.config_search_path), *master_config.hydra.overrides.hydra, "", *shared)
        if key not in _composed:
            while len(_composed) >= MOST_KEPT:
                del _composed[next(iter(_composed))]
            _composed[key] = super().load_sweep_config(master_config, shared)
        cfg = copy.deepcopy(_composed[key])
        self._apply_overrides_to_config(OverridesParser.create().parse_overrides(own), cfg)
        with open_dict(cfg.hydra):
            cfg.hydra.overrides.task = list(sweep_overrides)
        return cfg


_composed: dict[tuple[str, ...], DictConfig] = {}  # a worker gets a loader with every job, so this outlives the loader

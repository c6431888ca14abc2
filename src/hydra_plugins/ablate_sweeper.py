"""`ablate -m ...` and `ablate study=...`: Hydra's side of a sweep; `ablate.sweep.studies` does the studies."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from ablate.errors import UserError

if TYPE_CHECKING:
    from ablate.study.manifest import Variant
    from ablate.sweep.machine import Machine
    from ablate.sweep.request import Request


@dataclass
class AblateSweeperConf:
    """Selected by `hydra/sweeper=ablate`, which is the default; `ablate study=...` fills the fields.

    Args:
        study: name of a file in conf/study; None for a plain sweep.
        profile: of that file, None for none.
        changes: "key=value" changes of its content.
        extra_seeds: report seeds to add to a finished study.
        command: the command line, where it is not that of the process.
    """

    _target_: str = "hydra_plugins.ablate_sweeper.AblateSweeper"
    study: str | None = None
    profile: str | None = None
    changes: list[str] = field(default_factory=list)
    extra_seeds: int = 0
    command: str | None = None


ConfigStore.instance().store(group="hydra/sweeper", name="ablate", node=AblateSweeperConf, provider="ablate")


class AblateSweeper(BasicSweeper):
    """Turns the command line into studies, and has `ablate.sweep.studies` do them with Hydra's launcher."""

    def __init__(
        self, study: str | None, profile: str | None, changes: Sequence[str], extra_seeds: int, command: str | None
    ) -> None:
        super().__init__(max_batch_size=None)
        self.study, self.profile, self.changes, self.extra_seeds = study, profile, list(changes), extra_seeds
        self.command = command or shlex.join(["ablate", *sys.argv[1:]])

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Give the launcher a loader that composes an arm once."""
        from ablate.cli.composition import ComposeOnce

        loader = ComposeOnce(hydra_context.config_loader.get_search_path())
        once = HydraContext(config_loader=loader, callbacks=hydra_context.callbacks)
        super().setup(hydra_context=once, task_function=task_function, config=config)

    def sweep(self, arguments: list[str]) -> None:
        """Do what is missing of the studies and write their reports; end with status 1 where runs failed."""
        from ablate.cli.main import end_with
        from ablate.config.overrides import command_again

        try:
            failed = self.do_studies(arguments)
        except Exception as error:
            end_with(error, command_again(self.command))
        if failed:
            sys.exit(1)

    def do_studies(self, arguments: list[str]) -> dict[str, str]:
        """Return what `ablate.sweep.studies.do_studies` returns, given Hydra's composition and launcher."""
        from ablate.cli.arguments import applicable, split_folders
        from ablate.cli.composition import checked
        from ablate.config import catalog
        from ablate.config.overrides import command_again
        from ablate.sweep import studies
        from ablate.sweep.request import collection_of

        assert self.config is not None and self.launcher is not None
        where = [*catalog.folders(), *split_folders(sys.argv[1:])[0]]
        requests = self.requests(arguments, where)
        studies.check_requests(requests, lambda lines: checked(*self.composed(applicable(lines, where)), where))
        from ablate.cli import planning  # loads torch

        machine = self.decide([request.study for request in requests])

        def resolve(lines: Sequence[str], value: Any) -> "Variant":
            lines = applicable(lines, where)
            cfg, choices = self.composed([*lines, *machine.unless_given(lines)])
            return planning.variant(cfg, choices, lines, value, where)

        def submit(jobs: list[list[str]]) -> None:
            assert self.launcher is not None
            launch_all(self.launcher, jobs)

        again = command_again(self.command)
        options = studies.Options(
            output_dir=Path(self.config.output_dir),
            command=self.command,
            collection=collection_of(self.study, self.profile, again, where) if self.study is not None else None,
            extra_seeds=self.extra_seeds,
            rerun=self.config.rerun,
            wait=self.config.wait,
            dry_run=self.config.dry_run,
        )
        return studies.do_studies(requests, options, machine, resolve, submit)

    def requests(self, arguments: Sequence[str], where: Sequence[Path]) -> "list[Request]":
        """Return the studies that Hydra's overrides ask for.

        Raises:
            UserError: a study is swept, or what is swept does not make different runs.
        """
        from ablate.cli.grammar import values_of
        from ablate.config import catalog
        from ablate.config.overrides import text
        from ablate.sweep.request import check_swept, named_studies, plain_sweep

        assert self.config is not None and self.hydra_context is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides(list(arguments))
        swept = [override for override in overrides if override.is_sweep_override()]
        shared = [str(override.input_line) for override in overrides if override not in swept]
        lines = [str(override.input_line) for override in swept]
        if self.study is not None:
            if lines:
                raise UserError(f"a study's arms are in its file, so {lines[0]} cannot be swept; see study.grids")
            return named_studies(self.study, self.profile, self.changes, shared, where)
        axes: dict[str, list[Any]] = {}
        for line, override in zip(lines, swept, strict=True):
            key = override.get_key_element()
            check_swept(key, line)
            assert override.config_loader is not None
            levels = override.config_loader.get_group_options(key) if key in catalog.default_levels() else []
            axes[key] = list({text(value): value for value in values_of(override, levels)}.values())
        return [plain_sweep(",".join(lines), axes, shared, self.config.seed)]

    def composed(self, lines: Sequence[str]) -> tuple[DictConfig, dict[str, Any]]:
        """Return the configuration that a job with these overrides gets, without Hydra's node, and its levels."""
        assert self.config is not None and self.hydra_context is not None
        cfg = self.hydra_context.config_loader.load_sweep_config(self.config, list(lines))
        choices = dict(cfg.hydra.runtime.choices)
        with open_dict(cfg):
            del cfg["hydra"]
        return cfg, choices

    def decide(self, studies: Sequence[Any]) -> "Machine":
        """Return where the jobs run, and give joblib the number of its workers where they share GPUs."""
        from ablate.sweep.machine import find_machine

        assert self.config is not None
        launcher, config = self.config.hydra.launcher, self.config
        kind = str(launcher._target_).rpartition(".")[2]
        ours = {"BasicLauncher": lambda: 1, "JoblibLauncher": lambda: launcher.n_jobs}
        num_jobs = ours.get(kind, lambda: int(launcher.get("array_parallelism") or 1))()
        settings = {key: getattr(config, key) for key in ("device", "gpu", "precision", "workers_per_gpu")}
        settings["trainer.threads"] = config.trainer.threads
        machine = find_machine(kind, num_jobs, settings, [study.base for study in studies])
        if machine.gpus and kind == "JoblibLauncher":
            cast(Any, self.launcher).joblib["n_jobs"] = machine.num_workers
        return machine


def launch_all(launcher: Launcher, jobs: list[list[str]]) -> None:
    """Launch jobs; with Hydra's basic launcher one at a time.

    It keeps two configurations of every job until all are done, 0.38 MiB a job, and nothing here reads them.
    """
    if not isinstance(launcher, BasicLauncher):
        launcher.launch(jobs, initial_job_idx=0)
        return
    for number, job in enumerate(jobs):
        launcher.launch([job], initial_job_idx=number)

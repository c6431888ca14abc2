"""`ablate -m ...` and `ablate study=...`: Hydra's side of a sweep; `ablate.sweep.studies` does the studies."""

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from ablate.errors import UserError
from ablate.screen import say

if TYPE_CHECKING:
    from ablate.study.manifest import Variant
    from ablate.sweep.machine import Machine
    from ablate.sweep.request import Request
    from ablate.sweep.studies import Submit


@dataclass
class AblateSweeperConf:
    """Selected by `hydra/sweeper=ablate`, which is the default; `ablate study=...` fills the fields.

    Args:
        study: name of a file in conf/study; None for a plain sweep.
        profile: of that file, None for none.
        changes: "key=value" changes of its content.
        extra_seeds: report seeds to add to a finished study.
        command: the command line, where it is not that of the process.
        name, baseline: of a plain sweep, see `ablate.sweep.request.plain_sweep`.
    """

    _target_: str = "hydra_plugins.ablate_sweeper.AblateSweeper"
    study: str | None = None
    profile: str | None = None
    changes: list[str] = field(default_factory=list)
    extra_seeds: int = 0
    command: str | None = None
    name: str = ""
    baseline: str = ""


ConfigStore.instance().store(group="hydra/sweeper", name="ablate", node=AblateSweeperConf, provider="ablate")


class AblateSweeper(BasicSweeper):
    """Turns the command line into studies, and has `ablate.sweep.studies` do them with Hydra's launcher."""

    def __init__(
        self,
        study: str | None,
        profile: str | None,
        changes: Sequence[str],
        extra_seeds: int,
        command: str | None,
        name: str = "",
        baseline: str = "",
    ) -> None:
        super().__init__(max_batch_size=None)
        self.study, self.profile, self.changes, self.extra_seeds = study, profile, list(changes), extra_seeds
        self.name, self.baseline = name, baseline
        self.command = command or shlex.join(["ablate", *sys.argv[1:]])

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Give the launcher a loader that composes an arm once."""
        from ablate.cli.composition import ComposeOnce

        loader = ComposeOnce(hydra_context.config_loader.get_search_path())
        once = HydraContext(config_loader=loader, callbacks=hydra_context.callbacks)
        super().setup(hydra_context=once, task_function=task_function, config=config)

    def sweep(self, arguments: list[str]) -> None:
        """Do what is missing of the studies and write their reports; end with status 1 where runs failed."""
        from ablate.cli.ending import end_with
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
        from ablate.sweep.machine import shared_out
        from ablate.sweep.mps import shared_gpus
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
            return planning.variant(cfg, choices, lines, value, where, here=machine.is_local)

        submit = self.submission()
        again = command_again(self.command)
        options = studies.Options(
            output_dir=Path(str(self.config.output_dir)),  # a number is a name too
            command=self.command,
            collection=collection_of(self.study, self.profile, again, where) if self.study is not None else None,
            extra_seeds=self.extra_seeds,
            rerun=self.config.rerun,
            wait=self.config.wait,
            keep_weights=self.config.keep_weights,
            dry_run=self.config.dry_run,
            leave=self.config.leave,
        )
        with shared_gpus(machine.num_workers, len(machine.gpus)), shared_out(machine.gpus):
            return studies.do_studies(requests, options, machine, resolve, submit)

    def submission(self) -> "Submit":
        """Return the function that does jobs: Hydra's launcher, or with SLURM `ablate.cli.slurm`.

        Raises:
            UserError: `leave` without a cluster.
        """
        from ablate.cli import slurm
        from ablate.config.overrides import key_of

        assert self.config is not None and self.launcher is not None
        config, launcher = self.config, self.launcher
        if type(launcher).__name__ != "SlurmLauncher":
            if config.leave:
                raise UserError(
                    "`leave=true` needs jobs that go on without this command: hydra/launcher=submitit_slurm"
                )

            def launch(jobs: list[list[str]]) -> None:
                launch_all(launcher, jobs)

            return launch
        of_hydra = OmegaConf.to_container(config.hydra.overrides.hydra, resolve=False)  # may name hydra.job.num
        assert isinstance(of_hydra, list)
        given = {key_of(str(line)) for line in of_hydra}
        most = slurm.MAX_REQUEUES
        if "hydra.launcher.max_num_timeout" in given:
            most = int(config.hydra.launcher.max_num_timeout)
        if not config.dry_run and (note := slurm.accounting_note()):
            say(note)
        return slurm.Slurm(
            launcher,
            runs_per_job=config.runs_per_job,
            output_dir=Path(str(config.output_dir)),
            max_requeues=most,
            leave=config.leave,
        )

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
        return [plain_sweep(",".join(lines), axes, shared, self.config.seed, name=self.name, baseline=self.baseline)]

    def composed(self, lines: Sequence[str]) -> tuple[DictConfig, dict[str, Any]]:
        """Return the configuration that a job with these overrides gets, without Hydra's node, and its levels.

        Raises:
            UserError: it cannot be composed: a study's file has an unknown key or level, or more than one value.
        """
        from hydra.errors import HydraException
        from omegaconf.errors import OmegaConfBaseException

        from ablate.cli.arguments import split_folders
        from ablate.cli.grammar import plainly
        from ablate.config import catalog

        assert self.config is not None and self.hydra_context is not None
        try:
            cfg = self.hydra_context.config_loader.load_sweep_config(self.config, list(lines))
        except (HydraException, OmegaConfBaseException) as error:
            where = [*catalog.folders(), *split_folders(sys.argv[1:])[0]]
            raise UserError(plainly(error, where, lines)) from error
        choices = dict(cfg.hydra.runtime.choices)
        with open_dict(cfg):
            del cfg["hydra"]
        return cfg, choices

    def decide(self, studies: Sequence[Any]) -> "Machine":
        """Return where the jobs run, and give joblib the number of its workers where they share GPUs.

        With `trainer.compile` each of several workers of this computer compiles in its own process, unless the user
        says otherwise: torch would start up to 32 more for each of them.
        """
        from ablate.sweep.machine import find_machine

        assert self.config is not None
        launcher, config = self.config.hydra.launcher, self.config
        kind = str(launcher._target_).rpartition(".")[2]
        settings = {key: getattr(config, key) for key in ("device", "gpu", "precision", "workers_per_gpu")}
        settings["trainer.threads"] = config.trainer.threads
        if kind == "BasicLauncher":
            num_jobs = 1
        elif kind == "JoblibLauncher":
            num_jobs = launcher.n_jobs
        elif kind == "DaskLauncher":
            num_jobs = cast(Any, self.launcher).num_workers()
            kind = kind if launcher.address is None else "DaskScheduler"
        else:
            num_jobs = int(launcher.get("array_parallelism") or 1)
            settings["cpus_per_task"] = launcher.get("cpus_per_task")
        machine = find_machine(kind, num_jobs, settings, [study.base for study in studies])
        if machine.has_workers and machine.is_local and machine.num_workers > 1:
            os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")  # workers inherit it
        if machine.gpus and kind == "JoblibLauncher":
            cast(Any, self.launcher).joblib["n_jobs"] = machine.num_workers
        elif machine.gpus:
            cast(Any, self.launcher).n_jobs = machine.num_workers
        return machine


def launch_all(launcher: Launcher, jobs: list[list[str]]) -> None:
    """Launch jobs; with Hydra's basic launcher one at a time.

    It keeps two configurations of every job until all are done, 0.38 MiB a job, and nothing here reads them.
    """
    # By name: Hydra's search for plugins loads modules again, so that a class may exist twice.
    if "BasicLauncher" not in (kind.__name__ for kind in type(launcher).__mro__):
        launcher.launch(jobs, initial_job_idx=0)
        return
    for number, job in enumerate(jobs):
        launcher.launch([job], initial_job_idx=number)

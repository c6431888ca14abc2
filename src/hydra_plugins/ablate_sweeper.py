"""`ablate -m ...` and `ablate study=...`: a study's runs on whichever launcher is chosen, then its report."""

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import open_dict

NOT_IN_BASE = ("output_dir", "rerun", "dry_run", "wait", "seed")  # a study's own, or the command line's


@dataclass
class AblateSweeperConf:
    """Selected by `hydra/sweeper=ablate`, which is the default; `ablate study=...` fills the fields.

    Args:
        study: name of a file in conf/study; None for a plain sweep.
        changes: "key=value" changes of its content.
        extra_seeds: report seeds to add to a finished study.
        command: the command line, where it is not that of the process.
    """

    _target_: str = "hydra_plugins.ablate_sweeper.AblateSweeper"
    study: str | None = None
    changes: list[str] = field(default_factory=list)
    extra_seeds: int = 0
    command: str | None = None


ConfigStore.instance().store(group="hydra/sweeper", name="ablate", node=AblateSweeperConf, provider="ablate")


class AblateSweeper(BasicSweeper):
    """Turns the command line into a study, and has `ablate.sweep` do it with Hydra's launcher."""

    def __init__(self, study: str | None, changes: Sequence[str], extra_seeds: int, command: str | None) -> None:
        super().__init__(max_batch_size=None)
        self.study, self.changes, self.extra_seeds = study, list(changes), extra_seeds
        self.command = command or shlex.join(["ablate", *sys.argv[1:]])

    def sweep(self, arguments: list[str]) -> None:
        """Do what is missing of the study and write its report; end with status 1 where runs failed."""
        from ablate.cli import fail

        try:
            self.do_study(arguments)
        except (ValueError, OSError) as error:
            if os.environ.get("HYDRA_FULL_ERROR") == "1":
                raise
            fail(error)

    def do_study(self, arguments: list[str]) -> None:
        """Plan, run, judge, report."""
        from ablate import catalog, planning, report, sweep
        from ablate.arguments import split_folders
        from ablate.judging import check_claims, check_recorded, judge
        from ablate.manifest import check_validated, plan_arms
        from ablate.results import Job, collect
        from ablate.study import key_of, parse, patch, read_study, text

        assert self.config is not None and self.launcher is not None and self.hydra_context is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides(list(arguments))
        if self.study is None:
            name, definition, shared = self.as_study(overrides, parser)
            study = parse(name, definition)
        else:
            shared = [str(override.input_line) for override in overrides]
            if swept := [str(o.input_line) for o in overrides if o.is_sweep_override()]:
                raise ValueError(f"a study's arms are in its file, so {swept[0]} cannot be swept; see study.grids")
            where = [catalog.conf_dir(), *split_folders(sys.argv[1:])[0]]
            path = catalog.levels(where, "study")[self.study]
            name, definition = self.study, patch(read_study(path), self.changes)
            for override in definition.get("base") or []:
                if key_of(override) in NOT_IN_BASE:
                    raise ValueError(f"{override} has no place in the base of study {name}; say it on the command line")
            study = parse(name, definition, *catalog.caption(path)).with_overrides(shared)
        check_claims(study)

        decided, num_workers, gpus, local = self.decide(study)
        command = again(self.command)

        def beside(lines: Sequence[str]) -> list[str]:
            """Return what is decided for all jobs and not said by these overrides."""
            said = {key_of(line) for line in lines}
            return [f"{key}={value}" for key, value in decided.items() if key not in said]

        output_dir = Path(self.config.output_dir)

        def resolve(lines: Sequence[str], value: Any) -> Any:
            assert self.config is not None and self.hydra_context is not None
            lines = [*lines, *([f"{study.tuning.key}={text(value)}"] if study.tuning else [])]
            cfg = self.hydra_context.config_loader.load_sweep_config(self.config, [*lines, *beside(lines)])
            choices = dict(cfg.hydra.runtime.choices)
            with open_dict(cfg):
                del cfg["hydra"]
            return planning.variant(cfg, choices, lines, value)

        arms = plan_arms(study.arms(), study, resolve)
        check_recorded(study, arms)
        check_validated(study, arms)
        folder = sweep.study_folder(output_dir, study, definition, shared if self.study else [])
        manifest = sweep.begin_manifest(study, definition, shared if self.study else [], self.command, arms)
        dry = bool(self.config.dry_run)
        manifest = sweep.begin(manifest, folder, self.extra_seeds, write=not dry)
        results = collect(manifest, folder)
        print(sweep.describe(results, num_workers), *(f"{k}={v}" for k, v in decided.items()), sep="\n", flush=True)
        if dry:
            return

        def launch(jobs: list[Job], wait: bool, rerun: bool) -> None:
            assert self.launcher is not None and self.config is not None
            own = [f"wait={wait or self.config.wait}".lower(), f"rerun={rerun}".lower()]
            lines = in_turn([[*job.overrides, *beside(job.overrides), *own] for job in jobs], gpus)
            try:
                self.launcher.launch(lines, initial_job_idx=0)
            except Exception as error:  # a worker that was killed breaks the batch: the runs' folders tell what is done
                why = f"the launcher gave up: {' '.join(str(error).split())[:300]}"
                if not local:
                    rest = f"what it has submitted may still run; when it is over, to do what is left:\n  {command}"
                    raise ValueError(f"{why}; {rest}") from error
                print(why, file=sys.stderr)

        results, failed = sweep.do_runs(manifest, folder, launch, rerun=self.config.rerun)
        judgements = judge(results)
        page = report.write_report(results, judgements)
        print("\n" + report.summary(results, judgements))
        print(f"\n{page}")
        for view in ("tensorboard", "tensorboard-arms"):  # the runs, and one aggregated run an arm
            print(f"tensorboard --logdir {shlex.quote(str(folder / view))}")
        if failed:
            print(f"\n{len(failed)} runs failed:", file=sys.stderr)
            for home, line in failed.items():
                print(f"  {output_dir / home}: {line}", file=sys.stderr)
            print(f"to do what is left:\n  {command}", file=sys.stderr)
            sys.exit(1)

    def as_study(self, overrides: Sequence[Override], parser: OverridesParser) -> tuple[str, dict[str, Any], list[str]]:
        """Return name, definition and shared overrides of a plain sweep: one grid, no tuning, no claims.

        Raises:
            ValueError: what is swept does not change the result.
        """
        from ablate.identity import is_unscientific

        assert self.config is not None
        (jobs,) = self.split_arguments(list(overrides), None)
        swept = [override for override in overrides if override.is_sweep_override()]
        axes: dict[str, list[Any]] = {}
        for override in swept:
            key = override.get_key_element()
            if is_unscientific(key) and key != "seed":
                raise ValueError(f"{key} does not change the result, so all of {override.input_line} would be one run")
            lines = dict.fromkeys(line for job in jobs for line in job if line.startswith(f"{key}="))
            axes[key] = [parser.parse_override(line).value() for line in lines]
        shared = [str(override.input_line) for override in overrides if override not in swept]
        seeds = axes.pop("seed", [self.config.seed])
        base = [line for line in shared if not line.startswith(("seed=", "rerun=", "dry_run=", "wait="))]
        definition = {"base": base, "grids": [{"product": axes}], "seeds": seeds}
        return ",".join(str(o.input_line) for o in swept) or "sweep", definition, shared

    def decide(self, study: Any) -> tuple[dict[str, Any], int, Sequence[int], bool]:
        """Return what replaces `auto`, so that all jobs here compute alike, how many run at once, and if it is here.

        Before the last stand the GPUs that jobs get in turn, none where each finds its own. A job of a cluster decides
        for itself: its node is not this one.

        Raises:
            ValueError: precision is left to the nodes of a cluster, which may not agree.
        """
        from ablate import hardware
        from ablate.study import key_of

        assert self.config is not None
        launcher = self.config.hydra.launcher
        kind = str(launcher._target_).rpartition(".")[2]
        if kind not in ("BasicLauncher", "JoblibLauncher"):
            if self.config.precision == "auto" or "precision=auto" in study.base:
                raise ValueError("`precision=auto` may differ between the nodes of a cluster; say fp32 or bf16")
            return {}, int(launcher.get("array_parallelism") or 1), (), False
        num_workers = launcher.n_jobs if kind == "JoblibLauncher" else 1
        if num_workers < 1:  # joblib counts from the end: -1 is all cores, -2 all but one
            num_workers = max(1, hardware.num_cores() + 1 + num_workers)
        values: dict[str, Any] = {}
        said = {key_of(line): line.partition("=")[2] for line in study.base}
        device = said.get("device", self.config.device)
        if device == "auto":
            values["device"] = device = hardware.resolve_device(device)
        gpus: Sequence[int] = ()
        if device == "cuda" and kind == "JoblibLauncher":
            gpus = [self.config.gpu] if self.config.gpu is not None else range(hardware.num_gpus())
            num_workers = hardware.share_gpus(num_workers, len(gpus), self.config.workers_per_gpu)
            cast(Any, self.launcher).joblib["n_jobs"] = num_workers
        if self.config.precision == "auto":
            values["precision"] = hardware.resolve_precision("auto", device)
        if self.config.trainer.threads == "auto":
            values["trainer.threads"] = hardware.resolve_threads("auto", num_workers)
        return values, num_workers, gpus, True


def in_turn(jobs: Sequence[list[str]], gpus: Sequence[int]) -> list[list[str]]:
    """Return the jobs' overrides, each job with the next GPU; as they are where there are no GPUs to give.

    The turns are fixed beforehand: where runs differ much in length, two may meet on one GPU while another rests.
    """
    return [[*job, f"gpu={gpus[i % len(gpus)]}"] if gpus else job for i, job in enumerate(jobs)]


def again(command: str) -> str:
    """Return a command line without what must not be said twice."""
    words = shlex.split(command)
    return shlex.join(word for word in words if not word.startswith(("extra_seeds=", "rerun=", "dry_run=", "wait=")))

"""`ablate -m ...` and `ablate study=...`: a study's runs on whichever launcher is chosen, then its report."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from ablate.errors import CannotWrite, UserError

if TYPE_CHECKING:
    from ablate.study.collection import Collection

NOT_IN_BASE = ("output_dir", "rerun", "dry_run", "wait", "seed")  # a study's own, or the command line's


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
    """Turns the command line into a study, and has `ablate.sweep.loop` do it with Hydra's launcher."""

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
        """Do what is missing of the study and write its report; end with status 1 where runs failed."""
        from ablate.cli.main import end_with

        try:
            self.do_study(arguments)
        except CannotWrite as error:
            end_with(CannotWrite(f"{error}:\n  {again(self.command)}"))
        except Exception as error:
            end_with(error)

    def do_study(self, arguments: list[str]) -> None:
        """Plan, run, judge, report."""
        from ablate import report
        from ablate.cli.arguments import applicable, split_folders
        from ablate.config import catalog
        from ablate.config.overrides import key_of, text
        from ablate.judging import check_claims, check_recorded, judge
        from ablate.study.manifest import check_validated, plan_arms
        from ablate.study.results import Job
        from ablate.study.study import Study
        from ablate.sweep import forecast
        from ablate.sweep import loop as sweep

        assert self.config is not None and self.launcher is not None and self.hydra_context is not None
        where = [*catalog.folders(), *split_folders(sys.argv[1:])[0]]
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides(list(arguments))
        asked = [self.as_study(overrides)] if self.study is None else self.read(overrides, where)
        for study, _, _ in asked:
            check_claims(study)
            self.check_arms(study, where)
        from ablate.cli import planning

        decided, num_workers, gpus, local = self.decide([study for study, _, _ in asked])
        command = again(self.command)

        def beside(lines: Sequence[str]) -> list[str]:
            """Return what is decided for all jobs and not said by these overrides."""
            said = {key_of(line) for line in lines}
            return [f"{key}={value}" for key, value in decided.items() if key not in said]

        def planned(study: Study, definition: dict[str, Any], shared: list[str]) -> sweep.Started:
            """Return the manifest that the study would begin with, and the study's folder."""

            def resolve(lines: Sequence[str], value: Any) -> Any:
                lines = applicable([*lines, *([f"{study.tuning.key}={text(value)}"] if study.tuning else [])], where)
                cfg, choices = self.composed([*lines, *beside(lines)])
                return planning.variant(cfg, choices, lines, value, where)

            assert self.config is not None
            arms = plan_arms(study.arms(), study, resolve)
            check_recorded(study, arms)
            check_validated(study, arms)
            folder = sweep.study_folder(Path(self.config.output_dir), study, definition, shared)
            return sweep.begin_manifest(study, definition, shared, self.command, arms), folder

        studies = sweep.begin_all([planned(*one) for one in asked], self.extra_seeds, write=not self.config.dry_run)
        results = sweep.collect_all(studies)
        with_arms = len(results) == 1 or self.config.dry_run
        told = (forecast.study_overview(found, with_arms=with_arms) for found in results)
        print(*told, *(f"{k}={v}" for k, v in decided.items()), sep="\n")
        print(forecast.forecast(results, num_workers), flush=True)
        if self.config.dry_run:
            return
        collection = self.collect_studies(studies, where)  # written now, so that what is not finished is reported too

        asked_for = sweep.measures_by_folder(results)

        def launch(jobs: list[Job], wait: bool, rerun: bool) -> None:
            assert self.launcher is not None and self.config is not None
            own = [f"wait={wait or self.config.wait}".lower(), f"rerun={rerun}".lower()]
            lines = in_turn(
                [
                    [*job.overrides, *beside(job.overrides), *asked_for.get(job.variant.folder, []), *own]
                    for job in jobs
                ],
                gpus,
            )
            try:
                self.launcher.launch(lines, initial_job_idx=0)
            except Exception as error:  # a worker that was killed breaks the batch: the runs' folders tell what is done
                why = f"the launcher gave up: {' '.join(str(error).split())[:300]}"
                if not local:
                    rest = f"what it has submitted may still run; when it is over, to do what is left:\n  {command}"
                    raise UserError(f"{why}; {rest}") from error
                print(why, file=sys.stderr)

        results, failed = sweep.do_runs(studies, launch, rerun=self.config.rerun)
        if collection is not None:
            print("\n{}\n\n{}".format(*report.report_collection(collection, studies)))
        else:
            judgements = judge(results[0])
            page = report.write_report(results[0], judgements)
            print(f"\n{report.summary(results[0], judgements)}\n\n{page}")
            for view in ("tensorboard", "tensorboard-arms"):  # the runs, and one aggregated run an arm
                print(f"tensorboard --logdir {shlex.quote(str(results[0].folder / view))}")
        if failed:
            print(f"\n{len(failed)} runs failed:", file=sys.stderr)
            for home, line in failed.items():
                print(f"  {Path(self.config.output_dir) / home}: {line}", file=sys.stderr)
            print(f"to do what is left:\n  {command}", file=sys.stderr)
            sys.exit(1)

    def composed(self, lines: Sequence[str]) -> tuple[DictConfig, dict[str, Any]]:
        """Return the configuration that a job with these overrides gets, without Hydra's node, and its levels."""
        assert self.config is not None and self.hydra_context is not None
        cfg = self.hydra_context.config_loader.load_sweep_config(self.config, list(lines))
        choices = dict(cfg.hydra.runtime.choices)
        with open_dict(cfg):
            del cfg["hydra"]
        return cfg, choices

    def check_arms(self, study: Any, where: Sequence[Path]) -> None:
        """Check the settings of every arm, and each tuned value with the first of them, before torch is loaded.

        Raises:
            UserError: one is refused; the arm is named.
        """
        from ablate.cli.arguments import applicable
        from ablate.cli.composition import checked
        from ablate.config.overrides import text

        tuned = [f"{study.tuning.key}={text(value)}" for value in study.tuning.values] if study.tuning else []
        arms = study.arms()
        for arm, own in [*((arm, tuned[:1]) for arm in arms), *((arms[0], [line]) for line in tuned[1:])]:
            try:
                checked(*self.composed(applicable([*arm.overrides, *own], where)), where)
            except UserError as error:
                named = f" ({' '.join([arm.label, *own])})" if arm.axes or own else ""
                raise UserError(f"{error}{named}") from error

    def read(self, overrides: Sequence[Override], where: Sequence[Path]) -> list[tuple[Any, dict[str, Any], list[str]]]:
        """Return study, definition and shared overrides of the file that is named, or of each that it consists of.

        Raises:
            UserError: something is swept, or a file has what belongs to the command line.
        """
        from ablate.config import catalog
        from ablate.config.overrides import key_of
        from ablate.study.files import parts_of, patch, read_study, with_claims, with_profile, without_idle
        from ablate.study.study import parse

        assert self.study is not None
        shared = [str(override.input_line) for override in overrides]
        if swept := [str(o.input_line) for o in overrides if o.is_sweep_override()]:
            raise UserError(f"a study's arms are in its file, so {swept[0]} cannot be swept; see study.grids")
        files, claim_files = catalog.levels(where, "study"), catalog.levels(where, "claim")
        names = parts_of(self.study, files)
        found = []
        for name in names:
            content = patch(with_profile(name, read_study(files[name]), self.profile, files), self.changes)
            found.append((name, with_claims(name, content, claim_files)))
        if names != [self.study]:
            found = without_idle(found)
        studies = []
        for name, definition in found:
            for override in definition.get("base") or []:
                if key_of(override) in NOT_IN_BASE:
                    cure = "give study.seeds" if key_of(override) == "seed" else "say it on the command line"
                    raise UserError(f"{override} has no place in the base of study {name}; {cure}")
            study = parse(name, definition, *catalog.caption(files[name])).with_overrides(shared)
            studies.append((study, definition, shared))
        return studies

    def collect_studies(self, studies: Sequence[Any], where: Sequence[Path]) -> "Collection | None":
        """Write down which studies belong together, where the study that is asked for consists of others."""
        from ablate.config import catalog
        from ablate.study.collection import Collection, write_collection
        from ablate.study.files import parts_of

        assert self.config is not None
        files = catalog.levels(where, "study")
        if self.study is None or parts_of(self.study, files) == [self.study]:
            return None
        title, source = catalog.caption(files[self.study])
        collection = Collection(
            name=self.study,
            title=title,
            source=source,
            profile=self.profile or "",
            command=again(self.command),
            folders=[folder.name for _, folder in studies],
        )
        write_collection(collection, collection.folder_in(Path(self.config.output_dir)))
        return collection

    def as_study(self, overrides: Sequence[Override]) -> tuple[Any, dict[str, Any], list[str]]:
        """Return a plain sweep as study, definition and no shared overrides: one grid, no tuning, no claims.

        Raises:
            UserError: what is swept does not tell runs apart.
        """
        from ablate.cli.grammar import values_of
        from ablate.config import catalog
        from ablate.config.overrides import text
        from ablate.study.study import TUNING_SEED, parse
        from ablate.training.identity import is_unscientific

        assert self.config is not None
        swept = [override for override in overrides if override.is_sweep_override()]
        axes: dict[str, list[Any]] = {}
        for override in swept:
            key = override.get_key_element()
            if is_unscientific(key) and key not in ("seed", "data.root"):  # the data's content is a part of the run
                raise UserError(
                    f"{key} says how or where runs are done and is no part of what they are, so all of "
                    f"{override.input_line} would be the same runs; give one command for each value, each with an "
                    "output_dir of its own"
                )
            assert override.config_loader is not None
            levels = override.config_loader.get_group_options(key) if key in catalog.default_levels() else []
            axes[key] = list({text(value): value for value in values_of(override, levels)}.values())
        shared = [str(override.input_line) for override in overrides if override not in swept]
        seeds = axes.pop("seed", [self.config.seed])
        for seed in seeds:
            if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
                raise UserError(f"`seed` must be a whole number of at least 0, got {seed!r}")
            if seed >= TUNING_SEED:
                raise UserError(f"`seed` must lie below {TUNING_SEED} in a sweep, where tuning seeds begin, got {seed}")
        base = [line for line in shared if not line.startswith(("seed=", "rerun=", "dry_run=", "wait="))]
        definition = {"base": base, "grids": [{"product": axes}], "seeds": seeds}
        name = ",".join(str(o.input_line) for o in swept) or "sweep"
        return parse(name, definition), definition, []

    def decide(self, studies: Sequence[Any]) -> tuple[dict[str, Any], int, Sequence[int], bool]:
        """Return what replaces `auto`, so that all jobs here compute alike, how many run at once, and if it is here.

        Before the last stand the GPUs that jobs get in turn, none where each finds its own. A job of a cluster decides
        for itself: its node is not this one.

        Raises:
            UserError: precision is left to the nodes of a cluster, which may not agree, or studies name two devices.
        """
        from ablate.config.overrides import key_of
        from ablate.training import hardware

        assert self.config is not None
        launcher = self.config.hydra.launcher
        kind = str(launcher._target_).rpartition(".")[2]
        if kind not in ("BasicLauncher", "JoblibLauncher"):
            if self.config.precision == "auto" or any("precision=auto" in study.base for study in studies):
                raise UserError("`precision=auto` may differ between the nodes of a cluster; say fp32 or bf16")
            return {}, int(launcher.get("array_parallelism") or 1), (), False
        num_workers = launcher.n_jobs if kind == "JoblibLauncher" else 1
        if num_workers < 1:  # joblib counts from the end: -1 is all cores, -2 all but one
            num_workers = max(1, hardware.num_cores() + 1 + num_workers)
        values: dict[str, Any] = {}
        said = [{key_of(line): line.partition("=")[2] for line in study.base} for study in studies]
        devices = sorted({base.get("device", self.config.device) for base in said})
        if len(devices) > 1:
            raise UserError(f"studies that are done together need one device, got {' and '.join(devices)}")
        device = devices[0]
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

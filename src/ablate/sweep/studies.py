"""The path of a study: `plan` its runs, `begin_all`, `do_runs`, `conclude` with its report.

The caller passes in how overrides become a variant and how jobs are launched, so this module does not import Hydra.
"""

import contextlib
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

from ablate import report, stopping
from ablate.config.overrides import command_again, text
from ablate.errors import UserError
from ablate.judging import check_claims, check_recorded, judge
from ablate.screen import copyable, say, width
from ablate.storage.announced import announce
from ablate.storage.place import check_place
from ablate.study.collection import Collection, write_collection
from ablate.study.manifest import Variant, check_validated, plan_arms
from ablate.study.results import Job, Results, read_failure
from ablate.study.study import Study
from ablate.sweep.begin import Started, begin_all, begin_manifest, study_folder
from ablate.sweep.budget import Budget, open_claims
from ablate.sweep.forecast import forecast, study_overview
from ablate.sweep.loop import Launch, collect_all, do_runs, measures_by_folder
from ablate.sweep.machine import Machine
from ablate.sweep.request import Request
from ablate.tables import printable
from ablate.training.record import FAILURE_NAME, WEIGHTS_NAME, is_finished

Resolve = Callable[[Sequence[str], Any], Variant]
"""(overrides but for the seed, value of the tuned setting) -> variant."""

Submit = Callable[[list[list[str]]], Sequence[str] | None]
"""Does jobs, given as their overrides, and returns when they are over; an exception means that it gave up. It may
return for each job why it was lost, "" if it was not."""


class Left(Exception):
    """The jobs are submitted, and the command ends without waiting for them."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is asked for beside the studies.

    Args:
        output_dir: the program's output folder.
        command: the command line.
        collection: that the studies belong to, its folders not known yet; None for a single study.
        extra_seeds: report seeds to add to a finished study.
        rerun: do the finished runs anew too.
        wait: wait for a run that another process is doing.
        keep_weights: the value of this setting, for the runs that are trained now.
        dry_run: only say what there is to do.
        leave: end once the jobs are submitted.
    """

    output_dir: Path
    command: str
    collection: Collection | None = None
    extra_seeds: int = 0
    rerun: bool = False
    wait: bool = False
    keep_weights: bool | str = False
    dry_run: bool = False
    leave: bool = False


def check_requests(requests: Sequence[Request], check: Callable[[Sequence[str]], object]) -> None:
    """Check claims, the settings of every arm, and each tuned value with the first arm. Torch is not loaded.

    Args:
        requests: the studies.
        check: raises a UserError if it refuses the settings that these overrides make.

    Raises:
        UserError: something is refused; the arm is named.
    """
    check_minutes(requests)
    for study, _, _ in requests:
        check_claims(study)
        tuned = [tuning_override(study, value) for value in study.tuning.values] if study.tuning else []
        arms = study.arms()
        for arm, own in [*((arm, tuned[:1]) for arm in arms), *((arms[0], [line]) for line in tuned[1:])]:
            try:
                check([*arm.overrides, *own])
            except UserError as error:
                named = f" ({' '.join([arm.label, *own])})" if arm.axes or own else ""
                raise UserError(f"{error}{named}") from error


def check_minutes(requests: Sequence[Request]) -> None:
    """Refuse a budget for further looks where none is declared.

    Raises:
        UserError: no study declares any.
    """
    if any(study.minutes for study, _, _ in requests) and not any(study.schedule for study, _, _ in requests):
        raise UserError(
            f"`study.minutes` says how long further looks may take, and study {requests[0].study.name} declares none; "
            "declare them with study.seeds={from: 4, to: 16, looks: 4}"
        )


def do_studies(
    requests: Sequence[Request], options: Options, machine: Machine, resolve: Resolve, submit: Submit
) -> dict[str, str]:
    """Do what is missing of the studies and write their reports.

    Args:
        requests: the studies, after `check_requests`.
        options: what else is asked for.
        machine: where the jobs run.
        resolve, submit: see `Resolve` and `Submit`.

    Returns:
        {run's folder, relative to the output folder: last line of its error} of the runs that failed.
    """
    planned = plan(requests, options, resolve)
    if not options.dry_run:
        check_place(options.output_dir)
    studies = begin_all(planned, options.extra_seeds, write=not options.dry_run)
    results = collect_all(studies)
    print_overview(results, machine, with_arms=len(results) == 1)
    if options.dry_run:
        if len(results) > 1:
            say(f"the arms of one of them: ablate study={results[0].study.name} dry_run=true")
        return {}
    collection = begin_collection(studies, options)  # before the runs, so that an unfinished one is reported too
    launch = launcher(submit, options, machine, measures_by_folder(results))
    try:
        return do_and_conclude(requests, studies, collection, launch, options, machine)
    except Left:
        folder = collection.folder_in(options.output_dir) if collection else studies[0][1]
        look = copyable(f"  ablate report {shlex.quote(str(folder))}", width())
        print(f"the jobs go on without this command; to see what is finished:\n{look}")
        print(f"once they are over, to do what is left and conclude:\n{again(options)}")
        return {}


def do_and_conclude(
    requests: Sequence[Request],
    studies: Sequence[Started],
    collection: Collection | None,
    launch: Launch,
    options: Options,
    machine: Machine,
) -> dict[str, str]:
    """Do what is missing of studies that have begun, within `study.minutes`, and conclude; see `do_studies`."""
    minutes = max((study.minutes or 0.0 for study, _, _ in requests), default=0.0)
    budget = Budget(minutes, machine.num_workers) if minutes else None
    results, failed = do_runs(studies, launch, rerun=options.rerun, budget=budget)
    conclude(studies, results, collection, failed, options)
    if budget and (names := [name for found in results for name in open_claims(found)]):
        say(f"\nopen after study.minutes={minutes:g}: {', '.join(names)}; the same command goes on")
    return failed


def plan(requests: Sequence[Request], options: Options, resolve: Resolve) -> list[Started]:
    """Return the manifest that each study would begin with, and its folder.

    Raises:
        UserError: a claim needs what the runs of its arms do not record.
    """
    planned = []
    for study, definition, overrides in requests:

        def resolve_arm(lines: Sequence[str], value: Any, study: Study = study) -> Variant:
            return resolve([*lines, *([tuning_override(study, value)] if study.tuning else [])], value)

        arms = plan_arms(study.arms(), study, resolve_arm)
        check_recorded(study, arms)
        check_validated(study, arms)
        folder = study_folder(options.output_dir, study, definition, overrides)
        planned.append((begin_manifest(study, definition, overrides, options.command, arms), folder))
    return planned


def tuning_override(study: Study, value: Any) -> str:
    """Return the override that sets a study's tuned setting to a value.

    >>> from ablate.study.tuned import Tuning
    >>> tuning_override(Study(name="s", tuning=Tuning(key="optimizer.lr", values=[0.1, 0.2])), 0.1)
    'optimizer.lr=0.1'
    """
    assert study.tuning is not None
    return f"{study.tuning.key}={text(value)}"


def print_overview(results: Sequence[Results], machine: Machine, *, with_arms: bool) -> None:
    """Print the studies, what is decided for all jobs, how many runs are left and about how long they take."""
    overviews = (study_overview(found, with_arms=with_arms) for found in results)
    say("\n".join([*map(printable, overviews), *machine.unless_given([])]))
    say(forecast(results, machine.num_workers))


def begin_collection(studies: Sequence[Started], options: Options) -> Collection | None:
    """Write which studies belong together, and return it; None where one was asked for alone."""
    if options.collection is None:
        return None
    collection = replace(options.collection, folders=[folder.name for _, folder in studies])
    write_collection(collection, collection.folder_in(options.output_dir))
    return collection


def launcher(submit: Submit, options: Options, machine: Machine, measures: Mapping[str, list[str]]) -> Launch:
    """Return the function with which `do_runs` launches jobs.

    Where jobs run on this computer and a batch breaks off, say because a worker was killed, this is printed, and the
    runs' folders show what is done.

    Args:
        submit, options, machine: see `do_studies`.
        measures: see `measures_by_folder`.
    """

    def launch(jobs: list[Job], wait: bool, rerun: bool) -> None:
        own = [f"wait={wait or options.wait}".lower(), f"rerun={rerun}".lower()]
        own += [f"keep_weights={options.keep_weights}".lower()]
        lines = [
            [*job.overrides, *machine.unless_given(job.overrides), *measures.get(job.variant.folder, []), *own]
            for job in jobs
        ]
        try:
            with stopping.leading() if machine.has_workers else contextlib.nullcontext():
                lost = submit(lines)
        except Exception as error:
            why = f"the launcher gave up: {' '.join(str(error).split())[:300]}"
            if not machine.is_local:
                raise UserError(
                    f"{why}; what it has submitted may still run; when it is over, to do what is left:\n"
                    f"  {command_again(options.command)}"
                ) from error
            say(why, sys.stderr)
            return
        for job, reason in zip(jobs, lost or (), strict=False):
            folder = options.output_dir / job.folder
            if reason and not is_finished(folder) and not read_failure(folder):
                folder.mkdir(parents=True, exist_ok=True)
                (folder / FAILURE_NAME).write_text(f"{reason}\n", encoding="utf-8")
        if options.leave:
            raise Left

    return launch


def conclude(
    studies: Sequence[Started],
    results: Sequence[Results],
    collection: Collection | None,
    failed: Mapping[str, str],
    options: Options,
) -> None:
    """Judge the studies, write the reports, and print the verdicts, where the reports are, and which runs failed."""
    announce(collection.folder_in(options.output_dir) if collection else studies[0][1])
    if collection is not None:
        print("\n{}\n\n{}".format(*report.report_collection(collection, studies)))
    else:
        (only,) = results
        judgements = judge(only)
        page = report.write_report(only, judgements)
        print(f"\n{report.summary(only, judgements)}\n\n{page}")
        views = {"tensorboard": "each run", "tensorboard-arms": "means over seeds"}
        for view, what in views.items():
            print(copyable(f"tensorboard --logdir {shlex.quote(str(only.folder / view))}   # {what}", width()))
        say("open the tab Time Series, group accuracy; then HParams for a table, Custom Scalars for intervals")
    if options.keep_weights and (lacking := without_weights(results)):
        say(f"\n{lacking} finished runs were trained without keeping their weights; rerun=true trains them again")
    if failed:
        print(f"\n{len(failed)} runs failed:", file=sys.stderr)
        for folder, line in failed.items():
            say(f"  {options.output_dir / folder}: {line}", sys.stderr)
        print(f"to do what is left:\n{again(options, sys.stderr)}", file=sys.stderr)


def again(options: Options, stream: TextIO | None = None) -> str:
    """Return the indented command that goes on with what `options.command` began, in the width of `stream`."""
    return copyable(f"  {command_again(options.command)}", width(stream))


def without_weights(results: Sequence[Results]) -> int:
    """Return how many finished report runs have no weights beside their record; diverged runs keep none."""
    folders = {
        found.output_dir / Job(label=arm.label, variant=arm.chosen, seed=seed).folder
        for found in results
        for arm in found.arms
        for seed, record in arm.records.items()
        if arm.chosen is not None and record.status == "finished"
    }
    return sum(not (folder / WEIGHTS_NAME).is_file() for folder in folders)

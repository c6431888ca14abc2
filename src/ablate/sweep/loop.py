"""Launch the missing runs of studies until none is missing.

How runs are launched is passed in; Hydra is not known here.
"""

import contextlib
import itertools
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from filelock import FileLock, Timeout

from ablate.config.overrides import text
from ablate.errors import Unusable, UserError
from ablate.judging import collect
from ablate.judging.selection import unmeasured_runs
from ablate.screen import say
from ablate.study import results as study_results
from ablate.study.manifest import Variant
from ablate.study.results import Job, Results, missing_runs, read_failure, read_own, state_of
from ablate.study.run_rows import write_runs
from ablate.sweep.begin import Started
from ablate.sweep.budget import Budget
from ablate.sweep.progress import ProgressPrinter
from ablate.training.directory import set_aside
from ablate.training.identity import measures
from ablate.training.record import FAILURE_NAME, read_record
from ablate.training.sources import Source, edited, find

MAX_LOSSES = 2  # how often a run is launched again whose worker ended without an error


Launch = Callable[[list[Job], bool, bool], None]


def do_runs(
    studies: Sequence[Started], launch: Launch, rerun: bool = False, budget: Budget | None = None
) -> tuple[list[Results], dict[str, str]]:
    """Launch missing runs until none is missing; return the results and {folder: last line of its error} of failures.

    A run that studies share is done once. A run that failed is not tried again in this call. A worker that is killed
    may stop a whole batch: what had not begun is launched again, and then, one by one, what had begun, each at most
    `MAX_LOSSES` times more.

    Args:
        studies: what `begin_all` returned, in one output folder.
        launch: (jobs, wait, rerun) does the jobs and returns when they are over, failed or not; with `wait`, it waits
            for a run that another process is doing; with `rerun`, it does a finished one anew.
        rerun: first do all runs again, the finished ones too.
        budget: the time for looks after the first; by default open claims take all that are declared.
    """
    folder = studies[0][1]
    output_dir = folder.parent.parent
    failed: dict[str, str] = {}
    if rerun:
        undone = [
            replace(found, arms=[replace(arm, records={}, tuning=[{} for _ in arm.tuning]) for arm in found.arms])
            for found in collect_all(studies)
        ]
        do_batch(list(each_once(undone, missing_runs)), studies, launch, failed, rerun=True)
    losses: Counter[str] = Counter()
    launched: set[str] = set()
    measured: set[str] = set()
    num_idle = 0  # batches in a row in which nothing began
    granted = None if budget is None else budget.granted
    seeds: dict[Path, int] = {}
    while True:
        results = collect_all(studies, granted)
        if set_aside_refused(results):
            results = collect_all(studies, granted)
        jobs = [job for job in each_once(results, missing_runs) if job.folder not in failed]
        jobs = [job for job in jobs if not losses[job.folder]] or jobs[:1]
        if not jobs:
            unmeasured = each_once(results, unmeasured_runs)
            jobs = [job for job in unmeasured if job.folder not in measured | failed.keys()]
            if not jobs:
                if budget and grant_looks(budget, studies, failed):
                    continue
                write_all(studies)
                return (collect_all(studies) if budget else results), failed
            say(f"{len(jobs)} finished runs did not measure what a claim is about: trained again, the old ones kept")
            do_batch(jobs, studies, launch, failed, rerun=True)
            measured |= {job.folder for job in jobs}
            continue
        say_who_goes_on(results, seeds)
        wait = any(job.folder in launched for job in jobs)  # the first time, a run of another process is skipped
        launched |= {job.folder for job in jobs}
        before = {job.folder: state_of(output_dir / job.folder) for job in jobs}
        do_batch(jobs, studies, launch, failed, wait=wait)
        after = {job.folder: state_of(output_dir / job.folder) for job in jobs}
        num_idle = num_idle + 1 if before == after and "to do" in after.values() else 0
        for job in jobs:
            if after[job.folder] == "begun" and not is_busy(output_dir / job.folder):
                losses[job.folder] += 1
            if losses[job.folder] > MAX_LOSSES:
                failed[job.folder] = f"its worker ended without an error {losses[job.folder]} times (out of memory?)"
            elif num_idle > MAX_LOSSES and after[job.folder] == "to do":
                failed[job.folder] = edited_meanwhile(job.variant, folder) or "it was launched and did not begin"


def edited_meanwhile(variant: Variant, folder: Path) -> str:
    """Return which of the user's code was edited since the study in `folder` was planned, "" for none.

    A job that finds other code is another run, with another folder.
    """
    now = find(variant.settings)
    what = edited([Source(**source) for source in variant.sources], now, folder)
    return f"{what} while the study was running; undo the change to go on" if what else ""


def collect_all(studies: Sequence[Started], granted: Mapping[Path, Mapping[str, int]] | None = None) -> list[Results]:
    """Read the records of each study; `granted` are the looks that it may take, by default all, see `Budget`."""
    return [
        collect(manifest, folder, None if granted is None else granted.get(folder, {})) for manifest, folder in studies
    ]


def grant_looks(budget: Budget, studies: Sequence[Started], failed: Mapping[str, str]) -> bool:
    """Grant the looks that fit into the budget and print their claims; return whether there are any."""
    everything = [study_results.collect(manifest, folder) for manifest, folder in studies]
    names = budget.grant(everything, failed.keys())
    if names:
        say(f"next look of {', '.join(names)}")
    return bool(names)


def say_who_goes_on(studies: Sequence[Results], known: dict[Path, int]) -> None:
    """Print how many arms of a study get further seeds, when their number grows after a look; `known` is updated."""
    for results in (found for found in studies if found.study.schedule):
        numbers = [len(results.seeds_of(arm)) for arm in results.arms]
        most = max(numbers)
        if most > known.get(results.folder, results.study.schedule[0]):
            say(f"study {results.study.name}: {numbers.count(most)} of {len(numbers)} arms go on to {most} seeds")
        known[results.folder] = most


def set_aside_refused(results: Sequence[Results]) -> int:
    """Set aside the runs whose record is of another run or unreadable, print it, and return how many they are.

    What this process may not move is left to the run's own job, whose error names it.
    """
    count = 0
    for arm in (arm for found in results for arm in found.arms):
        for run, reason in arm.refused.items():
            folder = results[0].output_dir / run
            place, _, seed = run.rpartition("/seed-")
            fingerprint = next(variant.fingerprint for variant in arm.planned.every if variant.folder == place)
            with contextlib.suppress(Timeout, OSError), FileLock(folder.parent / f".{folder.name}.lock", timeout=0):
                if not may_be_replaced(folder):
                    continue
                # Another arm or sweep may have found it first, and have trained the run again meanwhile.
                if read_own(folder, fingerprint, int(seed))[1]:
                    moved = set_aside(folder, reason)
                    say(f"{reason}; it now lies in {moved}, and the run is trained again", sys.stderr)
                    count += 1
    return count


def may_be_replaced(folder: Path) -> bool:
    """Return whether the record in `folder` can be read or is damaged; one of a later version is left as it is."""
    try:
        read_record(folder)
    except Unusable:
        return True
    except UserError:
        return False
    return True


def each_once(results: Sequence[Results], jobs_of: Callable[[Results], Iterable[Job]]) -> Iterator[Job]:
    """Yield the jobs of several studies, a shared one once."""
    seen: set[str] = set()
    for job in itertools.chain.from_iterable(map(jobs_of, results)):
        if job.folder not in seen:
            seen.add(job.folder)
            yield job


def measures_by_folder(results: Sequence[Results]) -> dict[str, list[str]]:
    """Return {folder: override that asks for all} of variants of which studies ask for different diagnostics.

    A run is done once; without this, the first study would decide what it measures.
    """
    wanted: dict[str, list[list[str]]] = {}
    for found in results:
        for variant in (variant for arm in found.arms for variant in arm.planned.every):
            wanted.setdefault(variant.folder, []).append(measures(variant.settings))
    together = {folder: list(dict.fromkeys(itertools.chain(*lists))) for folder, lists in wanted.items()}
    return {
        folder: [f"diagnostics.measure={text(together[folder])}"]
        for folder, lists in wanted.items()
        if any(set(names) != set(together[folder]) for names in lists)
    }


def write_all(studies: Sequence[Started]) -> None:
    """Write every study's runs.csv."""
    for manifest, folder in studies:
        seeds = None
        if manifest.study().schedule:
            results = collect(manifest, folder)
            seeds = {arm.label: results.seeds_of(arm) for arm in results.arms}
        write_runs(manifest, folder, seeds)


def do_batch(
    jobs: list[Job],
    studies: Sequence[Started],
    launch: Launch,
    failed: dict[str, str],
    *,
    wait: bool = False,
    rerun: bool = False,
) -> None:
    """Launch jobs, print each when it ends, and add those that failed to `failed`."""
    output_dir = studies[0][1].parent.parent
    for job in jobs:
        (output_dir / job.folder / FAILURE_NAME).unlink(missing_ok=True)
    write_all(studies)
    with ProgressPrinter(jobs, output_dir, lambda: write_all(studies)):
        launch(jobs, wait, rerun)
    failed |= {job.folder: line for job in jobs if (line := read_failure(output_dir / job.folder))}


def is_busy(folder: Path) -> bool:
    """Return whether a process is doing the run in `folder` now."""
    lock = FileLock(folder.parent / f".{folder.name}.lock", timeout=0)
    try:
        with lock:
            return False
    except Timeout:
        return True

"""What is printed before a study begins: its arms, which runs are done, and how long the others will take."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from ablate.judging.looks import most_seeds
from ablate.judging.selection import unmeasured_runs
from ablate.report.phrases import plural
from ablate.report.provenance import as_tuned_before
from ablate.study.manifest import coinciding, same_runs
from ablate.study.results import Results, missing_runs
from ablate.study.study import TUNING_SEED, Study
from ablate.tables import clock
from ablate.training.record import Record


def study_overview(results: Results, *, with_arms: bool = True) -> str:
    """Return a study's arms, seeds and tuning, and how many runs are done, arm by arm if asked for."""
    study = results.study
    profile = f" profile={study.profile}" if study.profile else ""
    lines = [f"study {study.name}{profile}: {plural(len(results.arms), 'arm')}, {seeds_each(study)}"]
    lines += [same_runs(labels) for labels in coinciding(arm.planned for arm in results.arms)]
    if study.tuning:
        tuning = study.tuning
        lines.append(
            f"{tuning.key} tuned over {tuning.values} with {tuning.seeds} seeds each"
            f"{f' and {chr(32).join(tuning.base)}' if tuning.base else ''}, then fixed for the report"
        )
    elif study.fixed:
        lines.append(f"tuning: {as_tuned_before(study.fixed, [arm.label for arm in results.arms])}")
    else:
        lines.append("nothing is tuned: every arm has the settings of its overrides")
    if (plan := results.manifest.registration) and study.asked:
        lines.append(f"SHA-256 of the plan: {plan.sha256}")
        lines += [f"post hoc: {name}: {reason}" for name, reason in plan.post_hoc.items()]
    for arm in results.arms if with_arms else ():
        planned = len(arm.tuning) * len(study.tuning_seeds)
        tuned = f", {sum(map(len, arm.tuning))} of {planned} tuning" if study.tuning else ""
        lines.append(f"  {arm.label}: {len(arm.records)} of {len(results.seeds_of(arm))} runs done{tuned}")
    if anew := sum(1 for _ in unmeasured_runs(results)):
        lines.append(f"{anew} finished runs did not measure what a claim is about, and will be trained again")
    return "\n".join(lines)


def forecast(studies: Sequence[Results], num_workers: int) -> str:
    """Return how many runs of all studies are left, shared ones counted once, and about how long they take.

    Where a study declares looks, the range is from the runs of the present looks to those of all looks of open claims.
    A study's runs are assumed to take the mean time of its finished ones, or, if there are none, the time on one core
    that its file gives; tuning runs with a budget of their own are counted by themselves.
    """
    least = runs_left(studies)
    most = runs_left([found.with_seeds(most_seeds(found)) if found.study.schedule else found for found in studies])
    if not most.runs:
        return "no run is left"
    number = f"{least.runs} to {most.runs}" if most.runs > least.runs else f"{most.runs}"
    shown = f"{number} run{'s' * (number != '1')} left"
    if not most.timed:
        return f"{shown}; how long one takes is not known yet"
    unknown = f", and {most.runs - most.timed} of unknown length" if most.timed < most.runs else ""
    times = list(dict.fromkeys(clock(left.seconds / num_workers) for left in (least, most)))
    return f"{shown}: about {' to '.join(times)}, {num_workers} at once{unknown}"


class Left(NamedTuple):
    """How many runs are left, of how many of them the time is known, and that time in seconds on one worker."""

    runs: int
    timed: int
    seconds: float


def runs_left(studies: Sequence[Results]) -> Left:
    """Return how many runs of all studies are left, shared ones counted once."""
    known: set[Any] = set()
    num_runs, num_timed, seconds = 0, 0, 0.0
    for results in studies:
        jobs = list(missing_runs(results))
        tuning: set[Any] = {job.folder for job in jobs if job.seed >= TUNING_SEED}
        runs: set[Any] = {job.folder for job in jobs if job.seed < TUNING_SEED}
        # The value of these arms is not known yet; arms of equal variants will have the same.
        runs |= {(arm.identity, seed) for arm in results.arms if arm.chosen is None for seed in results.seeds_of(arm)}
        for group, each in ((tuning, seconds_a_tuning_run(results)), (runs, seconds_a_run(results))):
            left = len(group - known)
            known |= group
            num_runs += left
            if each:
                num_timed += left
                seconds += left * each
    return Left(num_runs, num_timed, seconds)


def seeds_each(study: Study) -> str:
    """Return how many seeds the arms get, and at how many the looks are declared.

    >>> seeds_each(Study(name="s", seeds=[0, 1, 2]))
    '3 seeds each'
    """
    if not study.schedule:
        return f"{plural(len(study.seeds), 'seed')} each"
    first, last = study.schedule[0], study.schedule[-1]
    minutes = f", further looks as long as {study.minutes:g} minutes allow" if study.minutes else ""
    return f"{first} to {last} seeds each (looks at {', '.join(map(str, study.schedule))}{minutes})"


def seconds_a_run(results: Results) -> float | None:
    """Return how long a run of the study takes, None if it is not known."""
    known = [record for arm in results.arms for record in arm.records.values()]
    tuning = results.study.tuning
    if tuning is None or not tuning.base:  # tuning runs are of the same length
        known += tuning_records(results)
    return mean_seconds(known) or results.study.seconds_a_run


def seconds_a_tuning_run(results: Results) -> float | None:
    """Return how long a tuning run of the study takes, None if it is not known."""
    tuning = results.study.tuning
    if tuning is None or not tuning.base:
        return seconds_a_run(results)
    return mean_seconds(tuning_records(results)) or tuning.seconds_a_run or seconds_a_run(results)


def tuning_records(results: Results) -> list[Record]:
    """Return the records of all tuning runs."""
    return [record for arm in results.arms for found in arm.tuning for record in found.values()]


def mean_seconds(records: Sequence[Record]) -> float | None:
    """Return the mean time of runs in seconds, None where there are none."""
    return sum(record.wall_seconds for record in records) / len(records) if records else None

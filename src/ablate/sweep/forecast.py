"""What is printed before a study begins: its arms, which runs are done, and how long the others will take."""

from collections.abc import Sequence
from typing import Any

from ablate.judging.selection import unmeasured_runs
from ablate.study.manifest import coinciding, same_runs
from ablate.study.results import Results, missing_runs
from ablate.tables import clock


def study_overview(results: Results, *, with_arms: bool = True) -> str:
    """Return a study's arms, seeds and tuning, and how many runs are done, arm by arm if asked for."""
    study = results.study
    profile = f" profile={study.profile}" if study.profile else ""
    lines = [f"study {study.name}{profile}: {len(results.arms)} arms, {len(study.seeds)} seeds each"]
    lines += [same_runs(labels) for labels in coinciding(arm.planned for arm in results.arms)]
    if study.tuning:
        tuning = study.tuning
        lines.append(
            f"{tuning.key} tuned over {tuning.values} with {tuning.seeds} seeds each, then fixed for the report"
        )
    elif study.fixed:
        known = sum(arm.label in study.fixed.values for arm in results.arms)
        source = study.fixed.source or "see study.fixed"
        lines.append(f"{study.fixed.key} of {known} of {len(results.arms)} arms as tuned before ({source})")
    else:
        lines.append("nothing is tuned: every arm has the settings of its overrides")
    if (plan := results.manifest.registration) and study.asked:
        lines.append(f"SHA-256 of the plan: {plan.sha256}")
        lines += [f"post hoc: {name}: {reason}" for name, reason in plan.post_hoc.items()]
    for arm in results.arms if with_arms else ():
        planned = len(arm.tuning) * len(study.tuning_seeds)
        tuned = f", {sum(map(len, arm.tuning))} of {planned} tuning" if study.tuning else ""
        lines.append(f"  {arm.label}: {len(arm.records)} of {len(study.seeds)} runs done{tuned}")
    if anew := sum(1 for _ in unmeasured_runs(results)):
        lines.append(f"{anew} finished runs did not measure what a claim is about, and will be trained again")
    return "\n".join(lines)


def forecast(studies: Sequence[Results], num_workers: int) -> str:
    """Return how many runs of all studies are left, shared ones counted once, and about how long they take.

    A study's runs are assumed to take the mean time of its finished ones, or, if there are none, the time on one core
    that its file gives.
    """
    known: set[Any] = set()
    num_runs, num_timed, seconds = 0, 0, 0.0
    for results in studies:
        runs: set[Any] = {job.folder for job in missing_runs(results)}
        # The value of these arms is not known yet; arms of equal variants will have the same.
        runs |= {(arm.identity, seed) for arm in results.arms if arm.chosen is None for seed in results.study.seeds}
        left = len(runs - known)
        known |= runs
        num_runs += left
        if each := seconds_a_run(results):
            num_timed += left
            seconds += left * each
    if not num_runs:
        return "no run is left"
    runs_left = f"{num_runs} runs left"
    if not num_timed:
        return f"{runs_left}; how long one takes is not known yet"
    unknown = f", and {num_runs - num_timed} of unknown length" if num_timed < num_runs else ""
    return f"{runs_left}: about {clock(seconds / num_workers)}, {num_workers} at once{unknown}"


def seconds_a_run(results: Results) -> float | None:
    """Return how long a run of the study takes, None if it is not known."""
    known = [record for arm in results.arms for found in (arm.records, *arm.tuning) for record in found.values()]
    if known:
        return sum(record.wall_seconds for record in known) / len(known)
    return results.study.seconds_a_run

"""Doing a study's runs: what is missing is launched until nothing is, and what is going on is told meanwhile.

How runs are launched and how overrides become a variant is given from outside; Hydra is not known here.
"""

import hashlib
import itertools
import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ablate.identity import is_unscientific
from ablate.judging.selection import unmeasured_runs
from ablate.manifest import Manifest, PlannedArm, check_unchanged, read_manifest, write_manifest
from ablate.record import FAILURE_NAME
from ablate.results import Job, Results, collect, missing_runs, read_failure, state_of, write_runs
from ablate.study import Study, key_of
from ablate.tables import clock
from ablate.watch import Watch

FIXED = ("claims", "alpha", "looks")  # what decides the verdicts and not the runs: fixed before the first run
PROSE = ("text", "source", "published", "note", "explained_by")
MAX_LOSSES = 2  # how often a run is launched again whose worker died without a word


def study_folder(output_dir: Path, study: Study, definition: dict[str, Any], overrides: Sequence[str]) -> Path:
    """Return the home of a study: its name and the hash of what it says, where data lie and the like left out.

    Args:
        output_dir: the program's output folder.
        study: gives the name.
        definition: the content of the study file.
        overrides: changes of every arm from the command line.
    """
    base = [override for override in definition.get("base", []) if not is_unscientific(key_of(override))]
    meant = sorted(override for override in overrides if not is_unscientific(key_of(override)))
    runs = {key: value for key, value in definition.items() if key not in FIXED}
    content = {"definition": {**runs, "base": base}, "overrides": meant}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:8]
    name = re.sub(r"[^A-Za-z0-9_.,=+-]+", "_", study.name)[:80].strip("_,.")
    return output_dir / "studies" / f"{name}-{digest}"


def begin(manifest: Manifest, folder: Path, extra_seeds: int = 0, *, write: bool = True) -> Manifest:
    """Return the manifest to work on: the new one, or the one in the folder if it means the same, and write it.

    Args:
        manifest: of the study as it is asked for now.
        folder: of the study.
        extra_seeds: report seeds to add to those there are; a further look. Where the last look added as many and is
            not finished, it goes on.
        write: whether to write the manifest; without, everything is checked and nothing changed.

    Raises:
        ValueError: an arm has come to mean other runs; seeds are added to a study that is not finished, or more often
            than it declared.
    """
    known = read_manifest(folder)
    if known is not None:
        check_unchanged(manifest.arms, known, folder)
        for key in FIXED:
            if (now := deciding(manifest, key)) != (then := deciding(known, key)):
                raise ValueError(
                    f"{folder} was begun with other {key} ({changes(then, now)}), and what is claimed is fixed "
                    "before the first run; undo the change, or copy the study under another name (its runs are shared)"
                )
        manifest = replace(manifest, looks=known.looks)
    if extra_seeds < 0:
        raise ValueError(f"`extra_seeds` must be at least 0, got {extra_seeds}")
    if extra_seeds:
        study = manifest.study()
        unfinished = known is None or next(missing_runs(collect(manifest, folder)), None) is not None
        added = [b - a for a, b in itertools.pairwise(manifest.looks)]
        if unfinished and added[-1:] == [extra_seeds]:
            return manifest
        if unfinished:
            raise ValueError("`extra_seeds` adds to a finished study, and runs are missing; finish it without first")
        if len(manifest.looks) >= study.looks:
            raise ValueError(
                f"study {study.name} declares {study.looks} looks at its data and has had them all, so more seeds "
                "would raise the error level; declare more with study.looks=... before the first run"
            )
        manifest = replace(manifest, looks=[*manifest.looks, manifest.looks[-1] + extra_seeds])
    if write:
        write_manifest(manifest, folder)
    return manifest


def deciding(manifest: Manifest, key: str) -> Any:
    """Return a part of a study's definition without what is told for people only."""
    value = manifest.definition.get(key)
    if key != "claims" or not value:
        return value
    return {name: {k: v for k, v in claim.items() if k not in PROSE} for name, claim in value.items()}


def changes(then: Any, now: Any) -> str:
    """Return what is not the same, the entries of a mapping one by one."""
    if not isinstance(then, dict) or not isinstance(now, dict):
        return f"{now!r} now, {then!r} then"
    differing = [key for key in {**then, **now} if then.get(key) != now.get(key)]
    return "; ".join(f"{key}: {changes(then.get(key), now.get(key))}" for key in differing)


Launch = Callable[[list[Job], bool, bool], None]


def do_runs(manifest: Manifest, folder: Path, launch: Launch, rerun: bool = False) -> tuple[Results, dict[str, str]]:
    """Launch what is missing until nothing is; return the results and what failed, {home: last line of its error}.

    A run that failed is not tried again in this call. A worker that dies without a word may take a whole batch with it:
    what had not begun is launched again, and then, one by one, what had begun, each at most `MAX_LOSSES` times more.

    Args:
        manifest: what `begin` returned.
        folder: of the study.
        launch: (jobs, wait, rerun) does the jobs and returns when they are over, whatever became of them; with `wait`,
            a run that another process is doing is waited for; with `rerun`, a finished one is done anew.
        rerun: do all runs once more first, the finished ones too.
    """
    failed: dict[str, str] = {}
    if rerun:
        results = collect(manifest, folder)
        undone = [replace(arm, records={}, tuning=[{} for _ in arm.tuning]) for arm in results.arms]
        do_batch(list(missing_runs(replace(results, arms=undone))), manifest, folder, launch, failed, rerun=True)
    losses: Counter[str] = Counter()
    launched: set[str] = set()
    measured: set[str] = set()
    num_idle = 0  # batches in a row in which nothing began
    while True:
        results = collect(manifest, folder)
        jobs = [job for job in missing_runs(results) if job.home not in failed]
        jobs = [job for job in jobs if not losses[job.home]] or jobs[:1]
        if not jobs:
            jobs = [job for job in unmeasured_runs(results) if job.home not in measured | failed.keys()]
            if not jobs:
                write_runs(manifest, folder)
                return results, failed
            print(f"{len(jobs)} finished runs did not measure what a claim is about: done anew, the old ones kept")
            do_batch(jobs, manifest, folder, launch, failed, rerun=True)
            measured |= {job.home for job in jobs}
            continue
        wait = any(job.home in launched for job in jobs)  # the first time, a run of another process is passed over
        launched |= {job.home for job in jobs}
        before = {job.home: state_of(results.output_dir / job.home) for job in jobs}
        do_batch(jobs, manifest, folder, launch, failed, wait=wait)
        after = {job.home: state_of(results.output_dir / job.home) for job in jobs}
        num_idle = num_idle + 1 if before == after and "to do" in after.values() else 0
        for job in jobs:
            if after[job.home] == "begun" and not is_busy(results.output_dir / job.home):
                losses[job.home] += 1
            if losses[job.home] > MAX_LOSSES:
                failed[job.home] = "its worker died without a word, again and again (out of memory?)"
            elif num_idle > MAX_LOSSES and after[job.home] == "to do":
                failed[job.home] = "it was launched and did not begin"


def do_batch(
    jobs: list[Job],
    manifest: Manifest,
    folder: Path,
    launch: Launch,
    failed: dict[str, str],
    *,
    wait: bool = False,
    rerun: bool = False,
) -> None:
    """Launch jobs, tell of each when it ends, and add those that failed to `failed`."""
    output_dir = folder.parent.parent
    for job in jobs:
        (output_dir / job.home / FAILURE_NAME).unlink(missing_ok=True)
    write_runs(manifest, folder)
    with Watch(jobs, output_dir, lambda: write_runs(manifest, folder)):
        launch(jobs, wait, rerun)
    failed |= {job.home: line for job in jobs if (line := read_failure(output_dir / job.home))}


def is_busy(folder: Path) -> bool:
    """Return whether some process is doing the run in `folder` now."""
    lock = FileLock(folder.parent / f".{folder.name}.lock", timeout=0)
    try:
        with lock:
            return False
    except Timeout:
        return True


def describe(results: Results, num_workers: int) -> str:
    """Return what a study consists of, what is done, and an estimate of the time left from the finished runs."""
    study = results.study
    lines = [f"study {study.name}: {len(results.arms)} arms, {len(study.seeds)} seeds each"]
    if study.tuning:
        tuning = study.tuning
        lines.append(
            f"{tuning.key} tuned over {tuning.values} with {tuning.seeds} seeds each, then fixed for the report"
        )
    else:
        lines.append("nothing is tuned: every arm has the settings of its overrides")
    seconds: list[float] = []
    for arm in results.arms:
        records = [*arm.records.values(), *(record for found in arm.tuning for record in found.values())]
        seconds += [record.wall_seconds for record in records]
        tuned = (
            f", {sum(map(len, arm.tuning))} of {len(arm.tuning) * len(study.tuning_seeds)} tuning"
            if study.tuning
            else ""
        )
        lines.append(f"  {arm.label}: {len(arm.records)} of {len(study.seeds)} runs done{tuned}")
    left = sum(1 for _ in missing_runs(results))
    tuned_later = sum(len(study.seeds) for arm in results.arms if arm.chosen is None)
    anew = sum(1 for _ in unmeasured_runs(results))
    again = f", and {anew} to be done anew that did not measure what a claim is about" if anew else ""
    lines.append(f"{left + tuned_later} runs left{again}")
    if seconds and left:
        mean = sum(seconds) / len(seconds)
        lines.append(
            f"about {clock(mean * (left + tuned_later) / num_workers)} at {mean:.1f} s a run, {num_workers} at once"
        )
    return "\n".join(lines)


def begin_manifest(
    study: Study, definition: dict[str, Any], overrides: Sequence[str], command: str, arms: list[PlannedArm]
) -> Manifest:
    """Return the manifest of a study that has had no look yet."""
    return Manifest(
        name=study.name,
        title=study.title,
        source=study.source,
        definition=definition,
        overrides=list(overrides),
        command=command,
        arms=arms,
        looks=[len(study.seeds)],
    )

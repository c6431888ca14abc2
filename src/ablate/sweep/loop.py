"""Begin studies, and launch their missing runs until none is missing.

How runs are launched is passed in; Hydra is not known here.
"""

import contextlib
import itertools
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ablate.config.overrides import key_of, text
from ablate.errors import UserError
from ablate.judging.selection import unmeasured_runs
from ablate.storage.paths import named_folder, safe_name
from ablate.study.manifest import Manifest, PlannedArm, Variant, check_unchanged, read_manifest, write_manifest
from ablate.study.results import Job, Results, collect, missing_runs, read_failure, read_own, state_of, write_runs
from ablate.study.study import Study
from ablate.sweep.progress import ProgressPrinter
from ablate.training.directory import agree_on_folder, set_aside
from ablate.training.identity import is_unscientific, measures
from ablate.training.record import FAILURE_NAME
from ablate.training.sources import Source, edited, find

# What decides the verdicts but not the runs: fixed before the first run.
DECIDING = ("claims", "alpha", "failure_share", "looks")
PROSE = ("text", "source", "published", "note", "explained_by", "figure", "file")
ESTIMATE = "seconds_a_run"  # how long a run takes; decides nothing
MAX_LOSSES = 2  # how often a run is launched again whose worker ended without an error


def study_folder(output_dir: Path, study: Study, definition: dict[str, Any], overrides: Sequence[str]) -> Path:
    """Return a study's folder: its name and the hash of its content, without where data lie and the like.

    Args:
        output_dir: the program's output folder.
        study: gives the name.
        definition: the content of the study file.
        overrides: changes of every arm from the command line.

    >>> study_folder(Path("outputs"), Study(name="mine"), {"seeds": 3}, ["net=micro", "output_dir=x"]).name
    'mine-6649813a'
    >>> study_folder(Path("outputs"), Study(name="mine"), {"seeds": 3}, ["net=micro"]).name
    'mine-6649813a'
    """
    base = [override for override in definition.get("base", []) if not is_unscientific(key_of(override))]
    meant = sorted(override for override in overrides if not is_unscientific(key_of(override)))
    runs = {key: value for key, value in definition.items() if key not in (*DECIDING, ESTIMATE)}
    content = {"definition": {**runs, "base": base}, "overrides": meant}
    name = safe_name(study.name, 80, repeat=False).strip("_,.")
    return output_dir / "studies" / named_folder(name, content)


def begin(manifest: Manifest, folder: Path, extra_seeds: int = 0, *, write: bool = True) -> Manifest:
    """Return the manifest to work with, the new one with the looks of the one in the folder, and write it.

    Args:
        manifest: of the study as it is asked for now.
        folder: of the study.
        extra_seeds: report seeds to add, which is a further look. If the last look added as many and is not finished,
            it is continued.
        write: whether to write the manifest; if not, everything is checked and nothing changed.

    Raises:
        UserError: an arm now means other runs; seeds are added to a study that is not finished, or more often than
            it declared.
    """
    known = read_manifest(folder)
    if known is not None:
        check_unchanged(manifest.arms, known, folder)
        for key in DECIDING:
            if (now := deciding(manifest, key)) != (then := deciding(known, key)):
                raise UserError(
                    f"{folder} was begun with other {key} ({changes(then, now)}), and what is claimed is fixed "
                    "before the first run; undo the change, or copy the study under another name (its runs are shared)"
                )
        manifest = replace(manifest, looks=known.looks)
    if extra_seeds < 0:
        raise UserError(f"`extra_seeds` must be at least 0, got {extra_seeds}")
    if extra_seeds:
        study = manifest.study()
        unfinished = known is None or next(missing_runs(collect(manifest, folder)), None) is not None
        added = [b - a for a, b in itertools.pairwise(manifest.looks)]
        if unfinished and added[-1:] == [extra_seeds]:
            return manifest
        if unfinished:
            raise UserError("`extra_seeds` adds to a finished study, and runs are missing; finish it without first")
        if len(manifest.looks) >= study.looks:
            raise UserError(
                f"study {study.name} declares {study.looks} looks at its data and has had them all, so more seeds "
                "would raise the error level; declare more with study.looks=... before the first run"
            )
        manifest = replace(manifest, looks=[*manifest.looks, manifest.looks[-1] + extra_seeds])
    if write:
        write_manifest(manifest, folder)
    return manifest


def begin_all(planned: "Sequence[Started]", extra_seeds: int = 0, *, write: bool = True) -> "list[Started]":
    """Begin several studies as `begin` does one: all are checked before anything is written.

    A study without a claim that needs a test (its claims are identities) gets no further seeds: it takes no looks.
    """

    def each(write: bool) -> "list[Started]":
        found = []
        for manifest, folder in planned:
            tested = len(planned) == 1 or any(claim.form != "identity" for claim in manifest.study().claims)
            found.append((begin(manifest, folder, extra_seeds * tested, write=write), folder))
        return found

    planned = share_folders(planned, lambda folder, _: folder)
    each(write=False)
    if write:
        planned = share_folders(planned, agree_on_folder)
    return each(write)


def share_folders(planned: "Sequence[Started]", place: Callable[[Path, str], Path]) -> "list[Started]":
    """Return the studies with one folder for all variants of one fingerprint, whatever the names of their arms.

    Args:
        planned: manifests and the studies' folders.
        place: (folder that a variant would have, its fingerprint) -> the folder that it has.
    """
    folders: dict[str, str] = {}

    def placed(variant: Variant, output_dir: Path) -> Variant:
        if variant.fingerprint not in folders:
            found = place(output_dir / variant.folder, variant.fingerprint)
            folders[variant.fingerprint] = found.relative_to(output_dir).as_posix()
        return replace(variant, folder=folders[variant.fingerprint])

    found = []
    for manifest, folder in planned:
        arms = [
            replace(arm, variants=[placed(variant, folder.parent.parent) for variant in arm.variants])
            for arm in manifest.arms
        ]
        found.append((replace(manifest, arms=arms), folder))
    return found


def deciding(manifest: Manifest, key: str) -> Any:
    """Return a part of a study's definition without the text for readers (`PROSE`)."""
    value = manifest.definition.get(key)
    if key != "claims" or not value:
        return value
    return {name: {k: v for k, v in claim.items() if k not in PROSE} for name, claim in value.items()}


def changes(then: Any, now: Any) -> str:
    """Return what differs, the entries of a mapping one by one.

    >>> changes({"a": 1, "b": {"c": 2}}, {"a": 1, "b": {"c": 3}})
    'b: c: 3 now, 2 then'
    """
    if not isinstance(then, dict) or not isinstance(now, dict):
        return f"{now!r} now, {then!r} then"
    differing = [key for key in {**then, **now} if then.get(key) != now.get(key)]
    return "; ".join(f"{key}: {changes(then.get(key), now.get(key))}" for key in differing)


Launch = Callable[[list[Job], bool, bool], None]
Started = tuple[Manifest, Path]  # of a study, and its folder


def do_runs(studies: Sequence[Started], launch: Launch, rerun: bool = False) -> tuple[list[Results], dict[str, str]]:
    """Launch missing runs until none is missing; return the results and {folder: last line of its error} of failures.

    A run that studies share is done once. A run that failed is not tried again in this call. A worker that is killed
    may stop a whole batch: what had not begun is launched again, and then, one by one, what had begun, each at most
    `MAX_LOSSES` times more.

    Args:
        studies: what `begin_all` returned, in one output folder.
        launch: (jobs, wait, rerun) does the jobs and returns when they are over, failed or not; with `wait`, it waits
            for a run that another process is doing; with `rerun`, it does a finished one anew.
        rerun: first do all runs again, the finished ones too.
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
    while True:
        results = collect_all(studies)
        if set_aside_refused(results):
            results = collect_all(studies)
        jobs = [job for job in each_once(results, missing_runs) if job.folder not in failed]
        jobs = [job for job in jobs if not losses[job.folder]] or jobs[:1]
        if not jobs:
            unmeasured = each_once(results, unmeasured_runs)
            jobs = [job for job in unmeasured if job.folder not in measured | failed.keys()]
            if not jobs:
                write_all(studies)
                return results, failed
            print(f"{len(jobs)} finished runs did not measure what a claim is about: trained again, the old ones kept")
            do_batch(jobs, studies, launch, failed, rerun=True)
            measured |= {job.folder for job in jobs}
            continue
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


def collect_all(studies: Sequence[Started]) -> list[Results]:
    """Read the records of each study."""
    return [collect(manifest, folder) for manifest, folder in studies]


def set_aside_refused(results: Sequence[Results]) -> int:
    """Set aside the runs whose record is of another run or unreadable, print it, and return how many they are.

    What this process may not move is left to the run's own job, whose error names it.
    """
    count = 0
    for arm in (arm for found in results for arm in found.arms):
        for run, reason in arm.refused.items():
            folder = results[0].output_dir / run
            place, _, seed = run.rpartition("/seed-")
            fingerprint = next(variant.fingerprint for variant in arm.planned.variants if variant.folder == place)
            with contextlib.suppress(Timeout, OSError), FileLock(folder.parent / f".{folder.name}.lock", timeout=0):
                # Another arm or sweep may have found it first, and have done the run anew meanwhile.
                if read_own(folder, fingerprint, int(seed))[1]:
                    print(
                        f"{reason}; it now lies in {set_aside(folder, reason)}, and the run is trained again",
                        file=sys.stderr,
                    )
                    count += 1
    return count


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
        for variant in (variant for arm in found.arms for variant in arm.planned.variants):
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
        write_runs(manifest, folder)


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

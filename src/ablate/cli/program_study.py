"""`ablate study=NAME` where the study has a `command`: the same study, its runs done by another program.

Neither Hydra nor torch is loaded: a run is a process of the command, and several run at once in threads that wait for
them.
"""

import hashlib
import json
import os
import shlex
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ablate.config import catalog
from ablate.config.overrides import key_of, unquoted
from ablate.errors import UserError
from ablate.foreign.code import code_of
from ablate.foreign.command import CommandRun, do_run, find_program
from ablate.foreign.event_files import scalar
from ablate.judging import check_claims
from ablate.storage.paths import local
from ablate.study.files import parts_of, read_study
from ablate.study.manifest import Variant
from ablate.study.program import OWN, Program, filled, split
from ablate.study.results import Job
from ablate.study.study import TUNING_SEED, Study
from ablate.sweep import studies
from ablate.sweep.begin import begin_all
from ablate.sweep.loop import collect_all
from ablate.sweep.machine import Machine
from ablate.sweep.request import named_studies
from ablate.training.identity import run_folder

FLAGS = ("rerun", "dry_run", "wait")


@dataclass(kw_only=True)
class Words:
    """A command line, sorted.

    Args:
        study, profile, changes, overrides: see `sweep.request.named_studies`.
        output_dir: the program's output folder.
        extra_seeds: see `sweep.studies.Options`.
        flags: rerun, dry_run and wait.
        num_jobs: how many runs at once.
    """

    study: str = ""
    profile: str | None = None
    changes: list[str] = field(default_factory=list)
    overrides: list[str] = field(default_factory=list)
    output_dir: str = "outputs"
    extra_seeds: int = 0
    flags: dict[str, bool] = field(default_factory=lambda: dict.fromkeys(FLAGS, False))
    num_jobs: int = 1


def has_command(words: Sequence[str], where: Sequence[Path]) -> bool:
    """Return whether a command line asks for a study of another program.

    Args:
        words: without --config-dir.
        where: the conf folders.

    Raises:
        UserError: a study that consists of others names one with a command.
    """
    files = catalog.levels(where, "study")
    name = next((word.removeprefix("study=") for word in words if word.startswith("study=")), "")
    if name not in files:
        return False
    if parts_of(name, files) != [name]:
        if own := [part for part in parts_of(name, files) if "command" in read_study(files[part])]:
            raise UserError(
                f"study {name} consists of studies, and {own[0]} has a `command`; run it alone: study={own[0]}"
            )
        return False
    content = read_study(files[name])
    if "judged" in content:
        raise UserError(
            f"{files[name]}: `judged` stands in manifests only; for results that are there: ablate judge FILE"
        )
    return "command" in content


def do_program_study(words: Sequence[str], where: Sequence[Path], command: str) -> None:
    """Do what is missing of a study of another program, and write its report; end with status 1 where runs failed.

    Args:
        words: the command line without --config-dir.
        where: the conf folders.
        command: the command line as typed.

    Raises:
        UserError: a word, the study or its command is refused.
    """
    asked = sort(words)
    (request,) = named_studies(asked.study, asked.profile, asked.changes, asked.overrides, where)
    study, folder = request.study, Path.cwd()
    assert study.foreign is not None
    studies.check_minutes([request])
    check_claims(study)
    find_program(study.foreign, folder)
    sources = code_of(study.foreign, folder)
    output_dir = local("output_dir", asked.output_dir)

    def resolve(lines: Sequence[str], value: Any) -> Variant:
        assert study.foreign is not None
        return variant(study.foreign, lines, value, [asdict(source) for source in sources], output_dir)

    options = studies.Options(
        output_dir=output_dir,
        command=command,
        extra_seeds=asked.extra_seeds,
        rerun=asked.flags["rerun"],
        wait=asked.flags["wait"],
        dry_run=asked.flags["dry_run"],
    )
    started = begin_all(studies.plan([request], options, resolve), asked.extra_seeds, write=not options.dry_run)
    results = collect_all(started)
    machine = Machine({}, asked.num_jobs)
    studies.print_overview(results, machine, with_arms=True)
    stop = threading.Event()

    def run_of(job: Job) -> CommandRun:
        assert study.foreign is not None
        return CommandRun(
            program=study.foreign,
            variant=job.variant,
            values=values_of(job.variant.overrides),
            seed=job.seed,
            needed=needed(study, job.seed),
            folder=folder,
            sources=sources,
        )

    if options.dry_run:
        first = Job(label="", variant=started[0][0].arms[0].variants[0], seed=study.seeds[0])
        print(shlex.join(run_of(first).words(output_dir / first.folder)))
        return

    def launch(jobs: list[Job], wait_for_others: bool, rerun: bool) -> None:
        with ThreadPoolExecutor(asked.num_jobs) as pool:
            futures = [
                pool.submit(
                    do_run,
                    run_of(job),
                    output_dir / job.folder,
                    stop,
                    rerun=rerun,
                    wait=wait_for_others or options.wait,
                )
                for job in jobs
            ]
            try:
                wait(futures)
            except BaseException:
                stop.set()
                pool.shutdown(cancel_futures=True)
                raise
        for future in futures:
            future.result()

    if studies.do_and_conclude([request], started, None, launch, options, machine):
        sys.exit(1)


def needed(study: Study, seed: int) -> list[str]:
    """Return the metrics that a run must have: those of claims and controls, or that of the tuning."""
    if study.tuning and seed >= TUNING_SEED:
        return [study.tuning.metric]
    assert study.foreign is not None
    return list(dict.fromkeys([*(claim.metric for claim in study.statements), *study.foreign.metrics]))


def variant(
    program: Program, lines: Sequence[str], value: Any, sources: list[dict[str, Any]], output_dir: Path
) -> Variant:
    """Return the runs of an arm: identified by the command line without seed and folder, and by its code."""
    values = values_of(lines)
    words = [filled(word, values) for word in split(program.command)]
    content: dict[str, Any] = {"command": words, "sources": {source["name"]: source["sha256"] for source in sources}}
    content |= {key: found for key in ("record", "guessing") if (found := getattr(program, key))}
    fingerprint = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    arm = ",".join(f"{key}={word}" for key, word in values.items()) or Path(words[0]).name
    home = run_folder(output_dir, arm, fingerprint, 0).parent
    return Variant(
        value=value,
        overrides=list(lines),
        arm=arm,
        fingerprint=fingerprint,
        levels={},
        settings={"command": program.command, **{key: as_number(word) for key, word in values.items()}},
        folder=home.relative_to(output_dir).as_posix(),
        sources=sources,
    )


def values_of(lines: Sequence[str]) -> dict[str, str]:
    """Return the text of each placeholder.

    >>> values_of(["activation=relu", "name='two words'"])
    {'activation': 'relu', 'name': 'two words'}
    """
    return {key_of(line): unquoted(line.partition("=")[2]) for line in lines if key_of(line) not in OWN}


def as_number(word: str) -> Any:
    """Return the number that a word is, or the word."""
    value = scalar(word)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else word


def sort(words: Sequence[str]) -> Words:
    """Return a command line sorted.

    Raises:
        UserError: a word is not known, or is for runs that ablate trains.

    >>> sort(["study=mine", "study.seeds=3", "epochs=5", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]).num_jobs
    2
    """
    found, launcher = Words(), ""
    for word in words:
        key, equals, value = word.partition("=")
        if word in ("-m", "--multirun"):
            continue
        if not equals or word.startswith("-"):
            raise UserError(f"{word!r} is no setting of a study with a `command`; settings are KEY=VALUE")
        if key == "study":
            found.study = value
        elif key == "profile":
            found.profile = value
        elif key.startswith("study."):
            found.changes.append(word.removeprefix("study."))
        elif key == "output_dir":
            found.output_dir = unquoted(value)
        elif key in FLAGS:
            found.flags[key] = one_of(key, value, {"true": True, "false": False})
        elif key == "extra_seeds":
            found.extra_seeds = whole(key, value)
        elif key == "hydra/launcher":
            launcher = one_of(key, value, {"joblib": "joblib", "basic": "", "": ""})
        elif key == "hydra.launcher.n_jobs":
            found.num_jobs = whole(key, value)
        elif key.partition(".")[0] == "hydra":
            raise UserError(
                f"{word} is for runs that ablate trains; a study with a `command` has hydra/launcher=joblib"
            )
        else:
            found.overrides.append(word)
    if launcher and "hydra.launcher.n_jobs" not in {key_of(word) for word in words}:
        found.num_jobs = -1
    if found.num_jobs < 1:  # as joblib counts: -1 is all cores
        found.num_jobs = max(1, (os.cpu_count() or 1) + 1 + found.num_jobs)
    return found


def one_of(key: str, value: str, known: Mapping[str, Any]) -> Any:
    """Return what a word stands for.

    Raises:
        UserError: it is none of those that are known.
    """
    if value.lower() not in known:
        raise UserError(f"`{key}` must be {' or '.join(filter(None, known))}, got {value!r}")
    return known[value.lower()]


def whole(key: str, value: str) -> int:
    """Return a whole number.

    Raises:
        UserError: it is none.
    """
    try:
        return int(value)
    except ValueError as error:
        raise UserError(f"`{key}` must be a whole number, got {value!r}") from error

"""Run a command once, for one arm and seed, in the folder of its run, and write the record from what it printed.

    runs/<arm>-<hash8>/seed-<s>/stdout.txt, stderr.txt     what the command wrote
    runs/<arm>-<hash8>/seed-<s>/record.json                its metrics, written last
    runs/<arm>-<hash8>/seed-<s>/failure.txt                why there is no record

The lock of the run is inherited by the command, so that a command that outlives a killed `ablate` is not started a
second time beside itself.
"""

import contextlib
import json
import math
import os
import platform
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ablate.errors import Unusable, UserError
from ablate.foreign.code import code_of
from ablate.foreign.files import each_once, flat
from ablate.foreign.table import to_number
from ablate.judging.effects import is_accuracy
from ablate.storage.dates import utc_now
from ablate.storage.integrity import remove_temporary, replacing
from ablate.study.manifest import Variant
from ablate.study.program import Program, filled, split
from ablate.training.directory import replace_unusable, set_aside, write_or_check_config
from ablate.training.record import FAILURE_NAME, Record, read_record, write_record
from ablate.training.sources import Source, keep

STDOUT, STDERR = "stdout.txt", "stderr.txt"
LINES_SHOWN = 10  # of standard error, in failure.txt
POLL_SECONDS = 0.05
GRACE_SECONDS = 5.0  # between SIGTERM and SIGKILL


class Failed(Exception):
    """A command that gave no result; the message says why, in one line."""


@dataclass(frozen=True, kw_only=True)
class CommandRun:
    """A run to do.

    Args:
        program: with the command.
        variant: of the arm.
        values: text of every placeholder but {seed} and {folder}.
        seed: the replicate.
        needed: metrics that a result must have.
        sources: see `code.code_of`.
        folder: that the command is started in.
    """

    program: Program
    variant: Variant
    values: Mapping[str, str]
    seed: int
    needed: Sequence[str]
    folder: Path
    sources: Sequence[Source] = field(default_factory=list)

    def words(self, home: Path) -> list[str]:
        """Return the command line, given the run's folder."""
        values = {**self.values, "seed": str(self.seed), "folder": str(home.resolve())}
        return [filled(word, values) for word in split(self.program.command)]


def find_program(program: Program, folder: Path) -> None:
    """Check that the first word of a command is a program.

    Raises:
        UserError: it is none.
    """
    first = split(program.command)[0]
    found = (folder / first) if os.sep in first else shutil.which(first)
    if found is None or not os.access(found, os.X_OK) or Path(found).is_dir():
        cure = "allow it to be executed (chmod +x)" if found and Path(found).is_file() else "is its name right?"
        raise UserError(f"`study.command` must begin with a program that can be started, got {first!r}; {cure}")


def do_run(run: CommandRun, home: Path, stop: threading.Event, *, rerun: bool = False, wait: bool = False) -> None:
    """Do a run unless it is done, or another process is doing it; a failure is written into its folder.

    Args:
        run: what to do.
        home: the run's folder.
        stop: set when the command is to be ended, and the run left unfinished.
        rerun: move a finished run to outputs/replaced/ and do it again.
        wait: wait for another process that is doing it.
    """
    home.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(home.parent / f".{home.name}.lock", timeout=0)
    while not stop.is_set():
        try:
            lock.acquire()
            break
        except Timeout:
            if not wait:
                return
            time.sleep(POLL_SECONDS)
    else:
        return
    with lock:
        home.mkdir(exist_ok=True)
        remove_temporary(home, older_than=0)
        try:
            record = read_record(home)
            if record is not None and not rerun:
                return
            if record is not None:
                set_aside(home, "rerun=true: the run was finished, and is done again")
                home.mkdir()
            write_or_check_config(run.variant, home)
        except Unusable as error:
            replace_unusable(home, error, "the run is done again")
            write_or_check_config(run.variant, home)
        (home / FAILURE_NAME).unlink(missing_ok=True)
        keep(run.sources, home)
        try:
            check_unedited(run)
            seconds = execute(run, home, stop, inherited=descriptor(lock))
            metrics, diverged = results_of(run, home)
        except Interrupted:
            return
        except Failed as error:
            with replacing(home / FAILURE_NAME) as temporary:
                lines = last_lines(home / STDERR, LINES_SHOWN)
                temporary.write_text("\n".join([*lines, str(error)]) + "\n", encoding="utf-8")
            return
        write_record(record_of(run, metrics, diverged, seconds), home)


def check_unedited(run: CommandRun) -> None:
    """Check that the code is still that of the plan, of which the run is a part.

    Raises:
        Failed: a file was edited.
    """
    now = {source.name: source.sha256 for source in code_of(run.program, run.folder)}
    then = {source.name: source.sha256 for source in run.sources}
    if edited := sorted(name for name in now.keys() | then.keys() if now.get(name) != then.get(name)):
        raise Failed(f"{', '.join(edited)} changed while the study was running; undo the change to go on")


class Interrupted(Exception):
    """The command was ended because `ablate` ends."""


def descriptor(lock: FileLock) -> int | None:
    """Return the file descriptor of a lock that is held; None where the system has none that can be inherited."""
    return getattr(getattr(lock, "_context", None), "lock_file_fd", None) if os.name == "posix" else None


def execute(run: CommandRun, home: Path, stop: threading.Event, inherited: int | None = None) -> float:
    """Run the command to its end and return how many seconds it took.

    Raises:
        Failed: it could not be started, ended with another status than 0, or took too long.
        Interrupted: `stop` was set.
    """
    words = run.words(home)
    limit = math.inf if run.program.timeout_minutes is None else 60 * run.program.timeout_minutes
    start = time.perf_counter()
    with (home / STDOUT).open("wb") as out, (home / STDERR).open("wb") as err:
        try:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=run.folder,
                start_new_session=True,  # it and its children are ended together
                pass_fds=() if inherited is None else (inherited,),
            )
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise Failed(f"{words[0]} could not be started: {reason}") from error
        while True:
            try:
                status = process.wait(timeout=POLL_SECONDS)
                break
            except subprocess.TimeoutExpired:
                pass
            if stop.is_set():
                end(process)
                raise Interrupted
            if time.perf_counter() - start > limit:
                end(process)
                shown = timedelta(seconds=round(limit)) if limit >= 1 else f"{limit:g} s"
                raise Failed(f"it took longer than {shown} and was ended; raise study.timeout_minutes")
    if status < 0:
        raise Failed(f"it was ended by {signal_name(-status)}; what it wrote is in {home / STDERR}")
    if status > 0:
        last = next(iter(last_lines(home / STDERR, 1)), "it wrote nothing to standard error")
        raise Failed(f"it ended with status {status}: {last[:300]}")
    return time.perf_counter() - start


def end(process: subprocess.Popen[bytes]) -> None:
    """End a command and its children: by SIGTERM, and if it goes on by SIGKILL."""
    for how in (signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
        with contextlib.suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, how)
            else:
                process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=GRACE_SECONDS)
            return


def signal_name(number: int) -> str:
    """Return the name of a signal.

    >>> signal_name(9)
    'SIGKILL'
    """
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def last_lines(path: Path, count: int) -> list[str]:
    """Return the last lines of a file that are not empty; none where it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 100_000))
            lines = file.read().decode("utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [line for line in lines if line.strip()][-count:]


def results_of(run: CommandRun, home: Path) -> tuple[dict[str, float | None], bool]:
    """Return the metrics that a command gave, and whether one that is needed is not finite: the run diverged.

    Raises:
        Failed: there are none, one that is needed is missing, or is no number.
    """
    found, where = record_file(home / run.program.record) if run.program.record else last_object(home / STDOUT)
    try:
        measured = each_once(list(flat(found, "/")))
    except ValueError as error:
        raise Failed(f"{where}: {error} once nested keys are joined") from error
    metrics: dict[str, float | None] = {}
    for name, value in measured.items():
        try:
            number = math.nan if value is None else to_number(value)
        except ValueError as error:
            if name in run.needed:
                raise Failed(f"{name} in {where} must be a number, got {value!r:.60}") from error
            continue  # text, such as a name
        if is_accuracy(name) and math.isfinite(number) and not 0 <= number <= 1:
            raise Failed(f"{name} in {where} must be a fraction in [0, 1], as an accuracy is, got {number:g}")
        metrics[name] = number if math.isfinite(number) else None
    if missing := [name for name in run.needed if name not in metrics]:
        raise Failed(f"{where} has no {missing[0]!r}; it has {', '.join(measured) or 'nothing'}")
    diverged = any(metrics[name] is None for name in run.needed)
    if diverged and run.program.guessing is not None:
        metrics |= {name: run.program.guessing for name in metrics if is_accuracy(name)}
    return metrics, diverged


def last_object(path: Path) -> tuple[dict[str, Any], str]:
    """Return the last line of a file that is a JSON object, and what it is called in messages."""
    for line in reversed(last_lines(path, 10_000)):
        if line.lstrip().startswith("{"):
            with contextlib.suppress(ValueError, RecursionError):
                found = json.loads(line)
                if isinstance(found, dict):
                    return found, "the last JSON line"
    last = next(iter(last_lines(path, 1)), "")
    got = f"its last line is {last[:200]!r}" if last else "it printed nothing"
    raise Failed(f'it printed no line with a JSON object such as {{"test/accuracy": 0.81}} on standard output; {got}')


def record_file(path: Path) -> tuple[dict[str, Any], str]:
    """Return the JSON object in a file that the command wrote, and what it is called in messages."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise Failed(f"it did not write {path.name} into {{folder}}, {path.parent}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise Failed(f"{path} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise Failed(f"{path} must hold a JSON object, got {type(found).__name__}")
    return found, path.name


def record_of(run: CommandRun, metrics: dict[str, float | None], diverged: bool, seconds: float) -> Record:
    """Return the record of a run; what another program does not say is 0 or empty."""
    variant = run.variant
    return Record(
        arm=variant.arm,
        fingerprint=variant.fingerprint,
        seed=run.seed,
        status="diverged" if diverged else "finished",
        levels={},
        settings=variant.settings,
        metrics=metrics,
        history=[],
        wall_seconds=seconds,
        images_per_second=0.0,
        peak_memory_mb=0.0,
        environment={"command": run.program.command, **environment(run)},
        sources=[asdict(source) for source in run.sources],
        program=run.program.name,
        date=utc_now(),
    )


def environment(run: CommandRun) -> dict[str, str]:
    """Return the machine and the program that was started."""
    first = split(run.program.command)[0]
    return {
        "started": shutil.which(first) or first,
        "host": platform.node(),
        "system": platform.platform(),
    }

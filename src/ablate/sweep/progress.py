"""Print the progress of a batch by polling the folders of its runs."""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from ablate.errors import CannotWrite, UserError
from ablate.screen import say
from ablate.study.results import Job, read_failure
from ablate.study.study import TUNING_SEED
from ablate.tables import clock, printable
from ablate.training.record import CHECKPOINT_NAME, RECORD_NAME, Record, read_record


class ProgressPrinter:
    """Prints a line for every run of a batch when it finishes or fails, with the number done and the time left.

    Launchers return when all jobs are over, and jobs of a cluster print elsewhere: so a thread polls the runs' folders.
    """

    def __init__(
        self, jobs: Sequence[Job], output_dir: Path, write: Callable[[], None], every_seconds: float = 0.5
    ) -> None:
        self.write, self.last_written = write, time.monotonic()
        self.pending = {job.folder: job for job in jobs}
        self.written = {run: self.modified(output_dir / run) for run in self.pending}
        self.resumed = {run for run in self.pending if (output_dir / run / CHECKPOINT_NAME).is_file()}
        self.output_dir, self.every_seconds, self.total = output_dir, every_seconds, len(jobs)
        self.start = time.monotonic()
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.poll_until_stopped, daemon=True)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop.set()
        self.thread.join()
        self.poll()

    def poll_until_stopped(self) -> None:
        while not self.stop.wait(self.every_seconds):
            self.poll()

    def poll(self) -> None:
        """Print a line for each run that has ended since the last poll; write the states of all once a minute."""
        if time.monotonic() - self.last_written > 60:
            with contextlib.suppress(CannotWrite):  # they are written after the batch too; that raises it
                self.write()
            self.last_written = time.monotonic()
        for run, job in list(self.pending.items()):
            folder = self.output_dir / run
            if (modified := self.modified(folder)) and modified != self.written[run]:
                try:
                    record = read_record(folder)
                except UserError as error:
                    ended = f"FAILED: {error}"
                else:
                    if record is None:  # moved away meanwhile
                        continue
                    ended = self.conclusion(job, record) + "  (resumed)" * (run in self.resumed)
            elif line := read_failure(folder):
                ended = f"FAILED: {line}"
            else:
                continue
            del self.pending[run]
            done = self.total - len(self.pending)
            left = (time.monotonic() - self.start) / done * len(self.pending)
            tuned = "" if job.variant.value is None else f" at {job.variant.value}"
            where = sys.stderr if ended.startswith("FAILED") else sys.stdout
            line = f"[{done}/{self.total}, {clock(left)} left] {job.label}{tuned} seed {job.seed}  {ended}"
            say(printable(line), where)

    @staticmethod
    def conclusion(job: Job, record: Record) -> str:
        """Return what is printed of a finished run; never the test score of a tuning run, which must decide nothing."""
        if record.program:
            shown = record.metrics.items() if job.seed < TUNING_SEED else ()
            parts = [f"{name} {'none' if value is None else f'{value:.4g}'}" for name, value in shown][:4]
            ended = ["diverged"] if record.status == "diverged" else []
            return "  ".join([*parts, f"{record.wall_seconds:.1f} s", *ended])
        split = "val" if job.seed >= TUNING_SEED else "test"
        accuracy = 100 * (record.metrics[f"{split}/accuracy"] or 0.0)
        marks = "  diverged, scored as guessing" if record.status == "diverged" else ""
        marks += "  not finite at inference" if record.non_finite else ""
        return f"{split} accuracy {accuracy:.2f} %  {record.wall_seconds:.1f} s{marks}"

    @staticmethod
    def modified(folder: Path) -> int:
        """Return when the record in `folder` was written, 0 where there is none."""
        try:
            return (folder / RECORD_NAME).stat().st_mtime_ns
        except OSError:
            return 0

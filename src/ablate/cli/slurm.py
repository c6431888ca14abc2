"""Jobs of a sweep on SLURM: hydra-submitit-launcher's settings, submission and waiting of our own.

Its `launch` ends at the first job that is cancelled, and without accounting it waits for such a job for ever. Here a
job's state is read from squeue, a lost job is named and the others are waited for, and a job that SLURM stops saves its
run within the epoch and is queued again. docs/clusters.md describes the use.
"""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablate import stopping
from ablate.config.overrides import key_of
from ablate.errors import UserError
from ablate.screen import say
from ablate.sweep.queued import Queued
from ablate.training.identity import is_unscientific

MAX_REQUEUES = 20  # how often a job is queued again, unless hydra.launcher.max_num_timeout says another number
FIRST_POLL_SECONDS, LAST_POLL_SECONDS = 1.0, 15.0
WARNINGS = ("SIGUSR1", "SIGUSR2")  # sent before a time limit or a preemption
OVER = {  # state of a job that will not run again, and what it means
    "COMPLETED": "",
    "FAILED": "failed",
    "CANCELLED": "was cancelled",
    "TIMEOUT": "reached its time limit (hydra.launcher.timeout_min)",
    "OUT_OF_MEMORY": "ran out of memory (hydra.launcher.mem_gb)",
    "NODE_FAIL": "ended with its node",
    "PREEMPTED": "was preempted",
    "BOOT_FAIL": "ended because its node did not start",
    "DEADLINE": "reached its deadline",
}


class Slurm:
    """Submits jobs and waits for them.

    Args:
        launcher: of hydra-submitit-launcher, set up.
        runs_per_job: runs that one SLURM job does in turn.
        output_dir: where the queue is remembered, so that a later command does not submit a run again.
        max_requeues: how often a job may be queued again.
        leave: submit, and do not wait.

    Raises:
        UserError: SLURM would warn of the time limit before a job begins.
    """

    def __init__(
        self, launcher: Any, *, runs_per_job: int, output_dir: Path, max_requeues: int = MAX_REQUEUES, leave: bool
    ) -> None:
        check_warning_time(launcher.params)
        self.launcher, self.runs_per_job, self.leave = launcher, runs_per_job, leave
        self.max_requeues, self.queued = max_requeues, Queued(output_dir)

    def __call__(self, jobs: list[list[str]]) -> list[str]:
        """Submit the jobs that are not in the queue yet, wait for all, and return why each was lost, "" if it was not.

        Args:
            jobs: overrides, in the order of the result.
        """
        names = [name_of(job) for job in jobs]
        known = {} if any("rerun=true" in job for job in jobs) else self.queued.read()
        if known:
            active = active_jobs()
            known = {name: job_id for name, job_id in known.items() if job_id in active}
        new = [(name, job) for name, job in zip(names, jobs, strict=True) if name not in known]
        if new:
            known |= self.submit(new)
        else:
            say(f"all {len(jobs)} runs are in the queue already")
        self.queued.write(known, over=names)
        ids = [known[name] for name in names]
        if self.leave:
            return []
        try:
            lost = wait_for(set(ids))
        except stopping.Stopped:
            first = ",".join(sorted({job_id.partition("_")[0] for job_id in ids}))
            say(f"\nwhat was submitted goes on (scancel {first} ends it)", sys.stderr)
            raise
        folder = Path(str(self.launcher.params["submitit_folder"]))
        return [
            lost[job_id] and f"its SLURM job {job_id} {lost[job_id]}; see {log_of(folder, job_id)}" for job_id in ids
        ]

    def submit(self, jobs: Sequence[tuple[str, list[str]]]) -> dict[str, str]:
        """Submit named jobs as arrays; return {name: id of its SLURM job}."""
        from hydra.core.singleton import Singleton

        state = Singleton.get_state()
        numbered = [(overrides, number) for number, (_, overrides) in enumerate(jobs)]
        chunks = [
            Chunk(self.launcher, numbered[i : i + self.runs_per_job], state, self.max_requeues)
            for i in range(0, len(jobs), self.runs_per_job)
        ]
        most = largest_array()
        executor = make_executor(self.launcher.params)
        ids: list[str] = []
        for first in range(0, len(chunks), most):
            batch = chunks[first : first + most]
            try:
                submitted = executor.map_array(call, batch)
            except Exception as error:
                raise UserError(f"SLURM refused the jobs: {' '.join(str(error).split())[:300]}") from error
            ids += [job.job_id for job in submitted]
        arrays = ", ".join(dict.fromkeys(job_id.partition("_")[0] for job_id in ids))
        say(f"{len(jobs)} runs submitted in {len(ids)} SLURM jobs ({arrays})")
        return {name: ids[number // self.runs_per_job] for number, (name, _) in enumerate(jobs)}


def check_warning_time(params: Mapping[str, Any]) -> None:
    """Refuse a time limit that is no longer than the time before it at which SLURM warns a job.

    Args:
        params: of hydra-submitit-launcher: `timeout_min` in minutes and `signal_delay_s` in seconds count.

    Raises:
        UserError: every job would be warned as it begins, and queue itself again for ever.

    Example:
        >>> check_warning_time({"timeout_min": 60, "signal_delay_s": 120})
    """
    limit, delay = params.get("timeout_min"), params.get("signal_delay_s")
    if limit is not None and delay is not None and delay >= 60 * limit:
        raise UserError(
            f"`hydra.launcher.signal_delay_s` must be less than the time limit, hydra.launcher.timeout_min={limit} "
            f"({60 * limit} s), got {delay}: jobs would be stopped as they begin; set "
            f"hydra.launcher.signal_delay_s={15 * limit}"
        )


@dataclass
class Chunk:
    """The runs that one SLURM job does in turn, on its node.

    Args:
        launcher: see `Slurm`; called with overrides and number, it does a run.
        runs: (overrides, number) of each.
        singletons: of Hydra.
        max_requeues: see `Slurm`.
    """

    launcher: Any
    runs: list[tuple[list[str], int]]
    singletons: Any
    max_requeues: int

    def do(self) -> None:
        """Do the runs; when SLURM stops the job, save the present one and queue the job again."""
        stopping.watch((*stopping.SIGNALS, *WARNINGS), patient=True)
        failed = []
        try:
            for overrides, number in self.runs:
                stopping.check()
                done = self.launcher(overrides, "hydra.sweep.dir", number, str(number), self.singletons)
                if done.status.name == "FAILED":
                    failed.append(done)
        except stopping.Stopped as stopped:
            queue_again(stopped, self.max_requeues)
        for done in failed:
            _ = done.return_value  # raises the error of the run


def call(chunk: Chunk) -> None:
    """Do the runs of a chunk: a function, since submitit would queue an object with a method `checkpoint` itself."""
    chunk.do()


def queue_again(stopped: stopping.Stopped, most: int) -> None:
    """Queue this SLURM job again if it was only warned, and end the process.

    Before a time limit or a preemption with a grace time SLURM sends a signal while it shows the job as RUNNING. A job
    that is shown otherwise is being ended already: it was cancelled, or it was preempted, and then SLURM itself queues
    it again where the cluster is set up so.

    Raises:
        RuntimeError: it was queued again `most` times before.
    """
    job_id = own_job_id()
    count = int(os.environ.get("SLURM_RESTART_COUNT", "0"))
    state = show_job(job_id).get("JobState", "unknown")
    print(f"{stopped}: the run is saved; job {job_id} is {state}", file=sys.stderr, flush=True)
    if state == "RUNNING":
        if count >= most:
            raise RuntimeError(
                f"the job was stopped {count + 1} times and is not queued again; raise hydra.launcher.timeout_min, or "
                f"hydra.launcher.max_num_timeout (now {most}); the same command goes on from the checkpoint"
            )
        run("scontrol", "requeue", job_id)
    sys.exit(stopped.status)


def own_job_id() -> str:
    """Return the id of the SLURM job of this process: 12, or 12_3 in an array."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ["SLURM_JOB_ID"]


def wait_for(ids: set[str]) -> dict[str, str]:
    """Wait until the jobs are over; return {id: what happened to it}, "" if it was completed."""
    over: dict[str, str] = {}
    seconds = FIRST_POLL_SECONDS
    while ids - over.keys():
        time.sleep(seconds)
        seconds = min(1.2 * seconds, LAST_POLL_SECONDS)
        states = queue()
        if states is None:  # the controller does not answer now
            continue
        for job_id in ids - over.keys():
            state = states.get(job_id) or show_job(job_id).get("JobState", "")
            if state in OVER or not state:
                over[job_id] = OVER.get(state, "is not known to SLURM any more")
    return over


def active_jobs() -> set[str]:
    """Return the ids of this user's jobs that wait or run.

    Raises:
        UserError: SLURM does not answer.
    """
    states = queue()
    if states is None:
        raise UserError("squeue does not answer: is this a computer from which SLURM jobs are submitted?")
    return {job_id for job_id, state in states.items() if state not in OVER}


def queue() -> dict[str, str] | None:
    """Return {id: state} of this user's jobs in the queue and of those that ended lately; None if SLURM is silent."""
    found = run("squeue", "--noheader", "--array", "--states=all", f"--user={os.getuid()}", "--format=%i|%T")
    if found is None:
        return None
    lines = (line.partition("|") for line in found.splitlines())
    return {job_id: state.strip() for job_id, _, state in lines}


def show_job(job_id: str) -> dict[str, str]:
    """Return what scontrol shows of a job, {} if it is not known any more."""
    words = (run("scontrol", "--oneliner", "show", "job", job_id) or "").split()
    return {key: value for key, _, value in (word.partition("=") for word in words)}


def largest_array() -> int:
    """Return how many jobs an array may have on this cluster."""
    for line in (run("scontrol", "show", "config") or "").splitlines():
        key, _, value = line.partition("=")
        if key.strip() == "MaxArraySize":
            return max(1, int(value))
    return 1001  # SLURM's default


def accounting_note() -> str:
    """Return a note if this cluster keeps no accounting, "" if it does."""
    found = subprocess.run(["sacct", "--noheader", "--allocations"], capture_output=True, text=True, check=False)
    if found.returncode == 0:
        return ""
    why = " ".join(found.stderr.split()) or "sacct fails"
    return f"this cluster keeps no accounting ({why}): the states of jobs are read from squeue"


def run(*command: str) -> str | None:
    """Return what a command of SLURM prints, None if it fails or does not answer."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        return None


def name_of(job: Sequence[str]) -> str:
    """Return the name of a job in the queue: what it computes and measures, not how two commands may ask for it.

    >>> name_of(["activation=relu", "leave=true", "seed=0", "wait=false", "rerun=false"])
    'activation=relu seed=0'
    """
    kept = ("seed", "diagnostics.measure", "data.root", "data.path")  # the data's content is a part of the run
    return " ".join(line for line in job if key_of(line) in kept or not is_unscientific(key_of(line)))


def log_of(folder: Path, job_id: str) -> Path:
    """Return the file with a job's messages.

    >>> print(log_of(Path("outputs/.submitit/%j"), "12_3"))
    outputs/.submitit/12_3/12_3_0_log.err
    """
    return Path(str(folder).replace("%j", job_id)) / f"{job_id}_0_log.err"


def make_executor(params: dict[str, Any]) -> Any:
    """Return submitit's executor with the settings of hydra.launcher; jobs may be queued again."""
    import submitit
    from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf

    shared = set(BaseQueueConf.__dataclass_fields__)
    given = {key: value for key, value in params.items() if key not in ("submitit_folder", "max_num_timeout")}
    given["additional_parameters"] = {"requeue": True, **(given.get("additional_parameters") or {})}
    executor = submitit.AutoExecutor(folder=params["submitit_folder"], cluster="slurm")
    executor.update_parameters(**{key if key in shared else f"slurm_{key}": value for key, value in given.items()})
    return executor

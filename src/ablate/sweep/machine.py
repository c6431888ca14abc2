"""What is the same for all jobs of a sweep: what replaces `auto`, how many jobs run at once, and on which GPUs."""

import contextlib
import functools
import itertools
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from ablate import stopping
from ablate.config.overrides import key_of
from ablate.errors import UserError

GPUS = "ABLATE_WORKER_GPUS"  # "0,1 FOLDER": what the workers share out, and the folder with the lock of each place
_held: list[FileLock] = []  # until this process ends


class Machine(NamedTuple):
    """Where the jobs run.

    Args:
        values: {key: value} that replace `auto`, so that all jobs compute alike.
        num_workers: how many jobs run at once.
        gpus: which the worker processes share out; none where each job finds its own.
        is_local: whether the jobs run on this computer.
        has_workers: whether the jobs run in worker processes of this one.
    """

    values: dict[str, Any]
    num_workers: int
    gpus: Sequence[int] = ()
    is_local: bool = True
    has_workers: bool = False

    def unless_given(self, overrides: Sequence[str]) -> list[str]:
        """Return the values as overrides, without those that are given already.

        >>> Machine({"device": "cpu", "precision": "fp32"}, 1).unless_given(["device=cuda"])
        ['precision=fp32']
        """
        given = {key_of(line) for line in overrides}
        return [f"{key}={value}" for key, value in self.values.items() if key not in given]


def check_num_jobs(num_jobs: int) -> None:
    """Refuse no workers at all.

    Raises:
        UserError: `num_jobs` is 0.
    """
    if num_jobs == 0:
        raise UserError("`hydra.launcher.n_jobs` must be 1 or more, or -1 for all cores, got 0")


def find_machine(launcher: str, num_jobs: int, settings: Mapping[str, Any], bases: Sequence[Sequence[str]]) -> Machine:
    """Return where the jobs of a launcher run. A job on a cluster decides for itself: its node is not this computer.

    Args:
        launcher: the class of Hydra's launcher; "DaskScheduler" for Dask's if it has an address.
        num_jobs: at once, as the launcher says; joblib counts from the end: -1 is all cores, -2 all but one.
        settings: device, gpu, precision, trainer.threads, workers_per_gpu; cpus_per_task, if the launcher sets it.
        bases: the overrides in the base of each study.

    Raises:
        UserError: there are no workers, precision is left to the nodes of a cluster, which may not agree, or studies
            name two devices.

    >>> settings = {"precision": "fp32", "device": "cpu", "trainer.threads": 2}
    >>> find_machine("BasicLauncher", 1, settings, [["net=micro"]])
    Machine(values={}, num_workers=1, gpus=(), is_local=True, has_workers=False)
    """
    shared = launcher in ("JoblibLauncher", "DaskLauncher")  # workers of this process share the computer
    if shared:
        check_num_jobs(num_jobs)
    if launcher != "BasicLauncher" and not shared:
        if settings["precision"] == "auto" or any("precision=auto" in base for base in bases):
            raise UserError("`precision=auto` may differ between the nodes of a cluster; say fp32, tf32 or bf16")
        cpus = settings.get("cpus_per_task")
        theirs = {"trainer.threads": cpus} if cpus and settings["trainer.threads"] == "auto" else {}
        return Machine(theirs, num_jobs, (), is_local=False, has_workers=launcher == "DaskScheduler")
    from ablate.training import hardware  # loads torch

    num_workers = num_jobs if num_jobs >= 1 else max(1, hardware.num_cores() + 1 + num_jobs)
    given = [{key_of(line): line.partition("=")[2] for line in base} for base in bases]
    devices = sorted({base.get("device", settings["device"]) for base in given})
    if len(devices) > 1:
        raise UserError(f"studies that are done together need one device, got {' and '.join(devices)}")
    device = devices[0]
    values: dict[str, Any] = {}
    if device == "auto":
        values["device"] = device = hardware.resolve_device(device)
    gpus: Sequence[int] = ()
    if device == "cuda" and shared:
        gpus = [settings["gpu"]] if settings["gpu"] is not None else range(hardware.num_gpus())
        gib = min(map(hardware.gpu_memory_gib, gpus))
        num_workers = hardware.share_gpus(num_workers, len(gpus), settings["workers_per_gpu"], gib)
    if settings["precision"] == "auto" and not all("precision" in base for base in given):
        values["precision"] = hardware.resolve_precision("auto", device)
    if settings["trainer.threads"] == "auto" and not all("trainer.threads" in base for base in given):
        values["trainer.threads"] = hardware.resolve_threads("auto", num_workers)
    return Machine(values, num_workers, gpus, has_workers=shared)


@contextlib.contextmanager
def shared_out(gpus: Sequence[int]) -> Iterator[None]:
    """Have each worker process that is started inside the block take one of the GPUs, see `gpu_of_worker`.

    Args:
        gpus: numbers of CUDA devices; none where there is nothing to take.
    """
    if not gpus:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="ablate-gpus-", ignore_cleanup_errors=True) as folder:
        os.environ[GPUS] = f"{','.join(map(str, gpus))} {folder}"  # workers inherit it
        try:
            yield
        finally:
            del os.environ[GPUS]


def gpu_of_worker() -> int | None:
    """Return the GPU of this worker process, the same at every call; None where there is none to take.

    A worker holds the lock on the first place that is free, and place i has GPU i modulo their number. The system
    releases the lock when the process ends, so that the next worker takes the same GPU.

    Example:
        >>> print(gpu_of_worker())
        None
    """
    return _take(os.environ[GPUS]) if stopping.is_worker() and GPUS in os.environ else None


@functools.cache
def _take(shared: str) -> int:
    gpus, _, folder = shared.partition(" ")
    for place in itertools.count():
        lock = FileLock(Path(folder) / f"{place}.lock", timeout=0)
        with contextlib.suppress(Timeout):
            lock.acquire()
            _held.append(lock)  # a lock that is not referenced any more is released
            numbers = gpus.split(",")
            return int(numbers[place % len(numbers)])
    raise AssertionError("itertools.count() does not end")

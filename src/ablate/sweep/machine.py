"""What is the same for all jobs of a sweep: what replaces `auto`, how many jobs run at once, and on which GPUs."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ablate.config.overrides import key_of
from ablate.errors import UserError


class Machine(NamedTuple):
    """Where the jobs run.

    Args:
        values: {key: value} that replace `auto`, so that all jobs compute alike.
        num_workers: how many jobs run at once.
        gpus: which the jobs get in turn; none where each job finds its own.
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


def find_machine(launcher: str, num_jobs: int, settings: Mapping[str, Any], bases: Sequence[Sequence[str]]) -> Machine:
    """Return where the jobs of a launcher run. A job on a cluster decides for itself: its node is not this computer.

    Args:
        launcher: the class of Hydra's launcher; "DaskScheduler" for Dask's if it has an address.
        num_jobs: at once, as the launcher says; joblib counts from the end: -1 is all cores, -2 all but one.
        settings: device, gpu, precision, trainer.threads, workers_per_gpu; cpus_per_task, if the launcher sets it.
        bases: the overrides in the base of each study.

    Raises:
        UserError: precision is left to the nodes of a cluster, which may not agree, or studies name two devices.

    >>> settings = {"precision": "fp32", "device": "cpu", "trainer.threads": 2}
    >>> find_machine("BasicLauncher", 1, settings, [["net=micro"]])
    Machine(values={}, num_workers=1, gpus=(), is_local=True, has_workers=False)
    """
    shared = launcher in ("JoblibLauncher", "DaskLauncher")  # workers of this process share the computer
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


def in_turn(jobs: Sequence[list[str]], gpus: Sequence[int]) -> list[list[str]]:
    """Return the jobs' overrides, each job with the next GPU; unchanged where there are no GPUs to give.

    The order is fixed beforehand: where runs differ much in length, two may share one GPU while another is idle.

    >>> in_turn([["seed=0"], ["seed=1"], ["seed=2"]], gpus=[0, 1])
    [['seed=0', 'gpu=0'], ['seed=1', 'gpu=1'], ['seed=2', 'gpu=0']]
    """
    return [[*job, f"gpu={gpus[i % len(gpus)]}"] if gpus else job for i, job in enumerate(jobs)]

"""What is decided once for all jobs; how GPUs are shared is tested with the hardware."""

import os
import subprocess
import sys

import pytest

from ablate.sweep.machine import GPUS, Machine, find_machine, gpu_of_worker, shared_out

SETTINGS = {"precision": "fp32", "device": "cpu", "gpu": None, "workers_per_gpu": 1, "trainer.threads": "auto"}


def test_jobs_here_share_the_cores(monkeypatch):
    monkeypatch.setattr("ablate.training.hardware.num_cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    for num_jobs, num_workers in ((2, 2), (-1, 8), (-2, 7), (-100, 1)):
        machine = find_machine("JoblibLauncher", num_jobs, SETTINGS, [[]])
        assert (machine.num_workers, machine.is_local) == (num_workers, True)
        assert machine.values == {"trainer.threads": 8 // num_workers}


def test_a_cluster_decides_for_itself_but_for_the_precision():
    assert find_machine("SlurmLauncher", 4, SETTINGS, [[]]) == Machine({}, 4, (), is_local=False)
    for settings, base in ((SETTINGS | {"precision": "auto"}, []), (SETTINGS, ["precision=auto"])):
        with pytest.raises(ValueError, match="`precision=auto` may differ between the nodes of a cluster"):
            find_machine("SlurmLauncher", 4, settings, [base])


def test_studies_done_together_have_one_device():
    with pytest.raises(ValueError, match="need one device, got cpu and cuda"):
        find_machine("JoblibLauncher", 1, SETTINGS, [["device=cuda"], []])


def test_what_all_studies_give_is_not_decided():
    for base, expected in (("trainer.threads=1", {"precision"}), ("precision=fp32", {"trainer.threads"})):
        machine = find_machine("JoblibLauncher", 1, SETTINGS | {"precision": "auto"}, [[base], [base, "net=micro"]])
        assert set(machine.values) == expected
    assert set(find_machine("JoblibLauncher", 1, SETTINGS, [["trainer.threads=1"], []]).values) == {"trainer.threads"}


def test_what_an_arm_says_itself_is_not_replaced():
    machine = Machine({"device": "cpu", "trainer.threads": 2}, 1)
    assert machine.unless_given(["trainer.threads=1", "net=micro"]) == ["device=cpu"]


WORKER = """
import multiprocessing, sys
from ablate.sweep.machine import gpu_of_worker
multiprocessing.current_process().name = "LokyProcess-1"
for _ in sys.stdin:
    print(gpu_of_worker(), flush=True)
"""


def begin_worker():
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", WORKER], **pipes)


def gpu_of(worker):
    worker.stdin.write("\n")
    worker.stdin.flush()
    return int(worker.stdout.readline())


def end(worker):
    worker.communicate()  # its input ends
    assert worker.returncode == 0


def test_a_worker_keeps_the_gpu_that_it_takes_and_the_next_gets_that_of_one_that_ended():
    """With the GPU of each job, every worker would open a context on every GPU."""
    assert gpu_of_worker() is None
    with shared_out([4, 7]):
        assert gpu_of_worker() is None  # the process of the command is no worker
        workers = [begin_worker() for _ in range(3)]
        found = list(map(gpu_of, workers))
        assert sorted(found) == [4, 4, 7]
        assert list(map(gpu_of, workers)) == found
        end(workers.pop(found.index(7)))
        workers.append(begin_worker())
        assert gpu_of(workers[-1]) == 7
        for worker in workers:
            end(worker)
    assert GPUS not in os.environ


def test_without_gpus_there_is_nothing_to_share_out():
    with shared_out([]):
        assert GPUS not in os.environ


@pytest.mark.parametrize("launcher", ["JoblibLauncher", "DaskLauncher"])
def test_no_workers_are_refused(launcher):
    with pytest.raises(ValueError, match=r"`hydra.launcher.n_jobs` must be 1 or more, or -1 for all cores, got 0"):
        find_machine(launcher, 0, {}, [])

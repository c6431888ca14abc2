"""`hydra/launcher=dask`: jobs on Dask's workers; a failed one, and a signal, end nothing else.

test_processes.py has a whole sweep on Dask.
"""

import signal
import threading
import time

import pytest
from hydra.core.utils import JobReturn, JobStatus

from ablate import stopping
from ablate.errors import UserError
from ablate.sweep.machine import find_machine
from hydra_plugins import ablate_dask

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def address():
    """Of a scheduler with two workers, all in this process: nothing is started."""
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": False, "dashboard_address": None}
    with distributed.LocalCluster(**options) as found:
        yield found.scheduler_address


@pytest.fixture
def launcher(address, monkeypatch):
    """A function (task) -> launcher whose jobs return task(overrides).

    The class is looked up when it is needed: Hydra's search for plugins loads the module again, and instances of the
    earlier class would be pickled with it.
    """

    def make(task):
        def do_job(launcher, overrides, number, singletons, name):
            done = JobReturn(overrides=overrides, status=JobStatus.COMPLETED)
            done.return_value = task(overrides)
            return done

        monkeypatch.setattr(ablate_dask, "do_job", do_job)
        return ablate_dask.DaskLauncher(n_jobs=1, address=address, timeout=20)

    yield make
    stopping.reset()


def test_results_come_in_the_order_of_the_jobs_and_a_failed_one_ends_no_other(launcher):
    def task(overrides):
        return 6 // int(overrides[0])

    made = launcher(task)
    assert made.num_workers() == 2
    found = made.launch([[str(number)] for number in (1, 2, 0, 3, *[6] * 20)], initial_job_idx=0)
    assert [done.return_value for done in found[:2] + found[3:]] == [6, 3, 2, *[1] * 20]
    assert found[2].status == JobStatus.FAILED
    with pytest.raises(ZeroDivisionError):
        _ = found[2].return_value


BOTH = threading.Barrier(2)  # what a job uses must be global: jobs are pickled


def wait_to_be_stopped(overrides):
    """Run until the process is asked to stop; the second of the first two jobs asks for it."""
    if int(overrides[0]) < 2 and BOTH.wait(timeout=20) == 0:
        stopping.request(signal.SIGTERM)
    while not stopping.requested():
        time.sleep(0.01)


def test_a_signal_ends_the_submission_and_reaches_the_workers(launcher):
    """The first jobs run until they are asked to stop, as runs do; the others are not begun."""
    jobs = [[str(number)] for number in range(50)]
    found = launcher(wait_to_be_stopped).launch(jobs, initial_job_idx=0)
    assert len(found) == 50
    assert 2 <= sum(done.status == JobStatus.COMPLETED for done in found) <= 2 * 2 + ablate_dask.SPARE
    assert found[-1].status == JobStatus.UNKNOWN


def test_a_worker_stops_the_runs_of_one_launch_alone(monkeypatch):
    """Two commands may share a scheduler; and what one of them asked for must not hold for the next."""
    seen = []

    def do_run(launcher, overrides, number, singletons):
        for name in overrides:  # whose launch is asked to stop meanwhile
            ablate_dask.ask_to_stop(name)
        seen.append((number, stopping.requested()))
        stopping.check()
        return JobReturn(status=JobStatus.COMPLETED)

    monkeypatch.setattr(ablate_dask, "do_run", do_run)
    statuses = [
        ablate_dask.do_job(None, overrides, number, None, name).status
        for number, (overrides, name) in enumerate([(["b"], "a"), (["a"], "a"), ([], "a"), ([], "b"), ([], "c")])
    ]
    done, stopped = JobStatus.COMPLETED, JobStatus.UNKNOWN
    assert statuses == [done, stopped, stopped, stopped, done]
    assert seen == [(0, False), (1, True), (4, False)]


def test_a_scheduler_that_does_not_answer_is_named():
    made = ablate_dask.DaskLauncher(n_jobs=1, address="tcp://127.0.0.1:9", timeout=0.5)
    with pytest.raises(UserError, match=r"no Dask scheduler answers at `hydra.launcher.address`=tcp://127\.0\.0\.1:9"):
        made.num_workers()


@pytest.mark.parametrize(("n_jobs", "workers"), [(3, 3), (-1, 4), (-2, 3), (-9, 1)])
def test_workers_of_this_computer_are_counted_as_those_of_joblib(monkeypatch, n_jobs, workers):
    monkeypatch.setattr("ablate.training.hardware.num_cores", lambda: 4)
    assert ablate_dask.DaskLauncher(n_jobs=n_jobs, address=None, timeout=1).num_workers() == workers


def test_where_jobs_run_decides_threads_and_who_is_asked_to_stop(monkeypatch):
    monkeypatch.setattr("ablate.training.hardware.num_cores", lambda: 4)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    settings = {"precision": "fp32", "device": "cpu", "gpu": None, "workers_per_gpu": 1, "trainer.threads": "auto"}
    here = find_machine("DaskLauncher", 2, settings, [[]])
    assert here.values == {"trainer.threads": 2} and here.is_local and here.has_workers
    there = find_machine("DaskScheduler", 2, settings, [[]])
    assert there.values == {} and not there.is_local and there.has_workers
    slurm = find_machine("SlurmLauncher", 2, {**settings, "cpus_per_task": 3}, [[]])
    assert slurm.values == {"trainer.threads": 3} and not slurm.has_workers

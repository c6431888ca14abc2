"""`hydra/launcher=dask`: the jobs of a sweep on Dask's workers, of this computer or of any scheduler.

A worker process does one run at a time, since a run seeds the global generators of its process.
"""

import contextlib
import logging
import threading
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from ablate.errors import UserError

_asked: set[str] = set()  # in a worker: the launches whose runs are to stop
_current = ""  # in a worker: the launch that the present run belongs to
SPARE = 4  # jobs submitted beyond twice the number of workers; above 0, so that an adaptive cluster begins to grow
_one_run = threading.Lock()
_asking = threading.Lock()  # held while `_asked` and `_current` are compared


@dataclass
class DaskLauncherConf:
    """Selected by `hydra/launcher=dask`.

    Args:
        n_jobs: worker processes on this computer; -1 is one a core, -2 one fewer. Not used with an address.
        address: of a running scheduler, such as tcp://10.0.0.1:8786; None starts workers on this computer.
        timeout: seconds within which the scheduler must answer.
    """

    _target_: str = "hydra_plugins.ablate_dask.DaskLauncher"
    n_jobs: int = -1
    address: str | None = None
    timeout: float = 30.0


ConfigStore.instance().store(group="hydra/launcher", name="dask", node=DaskLauncherConf, provider="ablate")


class DaskLauncher(Launcher):
    """Submits jobs to Dask, a few more than there are workers; a job whose worker died is given to another."""

    def __init__(self, n_jobs: int, address: str | None, timeout: float) -> None:
        self.n_jobs, self.address, self.timeout = n_jobs, address, timeout

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what a job needs."""
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def num_workers(self) -> int:
        """Return how many runs are done at once, at least 1.

        Raises:
            UserError: the scheduler does not answer, or `distributed` is not installed.
        """
        if self.address is None:
            from ablate.sweep.machine import check_num_jobs
            from ablate.training import hardware

            check_num_jobs(self.n_jobs)
            return self.n_jobs if self.n_jobs >= 1 else max(1, hardware.num_cores() + 1 + self.n_jobs)
        with self.client() as client:
            return max(1, len(client.nthreads()))

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Do the jobs and return their results in order; a failed job does not end the others.

        When a signal asks the process to stop, nothing more is submitted, the workers save their runs, and the jobs
        that did not begin have the status UNKNOWN.
        """
        from distributed import wait
        from hydra.core.singleton import Singleton

        from ablate import stopping

        results = [JobReturn() for _ in job_overrides]
        waiting = iter(enumerate(job_overrides))
        active: dict[Any, int] = {}
        asked, name = False, uuid.uuid4().hex
        with self.client() as client:
            while True:
                while not (asked or stopping.requested()) and len(active) < 2 * len(client.nthreads()) + SPARE:
                    index, overrides = next(waiting, (None, None))
                    if index is None or overrides is None:
                        break
                    number, state = initial_job_idx + index, Singleton.get_state()
                    active[client.submit(do_job, self, list(overrides), number, state, name, pure=False)] = index
                if not active:
                    return results
                if stopping.requested() and not asked:
                    client.run(ask_to_stop, name)
                    asked = True
                with contextlib.suppress(TimeoutError):
                    wait(list(active), timeout=0.5, return_when="FIRST_COMPLETED")
                for future in [future for future in active if future.done()]:
                    results[active.pop(future)] = result_of(future)

    @contextlib.contextmanager
    def client(self) -> Iterator[Any]:
        """Yield a client of the scheduler, started here if there is no address."""
        try:
            from distributed import Client, LocalCluster
        except ImportError as error:
            cure = "pip install 'distributed>=2025.1'"
            raise UserError(f"hydra/launcher=dask needs the package distributed: {cure}") from error
        with contextlib.ExitStack() as stack:
            where: Any = self.address
            if where is None:
                where = stack.enter_context(
                    LocalCluster(
                        n_workers=self.num_workers(),
                        threads_per_worker=1,
                        host="127.0.0.1",
                        dashboard_address=None,
                        silence_logs=logging.CRITICAL,
                        memory_limit=0,  # otherwise a run that needs much memory is paused or killed
                    )
                )
            try:
                client = Client(where, timeout=self.timeout)
            except (OSError, ValueError) as error:
                raise UserError(
                    f"no Dask scheduler answers at `hydra.launcher.address`={self.address} within {self.timeout:g} s "
                    f"({' '.join(str(error).split())[:200]}); start one with `dask scheduler`, or leave the address out"
                ) from error
            yield stack.enter_context(client)


def result_of(future: Any) -> JobReturn:
    """Return the result of a job; if its workers died or could not begin it, one with the error."""
    try:
        found = future.result()
        assert isinstance(found, JobReturn)
        return found
    except Exception as error:
        failed = JobReturn(status=JobStatus.FAILED)
        failed.return_value = error
        return failed


def ask_to_stop(name: str) -> None:
    """In a worker: stop the run of a launch, and begin no further one of it; those of other launches go on."""
    from ablate import stopping

    with _asking:
        _asked.add(name)
        if _current == name:
            stopping.request()


def do_job(launcher: DaskLauncher, overrides: list[str], number: int, singletons: Any, name: str) -> JobReturn:
    """Do a job in a worker, unless its launch is to stop.

    Args:
        launcher, overrides, number, singletons: see `do_run`.
        name: of the launch.
    """
    global _current
    from ablate import stopping

    with _one_run:
        with _asking:
            _current = name
            is_over = name in _asked
        try:
            return JobReturn(overrides=overrides) if is_over else do_run(launcher, overrides, number, singletons)
        except stopping.Stopped:  # raised where the worker is a process of its own (`dask worker --no-nanny`)
            return JobReturn(overrides=overrides)
        finally:
            with _asking:
                _current = ""
                if name in _asked:
                    stopping.reset()  # the workers of a scheduler do other work later


def do_run(launcher: DaskLauncher, overrides: list[str], number: int, singletons: Any) -> JobReturn:
    """Do a job: compose its configuration and call Hydra's task function with it."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.core.singleton import Singleton
    from hydra.core.utils import run_job, setup_globals

    setup_globals()
    Singleton.set_state(singletons)
    config = launcher.hydra_context.config_loader.load_sweep_config(launcher.config, overrides)
    with open_dict(config):
        config.hydra.job.id, config.hydra.job.num = f"{config.hydra.job.name}_{number}", number
    HydraConfig.instance().set_config(config)
    return run_job(
        hydra_context=launcher.hydra_context,
        task_function=launcher.task_function,
        config=config,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )

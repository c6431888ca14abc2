"""Do a run in its directory: once, by one process at a time, resumed from its checkpoint."""

import contextlib
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from ablate import stopping
from ablate.data.dataset import Dataset
from ablate.errors import Unusable, UserError
from ablate.nets import Net
from ablate.seeding import global_generators
from ablate.storage.dates import utc_now
from ablate.storage.integrity import REFUSED, cannot_write, remove_temporary
from ablate.storage.place import check_place
from ablate.training import hardware, kept_data, sources
from ablate.training.callbacks import Checkpoint, Progress
from ablate.training.directory import (
    agree_on_folder,
    check_same,
    mend_config,
    replace_unusable,
    set_aside,
    write_or_check_config,
)
from ablate.training.environment import environment
from ablate.training.evaluation import conclude, write_predictions
from ablate.training.loop import Callback
from ablate.training.pieces import check_loaded
from ablate.training.record import CHECKPOINT_NAME, FAILURE_NAME, Record, finite, is_finished, read_record, write_record
from ablate.training.run import Run, prepare, train
from ablate.training.unsaved import Unsaved
from ablate.training.weights import KeepBest, check_restorable, write_weights

POLL_SECONDS = 0.25  # how often a process that waits for another looks whether it is to stop
FROM_THE_START = "the run starts again from its first epoch, and its progress is lost"


class Busy(UserError):
    """Another process is doing the run."""


@global_generators()
def start(
    run: Run, folder: Path, callbacks: Sequence[Callback] = (), *, rerun: bool = False, wait: bool = False
) -> tuple[Record, bool]:
    """Run `run` in `folder` unless it is finished there; return its record and whether it was run now.

    The global generators of torch, numpy and Python are restored at the end. If a record, configuration or checkpoint
    cannot be used, it is named on standard error, the folder is moved to `outputs/replaced/...` with the reason, and
    the run starts again.

    Args:
        folder: the run's; an unfinished run in it resumes from its checkpoint.
        rerun: move a finished run to `outputs/replaced/...` and run it again.
        wait: if another process is doing the run, wait until it has finished.

    Raises:
        Stopped: a signal asked for it; the run is saved, unless it had not begun.
        Busy: another process is doing the run.
        UserError: the folder cannot be written or holds a run of other settings.
    """
    try:
        record = read_record(folder)
    except Unusable:
        record = None  # read again, and set aside, under the lock
    if record is not None and not rerun:
        check_same(run, record.fingerprint, record.settings, folder)
        if record.seed != run.seed:
            raise UserError(f"{folder} holds the record of seed {record.seed}, not of {run.seed}; move it away")
        tidy(record, folder)
        return record, False
    stopping.check()
    hardware.keep_memory()
    torch.set_num_threads(run.threads)
    dataset = kept_data.load(run.data)
    check_loaded(dataset, run.data)
    net = run.build(dataset)
    if run.keep_weights:
        check_restorable(run, net, dataset)
    # All that can be refused has been checked: from here on the folder is written.
    check_place(folder.parent.parent)
    try:
        if (arm_folder := agree_on_folder(folder.parent, run.fingerprint)) != folder.parent:
            raise Busy(f"another process has just begun the same run in {arm_folder}; repeat the command to use it")
        folder.mkdir(parents=True, exist_ok=True)
        lock = lock_of(folder)
        acquire(lock, wait=wait)
    except Timeout as error:
        message = f"{folder} is being written by another process; stop it, or wait for it with wait=true"
        raise Busy(message) from error
    except OSError as error:
        if error.errno in REFUSED:
            raise cannot_write(folder, error) from error
        raise UserError(f"cannot write in {folder} ({error.strerror}); choose another with output_dir=...") from error
    with lock:
        try:
            return start_locked(run, dataset, net, folder, callbacks, rerun=rerun)
        except OSError as error:  # from an observer that writes files itself, such as TensorBoard
            if error.errno in REFUSED:
                raise cannot_write(folder, error) from error
            raise


def start_locked(
    run: Run, dataset: Dataset, net: Net, folder: Path, callbacks: Sequence[Callback], *, rerun: bool
) -> tuple[Record, bool]:
    """Do what `start` does while this process holds the folder's lock."""
    folder.mkdir(exist_ok=True)  # a killed process may have moved it away and made no new one
    remove_temporary(folder, older_than=0)
    try:
        record = read_record(folder)
        if record is not None and not rerun:  # another process finished it meanwhile
            return record, False
        if record is not None:
            set_aside(folder, "rerun=true: the run was finished, and is done again")
            folder.mkdir()
    except Unusable as error:
        replace_unusable(folder, error, "the run is done again")
    (folder / FAILURE_NAME).unlink(missing_ok=True)
    try:
        write_or_check_config(run, folder)
    except Unusable as error:
        replace_unusable(folder, error, FROM_THE_START)
        write_or_check_config(run, folder)
    sources.keep(run.sources, folder)
    return execute(run, dataset, net, folder, callbacks), True


def lock_of(folder: Path) -> FileLock:
    """Return the lock that a process must hold to write a run's folder; the lock file lies beside the folder."""
    return FileLock(folder.parent / f".{folder.name}.lock", timeout=0)


def acquire(lock: FileLock, *, wait: bool) -> None:
    """Acquire a lock; with `wait`, wait for it, unless a signal asks this process to stop.

    Raises:
        Timeout: another process holds it.
        Stopped: a signal came.
    """
    while True:
        stopping.check()
        try:
            lock.acquire(timeout=POLL_SECONDS if wait else 0)
            return
        except Timeout:
            if not wait:
                raise


def tidy(record: Record, folder: Path) -> None:
    """Remove the leftovers of a killed process and restore the configuration, unless another process is writing."""
    with contextlib.suppress(Timeout, OSError), lock_of(folder):  # a read-only folder stays as it is
        if is_finished(folder):
            remove_temporary(folder, older_than=0)
            (folder / CHECKPOINT_NAME).unlink(missing_ok=True)
            mend_config(record, folder)


def execute(run: Run, dataset: Dataset, net: Net, folder: Path, callbacks: Sequence[Callback] = ()) -> Record:
    """Train, evaluate and write the record of `run` in `folder`, resuming from a checkpoint if there is one.

    Args:
        run, dataset, net: see `prepare`.
        folder: exists, is locked and holds the run's configuration.
        callbacks: observers.
    """
    state, examine = prepare(run, dataset, net)
    checkpoint = Checkpoint(folder, run.checkpoint_every, run.fingerprint)
    try:
        checkpoint.restore(state)
    except Unusable as error:
        replace_unusable(folder, error, FROM_THE_START)
        write_or_check_config(run, folder)
    progress = [callback for callback in callbacks if isinstance(callback, Progress)]
    others = [callback for callback in callbacks if not isinstance(callback, Progress)]
    # TensorBoard writes before the checkpoint, and an epoch is shown as done only after it was saved.
    keep = [KeepBest()] if run.keep_weights == "best" else []
    train(run, state, examine, [*others, Unsaved(), *keep, checkpoint, *progress])
    evaluation_start = time.perf_counter()
    state.metrics, state.test_log_probs = conclude(state, examine, run.thresholds)
    state.wall_seconds += time.perf_counter() - evaluation_start
    for callback in callbacks:
        callback.on_fit_end(state)
    predictions = write_predictions(folder, state)
    write_weights(run, state, folder)
    record = Record(
        arm=run.arm,
        fingerprint=run.fingerprint,
        seed=run.seed,
        status="diverged" if state.diverged else "finished",
        levels=dict(run.levels),
        settings=dict(run.settings),
        metrics=finite(state.metrics),
        history=finite(state.history),
        wall_seconds=state.wall_seconds,
        images_per_second=state.step * run.batch_size / state.train_seconds,
        peak_memory_mb=hardware.peak_memory_mb(run.device),
        environment=environment(run.device, run.precision, run.threads, sources.files(run.sources)),
        sources=[asdict(source) for source in run.sources],
        predictions=predictions,
        date=utc_now(),
        replaced=list(getattr(net, "replaced", [])),
    )
    write_record(record, folder)
    checkpoint.path.unlink(missing_ok=True)
    return record

"""One run, from its description to its record."""

import contextlib
import copy
import errno
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from torch import Tensor, nn

from ablate.data.dataset import Dataset, Split
from ablate.errors import Unusable, UserError, making
from ablate.layers.batch_norm import BatchNorm
from ablate.nets import ConvNet, Net
from ablate.optimization import parameter_groups, set_initial_lr
from ablate.regularization import Regularizer
from ablate.seeding import Streams, global_generators
from ablate.storage.integrity import cannot_write, remove_temporary
from ablate.training import hardware, sources
from ablate.training.callbacks import CHECKPOINT_NAME, Checkpoint, Progress
from ablate.training.directory import (
    agree_on_folder,
    check_same,
    mend_config,
    replace_unusable,
    set_aside,
    write_or_check_config,
)
from ablate.training.evaluation import Examination, conclude, write_predictions
from ablate.training.loop import Augmentation, Callback, Schedule, State, fit
from ablate.training.record import FAILURE_NAME, Record, finite, is_finished, read_record, write_record
from ablate.training.sources import Source
from ablate.training.unsaved import Unsaved

ANEW = "the run begins anew from its first epoch, and what it had done is lost"
INITIALIZATION_IMAGES = 256  # how many training images a data-driven initializer sees


@dataclass(frozen=True, kw_only=True)
class Run:
    """Everything that one run is made of; nothing random has been drawn yet.

    Args:
        arm, fingerprint, levels, settings: who the run is, see `record.Record`.
        data: has `load() -> Dataset`.
        preprocessing: unfitted; a copy is fitted on the training images.
        augmentation, initializer, normalization, dropout: see `layers` and `data`.
        activation: makes one activation.
        optimizer: called with parameter groups.
        bias_lr_factor: learning rate of the biases in units of all others', above 0.
        schedule: (epochs done, num_epochs) -> factor on lr.
        epochs: at least 1.
        batch_size: training images a step, at most the number of training images.
        eval_batch_size: images a step of inference; changes the speed only.
        precision: "fp32" or "bf16".
        device: "cpu" or "cuda".
        gpu: which CUDA device, from 0; None: the first.
        compile: False, or the mode in which the training steps are compiled: see `training.compiled`.
        threads: of torch on the CPU.
        seed: the replicate.
        checkpoint_every: epochs between two checkpoints.
        thresholds: accuracies in (0, 1) whose first epoch is recorded.
        sources: the code that the settings name outside the program.
    """

    arm: str
    fingerprint: str
    levels: Mapping[str, str]
    settings: Mapping[str, Any]
    data: Any
    preprocessing: Any
    augmentation: Augmentation
    net: ConvNet
    activation: Callable[[], nn.Module]
    initializer: Callable[[nn.Module, Tensor, Callable[[str], torch.Generator]], None]
    normalization: Any
    dropout: Any
    regularizer: Regularizer
    optimizer: Callable[[list[dict[str, Any]]], torch.optim.Optimizer]
    schedule: Schedule
    epochs: int
    batch_size: int
    eval_batch_size: int
    precision: str
    device: str
    threads: int
    seed: int
    bias_lr_factor: float = 1.0
    gpu: int | None = None
    compile: bool | str = False
    checkpoint_every: int = 1
    thresholds: Sequence[float] = field(default=(0.25, 0.5, 0.75, 0.9))
    sources: Sequence[Source] = ()

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "eval_batch_size", "threads", "checkpoint_every"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise UserError(f"`trainer.{name}` must be a whole number of at least 1, got {value!r}")
        if not isinstance(self.seed, int) or isinstance(self.seed, bool):
            raise UserError(f"`seed` must be a whole number, got {self.seed!r}")
        if not self.bias_lr_factor > 0:
            raise UserError(f"`optimizer.bias_lr_factor` must be above 0, got {self.bias_lr_factor}")
        if "weight_decay" in getattr(self.optimizer, "keywords", {}):
            raise UserError("`optimizer.weight_decay` would be without effect: give regularizer.l2 instead")
        # A wrong keyword or value of a factory shows when it is called: now, not after the data is loaded.
        with making("activation", __file__):
            self.activation()
        with making("optimizer", __file__):
            self.optimizer([{"params": [nn.Parameter(torch.zeros(1))]}])
        if any(not 0 < t < 1 for t in self.thresholds):
            raise UserError(f"`trainer.thresholds` must lie between 0 and 1, got {list(self.thresholds)}")

    def build(self, dataset: Dataset) -> Net:
        """Return the initialized net, on the CPU, with preprocessing fitted on the training images in front."""
        if self.batch_size > len(dataset.train.labels):
            raise UserError(
                f"`trainer.batch_size` must not exceed the number of training images, got {self.batch_size} for "
                f"{len(dataset.train.labels)} images; lower trainer.batch_size or raise data.train_size"
            )
        with global_generators(Streams(self.seed).key("build")):
            return self._build(dataset)

    def _build(self, dataset: Dataset) -> Net:
        streams = Streams(self.seed)
        preprocessing = copy.deepcopy(self.preprocessing).fit(dataset.train.images)
        net = self.net.build(
            preprocessing.output_shape(dataset.image_shape),
            dataset.num_classes,
            activation=self.activation,
            normalization=self.normalization,
            dropout=self.dropout,
            front=[("preprocessing", preprocessing), *self.regularizer.front()],
        )
        if self.batch_size == 1 and any(isinstance(layer, BatchNorm) for layer in net.modules()):
            raise UserError("`trainer.batch_size` must be at least 2 with batch normalization, got 1")
        first_images = dataset.train.images[:INITIALIZATION_IMAGES]
        self.initializer(net, first_images, lambda path: streams.generator("init", path))
        return net.to(memory_format=torch.channels_last)


class Busy(UserError):
    """Another process is doing the run."""


@global_generators()
def start(
    run: Run, folder: Path, callbacks: Sequence[Callback] = (), *, rerun: bool = False, wait: bool = False
) -> tuple[Record, bool]:
    """Run `run` in `folder` unless it is finished there; return its record and whether it was run now.

    The global generators of torch, numpy and Python are afterwards as they were before. A record, configuration or
    checkpoint that cannot be used is named on standard error, the folder is set aside (`outputs/replaced/...`, with its
    reason), and the run begins anew.

    Args:
        folder: the run's home; an unfinished run in it goes on from its checkpoint.
        rerun: set a finished run aside (`outputs/replaced/...`) and do it anew.
        wait: where another process is doing the run, wait until it is done.

    Raises:
        Busy: another process is doing the run.
        UserError: the folder cannot be written or holds a run of other settings.
    """
    try:
        record = read_record(folder)
    except Unusable:
        record = None  # it is read again, and set aside, under the lock
    if record is not None and not rerun:
        check_same(run, record.fingerprint, record.settings, folder)
        if record.seed != run.seed:
            raise UserError(f"{folder} holds the record of seed {record.seed}, not of {run.seed}; move it away")
        tidy(record, folder)
        return record, False
    hardware.keep_memory()
    torch.set_num_threads(run.threads)
    dataset = run.data.load()
    net = run.build(dataset)  # what can be refused has been refused: from here on the folder is touched
    try:
        if (home := agree_on_folder(folder.parent, run.fingerprint)) != folder.parent:
            raise Busy(f"another process has just begun the same run in {home}; the same command again finds it there")
        folder.mkdir(parents=True, exist_ok=True)
        lock = lock_of(folder, wait=wait)
        lock.acquire()
    except Timeout as error:
        message = f"{folder} is being written by another process; stop it, or wait for it with wait=true"
        raise Busy(message) from error
    except OSError as error:
        raise UserError(f"cannot write in {folder} ({error.strerror}); choose another with output_dir=...") from error
    with lock:
        try:
            return start_locked(run, dataset, net, folder, callbacks, rerun=rerun)
        except OSError as error:  # of an observer that writes by itself, such as TensorBoard
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS):
                raise cannot_write(folder, error) from error
            raise


def start_locked(
    run: Run, dataset: Dataset, net: Net, folder: Path, callbacks: Sequence[Callback], *, rerun: bool
) -> tuple[Record, bool]:
    """Do what `start` does once the folder is this process's alone."""
    folder.mkdir(exist_ok=True)  # a process that was killed may have moved it away and made no other
    remove_temporary(folder, older_than=0)
    try:
        record = read_record(folder)
        if record is not None and not rerun:  # another process was quicker
            return record, False
        if record is not None:
            set_aside(folder, "rerun=true: the run was finished, and is done anew")
            folder.mkdir()
    except Unusable as error:
        replace_unusable(folder, error, "the run is done anew")
    (folder / FAILURE_NAME).unlink(missing_ok=True)
    try:
        write_or_check_config(run, folder)
    except Unusable as error:
        replace_unusable(folder, error, ANEW)
        write_or_check_config(run, folder)
    sources.keep(run.sources, folder)
    return execute(run, dataset, net, folder, callbacks), True


def lock_of(folder: Path, *, wait: bool) -> FileLock:
    """Return the lock that whoever writes a run's folder holds; it lies beside the folder."""
    return FileLock(folder.parent / f".{folder.name}.lock", timeout=-1 if wait else 0)


def tidy(record: Record, folder: Path) -> None:
    """Remove what a killed process left beside a record, and mend the configuration, where nobody else is writing."""
    with contextlib.suppress(Timeout, OSError), lock_of(folder, wait=False):  # a folder that may only be read stays so
        if is_finished(folder):
            remove_temporary(folder, older_than=0)
            (folder / CHECKPOINT_NAME).unlink(missing_ok=True)
            mend_config(record, folder)


def prepare(run: Run, dataset: Dataset, net: Net) -> tuple[State, Examination]:
    """Return a run's state before its first step, on the run's device, and the way its net is examined.

    Args:
        run: what to do.
        dataset: the run's data, on the CPU.
        net: `run.build(dataset)`.
    """
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = False  # fp32 means fp32 on every device
    device = torch.device(run.device)
    if run.device == "cuda":
        torch.cuda.set_device(run.gpu or 0)
        torch.cuda.reset_peak_memory_stats()
    net.to(device)
    train, val, test = (to_device(split, device) for split in (dataset.train, dataset.val, dataset.test))
    dataset = replace(dataset, train=train, val=val, test=test)
    optimizer = run.optimizer(parameter_groups(net, run.regularizer.l2, run.bias_lr_factor))
    set_initial_lr(optimizer)
    state = State(
        net=net,
        optimizer=optimizer,
        dataset=dataset,
        num_epochs=run.epochs,
        steps_per_epoch=len(dataset.train.labels) // run.batch_size,
        seed=run.seed,
        num_left_out=len(dataset.train.labels) % run.batch_size,
    )
    examine = Examination(
        dataset=dataset,
        preprocessing=run.preprocessing,
        batch_size=run.batch_size,
        eval_batch_size=run.eval_batch_size,
        precision=run.precision,
        num_samples=run.dropout.num_samples,
        streams=Streams(run.seed),
    )
    return state, examine


def train(run: Run, state: State, examine: Examination, callbacks: Sequence[Callback] = ()) -> None:
    """Do the epochs that `state` has left."""
    fit(
        state,
        batch_size=run.batch_size,
        augmentation=run.augmentation,
        loss=run.regularizer.make_loss(state.net),
        schedule=run.schedule,
        streams=Streams(run.seed),
        precision=run.precision,
        compile_mode=str(run.compile) if run.compile else None,
        validate=examine.validate,
        callbacks=callbacks,
    )


def execute(run: Run, dataset: Dataset, net: Net, folder: Path, callbacks: Sequence[Callback] = ()) -> Record:
    """Train, evaluate and write the record of `run` in `folder`, going on from a checkpoint that lies there.

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
        replace_unusable(folder, error, ANEW)
        write_or_check_config(run, folder)
    progress = [callback for callback in callbacks if isinstance(callback, Progress)]
    silent = [callback for callback in callbacks if not isinstance(callback, Progress)]
    # What TensorBoard wrote is there when the checkpoint is, and an epoch that is shown as done is saved.
    train(run, state, examine, [*silent, Unsaved(), checkpoint, *progress])
    evaluation_start = time.perf_counter()
    state.metrics, state.test_log_probs = conclude(state, examine, run.thresholds)
    state.wall_seconds += time.perf_counter() - evaluation_start
    for callback in callbacks:
        callback.on_fit_end(state)
    predictions = write_predictions(folder, state)
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
        environment=hardware.environment(run.device, run.precision, run.threads, sources.files(run.sources)),
        sources=[asdict(source) for source in run.sources],
        predictions=predictions,
    )
    write_record(record, folder)
    checkpoint.path.unlink(missing_ok=True)
    return record


def to_device(split: Split, device: torch.device) -> Split:
    """Return the split with its tensors on `device`."""
    return Split(images=split.images.to(device), labels=split.labels.to(device))

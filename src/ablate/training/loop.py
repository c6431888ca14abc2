"""The training loop, written out, and inference over a split.

    on_fit_start
    for epoch:
        for batch:
            images = augmentation(batch)
            zero_grad; loss; backward; step
            on_step_end                       # the gradients are still available
            on_stop                           # if a signal asked to stop: here, or after on_epoch_end
        validation metrics
        on_epoch_end                          # the epoch's row is in the history
    test metrics
    on_fit_end                                # the final metrics are complete

A callback observes, and may add to the history and the metrics; what changes training is an argument of `fit`.
"""

import contextlib
import functools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ablate import stopping
from ablate.data.dataset import Dataset
from ablate.nets import Net
from ablate.seeding import Streams, global_generators
from ablate.training.captured_step import CapturedStep
from ablate.training.record import Metrics
from ablate.training.scoring import accuracy_of, shared_by
from ablate.training.step import Augmentation, Loss, Step, autocast


@dataclass(kw_only=True)
class State:
    """The state of a run. `fit` writes it, callbacks read it, a checkpoint holds all that cannot be computed again.

    Args:
        dataset: all splits, on the device of the net.
        seed: the run's.
        num_left_out: training images that fill no batch; each epoch leaves out different ones.
        epoch, step: epochs and steps done.
        loss: the last step's loss, a 0-d tensor on the device.
        lr: learning rate of the last step.
        initial: diagnostics before the first step.
        history: one row per epoch.
        best: the epoch with the highest validation accuracy ("epoch") and the net's state dictionary after it ("net"),
            if `keep_weights=best` asks for it.
        train_seconds: seconds spent in training steps.
        wall_seconds: seconds spent in finished epochs, evaluation included.
        within: of an epoch in which training stopped: its sums of losses, counts of hits and seconds; empty otherwise.
        diverged: the training loss or a weight is no longer a finite number.
        metrics: final metrics, filled after the last epoch.
        test_log_probs: (N, num_classes) log-probabilities of the test images, filled after the last epoch.
    """

    net: Net
    optimizer: torch.optim.Optimizer
    dataset: Dataset
    num_epochs: int
    steps_per_epoch: int
    seed: int = 0
    num_left_out: int = 0
    epoch: int = 0
    step: int = 0
    loss: Tensor = field(default_factory=lambda: torch.tensor(math.nan))
    lr: float = math.nan
    initial: Metrics = field(default_factory=dict)
    history: list[Metrics] = field(default_factory=list)
    best: dict[str, Any] = field(default_factory=dict)
    train_seconds: float = 0.0
    wall_seconds: float = 0.0
    within: dict[str, Any] = field(default_factory=dict)
    diverged: bool = False
    metrics: Metrics = field(default_factory=dict)
    test_log_probs: Tensor | None = None

    @property
    def device(self) -> str:
        """The type of the device that the run is trained on, "cpu" or "cuda"."""
        return self.dataset.train.images.device.type


class Callback:
    """An observer of a run; a subclass overrides the methods it needs."""

    def on_fit_start(self, state: State) -> None: ...

    def on_step_end(self, state: State) -> None: ...

    def on_epoch_end(self, state: State) -> None: ...

    def on_stop(self, state: State) -> None: ...

    def on_fit_end(self, state: State) -> None: ...


SAMPLING_BATCH = 500  # images per mask draw; another number would give other masks

Schedule = Callable[[float, int], float]


@stopping.deferred()
def fit(
    state: State,
    *,
    batch_size: int,
    augmentation: Augmentation,
    loss: Loss,
    schedule: Schedule,
    streams: Streams,
    precision: str,
    compile_mode: str | None = None,
    capture: bool | str = False,
    validate: Callable[[Net], Metrics],
    callbacks: Sequence[Callback],
) -> None:
    """Train `state.net` from `state.epoch` to `state.num_epochs`, or until loss or weights are no longer finite.

    Every epoch has a new order of all training images; those that fill no last batch are left out of that epoch.
    Nothing is read back from the device between the first and the last step of an epoch. Before every step the global
    generators are seeded from (seed, step), so that callbacks and validation do not change what a step draws.

    A signal (see `ablate.stopping`) stops it after the step, or after the epoch's end, that is being done; the step of
    `state` says where it resumes.

    The epoch in which loss or weights become non-finite is scored as guessing: accuracy 1 / num_classes, no loss.

    Args:
        batch_size: at most the number of training images.
        augmentation: (images, generator) -> images, on integers.
        loss: (logits, labels) -> 0-d tensor.
        schedule: (epochs done, num_epochs) -> factor on every group's initial lr.
        streams: the run's randomness.
        precision: "fp32" or "bf16": autocast, in which weights, whitening, statistics of normalizations and the loss
            stay in fp32.
        compile_mode: None, or the mode of `step.compiled` for the forward pass of the training steps.
        capture: whether the steps are recorded as a CUDA graph and replayed, with the same numbers, see
            `captured_step.CapturedStep`. True: they must be; "auto": unless a step turns out to wait for the device.
        validate: net -> validation metrics (empty without validation images), called after every epoch.
        callbacks: observers, called in order.

    Raises:
        Stopped: a signal asked for it; `on_stop` of every callback was called.
    """
    net, optimizer, train = state.net, state.optimizer, state.dataset.train
    make_step = functools.partial(CapturedStep, required=capture is True) if capture else Step
    step: Step = make_step(
        net=net,
        optimizer=optimizer,
        data=train,
        batch_size=batch_size,
        augmentation=augmentation,
        loss=loss,
        streams=streams,
        precision=precision,
        compile_mode=compile_mode,
    )
    for callback in callbacks:
        callback.on_fit_start(state)
    while state.epoch < state.num_epochs and not state.diverged:
        epoch_start = time.perf_counter() - state.within.get("seconds", 0.0)
        net.train()
        order = torch.randperm(len(train.labels), generator=streams.generator("order", state.epoch))
        places = range(state.steps_per_epoch)
        factors = [schedule(state.epoch + i / state.steps_per_epoch, state.num_epochs) for i in places]
        first = state.step - state.epoch * state.steps_per_epoch
        step.begin_epoch(order.to(step.device), factors, first, state.within)
        for i in places[first:]:
            state.loss = step(i, state.step)
            state.step += 1
            state.lr = optimizer.param_groups[0]["initial_lr"] * factors[i]
            for callback in callbacks:
                callback.on_step_end(state)
            if stopping.requested() and i + 1 < state.steps_per_epoch:
                seconds = time.perf_counter() - epoch_start
                state.within = {"sums": step.sums, "counts": step.counter.counts, "seconds": seconds}
                step.end_epoch(i)
                stop(state, callbacks)
        state.within = {}
        step.end_epoch(i)
        # All batches have the same size, so the mean over batches is the mean over images.
        mean_loss, cross_entropy = (total / state.steps_per_epoch for total in step.sums.tolist())
        seconds = time.perf_counter() - epoch_start
        state.epoch += 1
        state.train_seconds += seconds
        row: Metrics = {"epoch": state.epoch, "lr": state.lr}
        row |= {
            "train/loss": mean_loss,
            "train/cross_entropy": cross_entropy,
            "train/accuracy": step.counter.accuracy(),
        }
        row["images_per_second"] = state.steps_per_epoch * batch_size / seconds
        state.diverged = not (math.isfinite(mean_loss) and all_finite(net))
        if state.diverged:
            row |= guessing(["train"], state.dataset.num_classes) | {"train/cross_entropy": None}
        else:
            row |= validate(net)
        state.history.append(row)
        state.wall_seconds += time.perf_counter() - epoch_start
        for callback in callbacks:
            callback.on_epoch_end(state)
        if stopping.requested() and not state.diverged:
            stop(state, callbacks)


def stop(state: State, callbacks: Sequence[Callback]) -> None:
    """Let the callbacks save what is needed to resume, and raise `Stopped`."""
    for callback in callbacks:
        callback.on_stop(state)
    stopping.check()


def all_finite(net: Net) -> bool:
    """Return whether every weight is a finite number."""
    ends = [end for p in net.parameters() for end in p.detach().aminmax()]  # nan is returned as minimum and maximum
    return bool(torch.stack(ends).isfinite().all())


@torch.no_grad()
def predict(
    net: Net, images: Tensor, *, batch_size: int, precision: str, num_samples: int = 0, streams: Streams
) -> Tensor:
    """Return the log-probabilities (N, num_classes), float64, of `images` at inference.

    In float64 the rounding of the logarithm makes no two different logits equal, and finite logits give finite values;
    a row with a non-finite logit is nan throughout.

    Args:
        images: (N, C, H, W), integers, on the device of the net.
        batch_size: images per step; changes only the speed. Sampling uses `SAMPLING_BATCH` instead.
        num_samples: 0 for the deterministic net; with n >= 1 the probabilities are averaged over n draws of the dropout
            masks (Gal & Ghahramani 2016, arXiv:1506.02142).
        streams: the masks depend on it and on the order of the images.
    """
    net.eval()
    batch_size = SAMPLING_BATCH if num_samples else batch_size
    with monte_carlo(net, active=num_samples > 0) as dropouts, global_generators(streams.key("inference")):
        batches = []
        for first in range(0, len(images), batch_size):
            batch = images[first : first + batch_size]
            samples = []
            for sample in range(max(1, num_samples)):
                for path, module in dropouts:
                    module.reseed(streams.key("monte_carlo", path, first, sample))
                with autocast(images.device, precision):
                    logits = net(batch)
                # One infinite logit would leave the other log-probabilities finite.
                unknown = ~logits.isfinite().all(1, keepdim=True)
                samples.append(F.log_softmax(logits.double(), dim=1).masked_fill(unknown, math.nan))
            batches.append(torch.logsumexp(torch.stack(samples), dim=0) - math.log(len(samples)))
    return torch.cat(batches)


@contextlib.contextmanager
def monte_carlo(net: Net, *, active: bool) -> Iterator[list[tuple[str, Any]]]:
    """Make the dropout layers of `net` drop at inference too inside the block; yield (path, layer) of each."""
    dropouts: list[tuple[str, Any]] = [(p, m) for p, m in net.named_modules() if active and hasattr(m, "monte_carlo")]
    for _, module in dropouts:
        module.monte_carlo = True
    try:
        yield dropouts
    finally:
        for _, module in dropouts:
            module.monte_carlo = False


def loss_and_accuracy(log_probs: Tensor, labels: Tensor, prefix: str) -> Metrics:
    """Return the scores of the log-probabilities of `predict`; an image with non-finite outputs counts as wrong.

    Returns:
        prefix/loss: mean cross-entropy in nats; nan if an output is not finite.
        prefix/accuracy: fraction in [0, 1], see `ablate.training.scoring`.
        prefix/non_finite: fraction of images with non-finite outputs.

    Example:
        >>> log_probs = torch.tensor([[0.5, 0.5], [0.1, 0.9]]).log()
        >>> loss_and_accuracy(log_probs, torch.tensor([1, 1]), "test")["test/accuracy"]
        0.75
    """
    unknown = (~log_probs.isfinite().all(1)).sum().item()
    counts = torch.bincount(shared_by(log_probs, labels), minlength=log_probs.shape[1] + 1)
    return {
        f"{prefix}/loss": F.nll_loss(log_probs, labels).item(),
        f"{prefix}/accuracy": accuracy_of(counts.tolist()),
        f"{prefix}/non_finite": unknown / len(labels),
    }


def guessing(prefixes: Sequence[str], num_classes: int) -> Metrics:
    """Return the scores of a net that diverged: no loss, and the accuracy of guessing.

    A guess, each class with equal probability, is right for 1 / num_classes of the images even if the classes are
    unequal; the share of the largest class would be the score of a constant answer, which such a net does not give.

    Example:
        >>> guessing(["test"], num_classes=4)
        {'test/loss': None, 'test/accuracy': 0.25}
    """
    return {f"{p}/{k}": v for p in prefixes for k, v in (("loss", None), ("accuracy", 1 / num_classes))}

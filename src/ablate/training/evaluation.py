"""Evaluation of a net: inference with the run's settings, final metrics, and the file of predictions."""

import contextlib
import copy
import hashlib
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ablate.data.dataset import Dataset, Split
from ablate.data.views import views
from ablate.layers.batch_norm import estimate_population_statistics, needs_population_statistics
from ablate.nets import Net
from ablate.seeding import Streams, global_generators
from ablate.storage.integrity import replacing
from ablate.training.loop import State, guessing, loss_and_accuracy, predict
from ablate.training.record import PREDICTIONS_NAME, Metrics
from ablate.training.scoring import answers, hits
from ablate.training.step import autocast, take


@dataclass(frozen=True, kw_only=True)
class Examination:
    """Inference with a run's settings: population statistics, preprocessing fitted on test images, sampling.

    Args:
        dataset: on the device of the net.
        preprocessing: unfitted; with fit="test", a deliberate mistake, a copy is fitted on the evaluated images.
        batch_size: of training, for population statistics.
        eval_batch_size: images per step of inference.
        precision: "fp32", "tf32" or "bf16".
        num_samples: of Monte-Carlo dropout in the final evaluation, 0 for none.
        num_views: of each validation and test image in the final evaluation, see `ablate.data.views`.
        streams: the run's randomness.
    """

    dataset: Dataset
    preprocessing: Any
    batch_size: int
    eval_batch_size: int
    precision: str
    num_samples: int
    streams: Streams
    num_views: int = 1

    def __call__(self, net: Net, split: Split, num_samples: int = 0) -> Tensor:
        """Return the log-probabilities (N, num_classes) of the images of `split`; `net` is left as it was."""
        with self.preprocessing_for(net, split):
            return self._predict(net, split.images, num_samples)

    def final(self, net: Net, split: Split) -> Tensor:
        """Return the same as the final evaluation has it, with its dropout samples and its views.

        The logits are averaged over the views, with their weights: up to a constant an image, so are their
        log-probabilities.
        """
        if self.num_views == 1:
            return self(net, split, self.num_samples)
        with self.preprocessing_for(net, split):
            weighted = [w * self._predict(net, v, self.num_samples) for w, v in views(split.images, self.num_views)]
        return F.log_softmax(torch.stack(weighted).sum(0), dim=1)

    def _predict(self, net: Net, images: Tensor, num_samples: int) -> Tensor:
        return predict(
            net,
            images,
            batch_size=self.eval_batch_size,
            precision=self.precision,
            num_samples=num_samples,
            streams=self.streams,
        )

    def conclude(self, net: Net) -> tuple[Metrics, Tensor]:
        """Return the final metrics of all splits and the log-probabilities of the test images."""
        data = self.dataset
        log_probs = self.final(net, data.test)
        metrics = loss_and_accuracy(self(net, data.train), data.train.labels, "train_eval")
        if len(data.val):
            metrics |= loss_and_accuracy(self.final(net, data.val), data.val.labels, "val")
        return metrics | loss_and_accuracy(log_probs, data.test.labels, "test"), log_probs

    def validate(self, net: Net) -> Metrics:
        """Return the validation metrics, after updating the statistics of inference to the present weights.

        The last validation leaves these statistics as the final evaluation needs them. Without validation images
        (`data.val_size=0`) there are no metrics. "val/non_finite" is present only if it is not 0.
        """
        if needs_population_statistics(net):
            labels = self.dataset.train.labels
            order = torch.randperm(len(labels), generator=self.streams.generator("population")).to(labels.device)
            batches = (batch for batch in order.split(self.batch_size) if len(batch) == self.batch_size)
            key = self.streams.key("population", "global")
            with autocast(labels.device, self.precision), global_generators(key):
                estimate_population_statistics(net, (take(self.dataset.train, batch)[0] for batch in batches))
        val = self.dataset.val
        found = loss_and_accuracy(self(net, val), val.labels, "val") if len(val) else {}
        return {key: value for key, value in found.items() if key != "val/non_finite" or value}

    @contextlib.contextmanager
    def preprocessing_for(self, net: Net, split: Split) -> Iterator[None]:
        """With `preprocessing.fit=test`, use a preprocessing fitted on the images of `split` inside the block."""
        if split is self.dataset.train or getattr(self.preprocessing, "fit_on", "train") == "train":
            yield
            return
        own = net.preprocessing
        refitted = copy.deepcopy(self.preprocessing)
        refitted.fit(split.images.cpu())
        net.preprocessing = refitted.to(split.images.device)
        try:
            yield
        finally:
            net.preprocessing = own


def conclude(state: State, examine: Examination, thresholds: Sequence[float]) -> tuple[Metrics, Tensor | None]:
    """Return the final metrics of a run and the log-probabilities of its test images, None if it diverged.

    A diverged run is scored as guessing in all of them, including the best epoch and the last running mean, and has
    reached no threshold, whatever its earlier epochs were.

    Args:
        state: after the last epoch.
        examine: of the run.
        thresholds: accuracies; the first epoch that reaches each is a metric.
    """
    if state.diverged:
        num_classes = state.dataset.num_classes
        with_val = ["val"] if len(state.dataset.val) else []
        metrics = guessing(["train", "train_eval", *with_val, "test"], num_classes) | {"train/cross_entropy": None}
        metrics |= epochs_to([], thresholds)
        return metrics | {f"best/{split}/accuracy": 1 / num_classes for split in ("train", *with_val)}, None
    last = state.history[-1]
    metrics, log_probs = examine.conclude(state.net)
    metrics = {f"train/{key}": last[f"train/{key}"] for key in ("loss", "cross_entropy", "accuracy")} | metrics
    return metrics | epochs_to(state.history, thresholds) | best(state.history), log_probs


def epochs_to(history: Sequence[Metrics], thresholds: Sequence[float]) -> Metrics:
    """Return the first epoch at which train and val accuracy reach each threshold, None if they never do.

    Example:
        >>> epochs_to([{"epoch": 1, "train/accuracy": 0.4}, {"epoch": 2, "train/accuracy": 0.6}], [0.5])
        {'epochs_to/train/accuracy/0.5': 2, 'epochs_to/val/accuracy/0.5': None}
    """
    found: Metrics = {}
    for name in ("train/accuracy", "val/accuracy"):
        for threshold in thresholds:
            reached = (row["epoch"] for row in history if (row.get(name) or -math.inf) >= threshold)
            found[f"epochs_to/{name}/{threshold:g}"] = next(reached, None)
    return found


def best(history: Sequence[Metrics]) -> Metrics:
    """Return the highest train and val accuracy of all epochs; without any, no entry.

    Example:
        >>> best([{"val/accuracy": 0.4}, {"val/accuracy": 0.3}])
        {'best/val/accuracy': 0.4}
    """
    found: Metrics = {}
    for name in ("train/accuracy", "val/accuracy"):
        known = [value for row in history if (value := row.get(name)) is not None and math.isfinite(value)]
        if known:
            found[f"best/{name}"] = max(known)
    return found


def write_predictions(folder: Path, state: State) -> str:
    """Write the prediction for every test image, in the split's order, each array of shape (num_images,).

    labels: the true class, int16.
    predictions: the predicted class, int16: -1 if an output is not finite or the run diverged; if several classes share
        the largest output, the lowest of them.
    hits: score of the answer, float64: 1 for a hit, 1/m where the true class is one of m that share the largest
        output, 0 otherwise; 1 / num_classes throughout if the run diverged. Their mean is the test accuracy.

    Returns:
        The SHA-256 of the file, for the record.
    """
    labels, log_probs = state.dataset.test.labels, state.test_log_probs
    if log_probs is None:
        predictions = torch.full_like(labels, -1)
        counted = torch.full_like(labels, 1 / state.dataset.num_classes, dtype=torch.float64)
    else:
        predictions, counted = answers(log_probs), hits(log_probs, labels)
    file = io.BytesIO()
    np.savez_compressed(
        file,
        predictions=predictions.cpu().numpy().astype(np.int16),
        labels=labels.cpu().numpy().astype(np.int16),
        hits=counted.cpu().numpy(),
    )
    with replacing(folder / PREDICTIONS_NAME) as temporary:
        temporary.write_bytes(file.getvalue())
    return hashlib.sha256(file.getvalue()).hexdigest()

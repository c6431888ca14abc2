"""The half-trained nets of several figures: with batch norm, the same with frozen statistics, without any.

The setting is that of D. Page 2019, How to train your ResNet 7: Batch norm (myrtle.ai): a smooth rectifier, so that the
loss has second derivatives; the loss CE + 0.5 U, where U = -mean over classes of log p; and the first 10 of 20 epochs
of a triangular schedule with its peak at 4. Gamma and beta are fixed at 1 and 0.
"""

import copy
import hashlib
import io
import math
import uuid
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ablate.errors import Unusable, UserError
from ablate.layers.batch_norm import estimate_population_statistics
from ablate.nets import Net
from ablate.storage.integrity import read_binary, write_binary
from ablate.training.lab import Lab
from ablate.training.run import Run

NAMES = ("batch norm", "frozen", "none")
WEIGHT_DECAY = 1e-4
# CE + 0.5 U = 1.5 ((1 - eps) CE + eps U) with eps = 1/3, so a step of lr on it is one of 1.5 lr on smoothed labels.
SMOOTHING, FACTOR = 1 / 3, 1.5
SETTING = (
    "activation=softplus",
    "activation.beta=10.0",
    "activation.threshold=2.5",
    "regularizer=label_smoothing",
    f"regularizer.label_smoothing={SMOOTHING}",
    f"regularizer.l2={WEIGHT_DECAY / FACTOR}",
    "optimizer=nesterov",
    "schedule=triangular",
    "schedule.peak=0.4",  # what 10 epochs see of 20 with the peak at 4: up until 4, then 10/16 of the way is left
    "schedule.final=0.625",
)

Batches = Sequence[tuple[Tensor, Tensor]]


class Subject(NamedTuple):
    """A half-trained net.

    Args:
        net: in the mode in which it is measured: training with batch norm, eval where the statistics are frozen.
        train_accuracy: of the last epoch, on augmented images, as a fraction.
        val_accuracy: at inference, as a fraction.
    """

    net: Net
    train_accuracy: float
    val_accuracy: float


def loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return CE + 0.5 U, the mean over the batch in nats: logits (N, K), labels (N,) -> 0-d tensor."""
    return FACTOR * F.cross_entropy(logits, labels, label_smoothing=SMOOTHING)


def half_trained_run(lab: Lab, normalization: str, lr: float, *extra: str) -> Run:
    """Return the run of one half-trained net; `lr` is the highest of the schedule, on CE + 0.5 U."""
    return lab.run(*SETTING, f"normalization={normalization}", f"optimizer.lr={FACTOR * lr}", *extra)


def subjects(lab: Lab, *, lr_batch_norm: float, lr_none: float) -> dict[str, Subject]:
    """Return the three nets under their `NAMES`, trained now or taken from the lab's folder.

    Raises:
        UserError: a training diverged.
    """
    run = half_trained_run(lab, "batch_no_affine", lr_batch_norm)
    with_norm = trained(lab, run)
    without = trained(lab, half_trained_run(lab, "none", lr_none))
    return {"batch norm": with_norm, "frozen": frozen(lab, run, with_norm), "none": without}


def trained(lab: Lab, run: Run) -> Subject:
    """Return the trained net of a run and keep it in the lab's folder, if there is one.

    Raises:
        UserError: the training diverged.
    """
    digest = hashlib.sha256(f"{run.fingerprint}/{run.seed}/{run.device}".encode()).hexdigest()
    path = lab.folder / f"half_trained-{digest[:8]}" / "net.pt" if lab.folder else None
    data = None
    if path and not lab.rerun:
        try:
            data = read_binary(path)
        except Unusable as error:
            kept = path.rename(path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}"))
            lab.log(f"{error}; it is kept as {kept.name}, and the net is trained anew")
    if data is not None:
        lab.log(f"half-trained already: {path}")
        net = lab.net(run)
        stored = torch.load(io.BytesIO(data), weights_only=True, map_location=run.device)
        net.load_state_dict(stored["net"])
        accuracies = stored["accuracies"]
    else:
        lab.log(f"training with normalization {run.levels['normalization']} for {run.epochs} epochs")
        state = lab.train(run)
        if state.diverged:
            raise UserError(
                f"the training with normalization {run.levels['normalization']} diverged in epoch {state.epoch}; "
                "lower figure.lr_none or figure.lr_batch_norm"
            )
        net, row = state.net, state.history[-1]
        accuracies = [float(row.get(key) or math.nan) for key in ("train/accuracy", "val/accuracy")]
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = io.BytesIO()
            torch.save({"net": net.state_dict(), "accuracies": accuracies}, file)
            write_binary(file.getvalue(), path)
    # Double backward is faster on contiguous weights (CPU), and they can be viewed as one vector.
    return Subject(net.to(memory_format=torch.contiguous_format).train(), *accuracies)


def frozen(lab: Lab, run: Run, subject: Subject) -> Subject:
    """Return a copy with the same weights whose batch norms are constant affine maps.

    Their statistics are those of the training images under the present weights (arXiv:1502.03167, Algorithm 2).
    """
    net = copy.deepcopy(subject.net)
    images = lab.dataset(run).train.images
    size = run.batch_size
    batches = (images[i : i + size].to(run.device) for i in range(0, len(images) - size + 1, size))
    estimate_population_statistics(net, batches)
    return subject._replace(net=net.eval())


def probe_batches(lab: Lab, run: Run, num_batches: int, batch_size: int) -> Batches:
    """Return the first training images, not augmented, in batches on the run's device.

    Raises:
        UserError: there are fewer training images.
    """
    train = lab.dataset(run).train
    if num_batches * batch_size > len(train):
        raise UserError(
            f"`figure.num_batches` * `figure.batch_size` must not exceed the number of training images, got "
            f"{num_batches} * {batch_size} for {len(train)}; lower one, or raise data.train_size"
        )
    parts = (slice(i * batch_size, (i + 1) * batch_size) for i in range(num_batches))
    return [(train.images[part].contiguous().to(run.device), train.labels[part].to(run.device)) for part in parts]

"""The leading eigenvalues of the loss's Hessian, of three half-trained nets: batch norm, the same frozen, none."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ablate.diagnostics.curvature import top_eigenpairs
from ablate.lecture.figures.half_trained import NAMES, half_trained_run, loss, probe_batches, subjects
from ablate.report.plotting import COLOURS, INK, MUTED, decade_ticks, new_figure
from ablate.seeding import Streams
from ablate.training.lab import Arrays, Lab

# D. Page 2019: the largest eigenvalue of a net of 4.65 million weights, there of the loss summed over 256 images.
PUBLISHED = {"batch norm": 127.9 / 256, "frozen": 2246 / 256, "none": 3486 / 256}


def compute(
    lab: Lab,
    *,
    lr_batch_norm: float,
    lr_none: float,
    num_values: int,
    num_batches: int,
    batch_size: int,
    tolerance: float,
) -> Arrays:
    """Return the largest eigenvalues of the Hessian of the mean of CE + 0.5 U.

    Args:
        lr_batch_norm, lr_none: highest learning rates of the trainings, see `half_trained`.
        num_values: how many eigenvalues.
        num_batches, batch_size: of training images; with batch norm those of a batch share its statistics.
        tolerance: see `diagnostics.curvature.top_eigenpairs`.

    Returns:
        names (3,); values (3, num_values), the largest first; num_classes (); accuracies (3, 2): of training and
        validation; num_images (), num_parameters ().
    """
    nets = subjects(lab, lr_batch_norm=lr_batch_norm, lr_none=lr_none)
    run = half_trained_run(lab, "batch_no_affine", lr_batch_norm)
    batches = probe_batches(lab, run, num_batches, batch_size)
    values = []
    lab.expect(len(nets))
    for name, subject in nets.items():
        lab.step(f"{num_values} eigenvalues: {name}")
        generator = Streams(run.seed).generator("figure", "hessian_spectrum")
        pairs = top_eigenpairs(
            subject.net, batches, num=num_values, generator=generator, loss=loss, tolerance=tolerance
        )
        values.append(pairs.values.numpy())
    return {
        "names": np.array(list(nets)),
        "values": np.stack(values),
        "num_classes": np.array(lab.dataset(run).num_classes),
        "accuracies": np.array([[s.train_accuracy, s.val_accuracy] for s in nets.values()]),
        "num_images": np.array(num_batches * batch_size),
        "num_parameters": np.array(sum(p.numel() for p in nets["none"].net.parameters())),
    }


def draw(arrays: Arrays) -> Figure:
    """Draw the eigenvalues against their rank; the second axis is the step size 2 / lambda."""
    figure = new_figure(7.6, 4.2)
    ax = figure.subplots()
    ranks = np.arange(1, arrays["values"].shape[1] + 1)
    outliers = int(arrays["num_classes"]) - 1
    for name, values, colour, marker in zip(arrays["names"], arrays["values"], COLOURS, "osD", strict=False):
        positive = np.where(values > 0, values, np.nan)
        ax.plot(ranks, positive, color=colour, marker=marker, markersize=4.5, linewidth=1, label=name)
        ax.text(0.4, positive[0], f"{values[0]:.3g} ", color=colour, ha="right", va="center", fontsize=9)
    published = [PUBLISHED[name] for name in arrays["names"]]
    ax.hlines(published, 0.65, 1.35, color=INK, linewidth=1.4, zorder=3, label="published, largest")
    ax.axvline(outliers + 0.5, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
    at = ax.get_xaxis_transform()
    ax.text(outliers + 0.4, 0.985, f"classes - 1 = {outliers}", transform=at, va="top", ha="right", color=MUTED)
    ax.set_yscale("log")
    decade_ticks(ax.yaxis)
    ax.set_xlim(-1.2, len(ranks) + 0.6)
    ax.set_xticks([1, *range(5, len(ranks) + 1, 5)])
    ax.set_xlabel("rank of the eigenvalue")
    ax.set_ylabel("eigenvalue of the mean loss")
    second = ax.secondary_yaxis("right", functions=(_reciprocal, _reciprocal))
    decade_ticks(second.yaxis)
    second.set_ylabel("2 / eigenvalue: largest stable lr")
    ax.legend(loc="upper right")
    return figure


def caption(arrays: Arrays) -> str:
    """Return what the figure shows."""
    leading = dict(zip(arrays["names"], arrays["values"][:, 0], strict=True))
    text = ", ".join(f"{name} {leading[name]:.3g} (published {PUBLISHED[name]:.3g})" for name in NAMES)
    ranks = arrays["values"].shape[1]
    return (
        f"The {ranks} largest eigenvalues of the Hessian of the mean loss on {int(arrays['num_images']):,} training "
        f"images, for half-trained nets of {int(arrays['num_parameters']):,} weights: {text}. Without batch norm the "
        f"largest is {leading['none'] / leading['batch norm']:.3g} times that with it (published "
        f"{PUBLISHED['none'] / PUBLISHED['batch norm']:.3g}), and gradient descent without momentum is stable along it "
        f"up to lr {2 / leading['none']:.2g} instead of {2 / leading['batch norm']:.2g}. "
        "Published: D. Page 2019, 4.65 million weights, all of CIFAR-10."
    )


def _reciprocal(values: Any) -> Any:
    with np.errstate(divide="ignore"):
        return 2 / np.asarray(values, dtype=float)

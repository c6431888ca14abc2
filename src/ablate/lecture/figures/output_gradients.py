"""The squared norms of the gradients of the mean outputs, layer by layer, of four half-trained nets."""

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from ablate.diagnostics.output_moments import moment_gradients
from ablate.lecture.figures.half_trained import frozen, half_trained_run, probe_batches, subjects, trained
from ablate.nets import Net
from ablate.report.plotting import COLOURS, MUTED, decade_ticks, new_figure
from ablate.training.lab import Arrays, Lab

AFTER = "frozen after act"
# D. Page 2019, How to train your ResNet 7: |g_1|^2, all layers, and the classifier's share of it.
PUBLISHED = {"batch norm": (2.76, 0.84), "frozen": (19.3, 0.12), "none": (38.2, 0.17), AFTER: (2.81, 0.42)}


def compute(lab: Lab, *, lr_batch_norm: float, lr_none: float, num_batches: int, batch_size: int) -> Arrays:
    """Return |g_k|^2 by layer, where g_k is the gradient of the mean of logit k over the data.

    A fourth net has its batch norms after the activations; it is frozen too.

    Args:
        lr_batch_norm, lr_none: highest learning rates of the trainings, see `half_trained`.
        num_batches, batch_size: of training images; with batch norm those of a batch share its statistics.

    Returns:
        names (4,); layers (L,); squared (4, K, L); num_images ().
    """
    nets = subjects(lab, lr_batch_norm=lr_batch_norm, lr_none=lr_none)
    run = half_trained_run(lab, "batch_no_affine", lr_batch_norm)
    after = half_trained_run(lab, "batch_no_affine", lr_batch_norm, "normalization.position=after")
    nets[AFTER] = frozen(lab, after, trained(lab, after))
    batches = probe_batches(lab, run, num_batches, batch_size)
    squared = []
    lab.expect(len(nets))
    for name, subject in nets.items():
        lab.step(f"gradients: {name}")
        gradients = by_layer(subject.net, moment_gradients(subject.net, batches, order=1)[0])
        squared.append(torch.stack(list(gradients.values()), 1).cpu().numpy())
    return {
        "names": np.array(list(nets)),
        "layers": np.array(list(gradients)),
        "squared": np.stack(squared),
        "num_images": np.array(num_batches * batch_size),
    }


def by_layer(net: Net, vectors: Tensor) -> dict[str, Tensor]:
    """Return by layer the squared norms (M,) of `vectors` (M, P) in its weights and, where it has some, biases."""
    found: dict[str, Tensor] = {}
    parts = vectors.split([p.numel() for p in net.parameters()], 1)
    for (name, _), part in zip(net.named_parameters(), parts, strict=True):
        layer = name.rpartition(".")[0]
        found[layer] = found.get(layer, 0) + part.square().sum(1)
    return found


def draw(arrays: Arrays) -> Figure:
    """Draw the mean over the classes: norms on the left, shares of the layers on the right."""
    names, layers = arrays["names"], arrays["layers"]
    mean = arrays["squared"].mean(1)
    figure = new_figure(10.6, 3.9)
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    for name, values, colour, marker in zip(names, mean, COLOURS, "osD^", strict=False):
        left.plot(layers, values, color=colour, marker=marker, markersize=5, linewidth=1.2, label=name)
    left.set_yscale("log")
    decade_ticks(left.yaxis)
    left.set_ylabel("|g|² of the layer, mean over classes")
    left.tick_params(axis="x", rotation=45)
    left.grid(axis="y")
    left.legend(loc="best")
    shares = mean / mean.sum(1, keepdims=True)
    rows = np.arange(len(names))[::-1]
    start = np.zeros(len(names))
    for i in range(len(layers)):
        last = i == len(layers) - 1
        shade = COLOURS[1] if last else str(0.45 + 0.45 * i / max(1, len(layers) - 2))
        right.barh(rows, shares[:, i], left=start, color=shade, edgecolor="white", linewidth=0.6, height=0.62)
        start += shares[:, i]
    for row, name, total in zip(rows, names, mean.sum(1), strict=True):
        right.text(0, row + 0.38, f"{name}: {total:.3g} in all", va="bottom", fontsize=9)
    right.set_yticks([])
    right.spines["left"].set_visible(False)
    right.set_xlim(0, 1)
    right.set_ylim(-0.5, len(names) - 0.2)
    right.set_xlabel(f"share of |g|²: {layers[0]} (dark) to {layers[-2]} (light), {layers[-1]} (orange)", color=MUTED)
    return figure


def caption(arrays: Arrays) -> str:
    """Return what the figure shows."""
    mean = arrays["squared"].mean(1)
    totals, shares = mean.sum(1), mean[:, -1] / mean.sum(1)
    rows = []
    for name, total, share in zip(arrays["names"], totals, shares, strict=True):
        known, there = PUBLISHED[name]
        rows.append(f"{name} {total:.3g}, {share:.0%} of it in the classifier ({known:.3g}, {there:.0%})")
    return (
        f"Squared norms of the gradients g of the mean logits over {int(arrays['num_images']):,} training images, "
        "averaged over the classes; in brackets the published |g|² of one class (D. Page 2019, a larger net): "
        f"{'; '.join(rows)}."
    )

"""What a change of the weights by one percent does to the outputs: at random, and along the outputs' gradients."""

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from ablate.diagnostics.perturbation import moved_logits, moves
from ablate.errors import UserError
from ablate.lecture.figures.half_trained import Batches, half_trained_run, probe_batches, subjects
from ablate.nets import Net
from ablate.report.plotting import COLOURS, INK, MUTED, new_figure
from ablate.seeding import Streams
from ablate.training.lab import Arrays, Lab


def compute(
    lab: Lab, *, lr_batch_norm: float, lr_none: float, num_batches: int, batch_size: int, relative_length: float
) -> Arrays:
    """Return the logits of three half-trained nets, unchanged and perturbed.

    The weights theta move by relative_length * |theta|: in one random direction, and along +g_k for every class k,
    where g_k is the gradient of the mean of logit k over the data.

    Args:
        lr_batch_norm, lr_none: highest learning rates of the trainings, see `half_trained`.
        num_batches, batch_size: of training images; with batch norm those of a batch share its statistics.
        relative_length: of the perturbation, above 0.

    Returns:
        names (3,); classes (K,); logits (3, 2 + K, N, K), centred over the classes: unchanged, random, along g_0 ...;
        lengths (3,); relative_length ().
    """
    if not relative_length > 0:
        raise UserError(f"`figure.relative_length` must be above 0, got {relative_length}")
    nets = subjects(lab, lr_batch_norm=lr_batch_norm, lr_none=lr_none)
    run = half_trained_run(lab, "batch_no_affine", lr_batch_norm)
    batches = probe_batches(lab, run, num_batches, batch_size)
    logits, lengths = [], []
    lab.expect(len(nets))
    for name, subject in nets.items():
        lab.step(f"perturbations: {name}")
        generator = Streams(run.seed).generator("figure", "perturbation")
        steps = moves(subject.net, batches, relative_length, generator)
        logits.append(torch.stack([centred_logits(subject.net, step, batches) for step in steps]))
        lengths.append(steps[1].norm().item())
    return {
        "names": np.array(list(nets)),
        "classes": np.array(lab.dataset(run).class_names),
        "logits": torch.stack(logits).cpu().numpy(),
        "lengths": np.array(lengths),
        "relative_length": np.array(relative_length),
    }


def centred_logits(net: Net, step: Tensor, batches: Batches) -> Tensor:
    """Return the logits (N, K) minus their mean over the classes, of `net` with its weights moved by `step` (P,)."""
    logits = torch.cat([moved_logits(net, images, step) for images, _ in batches])
    return logits - logits.mean(1, keepdim=True)


def predicted_shares(logits: np.ndarray) -> np.ndarray:
    """Return (..., K), the fraction of images for which each class is predicted, from logits (..., N, K)."""
    num_classes = logits.shape[-1]
    return (logits.argmax(-1)[..., None] == np.arange(num_classes)).mean(-2)


def agreements(logits: np.ndarray) -> np.ndarray:
    """Return (nets,), the fraction of images whose prediction the random perturbation keeps, from all logits."""
    return (logits[:, 0].argmax(-1) == logits[:, 1].argmax(-1)).mean(-1)


def draw(arrays: Arrays) -> Figure:
    """Draw, a column a net, the distributions of the logit in question and what is predicted."""
    names, classes, logits = arrays["names"], arrays["classes"], arrays["logits"]
    shares = predicted_shares(logits)
    figure = new_figure(3.6 * len(names), 6.8)
    axes = figure.subplots(2, len(names), squeeze=False, height_ratios=(1, 1.5))
    own = np.arange(len(classes))
    aimed = logits[:, 2 + own, :, own]  # (K, nets, N): advanced indices around a slice come first
    low, high = np.quantile(logits[:, 0], 0.001), np.quantile(aimed, 0.995)
    edges = np.linspace(low, high, 61)
    for ax, plain, random, along in zip(axes[0], logits[:, 0], logits[:, 1], aimed.swapaxes(0, 1), strict=True):
        ax.hist(plain.ravel(), edges, density=True, color=MUTED, alpha=0.35, label="unchanged")
        for values, colour, label in ((random, COLOURS[0], "random"), (along, COLOURS[1], "along its g")):
            ax.hist(values.ravel(), edges, density=True, histtype="step", color=colour, linewidth=1.5, label=label)
        ax.set_yticks([])
        ax.spines["left"].set_visible(False)
        ax.set_xlabel("centred logit, all classes")
    for ax, name in zip(axes[0], names, strict=True):
        ax.set_title(name)
    axes[0, 0].set_ylabel("density")
    axes[0, -1].legend(loc="upper right")
    rows = ["unchanged", "random", *(f"+g: {name}" for name in classes)]
    for ax, share in zip(axes[1], shares, strict=True):
        image = ax.imshow(share, vmin=0, vmax=1, cmap="Blues", aspect="auto")
        ax.set_xticks(own, classes, rotation=90)
        ax.set_yticks(range(len(rows)), rows if ax is axes[1, 0] else [])
        ax.set_xlabel("predicted class")
        ax.axhline(1.5, color=INK, linewidth=0.8)
        ax.tick_params(length=0)
    figure.colorbar(image, ax=list(axes[1]), label="fraction of the images", shrink=0.8, pad=0.01)
    return figure


def caption(arrays: Arrays) -> str:
    """Return what the figure shows."""
    shares, own = predicted_shares(arrays["logits"]), np.arange(len(arrays["classes"]))
    chosen = shares[:, 2 + own, own].mean(1)
    kept = agreements(arrays["logits"])
    text = ", ".join(f"{name} {value:.0%}" for name, value in zip(arrays["names"], chosen, strict=True))
    left = ", ".join(f"{name} {value:.0%}" for name, value in zip(arrays["names"], kept, strict=True))
    return (
        f"Weights of three half-trained nets moved by {float(arrays['relative_length']):.3g} of their norm, on "
        f"{arrays['logits'].shape[2]:,} training images. After a step in a random direction the prediction is what it "
        f"was for {left} of them. Along the gradient of the mean of logit k, the class k is predicted for {text} (mean "
        f"over k) instead of {shares[:, 0].mean():.0%}."
    )

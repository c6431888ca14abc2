"""Batch norm moves batches to a standard place: two channels of one layer, for batches that differ."""

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from torch import Tensor, nn
from torch.nn import functional as F

from ablate.errors import UserError
from ablate.nets.tracing import tracing
from ablate.report.plotting import COLOURS, INK, new_figure
from ablate.training.lab import Arrays, Lab

PANELS = ("random batches", "one class a batch", "the same after batch norm", "the same after γ and β")


def compute(lab: Lab, *, num_batches: int, batch_size: int, gamma: list[float], beta: list[float]) -> Arrays:
    """Return two channels of the net's last hidden layer, at initialization and before its activation.

    The batches are of training images: random ones, then batches of a single class each. The first channel is the one
    whose mean varies most between the batches of one class, relative to its deviation within them; the second is one of
    the next that is little correlated with it.

    Args:
        num_batches: at most the number of classes.
        batch_size: at most the number of training images of a class.
        gamma, beta: scale and shift of the two channels after batch norm.

    Returns:
        points (4, num_batches, batch_size, 2), the panels; shifts (4,): mean over all channels of the variance of the
        batches' means, divided by the mean variance within batches; class_names (num_batches,); layer ().
    """
    run = lab.run("normalization=none")
    dataset, net = lab.dataset(run), lab.net(run).train()
    if not 2 <= num_batches <= dataset.num_classes:
        raise UserError(f"`figure.num_batches` must be 2 to {dataset.num_classes}, got {num_batches}")
    labels = dataset.train.labels
    members = [(labels == k).nonzero()[:batch_size, 0] for k in range(num_batches)]
    if min(map(len, members)) < batch_size:
        raise UserError(
            f"`figure.batch_size` must not exceed the training images of a class, got {batch_size} for "
            f"{min(map(len, members))}; lower it, or raise data.train_size"
        )
    drawn = torch.arange(num_batches * batch_size).view(num_batches, batch_size)
    images = dataset.train.images
    # A feature map has many positions; their mean is one point an image.
    entered = [[enters_last(net, images[i].to(run.device)) for i in group] for group in (drawn, members)]
    layer = entered[0][0][0]
    z = [torch.stack([values.flatten(min(2, values.ndim - 1)) for _, values in calls]) for calls in entered]
    z = [(values.mean(-1) if values.ndim == 4 else values).double().cpu() for values in z]
    normed = torch.stack([F.batch_norm(batch, None, None, training=True) for batch in z[1]])
    moved = z[1].mean(1).var(0) / z[1].var(1).mean(0)
    first = moved.argmax()
    alike = torch.corrcoef(z[1].flatten(0, 1).T)[first].square()
    two = torch.stack([first, (moved * (1 - alike)).argmax()])
    scaled = normed[..., two] * torch.tensor(gamma, dtype=torch.float64) + torch.tensor(beta, dtype=torch.float64)
    panels = [z[0][..., two], z[1][..., two], normed[..., two], scaled]
    return {
        "points": torch.stack(panels).numpy(),
        "shifts": np.array([shift(values) for values in (*z, normed, scaled)]),
        "class_names": np.array(dataset.class_names[:num_batches]),
        "layer": np.array(layer),
    }


@torch.no_grad()
def enters_last(net: nn.Module, images: Tensor) -> tuple[str, Tensor]:
    """Return name and inputs of the last unit for these images."""
    with tracing(net) as trace:
        net(images)
    last = trace.units[-1]
    assert last.inputs is not None
    return last.name, last.inputs


def shift(z: Tensor) -> float:
    """Return E_c[Var_b(mean of batch b)] / E_c,b[variance within b], at least 0, of values (batches, N, C).

    Random batches of N independent samples have 1 / N on average.
    """
    return (z.mean(1).var(0).mean() / z.var(1).mean()).item()


def shown(value: float) -> str:
    """Return a shift as text; what is 0 up to rounding is 0."""
    return "0" if value < 1e-12 else f"{value:.2g}"


def draw(arrays: Arrays) -> Figure:
    """Draw the batches as clouds, each with its mean and the ellipse of one standard deviation."""
    figure = new_figure(11, 3.9)
    axes = figure.subplots(1, 4)
    raw = arrays["points"][:2].reshape(-1, 2)
    middle, reach = raw.mean(0), 1.05 * np.abs(raw - raw.mean(0)).max()
    for column, (ax, points, value, title) in enumerate(
        zip(axes, arrays["points"], arrays["shifts"], PANELS, strict=True)
    ):
        for batch, name, colour in zip(points, arrays["class_names"], COLOURS * 2, strict=False):
            ax.scatter(*batch.T, s=4, color=colour, alpha=0.35, linewidths=0)
            mean, covariance = batch.mean(0), np.cov(batch.T)
            lengths, directions = np.linalg.eigh(covariance)
            angle = np.degrees(np.arctan2(directions[1, 1], directions[0, 1]))
            size = 2 * np.sqrt(lengths)
            ax.add_patch(Ellipse(mean, size[1], size[0], angle=angle, fill=False, edgecolor=colour, linewidth=1.4))
            ax.scatter(*mean, s=34, color=colour, edgecolor="white", label=str(name) if column == 1 else None, zorder=3)
        ax.set_title(f"{title}\nshift {shown(value)}", color=INK)
        centre, width = (middle, reach) if column < 2 else (np.zeros(2), 4.5)
        ax.set_xlim(centre[0] - width, centre[0] + width)
        ax.set_ylim(centre[1] - width, centre[1] + width)
        ax.set_xlabel("one channel")
    axes[0].set_ylabel("another channel")
    axes[1].legend(loc="upper right", fontsize=8.5, markerscale=0.9, handletextpad=0.2)
    return figure


def caption(arrays: Arrays) -> str:
    """Return what the figure shows."""
    random, single, normed, scaled = arrays["shifts"]
    _, num_batches, size, _ = arrays["points"].shape
    return (
        f"Two channels of {arrays['layer']} of an untrained net, {num_batches} batches of {size} images; shift is the "
        "variance of the batches' means divided by the variance within batches, over all channels. Random batches "
        f"hardly differ: {random:.2g} (1 / {size} = {1 / size:.2g} is chance); batches of one class do: {single:.2g}. "
        f"Batch norm moves them all to mean 0 and variance 1 (shift {shown(normed)}), and γ and β to another place "
        f"(shift {shown(scaled)})."
    )

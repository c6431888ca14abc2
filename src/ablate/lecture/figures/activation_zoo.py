"""Activations and their derivatives, with the gradients at -10, 0 and 10 that the lecture asks for."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure

from ablate.errors import UserError
from ablate.report.plotting import COLOURS, MUTED, new_figure
from ablate.training.lab import Arrays, Lab

POINTS = (-10.0, 0.0, 10.0)


def compute(lab: Lab, *, activations: Sequence[str], limit: float) -> Arrays:
    """Return functions and derivatives, by autograd in float64.

    Args:
        activations: levels of the factor `activation` that map one number to one number.
        limit: half the width of the interval of inputs, above 0.

    Returns:
        names (A,); x (X,); values, slopes (A, X); points (3,); slopes_at_points (A, 3). The slope of ReLU at 0 is the
        0 that torch uses.
    """
    if not limit > 0:
        raise UserError(f"`figure.limit` must be above 0, got {limit}")
    x = torch.linspace(-limit, limit, 801, dtype=torch.float64)
    inputs = torch.cat([x, torch.tensor(POINTS, dtype=torch.float64)])
    values, slopes = [], []
    lab.expect(len(activations))
    for name in activations:
        lab.step(name)
        f = lab.run(f"activation={name}").activation().double()
        if getattr(f, "num_pieces", 1) > 1:
            raise UserError(f"`figure.activations` must map one number to one, got {name}, which takes several")
        z = inputs.clone().requires_grad_()
        # Shape (N, 1): PReLU has its channels in the second axis.
        y = f(z[:, None]).squeeze(1)
        (slope,) = torch.autograd.grad(y.sum(), z)
        values.append(y.detach().numpy()[: len(x)])
        slopes.append(slope.numpy())
    return {
        "names": np.array(activations),
        "x": x.numpy(),
        "values": np.stack(values),
        "slopes": np.stack(slopes)[:, : len(x)],
        "points": np.array(POINTS),
        "slopes_at_points": np.stack(slopes)[:, len(x) :],
    }


def draw(arrays: Arrays) -> Figure:
    """Draw one panel per activation: the function and its derivative."""
    names = arrays["names"]
    columns = min(4, len(names))
    rows = math.ceil(len(names) / columns)
    figure = new_figure(2.7 * columns, 2.35 * rows)
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flatten()
    for ax, name, y, slope, at in zip(
        axes, names, arrays["values"], arrays["slopes"], arrays["slopes_at_points"], strict=False
    ):
        ax.axhline(0, color=MUTED, linewidth=0.6)
        ax.axvline(0, color=MUTED, linewidth=0.6)
        ax.plot(arrays["x"], y, color=COLOURS[0], label="f")
        ax.plot(arrays["x"], slope, color=COLOURS[1], linestyle=(0, (4, 1.5)), label="f′")
        ax.set_title(name)
        label = "f′: " + ", ".join(f"{s:.3g}" for s in at)
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        ax.text(0.03, 0.97, label, transform=ax.transAxes, va="top", fontsize=8, bbox=box)
        ax.set_ylim(-2, 3)
    for ax in axes[len(names) :]:
        ax.set_axis_off()
    axes[0].legend(loc="lower right")
    return figure


def caption(arrays: Arrays) -> str:
    """Return what the figure shows."""
    return (
        "Each activation f and its derivative f′; the numbers are f′ at -10, 0 and 10. Where f′ is "
        "near 0 the activation is saturated and passes no gradient."
    )

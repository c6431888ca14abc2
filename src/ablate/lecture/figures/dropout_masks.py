"""Dropout on a layer small enough to read: what the mask does forward, backward and at inference."""

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ablate.errors import UserError
from ablate.report.plotting import COLOURS, INK, MUTED, RULE, new_figure
from ablate.seeding import Streams
from ablate.training.lab import Arrays, Lab

MAP = "PuOr_r"


def compute(lab: Lab, *, num_units: int, num_outputs: int, p: float) -> Arrays:
    """Return one training pass and one inference pass of z = W dropout(y), by the project's dropout layer and autograd.

    Args:
        num_units: D, the positive activations y of a hidden layer, at least 2.
        num_outputs: K, at least 1.
        p: probability to drop, in [0, 1).

    Returns:
        y, factor (r / (1 - p) or 0), dropped (factor * y), inference (y as the layer passes it on at inference),
        y_gradient (D,); weight, weight_gradient (K, D); z, z_gradient (K,); p. z_gradient is drawn, all other gradients
        follow from it.
    """
    if num_units < 2 or num_outputs < 1:
        least = "`figure.num_units` must be at least 2 and `figure.num_outputs` at least 1"
        raise UserError(f"{least}, got {num_units} and {num_outputs}")
    run = lab.run()
    layer = run.dropout.layer(p)
    streams = Streams(run.seed)
    draws = streams.generator("figure")
    # Rounded, so that the numbers shown are the numbers computed with.
    y = (torch.rand(num_units, generator=draws, dtype=torch.float64) * 1.6 + 0.2).mul(10).round().div(10)
    weight = torch.randn(num_outputs, num_units, generator=draws, dtype=torch.float64).mul(10).round().div(10)
    z_gradient = torch.randn(num_outputs, generator=draws, dtype=torch.float64).mul(10).round().div(10)
    y.requires_grad_()
    weight.requires_grad_()
    layer.reseed(streams.key("noise", "figure"))
    dropped = layer(y[None])[0]
    (factor,) = torch.autograd.grad(dropped.sum(), y, retain_graph=True)
    z = weight @ dropped
    y_gradient, weight_gradient = torch.autograd.grad(z, (y, weight), z_gradient)
    inference = layer.eval()(y[None])[0]
    found = {"y": y, "factor": factor, "dropped": dropped, "inference": inference, "y_gradient": y_gradient}
    found |= {"weight": weight, "weight_gradient": weight_gradient, "z": z, "z_gradient": z_gradient}
    return {**{name: value.detach().numpy() for name, value in found.items()}, "p": np.array(p)}


def draw(arrays: Arrays) -> Figure:
    """Draw the layer three times as a graph, numbers in its nodes, and the gradient of the weights as a table."""
    kept = arrays["factor"] != 0
    figure = new_figure(11, 3.9)
    axes = figure.subplots(1, 4, width_ratios=(1, 1, 1, 1.15))
    largest = max(float(abs(arrays[name]).max()) for name in ("dropped", "y_gradient", "weight_gradient"))
    norm = TwoSlopeNorm(0, -largest, largest)
    every = np.ones_like(kept)
    at_inference = arrays["weight"] @ arrays["inference"]
    _graph(axes[0], "Training, forward: z = W ỹ", kept, arrays["dropped"], arrays["z"], "ỹ = dropout(y)", "z")
    _graph(axes[1], "Training, backward", kept, arrays["y_gradient"], arrays["z_gradient"], "∂L/∂y", "∂L/∂z")
    _graph(axes[2], "Inference: no unit is dropped", every, arrays["inference"], at_inference, "ỹ", "z")
    ax = axes[3]
    ax.imshow(arrays["weight_gradient"].T, cmap=MAP, norm=norm, aspect="auto")
    for (k, i), value in np.ndenumerate(arrays["weight_gradient"]):
        dark = abs(value) > 0.6 * largest
        ax.text(
            k,
            i,
            _number(value) if kept[i] else "0",
            ha="center",
            va="center",
            fontsize=8,
            color="white" if dark else INK if kept[i] else MUTED,
        )
    ax.set_title("Training: ∂L/∂W = ỹ ∂L/∂z")
    ax.set_xticks(range(len(arrays["z"])), [f"z{_sub(k)}" for k in range(len(arrays["z"]))])
    ax.set_yticks(range(len(kept)), [f"y{_sub(i)}" + ("" if keep else " dropped") for i, keep in enumerate(kept)])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return figure


def _graph(
    ax: Axes,
    title: str,
    kept: NDArray[np.bool_],
    units: NDArray[np.float64],
    outputs: NDArray[np.float64],
    unit_name: str,
    output_name: str,
) -> None:
    """Draw units on the left, outputs on the right, and the edges that carry a value."""
    left = np.linspace(1, 0, len(units))
    margin = 0.5 / len(units) + 0.12
    right = np.linspace(1 - margin, margin, len(outputs)) if len(outputs) > 1 else np.array([0.5])
    for y, keep in zip(left, kept, strict=True):
        for z in right:
            style = {"color": COLOURS[0], "alpha": 0.45} if keep else {"color": RULE, "linestyle": (0, (2, 2))}
            ax.plot([0, 1], [y, z], linewidth=1, zorder=1, **style)
    for y, keep, value in zip(left, kept, units, strict=True):
        _node(ax, 0, y, _number(value) if keep else "0", keep)
        if not keep:
            ax.text(-0.2, y, "×", ha="center", va="center", color=COLOURS[1], fontsize=13, fontweight="bold")
    for z, value in zip(right, outputs, strict=True):
        _node(ax, 1, z, _number(value), True)
    ax.text(0, 1.13, unit_name, ha="center", va="center", color=MUTED)
    ax.text(1, 1.13, output_name, ha="center", va="center", color=MUTED)
    ax.set(xlim=(-0.3, 1.2), ylim=(-0.1, 1.2))
    ax.set_title(title)
    ax.set_axis_off()


def _node(ax: Axes, x: float, y: float, text: str, kept: bool) -> None:
    box = {"boxstyle": "round,pad=0.35", "facecolor": "white" if not kept else "#dcebf6"}
    edge = {"edgecolor": COLOURS[0] if kept else MUTED, "linestyle": "-" if kept else ":"}
    ax.text(x, y, text, ha="center", va="center", fontsize=8, color=INK if kept else MUTED, bbox=box | edge, zorder=3)


def _number(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _sub(index: int) -> str:
    return "".join(chr(0x2080 + int(digit)) for digit in str(index + 1))


def caption(arrays: Arrays) -> str:
    """Return what the figure shows."""
    kept = arrays["factor"] != 0
    scale = arrays["factor"][kept].max(initial=0.0)
    ratio = (arrays["inference"] / arrays["y"]).mean()
    return (
        f"One mask drawn with p = {arrays['p']:g} on a layer of {len(kept)} units: {np.sum(~kept)} are dropped (×), "
        f"the others multiplied by {scale:.3g}; at inference all are multiplied by {ratio:.3g}. A dropped "
        "unit sends nothing forward and gets no gradient, nor do the weights that leave it; momentum and weight decay "
        "may still move them."
    )

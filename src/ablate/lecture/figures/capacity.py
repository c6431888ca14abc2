"""A closed region in the plane: how often a net of one hidden layer finds it, by width and by initialization."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from scipy.stats import binomtest
from torch import Tensor, nn
from torch.nn import functional as F

from ablate.data.polygon import corners, inside
from ablate.diagnostics.symmetry import rank_and_identity
from ablate.errors import UserError
from ablate.layers.activation import gain
from ablate.report.plotting import COLOURS, INK, MUTED, RULE, new_figure
from ablate.seeding import Streams
from ablate.training.lab import Arrays, Lab

INITIALIZATIONS = ("random", "constant")
LIMIT = 1.3  # the square is [-LIMIT, LIMIT]^2, the polygon's corners lie on the unit circle
TOLERANCE = 1e-4  # relative difference of two units that count as identical
GRID = 100  # points a side, at which accuracy is measured


def compute(
    lab: Lab,
    *,
    activations: Sequence[str],
    widths: Sequence[int],
    num_edges: int,
    num_seeds: int,
    num_samples: int,
    num_steps: int,
    lr: float,
    constant: float,
    required_accuracy: float,
) -> Arrays:
    """Return what nets v.f(W x + b) + d learn of a regular polygon, all seeds of a width trained together.

    One hidden unit an edge is enough: the logit c - s sum_k relu(n_k.x - h), with n_k the normals of the edges and h
    their distance from the middle, is positive inside and, for c/s -> 0, nowhere else; with tanh the logit
    1 - E + sum_k tanh(s (h - n_k.x)) is so for s -> inf, E being the number of edges. The loss is the mean
    cross-entropy of all training points; biases start at 0, random weights normal with standard deviation
    gain / sqrt(fan_in), the gain being that of the activation.

    Args:
        lab: builds the activations.
        activations: levels that map one number to one and have no parameters.
        widths: numbers of hidden units, at least 2.
        num_edges: of the polygon, at least 3.
        num_seeds: replicates; each has training points of its own, the same for all widths and initializations.
        num_samples, num_steps: training points, and steps of Adam on all of them, at least 1.
        lr: at the first step, above 0; it falls to 0 along a cosine.
        constant: all weights of the constant initialization.
        required_accuracy: of a success, on a grid, in (0, 1).

    Returns:
        accuracy (A, I, W, S) on a grid; identical (A, I, W, S), the share of pairs of hidden units with the same
        weights and bias; probability (A, I, W, G, G) of being inside, for the seed of median accuracy; lines
        (A, I, W, max width, 3), weights and bias of its hidden units, then NaN; activations (A,); widths (W,); corners
        (E, 2); required_accuracy (). The second axis is random, constant.
    """
    if num_edges < 3 or min(widths) < 2:
        raise UserError(f"`figure.num_edges` must be at least 3, `widths` at least 2, got {num_edges}, {list(widths)}")
    if min(num_seeds, num_samples, num_steps) < 1 or not lr > 0:
        raise UserError("`figure.num_seeds`, `num_samples` and `num_steps` must be at least 1, `lr` above 0")
    if not 0 < required_accuracy < 1:
        raise UserError(f"`figure.required_accuracy` must lie in (0, 1), got {required_accuracy}")
    samples = torch.stack([_uniform(Streams(seed), num_samples) for seed in range(num_seeds)])
    grid = grid_points()
    target = inside(grid, num_edges)
    shape = (len(activations), len(INITIALIZATIONS), len(widths))
    accuracy, identical = np.zeros((*shape, num_seeds)), np.zeros((*shape, num_seeds))
    probability = np.zeros((*shape, GRID, GRID), dtype=np.float16)
    lines = np.full((*shape, max(widths), 3), np.nan)
    lab.expect(math.prod(shape))
    for a, name in enumerate(activations):
        f = lab.run(f"activation={name}").activation()
        if getattr(f, "num_pieces", 1) > 1 or list(f.parameters()):
            raise UserError(f"`figure.activations` must map one number to one without parameters, got {name}")
        for i, initialization in enumerate(INITIALIZATIONS):
            for w, width in enumerate(widths):
                lab.step(f"{name}, {initialization}, {width} units")
                drawn = constant if initialization == "constant" else None
                parameters = initial_parameters(num_seeds, width, gain(f), drawn)
                train(parameters, f, samples, inside(samples, num_edges), num_steps, lr)
                found = logits(parameters, f, grid.expand(num_seeds, -1, -1))
                accuracy[a, i, w] = ((found > 0) == target).double().mean(1).numpy()
                units = torch.cat([parameters["weight"], parameters["bias"][..., None]], dim=2)
                identical[a, i, w] = [rank_and_identity(rows, TOLERANCE)[1].item() for rows in units]
                middle = int(np.argsort(accuracy[a, i, w], kind="stable")[num_seeds // 2])
                probability[a, i, w] = found[middle].sigmoid().reshape(GRID, GRID).numpy()
                lines[a, i, w, :width] = units[middle].numpy()
                successes = (accuracy[a, i, w] >= required_accuracy).sum()
                lab.log(f"learned by {successes} of {num_seeds} seeds")
    return {
        "accuracy": accuracy,
        "identical": identical,
        "probability": probability,
        "lines": lines,
        "activations": np.array(activations),
        "widths": np.array(widths),
        "corners": corners(num_edges).numpy(),
        "required_accuracy": np.array(required_accuracy),
    }


def grid_points() -> Tensor:
    """Return the points (GRID^2, 2) at which accuracy is measured, row by row from the bottom."""
    side = ((torch.arange(GRID) + 0.5) / GRID * 2 - 1) * LIMIT
    y, x = torch.meshgrid(side, side, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], dim=1)


def initial_parameters(num_seeds: int, width: int, factor: float, constant: float | None) -> dict[str, Tensor]:
    """Return weight (S, K, 2), bias (S, K), out (S, K), shift (S,): weights `constant`, or drawn if it is None."""

    def drawn(name: str, *shape: int, fan_in: int) -> Tensor:
        if constant is not None:
            return torch.full((num_seeds, *shape), constant)
        generators = (Streams(seed).generator("init", name) for seed in range(num_seeds))
        return torch.stack([torch.randn(shape, generator=g) for g in generators]) * factor / math.sqrt(fan_in)

    parameters = {
        "weight": drawn("weight", width, 2, fan_in=2),
        "bias": torch.zeros(num_seeds, width),
        "out": drawn("out", width, fan_in=width),
        "shift": torch.zeros(num_seeds),
    }
    return {name: value.requires_grad_() for name, value in parameters.items()}


def logits(parameters: dict[str, Tensor], f: nn.Module, points: Tensor) -> Tensor:
    """Return the logits (S, N) of points (S, N, 2).

    Every unit is computed by itself: a matrix product may round equal units differently.
    """
    x, y = points[:, None, :, 0], points[:, None, :, 1]
    weight = parameters["weight"]
    z = torch.addcmul(torch.addcmul(parameters["bias"][..., None], weight[..., :1], x), weight[..., 1:], y)
    return (parameters["out"][..., None] * f(z)).sum(1) + parameters["shift"][:, None]


def train(
    parameters: dict[str, Tensor], f: nn.Module, samples: Tensor, labels: Tensor, num_steps: int, lr: float
) -> None:
    """Train all seeds in place, and stop tracking gradients; seeds do not affect each other's gradients."""
    optimizer = torch.optim.Adam(parameters.values(), lr=lr)
    for step in range(num_steps):
        optimizer.param_groups[0]["lr"] = lr * (1 + math.cos(math.pi * step / num_steps)) / 2
        optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(logits(parameters, f, samples), labels.float(), reduction="none")
        loss.mean(1).sum().backward()
        optimizer.step()
    for value in parameters.values():
        value.requires_grad_(False)


def _uniform(streams: Streams, num_samples: int) -> Tensor:
    return (2 * torch.rand(num_samples, 2, generator=streams.generator("samples")) - 1) * LIMIT


def draw(arrays: Arrays) -> Figure:
    """Draw success by width and equal units by width; beside them what the median seeds found, and their units."""
    activations, widths = arrays["activations"], arrays["widths"]
    rows = [(a, i) for i in range(len(INITIALIZATIONS)) for a in range(len(activations))]
    figure = new_figure(11, 0.6 + 1.16 * len(rows))
    grid = figure.add_gridspec(1, 2, width_ratios=[3.2, 1.08 * len(widths)], wspace=0.06)
    curves = grid[0].subgridspec(2, 1).subplots(sharex=True, squeeze=False).flatten()
    for a, i in rows:
        colour, style = COLOURS[a % len(COLOURS)], ("-", (0, (3, 1.5)))[i]
        _draw_rates(curves[0], arrays, a, i, colour, style)
        curves[1].plot(
            range(len(widths)), arrays["identical"][a, i].mean(-1), color=colour, linestyle=style, marker="o", ms=3
        )
    for ax, title in zip(curves, ("seeds that succeed", "identical pairs of hidden units"), strict=True):
        ax.set(ylim=(-0.05, 1.05), title=title)
        ax.set_yticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
        ax.set_xticks(range(len(widths)), [str(width) for width in widths])
    curves[1].set_xlabel("hidden units")
    curves[0].legend(loc="upper left", fontsize=8, borderpad=0, labelspacing=0.2)
    maps = grid[1].subgridspec(len(rows), len(widths), hspace=0.02, wspace=0.02).subplots(squeeze=False)
    for row, (a, i) in enumerate(rows):
        for w, width in enumerate(widths):
            ax = maps[row, w]
            _draw_map(ax, arrays, a, i, w)
            if row == 0:
                ax.set_title(f"{width} units", fontsize=8.5, loc="center")
        maps[row, 0].set_ylabel(f"{activations[a]}\n{INITIALIZATIONS[i]}", color=COLOURS[a % len(COLOURS)])
    return figure


def _draw_rates(ax: Axes, arrays: Arrays, a: int, i: int, colour: str, style: Any) -> None:
    passed = arrays["accuracy"][a, i] >= arrays["required_accuracy"]
    num_seeds = passed.shape[1]
    rate = passed.mean(1)
    bounds = [binomtest(int(k), num_seeds).proportion_ci(method="wilson") for k in passed.sum(1)]
    label = f"{arrays['activations'][a]}, {INITIALIZATIONS[i]}"
    ax.plot(range(len(rate)), rate, color=colour, linestyle=style, marker="o", markersize=3, label=label)
    ax.fill_between(range(len(rate)), [b.low for b in bounds], [b.high for b in bounds], color=colour, alpha=0.1, lw=0)


def _draw_map(ax: Axes, arrays: Arrays, a: int, i: int, w: int) -> None:
    colour = COLOURS[a % len(COLOURS)]
    side = ((np.arange(GRID) + 0.5) / GRID * 2 - 1) * LIMIT
    probability = arrays["probability"][a, i, w].astype(float)
    shades = LinearSegmentedColormap.from_list("", ["white", colour])
    ax.imshow(probability, vmin=0, vmax=1.4, cmap=shades, origin="lower", extent=(-LIMIT, LIMIT, -LIMIT, LIMIT))
    if probability.max() > 0.5:
        ax.contour(side, side, probability, levels=[0.5], colors=[colour], linewidths=1.4)
    ax.plot(*np.append(arrays["corners"], arrays["corners"][:1], axis=0).T, color=INK, linewidth=0.9)
    for line in arrays["lines"][a, i, w]:
        if np.isfinite(line).all() and line[:2].any():
            foot = -line[2] * line[:2] / (line[:2] @ line[:2])
            ax.axline(foot, foot + [-line[1], line[0]] / np.hypot(*line[:2]), color=MUTED, linewidth=0.5)
    accuracy = np.sort(arrays["accuracy"][a, i, w])[arrays["accuracy"].shape[-1] // 2]
    box = {"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.8}
    ax.text(0.97, 0.04, f"{100 * accuracy:.1f}", transform=ax.transAxes, ha="right", fontsize=7.5, bbox=box)
    ax.set(xlim=(-LIMIT, LIMIT), ylim=(-LIMIT, LIMIT), xticks=[], yticks=[])
    ax.spines[:].set(visible=True, color=RULE)


def caption(arrays: Arrays) -> str:
    """Return what the figure shows."""
    passed = (arrays["accuracy"] >= arrays["required_accuracy"]).sum(-1)
    num_seeds, widths, num_edges = arrays["accuracy"].shape[-1], list(arrays["widths"]), len(arrays["corners"])
    identical = arrays["identical"].mean(-1)
    at = int(np.argmin(np.abs(arrays["widths"] - num_edges)))
    rows = [
        f"{name} {passed[a, 0, at]} with {widths[at]} units, {passed[a, 0, -1]} with {widths[-1]}"
        for a, name in enumerate(arrays["activations"])
    ]
    least, most = identical[:, 1].min(), identical[:, 0].max()
    copies = "all" if least == 1 else f"at least {100 * least:.0f} %"
    others = "none" if most == 0 else f"at most {100 * most:.0f} %"
    return (
        f"Nets of one hidden layer trained to tell the inside of a regular polygon of {num_edges} edges, for which one "
        f"unit an edge is enough. Seeds of {num_seeds} with at least {100 * arrays['required_accuracy']:g} % accuracy "
        f"on a grid (shaded: 95 % intervals): {'; '.join(rows)}; from constant weights {passed[:, 1].max()} at most. "
        f"Of the pairs of hidden units, {copies} are identical after training from constant weights, "
        f"{others} from random ones. Right: probability of inside, its boundary (thick) and accuracy in %, of the seed "
        "of median accuracy, with the lines on which its hidden units are zero."
    )

"""What an initializer does to activations and gradients, layer by layer, in deep fully connected nets."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn

from ablate.diagnostics.probe import probing, run_pass
from ablate.errors import UserError
from ablate.layers.initialization import weight_layers
from ablate.nets.roles import activations
from ablate.report.plotting import COLOURS, INK, RULE, decade_ticks, fitting_size, new_figure, power_of_ten
from ablate.training.lab import Arrays, Lab

# Bins of activations are even in asinh(a / SMALL): linear below SMALL, logarithmic above. The last ones are open.
SMALL = 0.01
ACTIVATION_EDGES = SMALL * np.sinh(np.linspace(-8, 8, 82))
GRADIENT_EDGES = np.linspace(-14, 4, 61)  # of log10 |gradient|; the first and the last bin are open
FLOAT32_MAX = float(torch.finfo(torch.float32).max)


class Layers(NamedTuple):
    """Statistics of one net, each with L hidden layers as first axis.

    Args:
        stds: (L,) of all activations.
        spreads: (L,) of an activation over the images: root of the mean over units of the variance.
        gradient_stds: (L,) of the gradients of each image's loss by z.
        predicted: (L,) stds in the limit of wide layers, see `predict`.
        activation_counts, gradient_counts: (L, B) in `ACTIVATION_EDGES`, and in `GRADIENT_EDGES` where not 0.
        largest: (L,) greatest |activation|.
    """

    stds: NDArray[np.float64]
    spreads: NDArray[np.float64]
    gradient_stds: NDArray[np.float64]
    predicted: NDArray[np.float64]
    activation_counts: NDArray[np.int64]
    gradient_counts: NDArray[np.int64]
    largest: NDArray[np.float64]


def compute(
    lab: Lab, *, initializers: Sequence[str], activations: Sequence[str], depths: Sequence[int], num_images: int
) -> Arrays:
    """Return statistics and histograms of activations and gradients of untrained nets, in float64.

    Args:
        lab: its net has no convolution.
        initializers, activations: levels of these factors.
        depths: numbers of hidden layers, each at least 1.
        num_images: training images that pass, at least 2.

    Returns:
        The fields of `Layers`, each (A, I, D, max depth, ...), NaN or 0 beyond a net's depth; initializers (I,);
        activations (A,); depths (D,); width (); num_images ().
    """
    if min(depths) < 1 or num_images < 2:
        raise UserError(f"`figure.depths` must be at least 1, `num_images` 2, got {list(depths)} and {num_images}")
    lab.expect(len(activations) * len(initializers) * len(depths))
    shape = (len(activations), len(initializers), len(depths), max(depths))
    arrays: Arrays = {}
    for a, activation in enumerate(activations):
        for i, initializer in enumerate(initializers):
            for d, depth in enumerate(depths):
                lab.step(f"{activation}, {initializer}, {depth} hidden layers")
                run = lab.run(f"activation={activation}", f"initializer={initializer}", f"net.num_hidden={depth}")
                if run.net.stages:
                    raise UserError("figure init_depth needs a net of fully connected layers; use net=mlp")
                train = lab.dataset(run).train
                images, labels = train.images[:num_images].to(run.device), train.labels[:num_images].to(run.device)
                for name, values in measure(lab.net(run).double(), images, labels)._asdict().items():
                    empty = np.nan if values.dtype.kind == "f" else 0
                    arrays.setdefault(name, np.full((*shape, *values.shape[1:]), empty, dtype=values.dtype))
                    arrays[name][a, i, d, :depth] = values
    return {
        **arrays,
        "initializers": np.array(initializers),
        "activations": np.array(activations),
        "depths": np.array(depths),
        "width": np.array(run.net.hidden_width),
        "num_images": np.array(len(images)),
    }


def measure(net: nn.Sequential, images: Tensor, labels: Tensor) -> Layers:
    """Return statistics of the hidden layers of a float64 net from one forward and backward pass."""
    with probing(net):
        passed = run_pass(net, images, labels)
        first = net.get_submodule("preprocessing")(images).flatten(1)
    outputs = [unit.outputs for unit in passed.units]
    # The loss is the mean over the images; times their number, a row is the gradient of that image's own loss.
    gradients = [unit.gradient * len(images) for unit in passed.units]
    return Layers(
        stds=_array([a.std() for a in outputs]),
        spreads=_array([a.var(0).mean().sqrt() for a in outputs]),
        gradient_stds=_array([g.std() for g in gradients]),
        predicted=_array(predict(net, first.square().mean(1))),
        activation_counts=np.stack([_counts(a, ACTIVATION_EDGES) for a in outputs]),
        gradient_counts=np.stack([_counts(g[g != 0].abs().log10(), GRADIENT_EDGES) for g in gradients]),
        largest=_array([a.abs().max() for a in outputs]),
    )


def predict(net: nn.Sequential, moments: Tensor) -> list[Tensor]:
    """Return the standard deviation of all activations of each hidden layer in the limit of wide layers.

    There z is normal for every image, of variance q_l = fan_in E[w^2] E[a_{l-1}^2], E[w^2] being that of the weights as
    drawn, and E[a_l^k] = E[f(sqrt(q_l) u)^k] with u standard normal.

    Args:
        net: fully connected, float64, biases 0.
        moments: (N,) mean squares of the values of each image that enter the first layer.

    Source: Poole et al. 2016 (arXiv:1606.05340).
    """
    predicted = []
    for (_, layer), (_, f) in zip(weight_layers(net), activations(net), strict=False):  # the classifier has none
        weight = layer.weight
        variance = weight.detach().square().mean() * weight.shape[1] * moments
        means, moments = normal_moments(f, variance)
        predicted.append((moments.mean() - means.mean() ** 2).clamp(min=0).sqrt())
    return predicted


def normal_moments(f: nn.Module, variance: Tensor) -> tuple[Tensor, Tensor]:
    """Return E[f(z)] and E[f(z)^2] for z normal of mean 0, by the trapezoidal rule over 12 standard deviations.

    Args:
        f: elementwise.
        variance: (N,) of z, float64.
    """
    # An odd number of nodes: one lies at 0, where ReLU has its kink.
    u = torch.linspace(-12, 12, 2001, dtype=variance.dtype, device=variance.device)
    density = torch.exp(-u.square() / 2) / np.sqrt(2 * np.pi)
    with torch.no_grad():
        values = f(variance.sqrt()[:, None] * u)
    return torch.trapezoid(values * density, u), torch.trapezoid(values.square() * density, u)


def _array(values: list[Tensor]) -> NDArray[np.float64]:
    return torch.stack(values).double().cpu().numpy()


def _counts(values: Tensor, edges: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.histogram(values.cpu().numpy().clip(edges[0], edges[-1]), edges)[0]


def draw(arrays: Arrays) -> Figure:
    """Draw standard deviations by layer above, the histograms of the deepest nets below."""
    activations, initializers = arrays["activations"], arrays["initializers"]
    figure = new_figure(11, 6.2 + 1.35 * len(activations))
    grid = figure.add_gridspec(2, 1, height_ratios=[5.6, 1.35 * len(activations)])
    lines = grid[0].subgridspec(3, len(activations)).subplots(sharex=True, sharey="row", squeeze=False)
    for a, activation in enumerate(activations):
        lines[0, a].set_title(str(activation))
        for i, name in enumerate(initializers):
            _draw_lines(lines[:, a], arrays, a, i, str(name))
        lines[2, a].set_xlabel("hidden layer")
    names = ("activations,\nstd", "one unit over\nthe images, std", "gradients ∂L/∂z,\nstd")
    for ax, name, low, high in zip(lines[:, 0], names, (1e-8, 1e-8, 1e-14), (1e4, 1e4, 1e4), strict=True):
        ax.set_yscale("log")
        ax.set(ylim=(low, high), ylabel=name)
        decade_ticks(ax.yaxis)
    lines[0, -1].legend(loc="lower left", fontsize=8, borderpad=0, labelspacing=0.2, ncols=2, columnspacing=1)
    maps = (
        grid[1]
        .subgridspec(len(activations), 2 * len(initializers), wspace=0.02, hspace=0.02)
        .subplots(sharex=True, squeeze=False)
    )
    # Each map has a share of the width; a tenth is for the labels on the left.
    size = fitting_size(list(map(str, initializers)), 0.9 * 11 / maps.shape[1], 8)
    for a, activation in enumerate(activations):
        for i, name in enumerate(initializers):
            _draw_histograms(maps[a, i], arrays["activation_counts"][a, i], arrays["depths"], i)
            _draw_histograms(maps[a, len(initializers) + i], arrays["gradient_counts"][a, i], arrays["depths"], i)
            if a == 0:
                maps[a, i].set_title(str(name), fontsize=size)
                maps[a, len(initializers) + i].set_title(str(name), fontsize=size)
        for ax in maps[a, :]:
            ax.set_yticks([])
        _label_values(maps[a, 0], maps[a, len(initializers)])
        maps[a, 0].set_ylabel(f"{activation}\na")
        maps[a, len(initializers)].set_ylabel("|∂L/∂z|")
    for ax in maps[-1]:
        ax.set_xticks([1, int(arrays["depths"].max())])
        ax.set_xlabel("hidden layer", fontsize=8, labelpad=-7)
    return figure


def _draw_lines(axes: NDArray[np.object_], arrays: Arrays, a: int, i: int, label: str) -> None:
    order = np.argsort(arrays["depths"])
    for row, name in enumerate(("stds", "spreads", "gradient_stds")):
        for k, d in enumerate(order[::-1]):
            depth = arrays["depths"][d]
            layers = np.arange(1, depth + 1)
            style = ("-", (0, (2, 1)), (0, (1, 1)))[min(k, 2)]
            values = arrays[name][a, i, d, :depth]
            axes[row].plot(layers, values, color=COLOURS[i], linestyle=style, label=label if k == 0 else None)
    deepest = order[-1]
    predicted = arrays["predicted"][a, i, deepest]
    axes[0].plot(
        np.arange(1, len(predicted) + 1), predicted, color=INK, linestyle="none", marker=".", markersize=2.5, zorder=3
    )


def _draw_histograms(ax: Axes, counts: NDArray[np.int64], depths: NDArray[np.int64], i: int) -> None:
    deepest = counts[np.argmax(depths)].astype(float)
    share = deepest / np.maximum(deepest.max(1, keepdims=True), 1)
    shades = LinearSegmentedColormap.from_list("", ["white", COLOURS[i]])
    # The square root keeps rare values visible beside a peak.
    ax.imshow(
        np.sqrt(share).T,
        cmap=shades,
        vmin=0,
        vmax=1,
        origin="lower",
        aspect="auto",
        extent=(0.5, len(share) + 0.5, 0, share.shape[1]),
        interpolation="nearest",
    )
    ax.spines[:].set(visible=True, color=RULE)


def _label_values(activations: Axes, gradients: Axes) -> None:
    marks = np.array([-1, -0.1, 0, 0.1, 1])
    places = np.interp(marks, ACTIVATION_EDGES, np.arange(len(ACTIVATION_EDGES)))
    activations.set_yticks(places, [f"{mark:g}" for mark in marks], fontsize=7)
    exponents = np.array([-12, -8, -4, 0])
    places = np.interp(exponents, GRADIENT_EDGES, np.arange(len(GRADIENT_EDGES)))
    gradients.set_yticks(places, [power_of_ten(exponent) for exponent in exponents], fontsize=7)


def caption(arrays: Arrays) -> str:
    """Return what the figure shows."""
    d = int(np.argmax(arrays["depths"]))
    depth = arrays["depths"][d]
    ratios = arrays["gradient_stds"][:, :, d, 0] / arrays["gradient_stds"][:, :, d, depth - 1]
    rows = [
        f"{activation} {', '.join(f'{ratio:.2g}' for ratio in row)}"
        for activation, row in zip(arrays["activations"], ratios, strict=True)
    ]
    over = (arrays["largest"] > FLOAT32_MAX).any((1, 2, 3))
    beyond = f" Some activations are beyond what float32 holds ({', '.join(arrays['activations'][over])})."
    return (
        f"Untrained fully connected nets of {' and '.join(map(str, arrays['depths']))} hidden layers of "
        f"{arrays['width']} units on {arrays['num_images']} training images, in float64.{beyond if over.any() else ''} "
        f"Lines are {depth} layers, dashed ones fewer, dots the limit of wide layers. Gradients are those of an "
        f"image's own loss; their standard deviation at layer 1 over that at layer {depth}, with "
        f"{', '.join(arrays['initializers'])}: {'; '.join(rows)}. Below: histograms of the {depth} layers (root of the "
        "count over the layer's largest; outermost bins open; gradients of 0 left out)."
    )

"""How the channels of a deep net at initialization become constants, and what prevents it."""

import math
from collections import OrderedDict
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from torch import Tensor, nn

from ablate.errors import UserError
from ablate.nets.roles import FRONT
from ablate.nets.tracing import tracing
from ablate.report.plotting import COLOURS, INK, MUTED, new_figure
from ablate.seeding import Streams
from ablate.training.lab import Arrays, Lab

CONNECTED = ("ReLU", "no activation", "shifted ReLU", "batch norm, ReLU")
CONVOLUTIONAL = ("noise", "images", "images, batch norm")
EDGES = np.linspace(-4, 4, 61)


def compute(
    lab: Lab, *, width: int, depths: Sequence[int], num_inputs: int, num_images: int, num_channels: int
) -> Arrays:
    """Return pre-activations at initialization: of fully connected layers, and of the figure's convolutional net.

    The fully connected layers have N(0, 1) inputs and He's normal weights (variance 1 / width without an activation).
    All values are divided by their root mean square over inputs and channels of the layer.

    Args:
        width: inputs and units of every fully connected layer.
        depths: of the layers that are drawn, increasing, the first layer being 1.
        num_inputs: of the fully connected layers.
        num_images: of the convolutional net, training images and as many of N(0, 1) noise.
        num_channels: whose histograms are drawn.

    Returns:
        depths (D,), width (), layers (L,); for prefix fc (4 nets, depths) and conv (3 nets, all layers): `channels`
        (nets, D, num_channels, bins) and `pooled` (nets, D, bins), fractions of the values in the bins between `edges`;
        `shares` (nets, all layers): within-channel share of the second moment, in [0, 1]; `expected` (num_layers,):
        that share by theory for ReLU; `largest` (): the fraction of inputs for which one and the same of the drawn
        channels is the largest, in the last fully connected ReLU layer; `heaviest` (4,): the share of the last fully
        connected layer's second moment that the heaviest 1 % of the inputs hold.
    """
    if list(depths) != sorted(set(depths)) or depths[0] < 1:
        raise UserError(f"`figure.depths` must increase and start at 1 or above, got {list(depths)}")
    arrays: Arrays = {
        "depths": np.array(depths),
        "width": np.array(width),
        "edges": EDGES,
        "expected": expected_shares(depths[-1]),
    }
    streams = Streams(0)
    inputs = torch.randn(num_inputs, width, generator=streams.generator("figure", "inputs"))
    shown, shares, heaviest = [], [], []
    lab.expect(len(CONNECTED) + len(CONVOLUTIONAL))
    for name in CONNECTED:
        lab.step(f"{depths[-1]} layers of {width} units: {name}")
        layers = connected_layers(inputs, name, depths[-1], streams)
        found = [(within_share(z), z if depth in depths else None) for depth, z in enumerate(layers, start=1)]
        shares.append([share for share, _ in found])
        shown.append([histograms(z, num_channels) for _, z in found if z is not None])
        last = found[-1][1]
        assert last is not None
        squares = last.square().sum(1).sort(descending=True).values
        heaviest.append((squares[: math.ceil(num_inputs / 100)].sum() / squares.sum()).item())
        if name == "ReLU":
            winners = last[:, :num_channels].argmax(1)
            arrays["largest"] = np.array(winners.bincount().max().item() / num_inputs)
    arrays |= {"heaviest": np.array(heaviest), **collected("fc", shown, shares)}
    shown, shares = [], []
    for name in CONVOLUTIONAL:
        lab.step(f"convolutional net: {name}")
        values = convolutional_layers(lab, name, num_images)
        shares.append([within_share(z) for z in values.values()])
        shown.append([histograms(z, num_channels) for z in values.values()])
        arrays["layers"] = np.array(list(values))
    return arrays | collected("conv", shown, shares)


def connected_layers(inputs: Tensor, name: str, depth: int, streams: Streams) -> Iterator[Tensor]:
    """Yield the pre-activations (N, width) of one layer after the other; the weights are the same for every name."""
    width = inputs.shape[1]
    gain = 1.0 if name == "no activation" else math.sqrt(2)
    a = inputs
    for layer in range(depth):
        weight = torch.randn(width, width, generator=streams.generator("init", layer))
        z = a @ weight.T * (gain / math.sqrt(width))
        if name == "batch norm, ReLU":
            z = (z - z.mean(0)) / z.std(0, correction=0)
        yield z
        a = z if name == "no activation" else z.relu()
        if name == "shifted ReLU":  # mean 0 and variance 1 for z ~ N(0, 2)
            a = (a - math.sqrt(1 / math.pi)) / math.sqrt(1 - 1 / math.pi)


@torch.no_grad()
def convolutional_layers(lab: Lab, name: str, num_images: int) -> dict[str, Tensor]:
    """Return what enters every activation, and the logits, as (values, channels) by layer, of the untrained net."""
    run = lab.run("activation=relu", f"normalization={'batch_no_affine' if 'batch norm' in name else 'none'}")
    net = lab.net(run).train()
    x = net.get_submodule("preprocessing")(lab.dataset(run).train.images[:num_images].to(run.device))
    if name == "noise":
        x = torch.randn(x.shape, generator=Streams(0).generator("figure", "noise")).to(x)
    layers = nn.Sequential(OrderedDict((path, layer) for path, layer in net.named_children() if path != FRONT))
    with tracing(layers) as trace:
        logits = layers(x)
    found = {call.name: by_channel(call.inputs) for call in trace.units if call.inputs is not None}
    return found | {"classifier": by_channel(logits)}


def by_channel(z: Tensor) -> Tensor:
    """Return (N, C) or (N, C, H, W) as (values, C)."""
    return z.movedim(1, -1).flatten(0, -2).cpu()


def within_share(z: Tensor) -> float:
    """Return E_c[Var(z_c)] / E[z^2] of values (N, C), in [0, 1]: 0 where every channel is a constant.

    Example:
        >>> within_share(torch.ones(8, 3)), within_share(torch.tensor([[1.0], [-1.0]]))
        (0.0, 1.0)
    """
    return (z.var(0, correction=0).mean() / z.square().mean()).item()


def histograms(z: Tensor, num_channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (num_channels, bins) and (bins,): fractions of the first channels' values and of all, z / rms."""
    scaled = (z / z.square().mean().sqrt()).double().numpy()
    each = [np.histogram(scaled[:, c], EDGES)[0] / len(scaled) for c in range(num_channels)]
    return np.stack(each), np.histogram(scaled, EDGES)[0] / scaled.size


def collected(prefix: str, shown: list[list[tuple[np.ndarray, np.ndarray]]], shares: list[list[float]]) -> Arrays:
    """Return the arrays of one kind of net under names with that prefix."""
    return {
        f"{prefix}_channels": np.array([[each for each, _ in row] for row in shown]),
        f"{prefix}_pooled": np.array([[pooled for _, pooled in row] for row in shown]),
        f"{prefix}_shares": np.array(shares),
    }


def expected_shares(num_layers: int) -> np.ndarray:
    """Return 1 - c_l for l = 1 ... num_layers: the within-channel share of wide ReLU layers with uncorrelated inputs.

    Formula: c_1 = 0, c' = (sqrt(1 - c^2) + c (pi - arccos c)) / pi, the correlation of two inputs' pre-activations.

    Source: Cho & Saul 2009 (NeurIPS), the arc-cosine kernel of degree 1.
    """
    c, shares = 0.0, []
    for _ in range(num_layers):
        shares.append(1 - c)
        c = (math.sqrt(1 - c * c) + c * (math.pi - math.acos(c))) / math.pi
    return np.array(shares)


def draw(arrays: Arrays) -> Figure:
    """Draw a row of histograms a net, and the within-channel share by depth beside them."""
    figure = new_figure(11, 9.6)
    parts = figure.add_gridspec(2, 1, height_ratios=(4, 3.1))
    upper, lower = figure.add_subfigure(parts[0]), figure.add_subfigure(parts[1])
    columns = len(arrays["depths"])
    layers = arrays["layers"]
    kept = np.unique(np.linspace(0, len(layers) - 1, columns).round().astype(int))
    fc_titles = [f"layer {depth}" for depth in arrays["depths"]]
    ax = _rows(upper, CONNECTED, arrays["fc_channels"], arrays["fc_pooled"], fc_titles)
    _shares(ax, np.arange(1, arrays["fc_shares"].shape[1] + 1), arrays["fc_shares"], CONNECTED)
    ax.plot(np.arange(1, len(arrays["expected"]) + 1), arrays["expected"], "k--", linewidth=1, label="theory, ReLU")
    ax.set_title("fully connected: share within channels")
    ax.set_xlabel("layer")
    ax.legend(loc="center right", bbox_to_anchor=(1, 0.6), fontsize=8.5)
    conv = (arrays["conv_channels"][:, kept], arrays["conv_pooled"][:, kept])
    ax = _rows(lower, CONVOLUTIONAL, *conv, list(layers[kept]))
    _shares(ax, np.arange(len(layers)), arrays["conv_shares"], CONVOLUTIONAL)
    ax.set_xticks(np.arange(len(layers)), layers, rotation=60, ha="right", rotation_mode="anchor")
    ax.set_title("convolutional: share within channels")
    ax.legend(loc="lower left", fontsize=8.5)
    return figure


def _rows(
    figure: SubFigure, names: Sequence[str], channels: np.ndarray, pooled: np.ndarray, titles: Sequence[str]
) -> Axes:
    """Draw the histograms, each scaled to its peak; return the panel at the right."""
    grid = figure.add_gridspec(len(names), len(titles) + 1, width_ratios=[1] * len(titles) + [2.5])
    centres = (EDGES[1:] + EDGES[:-1]) / 2
    for row, name in enumerate(names):
        for column, title in enumerate(titles):
            ax = figure.add_subplot(grid[row, column])
            whole = pooled[row, column]
            ax.fill_between(centres, whole / whole.max(), color=MUTED, alpha=0.3, linewidth=0, step="mid")
            for one in channels[row, column]:
                ax.plot(centres, one / max(one.max(), 1e-9), color=COLOURS[0], linewidth=0.7, alpha=0.75)
            ax.set_xlim(-4, 4)
            ax.set_ylim(0, 1.05)
            ax.set_yticks([])
            ax.spines["left"].set_visible(False)
            ax.set_xticks([-3, 0, 3], ["-3", "0", "3"] if row == len(names) - 1 else [])
            if row == 0:
                ax.set_title(title, fontsize=9)
            if column == 0:
                ax.set_ylabel(name.replace(", ", ",\n"), color=INK)
    return figure.add_subplot(grid[:, -1])


def _shares(ax: Axes, x: np.ndarray, shares: np.ndarray, names: Sequence[str]) -> None:
    for name, values, colour, style in zip(names, shares, COLOURS, ("-", "-", "-.", ":"), strict=False):
        ax.plot(x, values, color=colour, linestyle=style, label=name)
    ax.set_ylim(0, 1.05)


def caption(arrays: Arrays) -> str:
    """Return what the figure shows."""
    relu, linear, shifted, normed = arrays["fc_shares"][:, -1]
    heavy = arrays["heaviest"][CONNECTED.index("shifted ReLU")]
    conv = "; ".join(
        f"{name} {last:.0%}, {logits:.0%}"
        for name, (last, logits) in zip(CONVOLUTIONAL, arrays["conv_shares"][:, -2:], strict=True)
    )
    return (
        "Pre-activations at initialization divided by their rms: all channels (grey) and "
        f"{arrays['fc_channels'].shape[2]} of them (blue), each scaled to its peak. Share of their second moment that "
        f"lies within channels, at layer {int(arrays['depths'][-1])} of {int(arrays['width'])} units: ReLU {relu:.1%} "
        f"(theory {arrays['expected'][-1]:.1%}), no activation {linear:.1%}, shifted ReLU {shifted:.1%} (1% of the "
        f"inputs hold {heavy:.0%} of that moment), batch norm {normed:.1%}. One of the ReLU channels shown is the "
        f"largest for {float(arrays['largest']):.0%} of the inputs. Convolutional net with ReLU, last convolution and "
        f"classifier: {conv}."
    )

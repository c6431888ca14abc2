"""Weight scaling against the average over n dropout masks, for one and for several dropout layers."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ablate.errors import UserError
from ablate.nets import Net
from ablate.report.plotting import COLOURS, MUTED, new_figure, plain_log_ticks
from ablate.seeding import Streams
from ablate.training.lab import Arrays, Lab
from ablate.training.loop import monte_carlo


def compute(lab: Lab, *, num_masks: int, depths: Sequence[int], p: float) -> Arrays:
    """Train nets with dropout after each of their hidden layers and compare two ways to predict.

    Weight scaling is one pass without a mask. Against it: the arithmetic mean of the softmax over n masks, and their
    normalized geometric mean, softmax(mean of the logits). With a single dropout layer before the classifier the
    latter tends to weight scaling exactly, since the logits are linear in the mask.

    Args:
        num_masks: S, a power of two, at least 2; each n = 1, 2, 4 ... S is measured on S / n disjoint groups of masks.
        depths: hidden layers of each net, at least 1 each.
        p: probability to drop, in (0, 1).

    Returns:
        depths (A,); n (M,); scaled_error (A,); error, disagreement (share of images whose class differs from weight
        scaling's), distance, geometric_distance (total variation between the probabilities, in [0, 1], mean over the
        images) (A, M), means over the groups; error_std (A, M), standard deviation over them; num_test, p.

    Raises:
        UserError: an argument is out of range.

    Source: Srivastava et al. 2014 (JMLR 15), Fig. 11; for the geometric mean Baldi & Sadowski 2013 (NeurIPS).
    """
    if num_masks < 2 or num_masks & (num_masks - 1):
        raise UserError(f"`figure.num_masks` must be a power of two of at least 2, got {num_masks}")
    if not 0 < p < 1:
        raise UserError(f"`figure.p` is a probability to drop and must lie in (0, 1), got {p}")
    if any(depth < 1 for depth in depths):
        raise UserError(f"`figure.depths` must be at least 1 each, got {list(depths)}")
    rows = []
    lab.expect(len(depths))
    for depth in depths:
        lab.step(f"{depth} hidden layers")
        run = lab.run(f"net.num_hidden={depth}", f"dropout.hidden={p}")
        state = lab.train(run)
        lab.log(f"validation accuracy {state.history[-1].get('val/accuracy', np.nan):.3f}")
        test = state.dataset.test
        logits = sample_logits(state.net, test.images, num_masks, Streams(run.seed))
        with torch.no_grad():
            scaled = F.softmax(state.net.eval()(test.images).double(), dim=1)
        rows.append(compare(logits.double(), scaled, test.labels))
    return {
        "depths": np.array(depths),
        "n": 2 ** np.arange(num_masks.bit_length()),
        **{name: np.stack([row[name] for row in rows]) for name in rows[0]},
        "num_test": np.array(len(test.labels)),
        "p": np.array(p),
    }


@torch.no_grad()
def sample_logits(net: Net, images: Tensor, num_masks: int, streams: Streams) -> Tensor:
    """Return the logits (S, N, K) of `images` at inference under S draws of the masks."""
    net.eval()
    with monte_carlo(net, active=True) as dropouts:
        first = min([i for i, layer in enumerate(net) if hasattr(layer, "monte_carlo")], default=0)
        # Layers before the first dropout are the same for all masks.
        features = net[:first](images) if first else images
        samples = []
        for sample in range(num_masks):
            for path, layer in dropouts:
                layer.reseed(streams.key("monte_carlo", path, sample))
            samples.append(net[first:](features))
    return torch.stack(samples)


def compare(logits: Tensor, scaled: Tensor, labels: Tensor) -> dict[str, NDArray[np.float64]]:
    """Return what `compute` measures of one net, for n = 1, 2, 4 ... S.

    Args:
        logits: (S, N, K) under S masks, S a power of two.
        scaled: (N, K) probabilities of weight scaling.
        labels: (N,).
    """
    num_masks = len(logits)
    probabilities = F.softmax(logits, dim=2)
    columns: dict[str, list[float]] = {
        name: [] for name in ("error", "error_std", "disagreement", "distance", "geometric_distance")
    }
    for n in (2**k for k in range(num_masks.bit_length())):
        arithmetic = probabilities.unflatten(0, (num_masks // n, n)).mean(1)
        geometric = F.softmax(logits.unflatten(0, (num_masks // n, n)).mean(1), dim=2)
        chosen = arithmetic.argmax(2)
        errors = (chosen != labels).double().mean(1)
        columns["error"].append(errors.mean().item())
        columns["error_std"].append(errors.std(correction=1).item() if len(errors) > 1 else 0.0)
        columns["disagreement"].append((chosen != scaled.argmax(1)).double().mean().item())
        columns["distance"].append(total_variation(arithmetic, scaled))
        columns["geometric_distance"].append(total_variation(geometric, scaled))
    found = {name: np.array(values) for name, values in columns.items()}
    return found | {"scaled_error": np.array((scaled.argmax(1) != labels).double().mean().item())}


def total_variation(a: Tensor, b: Tensor) -> float:
    """Return the mean of sum_k |a_k - b_k| / 2 over all distributions in the last axis, in [0, 1].

    Example:
        >>> total_variation(torch.tensor([[0.5, 0.5]]), torch.tensor([[1.0, 0.0]]))
        0.5
    """
    return ((a - b).abs().sum(-1) / 2).mean().item()


def draw(arrays: Arrays) -> Figure:
    """Draw test error, disagreement and distance against the number of masks."""
    figure = new_figure(11, 3.4)
    axes = figure.subplots(1, 3)
    n = arrays["n"]
    for i, depth in enumerate(arrays["depths"]):
        colour = COLOURS[i % len(COLOURS)]
        name = _layers(depth)
        error, std = 100 * arrays["error"][i], 100 * arrays["error_std"][i]
        axes[0].fill_between(n, error - std, error + std, color=colour, alpha=0.18, linewidth=0)
        axes[0].plot(n, error, color=colour, marker="o", markersize=4, label=f"{name}, mean over n masks")
        axes[0].axhline(
            100 * arrays["scaled_error"][i], color=colour, linestyle=(0, (4, 2)), label=f"{name}, weight scaling"
        )
        axes[1].plot(n, 100 * arrays["disagreement"][i], color=colour, marker="o", markersize=4)
        axes[2].plot(n, arrays["distance"][i], color=colour, marker="o", markersize=4, label="arithmetic mean")
        axes[2].plot(
            n, arrays["geometric_distance"][i], color=colour, marker="D", markersize=4, linestyle=":",
            label="geometric mean",
        )  # fmt: skip
    start = arrays["geometric_distance"].max(0)[0]
    axes[2].plot(n, 1.25 * start / np.sqrt(n), color=MUTED, linewidth=0.9)
    axes[2].annotate(
        "∝ 1/√n", (n[1], 1.25 * start / np.sqrt(n[1])), (4, 4), textcoords="offset points", color=MUTED, fontsize=8.5
    )
    for ax, title in zip(axes, ("Test error, %", "Other class than weight scaling, % of images",
                                "Distance from weight scaling"), strict=True):  # fmt: skip
        ax.set_title(title)
        ax.set_xscale("log", base=2)
        ax.set_xticks(n[::2], [str(value) for value in n[::2]])
        ax.set_xlabel("n, masks")
        ax.minorticks_off()
        ax.grid(axis="y")
    axes[1].set_ylim(bottom=0)
    axes[2].set_ylabel("total variation")
    axes[2].set_yscale("log")
    plain_log_ticks(axes[2].yaxis)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    handles, labels = axes[2].get_legend_handles_labels()
    axes[2].legend(handles[:2], labels[:2], loc="lower left")
    return figure


def caption(arrays: Arrays) -> str:
    """Return what the figure shows."""
    n = arrays["n"]
    nets = []
    for i, depth in enumerate(arrays["depths"]):
        scaled, error = arrays["scaled_error"][i], arrays["error"][i]
        distance, geometric = arrays["distance"][i, -1], arrays["geometric_distance"][i, -1]
        reached = np.flatnonzero(error <= scaled)
        when = f"as low first at n = {n[reached[0]]}" if len(reached) else "higher at every n"
        nets.append(
            f"{_layers(depth)}: test error {scaled:.3f} by weight scaling, {error[-1]:.3f} over {n[-1]} masks "
            f"({when}), distance {distance:.3f}, of the geometric mean {geometric:.3f}"
        )
    return (
        f"Nets trained with p = {arrays['p']:g} after each hidden layer, on {arrays['num_test']} test images; band: "
        f"one standard deviation over groups of masks. {'. '.join(nets)}."
    )


def _layers(depth: int) -> str:
    return f"{depth} dropout layer" if depth == 1 else f"{depth} dropout layers"

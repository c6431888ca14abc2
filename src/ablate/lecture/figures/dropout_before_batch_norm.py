"""Dropout before a batch norm: the variance that the batch norm was trained on is not the one it meets at inference."""

import copy
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter
from torch import Tensor, nn
from torch.nn import functional as F

from ablate.errors import UserError
from ablate.layers.batch_norm import BatchNorm, batch_norms_behind_dropout, estimate_population_statistics
from ablate.nets import Net
from ablate.report.plotting import COLOURS, MUTED, new_figure
from ablate.seeding import Streams
from ablate.training.lab import Arrays, Lab
from ablate.training.loop import monte_carlo

WAYS = ("one pass, statistics of training", "mean over masks", "one pass, statistics without masks")


def compute(lab: Lab, *, rates: Sequence[float], num_masks: int) -> Arrays:
    """Train a net for each rate of dropout after its stages, and compare variances and accuracies.

    Args:
        rates: probabilities to drop after each stage of convolutions, in [0, 1).
        num_masks: number of masks whose softmax is averaged, at least 1.

    Returns:
        rates (R,); layers (L,): names of the batch norms; after (L,): whether a dropout stands before the batch norm;
        variance (R, L): variance of a batch norm's inputs at inference divided by its running variance, the mean over
        channels, on training images: 1 without a shift; accuracy (R, 3) on the test images, see `WAYS`; num_masks;
        num_test.

    Raises:
        UserError: an argument is out of range, or the net has no batch norm behind a dropout.

    Source: Li, Chen, Hu & Yang 2019 (arXiv:1801.05134), sections 3 and 4.
    """
    if num_masks < 1:
        raise UserError(f"`figure.num_masks` must be at least 1, got {num_masks}")
    variance, accuracy = [], []
    names: list[str] = []
    after: list[bool] = []
    lab.expect(len(rates))
    for rate in rates:
        if not 0 <= rate < 1:
            raise UserError(f"`figure.rates` are probabilities to drop and must lie in [0, 1), got {rate}")
        lab.step(f"rate {rate:g}")
        run = lab.run("dropout=hidden", "dropout.hidden=0.0", f"dropout.conv={rate}")
        state = lab.train(run)
        net, train, test = state.net.eval(), state.dataset.train, state.dataset.test
        norms = [(name, layer) for name, layer in net.named_modules() if isinstance(layer, BatchNorm)]
        behind = batch_norms_behind_dropout(net)
        if rate and not behind:
            raise UserError(
                f"this figure needs a batch norm behind a dropout, got normalization={run.levels['normalization']}"
            )
        names = [name for name, _ in norms]
        after = [name in behind for name in names] if behind or not after else after
        variance.append(variance_ratios(net, [layer for _, layer in norms], train.images))
        again = copy.deepcopy(net)
        size = run.batch_size
        starts = range(0, len(train) - size + 1, size)
        estimate_population_statistics(again, (train.images[i : i + size] for i in starts))
        with torch.no_grad():
            passes = [
                net(test.images),
                masked(net, test.images, num_masks, Streams(run.seed)),
                again.eval()(test.images),
            ]
        accuracy.append([(logits.argmax(1) == test.labels).double().mean().item() for logits in passes])
        lab.log("accuracy " + ", ".join(f"{100 * a:.1f} %" for a in accuracy[-1]))
    return {
        "rates": np.array(rates, dtype=float),
        "layers": np.array(names),
        "after": np.array(after),
        "variance": np.array(variance),
        "accuracy": np.array(accuracy),
        "num_masks": np.array(num_masks),
        "num_test": np.array(len(test)),
    }


@torch.no_grad()
def variance_ratios(net: Net, norms: Sequence[BatchNorm], images: Tensor) -> list[float]:
    """Return each batch norm's variance of the inputs at inference over its running variance, mean over channels."""
    ratios: dict[BatchNorm, float] = {}

    def measure(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(norm, BatchNorm)
        x = inputs[0].double()
        own = x.var([0, *range(2, x.ndim)])
        ratios[norm] = (own / norm.running_var.double()).mean().item()

    handles = [norm.register_forward_pre_hook(measure) for norm in norms]
    try:
        net.eval()(images)
    finally:
        for handle in handles:
            handle.remove()
    return [ratios[norm] for norm in norms]


def masked(net: Net, images: Tensor, num_masks: int, streams: Streams) -> Tensor:
    """Return the logarithm of the mean softmax over masks, shape (N, K)."""
    with monte_carlo(net, active=True) as dropouts:
        total = torch.zeros(())
        for sample in range(num_masks):
            for path, layer in dropouts:
                layer.reseed(streams.key("monte_carlo", path, sample))
            total = total + F.softmax(net(images).double(), dim=1)
    return (total / num_masks).log()


def draw(arrays: Arrays) -> Figure:
    """Draw the ratio of variances by layer, and accuracies against the rate."""
    figure = new_figure(11, 4)
    left, right = figure.subplots(1, 2)
    place = np.arange(len(arrays["layers"]))
    for rate, row, colour in zip(arrays["rates"], arrays["variance"], COLOURS * 2, strict=False):
        left.plot(place, row, color=colour, marker="o", markersize=4, label=f"{rate:g}")
    left.axhline(1, color=MUTED, linewidth=0.9, linestyle=(0, (4, 2)))
    left.set_yscale("log", base=2)
    left.yaxis.set_major_formatter(ScalarFormatter())
    names = [f"{name}*" if after else str(name) for name, after in zip(arrays["layers"], arrays["after"], strict=True)]
    left.set_xticks(place, names, rotation=40, ha="right")
    left.set_title("Variance at inference / in training")
    left.legend(title="rate", fontsize=8.5)
    for k, (way, colour, marker) in enumerate(zip(WAYS, COLOURS, "so^", strict=False)):
        right.plot(arrays["rates"], arrays["accuracy"][:, k], color=colour, marker=marker, markersize=4, label=way)
    right.set_xlabel("probability to drop after each stage")
    right.set_title("Test accuracy")
    right.set_ylim(bottom=0)
    right.grid(axis="y")
    right.legend(fontsize=8.5, loc="lower left")
    return figure


def caption(arrays: Arrays) -> str:
    """Return what the figure shows."""
    worst = int(np.argmax(arrays["rates"]))
    behind = arrays["variance"][worst][arrays["after"]]
    one, mean, again = arrays["accuracy"][worst]
    rate = f"{arrays['rates'][worst]:g}"
    return (
        "Nets with batch norm and dropout after each stage of convolutions, so before the next batch norm (*). Left: "
        "variance of a batch norm's inputs in one pass without masks, divided by the running variance from training "
        f"with masks; at a rate of {rate} it is {behind.min():.2f} to {behind.max():.2f} behind a dropout. "
        f"Right: accuracy on {arrays['num_test']} test images: at that rate one pass has {100 * one:.1f} %, the mean "
        f"over {arrays['num_masks']} masks {100 * mean:.1f} %, and one pass after the statistics are measured again "
        f"without masks {100 * again:.1f} %."
    )

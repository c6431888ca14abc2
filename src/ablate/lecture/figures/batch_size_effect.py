"""Batch norm at training and at inference: what depends on the batch mates, and how much, by the size of the batch."""

import copy
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from torch import Tensor

from ablate.errors import UserError
from ablate.layers.batch_norm import batch_statistics, estimate_population_statistics
from ablate.nets import Net
from ablate.report.plotting import COLOURS, MUTED, new_figure
from ablate.seeding import Streams
from ablate.training.lab import Arrays, Lab


def compute(lab: Lab, *, sizes: Sequence[int], num_images: int, num_draws: int) -> Arrays:
    """Return accuracy with the statistics of batches, and the spread of an image's logits over its batch mates.

    A net is trained with batch norm in its usual batches; then the statistics are those of batches of other sizes, of
    validation images in `num_draws` random orders.

    Args:
        sizes: images a batch, at least 2, increasing; an incomplete last batch is dropped.
        num_images: validation images, at least the largest size.
        num_draws: orders, at least 2.

    Returns:
        sizes (S,); accuracy (num_draws, S) with batch statistics; running, population (): with the moving averages of
        training, and with Algorithm 2's statistics; spread (S,): rms over images and classes of the standard deviation
        of a centred logit over the orders, divided by the rms of the centred logits; batch_size (): of training.
    """
    run = lab.run("normalization=batch")
    val = lab.dataset(run).val
    if list(sizes) != sorted(set(sizes)) or sizes[0] < 2 or 2 * sizes[-1] > num_images:
        raise UserError(f"`figure.sizes` must grow from 2 to at most half of `figure.num_images`, got {list(sizes)}")
    if num_draws < 2 or num_images > len(val):
        raise UserError(
            "`figure.num_draws` must be at least 2 and `figure.num_images` at most the validation images, "
            f"got {num_draws} and {num_images} for {len(val)}"
        )
    lab.log(f"training for {run.epochs} epochs")
    state = lab.train(run)
    net = state.net.eval()
    images, labels = state.dataset.val.images[:num_images], state.dataset.val.labels[:num_images]
    streams = Streams(run.seed)
    orders = [torch.randperm(num_images, generator=streams.generator("figure", i)) for i in range(num_draws)]
    accuracy, spread = [], []
    lab.expect(len(sizes))
    for size in sizes:
        lab.step(f"batches of {size}")
        logits = torch.stack([shuffled_logits(net, images, order.to(images.device), size) for order in orders])
        right = (logits.argmax(2) == labels).double().masked_fill(logits[..., 0].isnan(), torch.nan)
        accuracy.append(right.nanmean(1).cpu().numpy())
        spread.append(relative_spread(logits))
    population = copy.deepcopy(net)
    train, size = state.dataset.train.images, run.batch_size
    batches = (train[i : i + size] for i in range(0, len(train) - size + 1, size))
    estimate_population_statistics(population, batches)
    with torch.no_grad():
        scores = [(one(images).argmax(1) == labels).double().mean().item() for one in (net, population)]
    return {
        "sizes": np.array(sizes),
        "accuracy": np.stack(accuracy, 1),
        "running": np.array(scores[0]),
        "population": np.array(scores[1]),
        "spread": np.array(spread),
        "batch_size": np.array(run.batch_size),
        "num_images": np.array(num_images),
    }


@torch.no_grad()
def shuffled_logits(net: Net, images: Tensor, order: Tensor, size: int) -> Tensor:
    """Return the logits (N, K), centred over the classes, where batch norm uses batches of `size` in that order.

    Images of an incomplete last batch have nan. The net is unchanged afterwards.
    """
    net = copy.deepcopy(net)
    logits = None
    with batch_statistics(net):
        for first in range(0, len(order) - size + 1, size):
            part = order[first : first + size]
            found = net(images[part])
            if logits is None:
                logits = found.new_full((len(images), found.shape[1]), torch.nan)
            logits[part] = found - found.mean(1, keepdim=True)
    assert logits is not None
    return logits


def relative_spread(logits: Tensor) -> float:
    """Return sqrt(E[Var over draws]) / sqrt(E[logit^2]) of logits (draws, N, K), nan where an image was left out."""
    count = logits.isfinite().sum(0)
    mean = logits.nanmean(0)
    variance = (logits - mean).square().nansum(0) / (count - 1)
    return (variance[count > 1].mean().sqrt() / logits.square().nanmean().sqrt()).item()


def draw(arrays: Arrays) -> Figure:
    """Draw accuracy and spread against the batch size."""
    sizes = arrays["sizes"]
    figure = new_figure(9.2, 3.7)
    left, right = figure.subplots(1, 2)
    mean, std = arrays["accuracy"].mean(0), arrays["accuracy"].std(0, ddof=1)
    left.errorbar(
        sizes, 100 * mean, yerr=100 * std, color=COLOURS[0], marker="o", markersize=4.5, capsize=3,
        label="statistics of the batch",
    )  # fmt: skip
    for key, colour, style, label in (
        ("running", COLOURS[1], "--", "moving averages of training"),
        ("population", COLOURS[2], ":", "population (Algorithm 2)"),
    ):
        left.axhline(100 * float(arrays[key]), color=colour, linestyle=style, label=label)
    left.set_ylabel("validation accuracy, %")
    left.legend(loc="lower right")
    right.plot(sizes, 100 * arrays["spread"], color=COLOURS[0], marker="o", markersize=4.5, label="measured")
    rule = np.exp(np.log(arrays["spread"] * sizes**0.5).mean()) / np.sqrt(sizes)
    right.plot(sizes, 100 * rule, color=MUTED, linestyle="--", label="in proportion to 1 / √size")
    right.set_yscale("log")
    ticks = [tick for tick in (1, 2, 5, 10, 20, 50, 100, 200) if 50 * arrays["spread"].min() <= tick]
    right.set_yticks(ticks, [f"{tick}" for tick in ticks])
    right.yaxis.set_minor_locator(NullLocator())
    right.set_ylim(80 * min(arrays["spread"].min(), rule.min()), 130 * max(arrays["spread"].max(), rule.max()))
    right.set_ylabel("spread of a logit over batch mates, % of rms")
    right.legend(loc="upper right")
    for ax in (left, right):
        ax.set_xscale("log", base=2)
        ax.set_xticks(sizes, [str(size) for size in sizes])
        ax.set_xlabel("images a batch")
    return figure


def caption(arrays: Arrays) -> str:
    """Return what the figure shows."""
    sizes, mean = arrays["sizes"], arrays["accuracy"].mean(0)
    slope = np.polyfit(np.log(sizes), np.log(arrays["spread"]), 1)[0]
    return (
        f"A net trained with batch norm in batches of {int(arrays['batch_size'])}, on {int(arrays['num_images']):,} "
        f"validation images in {len(arrays['accuracy'])} random orders (bars: standard deviation). With the statistics "
        f"of the batch its accuracy is {mean[0]:.1%} in batches of {sizes[0]} and {mean[-1]:.1%} in batches of "
        f"{sizes[-1]}; with moving averages {float(arrays['running']):.1%}, with population statistics "
        f"{float(arrays['population']):.1%}. The spread of an image's logits over its batch mates goes from "
        f"{arrays['spread'][0]:.0%} to {arrays['spread'][-1]:.0%} of their rms, as size to the power {slope:.2f}."
    )

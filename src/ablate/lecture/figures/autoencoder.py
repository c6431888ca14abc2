"""Features and activations of an autoencoder with one hidden ReLU layer, trained with and without dropout."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ablate.errors import UserError
from ablate.lecture.autoencoder import (
    activations_and_error,
    feature_images,
    spread,
    standardized,
    train_autoencoder,
)
from ablate.report.phrases import plural
from ablate.report.plotting import COLOURS, decade_ticks, new_figure
from ablate.training.lab import Arrays, Lab

NUM_BINS = 60


def compute(lab: Lab, *, rates: Sequence[float], num_hidden: int, grey: bool) -> Arrays:
    """Train one autoencoder a rate, with equal seeds, and return its features and its activations on test images.

    The autoencoder is x -> V dropout(relu(W x + b)) + c with the squared error; x are the images, grey or in colour,
    less their mean image and divided by one standard deviation. Its features are the rows of W.

    Args:
        rates: probabilities to drop a hidden unit, in [0, 1).
        num_hidden: U, at least 1.
        grey: whether the channels are averaged first.

    Returns:
        rates (A,); features (A, U, C, H, W), the rows of W, the longest first; spread (A, U), see `spread`, in pixels;
        uniform_spread, that of a feature which is equally strong everywhere; edges (B + 1,) and histogram (A, B),
        density of the activations of the test images; mean_activation, share_of_zeros, error (squared error per
        value, about 1 for a constant answer) (A,).

    Raises:
        UserError: an argument is out of range.

    Source: Srivastava et al. 2014 (JMLR 15), Figs. 7 and 8: 256 units, p = 0.5, MNIST.
    """
    if num_hidden < 1:
        raise UserError(f"`figure.num_hidden` must be at least 1, got {num_hidden}")
    run = lab.run()
    dataset = lab.dataset(run)
    train, test = standardized(dataset.train.images, dataset.test.images, grey)
    shape = train.shape[1:]
    train, test = (x.flatten(1).to(run.device) for x in (train, test))
    features, found = [], []
    activations = []
    lab.expect(len(rates))
    for rate in rates:
        lab.step(f"training an autoencoder with p = {rate:g} for {plural(run.epochs, 'epoch')}")
        net = train_autoencoder(
            train,
            num_hidden=num_hidden,
            dropout=run.dropout.layer(rate),
            optimizer=run.optimizer,
            schedule=run.schedule,
            epochs=run.epochs,
            batch_size=run.batch_size,
            seed=run.seed,
        )
        hidden, error = activations_and_error(net, test)
        images = feature_images(net, shape)
        features.append(images[images.flatten(1).norm(dim=1).argsort(descending=True)])
        activations.append(hidden.flatten().cpu().numpy())
        found.append((hidden.mean().item(), (hidden == 0).double().mean().item(), error.item()))
        lab.log(f"p = {rate:g}: squared error of the test images {error.item():.3f}")
    largest = max(float(np.quantile(a, 0.9995)) for a in activations)
    edges = np.linspace(0, max(largest, 1e-6), NUM_BINS + 1)
    histograms = [np.histogram(a, edges)[0] / (len(a) * (edges[1] - edges[0])) for a in activations]
    columns = dict(zip(("mean_activation", "share_of_zeros", "error"), np.array(found).T, strict=True))
    return {
        "rates": np.array(rates, dtype=float),
        "features": torch.stack(features).numpy(),
        "spread": np.stack([spread(f).numpy() for f in features]),
        "uniform_spread": spread(torch.ones(1, *shape)).numpy()[0],
        "edges": edges,
        "histogram": np.stack(histograms),
        **columns,
    }


def draw(arrays: Arrays) -> Figure:
    """Draw the longest features of each net as tiles, and the histograms of activations and spreads."""
    num_nets = len(arrays["rates"])
    figure = new_figure(3.5 * num_nets + 3.6, 4.2)
    grid = figure.add_gridspec(2, num_nets + 1)
    for i in range(num_nets):
        ax = figure.add_subplot(grid[:, i])
        ax.imshow(_sheet(arrays["features"][i]), interpolation="nearest")
        ax.set_title(f"Features, {_name(arrays, i)}")
        ax.set_axis_off()
    above, below = (figure.add_subplot(grid[i, num_nets]) for i in range(2))
    edges, uniform = arrays["edges"], float(arrays["uniform_spread"])
    spreads = np.linspace(0, 1.05 * max(float(arrays["spread"].max()), uniform), 41)
    for i in range(num_nets):
        style: dict[str, Any] = {"color": COLOURS[i % len(COLOURS)], "label": _name(arrays, i), "linewidth": 1.4}
        above.stairs(arrays["histogram"][i], edges, **style)
        below.stairs(np.histogram(arrays["spread"][i], spreads)[0], spreads, **style)
    above.set_yscale("log")
    above.set_title("Activations, density")
    decade_ticks(above.yaxis)
    above.set_xlim(left=-0.02 * edges[-1])
    above.legend()
    below.axvline(uniform, color=COLOURS[6], linewidth=0.9, linestyle=(0, (4, 2)))
    below.set_title("Spread of a feature, pixels")
    below.set_ylabel("features")
    return figure


def _sheet(features: NDArray[np.float32], side: int = 10) -> NDArray[np.float64]:
    """Return the first side² features as one RGB picture, each on a scale of its own that has 0 in the middle."""
    shown = features[: side * side]
    _, channels, height, width = shown.shape
    sheet = np.ones((side * (height + 1) - 1, side * (width + 1) - 1, 3))
    for i, feature in enumerate(shown):
        row, column = divmod(i, side)
        tile = 0.5 + feature / (2 * max(float(abs(feature).max()), 1e-12))
        tile = np.broadcast_to(tile, (3, height, width)) if channels == 1 else tile[:3]
        top, left = row * (height + 1), column * (width + 1)
        sheet[top : top + height, left : left + width] = tile.transpose(1, 2, 0)
    return sheet


def _name(arrays: Arrays, i: int) -> str:
    rate = arrays["rates"][i]
    return f"dropout p = {rate:g}" if rate else "no dropout"


def caption(arrays: Arrays) -> str:
    """Return what the figure shows."""
    _, num_hidden, channels, height, width = arrays["features"].shape
    nets = "; ".join(
        f"{_name(arrays, i)}: mean activation {arrays['mean_activation'][i]:.2f}, zeros "
        f"{arrays['share_of_zeros'][i]:.2f}, median spread {np.median(arrays['spread'][i]):.1f} pixels, squared error "
        f"{arrays['error'][i]:.2f}"
        for i in range(len(arrays["rates"]))
    )
    return (
        f"Autoencoders with {num_hidden} hidden ReLU units on {'grey' if channels == 1 else 'colour'} images of "
        f"{height} x {width}; on test images, no mask, with {nets}. A feature that is equally strong "
        f"everywhere has spread {arrays['uniform_spread']:.1f} (dashed)."
    )

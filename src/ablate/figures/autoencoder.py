"""Features and activations of an autoencoder with one hidden ReLU layer, trained with and without dropout."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ablate.figures.lab import Arrays, Lab
from ablate.plotting import COLOURS, decade_ticks, new_figure
from ablate.run import Run
from ablate.seeding import Streams

NUM_BINS = 60
# Images have next to no energy at high spatial frequencies, so nothing would remove the noise there that the weights
# start with: they start at this share of the usual scale.
INITIAL_SCALE = 0.05


def compute(lab: Lab, *, rates: Sequence[float], num_hidden: int, grey: bool) -> Arrays:
    """Train one autoencoder a rate, with equal seeds, and look at its features and at its activations on test images.

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
        ValueError: a knob is out of range.

    Source: Srivastava et al. 2014 (JMLR 15), Figs. 7 and 8: 256 units, p = 0.5, MNIST.
    """
    if num_hidden < 1:
        raise ValueError(f"`figure.num_hidden` must be at least 1, got {num_hidden}")
    run = lab.run()
    dataset = lab.dataset(run)
    train, test = (_inputs(split.images, grey) for split in (dataset.train, dataset.test))
    shape = train.shape[1:]
    mean = train.mean(0)
    std = (train - mean).std(correction=0)
    train, test = (((x - mean) / std).flatten(1).to(run.device) for x in (train, test))
    features, found = [], []
    activations = []
    for rate in rates:
        encoder, dropout, decoder = _train(run, train, num_hidden, run.dropout.layer(rate))
        with torch.no_grad():
            hidden = encoder(test).relu()
            error = F.mse_loss(decoder(dropout(hidden)), test).item()
        weight = encoder.weight.detach()
        weight = weight[weight.norm(dim=1).argsort(descending=True)]
        features.append(weight.unflatten(1, shape).cpu())
        activations.append(hidden.flatten().cpu().numpy())
        found.append((hidden.mean().item(), (hidden == 0).double().mean().item(), error))
        lab.say(f"p = {rate:g}: squared error of the test images {error:.3f}")
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


def spread(features: Tensor) -> Tensor:
    """Return how far the energy of each feature lies from its centre: sqrt(sum_i e_i |r_i - r|^2), in pixels.

    e_i is the share of the squared weights that pixel i has, over all channels, r_i its place, and r = sum_i e_i r_i.

    Args:
        features: (U, C, H, W), none of them zero.
    """
    energy = features.double().square().sum(1)
    energy = energy / energy.sum((1, 2), keepdim=True)
    rows, columns = (torch.arange(size, dtype=torch.float64) for size in energy.shape[1:])
    variance = torch.zeros(len(energy), dtype=torch.float64)
    for places, share in ((rows, energy.sum(2)), (columns, energy.sum(1))):
        centre = share @ places
        variance += (share * (places - centre[:, None]).square()).sum(1)
    return variance.sqrt()


def _inputs(images: Tensor, grey: bool) -> Tensor:
    """Return float images (N, C, H, W), with C = 1 where `grey`."""
    x = images.float()
    return x.mean(1, keepdim=True) if grey else x


def _train(run: Run, x: Tensor, num_hidden: int, dropout: Any) -> tuple[nn.Linear, Any, nn.Linear]:
    """Return encoder, dropout (at inference) and decoder, trained with the run's optimizer, schedule and seed."""
    streams = Streams(run.seed)
    encoder, decoder = nn.Linear(x.shape[1], num_hidden), nn.Linear(num_hidden, x.shape[1])
    with torch.no_grad():
        for name, layer, gain in (("encoder", encoder, math.sqrt(2)), ("decoder", decoder, 1.0)):
            std = INITIAL_SCALE * gain / math.sqrt(layer.in_features)
            layer.weight.normal_(0, std, generator=streams.generator("init", name))
            layer.bias.zero_()
    net = nn.Sequential(encoder, nn.ReLU(), dropout, decoder).to(x.device)
    optimizer = run.optimizer([{"params": list(net.parameters())}])
    group = optimizer.param_groups[0]
    lr, steps_per_epoch = group["lr"], len(x) // run.batch_size
    for epoch in range(run.epochs):
        order = torch.randperm(len(x), generator=streams.generator("order", epoch)).to(x.device)
        for i in range(steps_per_epoch):
            batch = x[order[i * run.batch_size : (i + 1) * run.batch_size]]
            group["lr"] = lr * run.schedule(epoch + i / steps_per_epoch, run.epochs)
            dropout.reseed(streams.key("noise", epoch * steps_per_epoch + i))
            optimizer.zero_grad(set_to_none=True)
            F.mse_loss(net(batch), batch).backward()
            optimizer.step()
    return encoder, dropout.eval(), decoder


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

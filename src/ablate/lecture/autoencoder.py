"""Autoencoder: how local the features of one hidden ReLU layer are, trained with dropout on that layer."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ablate.diagnostics.probe import Probe
from ablate.errors import UserError
from ablate.layers.dropout import Dropout
from ablate.optimization import Cosine
from ablate.seeding import Streams

# Images have almost no energy at high spatial frequencies, so training would not remove the initial weights' noise
# there: weights start at this share of the usual scale.
INITIAL_SCALE = 0.05


def autoencoder(
    probe: Probe,
    *,
    rate: float,
    num_hidden: int = 128,
    epochs: int = 40,
    lr: float = 1e-3,
    batch_size: int = 128,
    grey: bool = True,
) -> dict[str, Tensor]:
    """Train an autoencoder with dropout on its hidden layer, and measure how local its features (not the net's) are.

    The autoencoder is `train_autoencoder`'s, trained on the probe's images by Adam with a cosine schedule; the run's
    seed decides its initial weights, order and masks. Its features are the rows of W. A probe of 100 images is too
    small for it: set `diagnostics.num_images=2000` and a number for `diagnostics.every`, since auto may use fewer
    images. It is trained anew at each measurement, hence twice where `diagnostics.every` exceeds the run's epochs.

    Args:
        rate: probability to drop a hidden unit, in [0, 1); by default that of the run's net, dropout.hidden.
        num_hidden: U, at least 1.
        epochs: at least 1.
        lr: learning rate at the start, above 0.
        batch_size: at least 1; all images are one batch where there are fewer.
        grey: whether the channels are averaged first.

    Returns:
        spread: median over the features of their `spread`, in pixels; sqrt((H^2 + W^2 - 2) / 12) for one that is
            equally strong everywhere, 13.05 for 32 x 32 pixels, and 0 for a single pixel.
        mean_activation: mean of the hidden activations on the held-out images, no mask, at least 0.
        share_of_zeros: fraction of these activations that are 0, in [0, 1].
        error: squared error a value on the held-out images, about 1 for a constant answer.
        The last three are nan where there is no held-out image.

    Raises:
        UserError: an argument is out of range, or `rate` is a list.

    Source: Srivastava et al. 2014 (JMLR 15), Figs. 7 and 8: 256 units, p = 0.5, MNIST.

    Cost: each measurement trains it, `epochs` passes of two matrices with U times the number of pixels.
    """
    if isinstance(rate, bool) or not isinstance(rate, int | float):
        raise UserError(
            f"`rate` of autoencoder must be one probability, got {rate!r}; where dropout.hidden is a list, set "
            "diagnostics.known.autoencoder.rate"
        )
    for name, value in (("num_hidden", num_hidden), ("epochs", epochs), ("batch_size", batch_size)):
        if value < 1:
            raise UserError(f"`{name}` of autoencoder must be at least 1, got {value}")
    train, held_out = standardized(probe.images, probe.held_out.images, grey)
    with torch.autocast(train.device.type, enabled=False):
        net = train_autoencoder(
            train.flatten(1),
            num_hidden=num_hidden,
            dropout=Dropout(rate),
            optimizer=partial(torch.optim.Adam, lr=lr),
            schedule=Cosine(),
            epochs=epochs,
            batch_size=min(batch_size, len(train)),
            seed=probe.seed,
        )
        hidden, error = activations_and_error(net, held_out.flatten(1))
    return {
        "spread": spread(feature_images(net, train.shape[1:])).quantile(0.5),
        "mean_activation": hidden.mean(),
        "share_of_zeros": (hidden == 0).double().mean(),
        "error": error,
    }


def standardized(train: Tensor, other: Tensor, grey: bool) -> tuple[Tensor, Tensor]:
    """Return both sets of images as floats less the mean image of `train`, in units of one standard deviation of it.

    Args:
        train, other: (N, C, H, W).
        grey: average the channels first: C = 1 in what is returned.

    Example:
        >>> train, other = standardized(torch.rand(8, 3, 4, 4), torch.rand(2, 3, 4, 4), grey=True)
        >>> train.shape, round(float(train.std(correction=0)), 4)
        (torch.Size([8, 1, 4, 4]), 1.0)
    """
    a, b = (x.float().mean(1, keepdim=True) if grey else x.float() for x in (train, other))
    mean = a.mean(0)
    std = (a - mean).std(correction=0)
    return (a - mean) / std, (b - mean) / std


def train_autoencoder(
    x: Tensor,
    *,
    num_hidden: int,
    dropout: Any,
    optimizer: Callable[[list[dict[str, Any]]], torch.optim.Optimizer],
    schedule: Callable[[float, int], float],
    epochs: int,
    batch_size: int,
    seed: int,
) -> nn.Sequential:
    """Return x -> V dropout(relu(W x + b)) + c, trained with the squared error, in eval mode.

    Args:
        x: (N, D), on the device where it is trained.
        num_hidden: U, rows of W.
        dropout: a layer with `reseed(key)`.
        optimizer: called with parameter groups; its learning rate is that of the start.
        schedule: (epochs done, num_epochs) -> factor on it.
        epochs: each in a new order; an incomplete last batch is dropped.
        batch_size: at most N.
        seed: decides the initial weights, the orders and the masks; torch's global generator is not used.

    Returns:
        the layers encoder (W, b), ReLU, dropout and decoder (V, c).
    """
    streams = Streams(seed)
    # On the meta device the construction draws no random number.
    encoder = nn.Linear(x.shape[1], num_hidden, device="meta").to_empty(device="cpu")
    decoder = nn.Linear(num_hidden, x.shape[1], device="meta").to_empty(device="cpu")
    with torch.no_grad():
        for name, layer, gain in (("encoder", encoder, math.sqrt(2)), ("decoder", decoder, 1.0)):
            std = INITIAL_SCALE * gain / math.sqrt(layer.in_features)
            layer.weight.normal_(0, std, generator=streams.generator("init", name))
            layer.bias.zero_()
    net = nn.Sequential(encoder, nn.ReLU(), dropout, decoder).to(x.device)
    stepper = optimizer([{"params": list(net.parameters())}])
    group = stepper.param_groups[0]
    lr, steps_per_epoch = group["lr"], len(x) // batch_size
    for epoch in range(epochs):
        order = torch.randperm(len(x), generator=streams.generator("order", epoch)).to(x.device)
        for i in range(steps_per_epoch):
            batch = x[order[i * batch_size : (i + 1) * batch_size]]
            group["lr"] = lr * schedule(epoch + i / steps_per_epoch, epochs)
            dropout.reseed(streams.key("noise", epoch * steps_per_epoch + i))
            stepper.zero_grad(set_to_none=True)
            F.mse_loss(net(batch), batch).backward()
            stepper.step()
    return net.eval()


@torch.no_grad()
def activations_and_error(net: nn.Sequential, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the hidden activations (N, U) of an autoencoder for `x` (N, D), no mask, and its squared error a value."""
    return net[:2](x), F.mse_loss(net(x), x)


def feature_images(net: nn.Sequential, shape: torch.Size) -> Tensor:
    """Return the rows of W as images (U, *shape), on the CPU."""
    weight = net[0].weight
    assert isinstance(weight, Tensor)
    return weight.detach().unflatten(1, shape).cpu()


def spread(features: Tensor) -> Tensor:
    """Return how far the energy of each feature lies from its centre: sqrt(sum_i e_i |r_i - r|^2), in pixels.

    e_i is the share of the squared weights that pixel i has, over all channels, r_i its place, and r = sum_i e_i r_i.

    Args:
        features: (U, C, H, W), none of them zero.

    Returns:
        (U,), float64.

    Example:
        >>> pixel, even = torch.zeros(1, 4, 4), torch.ones(1, 4, 4)
        >>> pixel[0, 1, 2] = 1
        >>> spread(torch.stack([pixel, even])).round(decimals=3)
        tensor([0.0000, 1.5810], dtype=torch.float64)
    """
    energy = features.double().square().sum(1)
    energy = energy / energy.sum((1, 2), keepdim=True)
    rows, columns = (torch.arange(size, dtype=torch.float64) for size in energy.shape[1:])
    variance = torch.zeros(len(energy), dtype=torch.float64)
    for places, share in ((rows, energy.sum(2)), (columns, energy.sum(1))):
        centre = share @ places
        variance += (share * (places - centre[:, None]).square()).sum(1)
    return variance.sqrt()

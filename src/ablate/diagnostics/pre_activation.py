"""Mean and spread of what enters the activations, and how much of the spread a channel has for itself."""

from typing import NamedTuple

import torch
from torch import Tensor

from ablate.diagnostics.probe import Probe


class Spread(NamedTuple):
    """Moments of z over images, positions and channels, 0-d tensors; `within_channel` is a share of the variance."""

    mean: Tensor
    std: Tensor
    within_channel: Tensor


def spread(z: Tensor) -> Spread:
    """Return the moments of z; variances are biased, so that Var z = E_c[Var(z | c)] + Var_c[E(z | c)] exactly.

    Args:
        z: (N, C, ...), c being the channel. Where it does not vary at all, the share is 0.
    """
    axes = tuple(axis for axis in range(z.ndim) if axis != 1)
    means = z.mean(axes, keepdim=True)
    # Equal to z.var(axes, correction=0).mean(), which is ten times slower in channels_last.
    within = (z - means).square().mean()
    between, mean = torch.var_mean(means, correction=0)
    total = within + between
    return Spread(mean, total.sqrt(), torch.where(total == 0, 0.0, within / total))


def pre_activation(probe: Probe) -> dict[str, Tensor]:
    """Mean and standard deviation of the pre-activations z, and the within-channel share of their variance.

    Formula of the share: E_c[Var(z | c)] / Var(z), c being the channel (with maxout: the piece). As it goes to 0 every
    unit gives its own constant whatever the image is: the collapse that the mean of a ReLU's outputs brings with depth,
    while the pooled moments look healthy. Under batch norm it is 1 until gamma and beta have moved.

    Range: the mean any number, the standard deviation at least 0, both in the unit of z; the share [0, 1]. Keys:
    `<layer>/mean`, `<layer>/std`, `<layer>/within_channel` for every hidden layer, and `mean`, `std`, `within_channel`
    for the means over them. Cost: the shared pass.

    Source: for the collapse Luther & Seung 2019 (arXiv:1902.04942).
    """
    layers = {unit.name: spread(unit.inputs) for unit in probe.passed.units}
    values = {f"{name}/{key}": value for name, found in layers.items() for key, value in found._asdict().items()}
    if layers:
        for key, column in zip(Spread._fields, zip(*layers.values(), strict=True), strict=True):
            values[key] = torch.stack(column).mean()
    return values

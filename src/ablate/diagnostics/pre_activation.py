"""Mean and spread of the activations' inputs, and the share of the variance within channels."""

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
    """Return the moments of z; variances are divided by N, so that Var z = E_c[Var(z | c)] + Var_c[E(z | c)] exactly.

    Args:
        z: (N, C, ...), c the channel. If z does not vary, the share is 0.

    Example:
        >>> found = spread(torch.tensor([[0.0, 4.0], [2.0, 6.0]]))
        >>> found.mean.item(), round(found.within_channel.item(), 3)
        (3.0, 0.2)
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

    Formula of the share: E_c[Var(z | c)] / Var(z), c the channel (with maxout: the piece). As it goes to 0 every
    unit gives its own constant for every image: the collapse that the positive mean of ReLU's outputs causes with
    depth, not visible in the pooled moments. Under batch norm it is 1 until gamma and beta change.

    Range: the mean any number, the standard deviation at least 0, both in the unit of z; the share [0, 1]. Keys:
    `<layer>/mean`, `<layer>/std`, `<layer>/within_channel` for every hidden layer, and `mean`, `std`, `within_channel`
    for the means over them. Cost: the shared pass.

    Source: for the collapse Luther & Seung 2019 (arXiv:1902.04942).

    Example:
        >>> from ablate.diagnostics.probe import example_probe
        >>> list(pre_activation(example_probe()))[:3]
        ['conv1_1/mean', 'conv1_1/std', 'conv1_1/within_channel']
    """
    layers = {unit.name: spread(unit.inputs) for unit in probe.passed.units}
    values = {f"{name}/{key}": value for name, found in layers.items() for key, value in found._asdict().items()}
    if layers:
        for key, column in zip(Spread._fields, zip(*layers.values(), strict=True), strict=True):
            values[key] = torch.stack(column).mean()
    return values

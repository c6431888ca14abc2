"""Units whose activation has no slope at anything it is shown: no image can move them, and no gradient passes."""

import functools

import torch
from torch import Tensor, nn

from ablate.diagnostics.probe import Probe, mean_of, probing


def slopes(activation: nn.Module, z: Tensor) -> Tensor:
    """Return the slope f'(z) of every unit, by autograd.

    With maxout it is the sum of the slopes by the unit's pieces, the response to a shift of all of them: always 1.

    Args:
        activation: maps every number, or with `num_pieces` k the k numbers of a unit, to one.
        z: (N, k C, ...), k = 1 but for maxout.

    Returns:
        (N, C, ...), of the type of `z`.
    """
    z = z.detach().requires_grad_()
    with probing(activation, inference=True), torch.enable_grad():
        (slope,) = torch.autograd.grad(activation(z).sum(), z)
    return functools.reduce(torch.add, slope.chunk(getattr(activation, "num_pieces", 1), dim=1))


def dead_fraction(slope: Tensor) -> Tensor:
    """Return the fraction of units with slope 0 for all images, at all positions.

    Args:
        slope: (N, C, ...), a unit being a channel.
    """
    axes = tuple(axis for axis in range(slope.ndim) if axis != 1)
    # Equal to (slope == 0).all(axes), in a seventh of the time.
    return (slope.abs().amax(axes) == 0).float().mean()


def dead_units(probe: Probe) -> dict[str, Tensor]:
    """Fraction of units (channels) that are dead on the probe: f'(z) = 0 for all images, at all positions.

    A dead unit's weights get no gradient from these images. For ReLU it is a unit that is never active; leaky ReLU,
    PReLU and maxout have none. Zero means zero in fp32, as the slope of a
    sigmoid is at z = 20.

    Range: [0, 1]. Keys: every hidden layer, and `mean` over them. Cost: the shared pass; each activation once more,
    forward and backward.

    Source: Maas, Hannun & Ng 2013.
    """
    return mean_of({unit.name: dead_fraction(slopes(unit.activation, unit.inputs)) for unit in probe.passed.units})

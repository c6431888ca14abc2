"""The levels `native`: what a net of another package, or of one's own, brings along is left as it is.

The nets of `ablate` have nothing of their own, and refuse these levels.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class NativeActivation:
    """Leaves the activations of a net.

    Example:
        >>> is_native(NativeActivation())
        True
    """

    def __call__(self) -> nn.Module:
        raise TypeError("a native activation is that of the net, and cannot be made")


@dataclass(frozen=True)
class NativeNormalization:
    """Leaves the normalizations of a net."""


@dataclass(frozen=True)
class NativeDropout:
    """Leaves the dropout of a net; inference is without masks."""

    num_samples = 0


@dataclass(frozen=True)
class NativeInitializer:
    """Leaves the weights that a net is made with.

    They are drawn by the net's own code from torch's global generator, which is seeded from the run's seed before: so a
    run is reproducible, but unlike with all other initializers the draws of a layer depend on the layers before it.
    """

    def __call__(self, net: nn.Module, batch: Tensor, make_generator: Callable[[str], torch.Generator]) -> None:
        return None


NATIVE = (NativeActivation, NativeNormalization, NativeDropout, NativeInitializer)


def is_native(choice: object) -> bool:
    """Return whether a choice of a factor leaves what the net has.

    Example:
        >>> is_native(nn.ReLU)
        False
    """
    return isinstance(choice, NATIVE)

"""What every net of a run is: layers in front (preprocessing, input noise), and what follows them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ablate.errors import UserError

Shape = tuple[int, int, int]


class NoPlace(UserError):
    """A choice that this net has no place for: the factor's group, and why; a run adds the names of both levels.

    Example:
        >>> raise NoPlace("dropout", "it has no hidden layer")
        Traceback (most recent call last):
        ablate.nets.net.NoPlace: dropout finds no place in this net: it has no hidden layer
    """

    def __init__(self, group: str, why: str, net: str = "this net", level: str = "") -> None:
        super().__init__(f"{level or group} finds no place in {net}: {why}")
        self.group, self.why = group, why


class Net(nn.Sequential):
    """The layers in order, under their names.

    Attributes:
        make_activation: for initializers whose gain depends on the activation; absent if the net has none, or several.
        replaced: what was put in place of what, one line each; empty for the nets of this package.
        functions: paths of the activations that are functions.
    """

    make_activation: Callable[[], nn.Module]

    def __init__(self, *layers: Any) -> None:
        super().__init__(*layers)
        self.replaced: list[str] = []
        self.functions: list[str] = []


class Contiguous(nn.Module):
    """x -> the same values in the order (N, C, H, W) in memory, for a net that views its maps.

    It copies also where nothing is to do: one channel has the strides of both orders, and convolutions heed them.

    Example:
        >>> Contiguous()(torch.zeros(2, 3, 4, 4).to(memory_format=torch.channels_last)).stride()
        (48, 16, 4, 1)
    """

    def forward(self, x: Tensor) -> Tensor:
        return x.clone(memory_format=torch.contiguous_format)


def in_memory_format(net: nn.Module) -> nn.Module:
    """Return a net with its weights in channels_last, which is faster; one that begins with `Contiguous` as it is.

    Example:
        >>> in_memory_format(nn.Conv2d(2, 2, 3)).weight.stride()
        (18, 1, 6, 2)
    """
    kept = any(isinstance(layer, Contiguous) for layer in net.children())
    return net if kept else net.to(memory_format=torch.channels_last)


class Scale(nn.Module):
    """x -> factor * x.

    Example:
        >>> Scale(0.5)(torch.tensor([2.0]))
        tensor([1.])
    """

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor

    def extra_repr(self) -> str:
        return f"{self.factor:g}"

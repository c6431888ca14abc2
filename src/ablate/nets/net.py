"""What every net of a run is: layers in front (preprocessing, input noise), and what follows them."""

from collections.abc import Callable
from typing import Any

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


class Scale(nn.Module):
    """x -> factor * x.

    Example:
        >>> import torch
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

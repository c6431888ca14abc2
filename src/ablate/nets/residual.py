"""A small residual net with pre-activation, whose skips can be switched off.

Source: He et al. 2016 (arXiv:1603.05027) for the order norm-act-conv within a block; He et al. 2015 (arXiv:1512.03385),
section 4.2, for the sizes on CIFAR-10 and the skips without parameters (their option A).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from ablate.errors import UserError
from ablate.layers.native import is_native
from ablate.nets.net import Net, NoPlace, Shape
from ablate.nets.roles import made


class Block(nn.Module):
    """Two convolutions, each behind norm and activation, and a skip around both: y = F(x) + S(x).

    S takes every second position where the block does, and appends channels of zeros: it has no parameters. So a net
    has the same weights with its skips and without.

    Args:
        layers: of F, by name, in order.
        stride: of F.
        num_more: channels that F adds.
        skip: whether S is there; False: y = F(x).

    Example:
        >>> import torch
        >>> block = Block({"conv": nn.Conv2d(2, 4, 3, 2, 1)}, stride=2, num_more=2, skip=True)
        >>> block(torch.zeros(1, 2, 8, 8)).shape
        torch.Size([1, 4, 4, 4])
    """

    def __init__(self, layers: dict[str, nn.Module], *, stride: int, num_more: int, skip: bool) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.stride, self.num_more, self.skip = stride, num_more, skip

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for layer in self.children():
            y = layer(y)
        if not self.skip:
            return y
        return y + F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.num_more))

    def extra_repr(self) -> str:
        return f"skip={self.skip}"


@dataclass(frozen=True, kw_only=True)
class ResNet:
    """The description of a residual net; `build` makes the net.

    Layers: a 3x3 convolution; three stages of (depth - 2) / 6 blocks each, of `width`, 2 `width` and 4 `width`
    channels, the second and third beginning with stride 2; norm, activation, mean over all positions, classifier.

    Args:
        depth: number of layers with weights, 6 n + 2: 8, 14, 20, ...
        width: channels of the first stage.
        skips: whether the blocks have skips. Without them, the same layers follow each other.
        bias: whether convolutions have a bias (dropped where a normalization makes it redundant).

    Raises:
        UserError: a number is out of range.

    Example:
        >>> from ablate.layers.dropout import Dropout, Positions
        >>> from ablate.layers.normalization import Batch
        >>> net = ResNet(depth=8, width=4).build(
        ...     (3, 8, 8), 10, activation=nn.ReLU, normalization=Batch(), dropout=Positions(layer=Dropout)
        ... )
        >>> [name for name, _ in net.named_children()]
        ['conv', 'block1_1', 'block2_1', 'block3_1', 'norm', 'act', 'pool', 'flatten', 'classifier']
    """

    depth: int = 8
    width: int = 16
    skips: bool = True
    bias: bool = True

    def __post_init__(self) -> None:
        if self.depth < 8 or self.depth % 6 != 2:
            raise UserError(
                f"`net.depth` of a residual net must be 6 n + 2 (8, 14, 20, ...): three stages of n blocks with two "
                f"convolutions, the first convolution and the classifier; got {self.depth}"
            )
        if self.width < 1:
            raise UserError(f"`net.width` must be at least 1, got {self.width}")

    def build(
        self,
        image_shape: Shape,
        num_classes: int,
        *,
        activation: Callable[[], nn.Module],
        normalization: Any,
        dropout: Any,
        front: list[tuple[str, nn.Module]] | None = None,
    ) -> Net:
        """Return the net, its weights not yet initialized; for the arguments see `ConvNet.build`.

        Raises:
            NoPlace: for a choice that this net cannot have.
            UserError: a choice makes no sense in this net.
        """
        self._refuse(activation, normalization, dropout)
        channels, size, _ = image_shape
        named: list[tuple[str, nn.Module | None]] = list(front or [])
        named.append(("input_dropout", dropout.at_input()))
        bias = self.bias and not getattr(normalization, "removes_bias", False)
        named.append(("conv", nn.Conv2d(channels, self.width, 3, 1, 1, bias=bias)))
        channels = self.width
        for i in range(3):
            width = self.width * 2**i
            for j in range((self.depth - 2) // 6):
                name, stride = f"block{i + 1}_{j + 1}", 2 if i and not j else 1
                first = _norm_and_act(name, "1", channels, size, activation, normalization)
                size = (size - 1) // stride + 1
                second = _norm_and_act(name, "2", width, size, activation, normalization)
                layers = {
                    **first,
                    "conv1": nn.Conv2d(channels, width, 3, stride, 1, bias=bias),
                    **second,
                    "conv2": nn.Conv2d(width, width, 3, 1, 1, bias=bias),
                }
                named.append((name, Block(layers, stride=stride, num_more=width - channels, skip=self.skips)))
                channels = width
            named.append((f"dropout{i + 1}", dropout.after_stage(i, 3)))
        named += _norm_and_act("the end", "", channels, size, activation, normalization).items()
        named += [("pool", nn.AdaptiveAvgPool2d(1)), ("flatten", nn.Flatten())]
        named.append(("classifier", nn.Linear(channels, num_classes, bias=self.bias)))
        net = Net()
        for name, layer in named:
            if layer is not None:
                net.add_module(name, layer)
        net.make_activation = activation
        return net

    def _refuse(self, activation: Callable[[], nn.Module], normalization: Any, dropout: Any) -> None:
        for group, choice in (("activation", activation), ("normalization", normalization), ("dropout", dropout)):
            if is_native(choice):
                raise NoPlace(group, "a net of ablate has none of its own; choose another level")
        if (num_pieces := getattr(activation(), "num_pieces", 1)) > 1:
            raise NoPlace(
                "activation",
                f"it takes {num_pieces} times as many channels as it returns, and here all channels pass the skips; "
                "choose another activation, or a net of the lecture's template",
            )
        if hasattr(normalization, "wrap"):
            raise NoPlace(
                "normalization",
                "it acts on weights alone, and the sums of this net have none; choose another normalization, or a net "
                "of the lecture's template",
            )
        if getattr(dropout, "hidden", 0.0):
            raise NoPlace(
                "dropout",
                f"hidden={dropout.hidden}, but it has no hidden fully connected layers; set dropout.hidden=0, or "
                "choose a net that has them",
            )


def _norm_and_act(
    block: str, number: str, width: int, size: int, activation: Callable[[], nn.Module], normalization: Any
) -> dict[str, nn.Module]:
    """Return the normalization, if there is one, and the activation in front of a convolution."""
    act, norm = made(activation()), normalization(width, 4)
    if norm is not None and size * size < getattr(normalization, "min_positions", 1):
        raise UserError(
            f"normalization {type(normalization).__name__} needs at least {normalization.min_positions} positions, but "
            f"{block} has {size * size}; choose another normalization or larger images"
        )
    if (num_slopes := getattr(act, "num_parameters", 1)) not in (1, width):
        raise UserError(
            f"`activation.num_parameters` must be 1 or the width of every layer, got {num_slopes} where {block} has "
            f"{width} channels; leave it out for one slope per layer"
        )
    pairs = [(f"norm{number}", norm), (f"act{number}", act)]
    if getattr(normalization, "position", "before") == "after":
        pairs.reverse()
    return {name: layer for name, layer in pairs if layer is not None}

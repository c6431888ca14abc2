"""A convolution of another size in the place of one of a net."""

import torch
from torch import nn


def redrawn(
    conv: nn.Conv2d, *, in_channels: int | None = None, out_channels: int | None = None, kernel_size: int | None = None
) -> nn.Conv2d:
    """Return a convolution of another size; a kernel size comes with stride 1 and as much padding as keeps the size.

    Its weights are normal, with the standard deviation of those of `conv` times the root of the ratio of the fans.

    Example:
        >>> redrawn(nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False), kernel_size=3)
        Conv2d(3, 64, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), bias=False)
    """
    new = nn.Conv2d(
        in_channels or conv.in_channels,
        out_channels or conv.out_channels,
        kernel_size or conv.kernel_size,  # type: ignore[arg-type]
        1 if kernel_size else conv.stride,  # type: ignore[arg-type]
        kernel_size // 2 if kernel_size else conv.padding,  # type: ignore[arg-type]
        dilation=1 if kernel_size else conv.dilation,  # type: ignore[arg-type]
        groups=conv.groups,
        bias=conv.bias is not None,
        padding_mode=conv.padding_mode,
    )
    with torch.no_grad():
        ratio = conv.weight[0].numel() / new.weight[0].numel()
        new.weight.normal_(0, conv.weight.std().item() * ratio**0.5)
        if new.bias is not None:
            new.bias.zero_()
    return new

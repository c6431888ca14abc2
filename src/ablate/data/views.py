"""Views of an image over which inference averages: mirrored, and shifted by one pixel."""

from collections.abc import Iterator

import torch
from torch import Tensor

NUM_VIEWS = (1, 2, 6)


def views(images: Tensor, num_views: int) -> Iterator[tuple[float, Tensor]]:
    """Yield (weight, images) of each view; the weights sum to 1.

    1: the images. 2: the images and their mirror images, left to right, at equal weights. 6: these at 1/4 each, and
    both shifted along the diagonal by one pixel, up and left or down and right, at 1/8 each; what is missing at the
    edges is reflected (Jordan 2024, arXiv:2404.00498).

    Args:
        images: (N, C, H, W), channels_last.
        num_views: 1, 2 or 6.

    Example:
        >>> images = torch.arange(9, dtype=torch.uint8).reshape(1, 1, 3, 3)
        >>> [(weight, view[0, 0, 0].tolist()) for weight, view in views(images, 2)]
        [(0.5, [0, 1, 2]), (0.5, [2, 1, 0])]
    """
    if num_views == 1:
        yield 1.0, images
        return
    places = [(0, 1 / 2)] if num_views == 2 else [(0, 1 / 4), (-1, 1 / 8), (1, 1 / 8)]
    for shift, weight in places:
        view = _shifted(images, shift) if shift else images
        yield weight, view
        yield weight, view.flip(3).contiguous(memory_format=torch.channels_last)


def _shifted(images: Tensor, shift: int) -> Tensor:
    """Pixel (y, x) of the result is pixel (y + shift, x + shift), beyond the edges its reflection."""
    for dim in (2, 3):
        size = images.shape[dim]
        index = (torch.arange(size, device=images.device) + shift).abs()
        index = ((size - 1) - ((size - 1) - index).abs()).clamp(min=0)  # an image of one pixel has no reflection
        images = images.index_select(dim, index)
    return images.contiguous(memory_format=torch.channels_last)

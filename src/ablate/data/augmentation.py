"""Random changes to a batch of integer training images, by index arithmetic and one gather."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ablate.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Flip, crop and cut out, in this order of drawing; called `(images, generator) -> images`.

    The crop shifts an image by up to `padding` pixels each way; cutout (DeVries & Taylor 2017, arXiv:1708.04552) fills
    a square around a random pixel, parts of which may lie outside.

    Args:
        flip: probability of a left-right flip, in [0, 1].
        padding: pixels added on each side before the crop, at least 0.
        padding_mode: what the padding holds: "reflect" (the edge pixel is not repeated) or "zero".
        cutout_size: side of the square in pixels, at least 0; 0 cuts out nothing.
        cutout_fill: its intensity as a fraction of 2**bits - 1, in [0, 1].
        bits: of the images.

    Raises:
        UserError: if a value is out of its range; in a call, if reflection needs more pixels than an image has.

    Example:
        >>> images = torch.arange(4, dtype=torch.uint8).reshape(1, 1, 2, 2)
        >>> augment = Augmentation(flip=1.0, padding=0, padding_mode="zero", cutout_size=0, cutout_fill=0.5, bits=8)
        >>> augment(images, torch.Generator()).tolist()
        [[[[1, 0], [3, 2]]]]
    """

    flip: float
    padding: int
    padding_mode: Literal["reflect", "zero"]
    cutout_size: int
    cutout_fill: float
    bits: int

    def __post_init__(self) -> None:
        for name in ("flip", "cutout_fill"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"`augmentation.{name}` must lie in [0, 1], got {getattr(self, name)}")
        for name in ("padding", "cutout_size"):
            if getattr(self, name) < 0:
                raise UserError(f"`augmentation.{name}` must be at least 0, got {getattr(self, name)}")
        if self.padding_mode not in ("reflect", "zero"):
            raise UserError(f"`augmentation.padding_mode` must be 'reflect' or 'zero', got {self.padding_mode!r}")

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return changed copies.

        Args:
            images: (N, C, H, W), integer, channels_last.
            generator: drawn from on its own device, so that one on the CPU gives the same images everywhere.

        Returns:
            Tensor of the same shape, dtype, device and memory format; the images themselves where nothing is changed.
        """
        num_images, channels, height, width = images.shape
        if self.padding_mode == "reflect" and self.padding >= min(height, width):
            raise UserError(
                f"`augmentation.padding` must be below the image size {height}x{width} to reflect, got {self.padding}"
            )
        if not (self.flip or self.padding or self.cutout_size):
            return images
        device = images.device
        rows = torch.arange(height, device=device).expand(num_images, height)
        columns = torch.arange(width, device=device).expand(num_images, width)
        cut = None
        if self.flip:
            flipped = torch.rand(num_images, 1, generator=generator, device=generator.device).to(device) < self.flip
            columns = torch.where(flipped, width - 1 - columns, columns)
        if self.padding:
            shifts = _randint(2 * self.padding + 1, (2, num_images, 1), generator, device) - self.padding
            rows, columns = rows + shifts[0], columns + shifts[1]
        if self.cutout_size:
            tops = _randint(height, (num_images, 1), generator, device) - self.cutout_size // 2
            lefts = _randint(width, (num_images, 1), generator, device) - self.cutout_size // 2
            cut = _box(tops, self.cutout_size, height), _box(lefts, self.cutout_size, width)

        # Pixels are gathered from a table of all pixels of the batch, followed by one of zeros and one of fill.
        pixels = images.permute(0, 2, 3, 1).reshape(-1, channels)
        zero, fill = len(pixels), len(pixels) + 1
        outside = None
        if self.padding and self.padding_mode == "reflect":
            rows, columns = _reflect(rows, height), _reflect(columns, width)
        elif self.padding:
            outside = _outside(rows, height), _outside(columns, width)
        starts = torch.arange(num_images, device=device)[:, None] * (height * width)
        index = (starts + rows * width)[:, :, None] + columns[:, None, :]
        if outside is not None:
            index.masked_fill_(outside[0][:, :, None] | outside[1][:, None, :], zero)
        if cut is not None:
            index.masked_fill_(cut[0][:, :, None] & cut[1][:, None, :], fill)
        if outside is not None or cut is not None:
            fill_value = round(self.cutout_fill * (2**self.bits - 1))
            # Filled on the device: a tensor made of numbers would be copied there, and the host would wait for it.
            pixels = torch.cat([pixels, pixels.new_zeros(1, channels), pixels.new_full((1, channels), fill_value)])
        return pixels.index_select(0, index.flatten()).view(num_images, height, width, channels).permute(0, 3, 1, 2)


def _randint(bound: int, shape: tuple[int, ...], generator: torch.Generator, device: torch.device) -> Tensor:
    return torch.randint(bound, shape, generator=generator, device=generator.device).to(device)


def _reflect(index: Tensor, size: int) -> Tensor:
    return (size - 1) - ((size - 1) - index.abs()).abs()


def _outside(index: Tensor, size: int) -> Tensor:
    return (index < 0) | (index >= size)


def _box(start: Tensor, length: int, size: int) -> Tensor:
    position = torch.arange(size, device=start.device)
    return (position >= start) & (position < start + length)

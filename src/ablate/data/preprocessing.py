"""Preprocessing of integer images: steps with learned statistics, and the chain that fits them in order.

A step is a module with `forward`: images (N, C, H, W) float32 -> images, or a function of images. It may also have

- `fit(images)`, which learns buffers whose names end in `_` from integer or float32 images;
- `num_images: int | None`, the number of leading images that it is fitted on (all where absent or None);
- `output_shape((C, H, W)) -> (C, H, W)`; where absent, a step of this package keeps the shape, another is tried on one
  black image.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from ablate.data.steps import Shape as Shape
from ablate.data.steps import apply, as_step, output_shape
from ablate.errors import UserError

_UNITS = "; for a window in units of the values (Hounsfield units), give `data.zero`, the intensity of the value 0"

_CHUNK_ELEMENTS = 2**18  # 2 MiB of float64: stays in the cache of a core


class Chain(nn.Module):
    """Steps applied in order, each fitted on the output of the steps before it; itself a step.

    Args:
        steps: modules, or functions of images, by name, in the order of application; none leaves raw intensities.
        fit: "train": learn from the training images and apply the same statistics to all others; "test": learn from
            the images that are evaluated, the deliberate mistake. Only stored, as `fit_on`: the caller decides what it
            passes to `fit`.

    Example:
        >>> images = torch.randint(0, 256, (50, 3, 4, 4), dtype=torch.uint8)
        >>> chain = Chain({"scale": Scale(bits=8), "center": Center(per="channel")}).fit(images)
        >>> chain(images).mean((0, 2, 3)).abs().max().item() < 1e-5
        True
    """

    def __init__(
        self, steps: Mapping[str, nn.Module | Callable[[Tensor], Tensor]], fit: Literal["train", "test"] = "train"
    ) -> None:
        super().__init__()
        if fit not in ("train", "test"):
            raise UserError(f"`preprocessing.fit` must be 'train' or 'test', got {fit!r}")
        if taken := [name for name in steps if hasattr(nn.ModuleDict(), name)]:
            raise UserError(
                f"`preprocessing.steps` must have names that no attribute of a module has, got {taken[0]!r}; "
                "choose another"
            )
        self.steps = nn.ModuleDict({name: as_step(f"preprocessing.steps.{name}", step) for name, step in steps.items()})
        self.fit_on = fit

    @torch.no_grad()
    def fit(self, images: Tensor) -> Self:
        """Fit every step in turn.

        The first step reads the integers themselves, so that its sums are exact; a later one that learns anything reads
        a float32 copy of its `num_images` images.

        Args:
            images: (N, C, H, W), integer or float.
        """
        steps = list(self.steps.values())
        for position, step in enumerate(steps):
            if (fit := getattr(step, "fit", None)) is not None:
                fit(_transform(steps[:position], images[: getattr(step, "num_images", None)]))
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Return float32 images of shape (N, *output_shape(images.shape[1:])), from integer or float ones."""
        return apply(self.steps.values(), images)

    def output_shape(self, shape: Shape) -> Shape:
        """Return (C, H, W) after all steps."""
        return output_shape(self.steps.values(), shape)


def as_preprocessing(piece: Any) -> nn.Module:
    """Return a module, or a function of images, as preprocessing: as it is if complete, else as a chain of one step.

    Raises:
        UserError: it can be neither, and the message shows the line to add.

    Example:
        >>> as_preprocessing(torch.sqrt).output_shape((3, 8, 8))
        (3, 8, 8)
    """
    step = as_step("preprocessing", piece)
    return step if hasattr(step, "fit") and hasattr(step, "output_shape") else Chain({"own": step})


class Scale(nn.Module):
    """x / (2**bits - 1): intensities in [0, 1].

    Args:
        bits: of the images, at least 1.

    Example:
        >>> Scale(bits=8)(torch.tensor([0, 51, 255]))
        tensor([0.0000, 0.2000, 1.0000])
    """

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.maximum = _maximum("scale", bits)

    def forward(self, images: Tensor) -> Tensor:
        return images / self.maximum


class Center(nn.Module):
    """x - mean over the images, of each pixel (the mean image) or each channel.

    Learns `mean_`: (C, H, W) for "pixel", (C, 1, 1) for "channel".

    Args:
        per: "pixel" or "channel".

    Example:
        >>> images = torch.arange(4).reshape(2, 1, 1, 2)
        >>> Center(per="pixel").fit(images)(images).flatten().tolist()
        [-1.0, -1.0, 1.0, 1.0]
    """

    mean_: Tensor | None

    def __init__(self, per: Literal["pixel", "channel"]) -> None:
        super().__init__()
        if per not in ("pixel", "channel"):
            raise UserError(f"`center.per` must be 'pixel' or 'channel', got {per!r}")
        self.per = per
        self.register_buffer("mean_", None)

    def fit(self, images: Tensor) -> Self:
        mean, _ = moments(images)
        self.mean_ = (mean if self.per == "pixel" else mean.mean((1, 2), keepdim=True)).float()
        return self

    def forward(self, images: Tensor) -> Tensor:
        return images - learned(self, self.mean_)


class Standardize(nn.Module):
    """(x - mean) / std per channel, moments over images and positions, the variance being the biased one.

    A linear map before it changes nothing, so it needs none. Learns `mean_` and `std_`: (C, 1, 1).

    Example:
        >>> images = torch.tensor([1, 3]).reshape(2, 1, 1, 1)
        >>> Standardize().fit(images)(images).flatten().tolist()
        [-1.0, 1.0]
    """

    mean_: Tensor | None
    std_: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean_", None)
        self.register_buffer("std_", None)

    def fit(self, images: Tensor) -> Self:
        """Raises UserError if a channel is constant."""
        mean, mean_square = (moment.mean((1, 2), keepdim=True) for moment in moments(images))
        std = (mean_square - mean**2).clamp(min=0).sqrt()
        for channel, (m, s) in enumerate(zip(mean.flatten().tolist(), std.flatten().tolist(), strict=True)):
            if s <= 1e-6 * max(abs(m), 1e-6):
                first = not images.is_floating_point()  # a step before it would have made floats of the integers
                cure = (
                    "no step stands before it, so the image files hold one value there: leave the channel out of them "
                    "(save grey images as grey), look for wrong files, or use preprocessing=scale, which divides by "
                    "nothing that is learned"
                    if first
                    else "the steps before it leave nothing that varies there: change or remove them "
                    "(`preprocessing.steps`)"
                )
                raise UserError(
                    f"`standardize` needs intensities that vary, but channel {channel} is constantly "
                    f"{m:.6g} in the {len(images):,} images it is fitted on; {cure}"
                )
        self.mean_, self.std_ = mean.float(), std.float()
        return self

    def forward(self, images: Tensor) -> Tensor:
        return (images - learned(self, self.mean_)) / learned(self, self.std_)


class Window(nn.Module):
    """Map a window of intensities to [0, 1] and clip the rest.

    With u = x / (2**bits - 1), the result is min(1, max(0, (u - center) / width + 1/2)); with `zero`, u = x - zero.

    Args:
        center: middle of the window ("level"), as a fraction of the range, in [0, 1]; with `zero`, a value.
        width: of the window, as a fraction of the range, in (0, 1]; with `zero`, a difference of values, above 0.
        bits: of the images, at least 1.
        zero: the intensity that stands for the value 0, such as 1024 for Hounsfield units; None for fractions.

    Raises:
        UserError: if a value is out of its range, or the window has no intensity of the range in it.

    Example:
        >>> Window(center=0.5, width=0.2, bits=8)(torch.tensor([0.0, 127.5, 255.0])).tolist()
        [0.0, 0.5, 1.0]
        >>> Window(center=40, width=100, bits=12, zero=1024)(torch.tensor([1014.0, 1064.0, 1114.0])).tolist()
        [0.0, 0.5, 1.0]
    """

    def __init__(self, center: float, width: float, bits: int, zero: int | None = None) -> None:
        super().__init__()
        maximum = _maximum("window", bits)
        if zero is not None:
            self.lower, self.width = zero + center - width / 2, float(width)
            if not width > 0 or not -width < self.lower < maximum:
                raise UserError(
                    f"the window must have a width above 0 and overlap the values of the images, {-zero} .. "
                    f"{maximum - zero} (0 .. 2**{bits} - 1 less `data.zero={zero}`), got the center "
                    f"{center:g} and the width {width:g}"
                )
            return
        if not 0 <= center <= 1:
            raise UserError(f"`window.center` must lie in [0, 1], a fraction of the range, got {center}{_UNITS}")
        if not 0 < width <= 1:
            raise UserError(f"`window.width` must lie in (0, 1], a fraction of the range, got {width}{_UNITS}")
        self.lower, self.width = (center - width / 2) * maximum, width * maximum

    def forward(self, images: Tensor) -> Tensor:
        return ((images - self.lower) / self.width).clamp_(0, 1)


class Quantize(nn.Module):
    """round(x * (2**k - 1)) / (2**k - 1) for x in [0, 1]: the nearest of 2**k values.

    Args:
        bits_kept: k, at least 1.

    Example:
        >>> Quantize(bits_kept=1)(torch.tensor([0.2, 0.7])).tolist()
        [0.0, 1.0]
    """

    def __init__(self, bits_kept: int) -> None:
        super().__init__()
        self.maximum = _maximum("quantize", bits_kept)

    def forward(self, images: Tensor) -> Tensor:
        return (images * self.maximum).round_() / self.maximum


def moments(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and mean square over the images, accumulated in float64: exact for integers.

    Args:
        images: (N, C, H, W), integer or float.

    Returns:
        Two float64 tensors of shape (C, H, W).

    Raises:
        UserError: if there is no image.

    Example:
        >>> mean, mean_square = moments(torch.tensor([1, 3]).reshape(2, 1, 1, 1))
        >>> mean.item(), mean_square.item()
        (2.0, 5.0)
    """
    if len(images) == 0:
        raise UserError("preprocessing is fitted on at least 1 image, got none")
    total = torch.zeros(images.shape[1:], dtype=torch.float64, device=images.device)
    total_square = total.clone()
    for chunk in images.split(_chunk_size(images)):
        x = chunk.double()
        total += x.sum(0)
        total_square += x.square_().sum(0)
    return total / len(images), total_square / len(images)


def learned(step: nn.Module, buffer: Tensor | None) -> Tensor:
    """Return a buffer of a fitted step; raise RuntimeError before `fit`."""
    if buffer is None:
        raise RuntimeError(f"`{type(step).__name__}` is applied before it is fitted; call `fit(training images)` first")
    return buffer


def _transform(steps: list[nn.Module], images: Tensor) -> Tensor:
    if not steps:
        return images
    channels, height, width = images.shape[1:]
    shape = (len(images), *output_shape(steps, (channels, height, width)))
    result = torch.empty(shape, device=images.device, memory_format=torch.channels_last)
    size = _chunk_size(images)
    for source, target in zip(images.split(size), result.split(size), strict=True):
        target.copy_(apply(steps, source))
    return result


def _chunk_size(images: Tensor) -> int:
    return max(1, _CHUNK_ELEMENTS // max(1, images[:1].numel()))


def _maximum(step: str, bits: int) -> int:
    if not 1 <= bits <= 16:
        raise UserError(f"the bits of `{step}` must lie in [1, 16], got {bits}")
    return 2**bits - 1

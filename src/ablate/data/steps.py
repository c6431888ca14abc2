"""What stands as a step of preprocessing: a module, or a function of images; and what it must return."""

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ablate.errors import UserError
from ablate.seeding import global_generators
from ablate.signatures import name_of, signature_of, takes

Shape = tuple[int, int, int]
FORWARD = "def forward(self, images): return ..."


class Function(nn.Module):
    """A function of images as a module.

    Args:
        function: (N, C, H, W) float32 -> images.

    Example:
        >>> Function(torch.sqrt)(torch.tensor([4.0]))
        tensor([2.])
    """

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, images: Tensor) -> Tensor:
        return self.function(images)

    def extra_repr(self) -> str:
        return name_of(self.function)


def as_step(name: str, piece: Any) -> nn.Module:
    """Return a module, or a function of images, as a module that can be a step.

    Args:
        name: of its setting, for the error.
        piece: the module or function.

    Raises:
        UserError: it can be neither, and the message shows the line to add.

    Example:
        >>> as_step("preprocessing", torch.sqrt)
        Function(torch.sqrt)
    """
    if isinstance(piece, type) or isinstance(getattr(piece, "func", None), type):
        raise UserError(f"`{name}` must be a module, got the class {name_of(piece)}; leave out `_partial_: true`")
    if isinstance(piece, nn.Module):
        if type(piece).forward is nn.Module.forward:
            raise UserError(f"`{name}`: {name_of(piece)} has no method `forward`; add `{FORWARD}`")
        if not takes(piece.forward, 1):
            raise UserError(
                f"`{name}`: `forward` of {name_of(piece)} must take the images alone, got "
                f"{signature_of(piece.forward)}; write `{FORWARD}`"
            )
        if callable(fit := getattr(piece, "fit", None)) and not takes(fit, 1):
            raise UserError(
                f"`{name}`: `fit` of {name_of(piece)} must take the images alone, got {signature_of(fit)}; "
                "write `def fit(self, images): ...`"
            )
        return piece
    cure = f"write `class {type(piece).__name__}(torch.nn.Module)` with `{FORWARD}`"
    if not callable(piece):
        raise UserError(f"`{name}` must be a torch.nn.Module or a function of images, got {name_of(piece)}; {cure}")
    if hasattr(piece, "fit"):
        raise UserError(f"`{name}` has a `fit` and must be a torch.nn.Module, got {name_of(piece)}; {cure}")
    if not takes(piece, 1):
        raise UserError(
            f"`{name}` must be a function of images alone, got {name_of(piece)}{signature_of(piece)}; give its "
            "other arguments in its level (NAME: VALUE)"
        )
    return Function(piece)


def apply(steps: Iterable[nn.Module], images: Tensor) -> Tensor:
    """Return float32 images after all steps, from integer or float ones.

    Raises:
        UserError: a step returns something else; the message shows the cure.
    """
    images, steps = images.to(torch.float32), list(steps)
    # `net.double()` has converted what ablate's own steps learned; that is meant, and so are float64 images.
    own = [step for step in steps if type(step).__module__.startswith("ablate.")]
    wide = (torch.float64,) if any(b.dtype is torch.float64 for step in own for b in step.buffers()) else ()
    for step in steps:
        given, images = images, step(images)
        if not is_images(images, given, wide):
            raise UserError(not_images(step, images, given))
    return images


def is_images(found: Any, given: Tensor, also: Sequence[torch.dtype] = ()) -> bool:
    """Return whether a step returned (N, C, H, W) floats for N images; bfloat16 comes from autocast.

    Args:
        found: what the step returned.
        given: its input.
        also: further types that are accepted.
    """
    return (
        isinstance(found, Tensor)
        and found.dtype in (torch.float32, torch.bfloat16, *also)
        and found.device == given.device
        and ((found.ndim == given.ndim == 4 and len(found) == len(given)) or given.ndim != 4)
    )


def not_images(step: nn.Module, found: Any, given: Tensor) -> str:
    """Return the message for a step that returned no images."""
    name = step.extra_repr() if isinstance(step, Function) else name_of(step)
    must = f"preprocessing {name} must return float32 images (N, C, H, W) on the device of its input"
    if not isinstance(found, Tensor):
        return f"{must}, got {name_of(found)}; end it with a `return` of the changed images"
    if found.dtype not in (torch.float32, torch.bfloat16):
        return f"{must}, got {found.dtype}; end it with `return images.float()`"
    if found.device != given.device:
        return (
            f"{must}, {given.device}, got {found.device}; keep its tensors in buffers, "
            "`self.register_buffer('mean_', tensor)`"
        )
    return f"{must}, got shape {tuple(found.shape)} for {tuple(given.shape)}; keep the first axis, one entry an image"


def output_shape(steps: Iterable[nn.Module], shape: Shape) -> Shape:
    """Return (C, H, W) after all steps, which must be fitted; a step of the user's own is tried on a black image."""
    for step in steps:
        if (shape_of := getattr(step, "output_shape", None)) is not None:
            shape = shape_of(shape)
        elif not type(step).__module__.startswith("ablate.") or isinstance(step, Function):
            with torch.no_grad(), global_generators(0):
                channels, height, width = apply([copy.deepcopy(step)], torch.zeros(1, *shape)).shape[1:]
            shape = (channels, height, width)
    return shape

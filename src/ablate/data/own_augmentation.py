"""Augmentations that are not of this package: functions of images, with or without a generator, and torchvision's."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ablate.errors import UserError
from ablate.seeding import global_generators
from ablate.signatures import name_of, signature_of, takes

FORM = "def mine(images, generator): return images"
OF_LABELS = ("MixUp", "CutMix")  # of torchvision: they change labels too
FORMS = {
    "generator": "(images, generator), both by position",
    "keyword": "(images, generator=generator)",
    "images": "the images alone",
    "image": "one image at a time: a transform of torchvision",
}


class OwnAugmentation:
    """An augmentation in one of four forms, called `(images, generator) -> images`; its results are checked.

    Without a generator of its own, it draws from the global generators of torch, numpy and Python. They are seeded from
    the run's generator, so from the run's seed and step, and restored at the end: no other draw of the run changes.

    Args:
        function: the user's, or a transform of torchvision.

    Raises:
        UserError: it cannot be called in any of these forms; the message shows the line to add. In a call: what it
            returns is not the images' like.

    Example:
        >>> images = torch.arange(4, dtype=torch.uint8).reshape(1, 1, 2, 2)
        >>> OwnAugmentation(lambda images: images.flip(3))(images, torch.Generator()).tolist()
        [[[[1, 0], [3, 2]]]]
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.form = form_of(function)

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return changed images; see `Augmentation.__call__`."""
        if self.form == "generator":
            return self.checked(self.function(images, generator), images)
        if self.form == "keyword":
            return self.checked(self.function(images, generator=generator), images)
        with global_generators(generator.initial_seed()):
            if self.form == "images":
                found = self.checked(self.function(images), images)
            else:
                found = torch.stack([self.checked(self.transformed(image), image) for image in images])
        return found.contiguous(memory_format=torch.channels_last)

    def transformed(self, image: Tensor) -> Any:
        """Return what torchvision makes of one image, (C, H, W)."""
        try:
            return self.function(image)
        except (TypeError, ValueError) as error:
            raise UserError(
                f"`augmentation`: {name_of(self.function)} refuses an image of shape {tuple(image.shape)} and type "
                f"{image.dtype} ({error}); take such a transform out: conversion and normalization are preprocessing"
            ) from error

    def checked(self, found: Any, images: Tensor) -> Tensor:
        """Return what the function made of the images if it has their shape, type and device."""
        must = f"`augmentation` {name_of(self.function)} must return images like those it gets"
        if not isinstance(found, Tensor):
            raise UserError(f"{must}, got {name_of(found)}; end it with `return images`")
        for what, cure in (
            ("shape", "resize or pad them to it (in preprocessing, all images may change their size)"),
            ("dtype", f"end it with `return images.to(torch.{images.dtype})`".replace("torch.torch", "torch")),
            ("device", "make its tensors on `images.device`"),
        ):
            mine, theirs = getattr(found, what), getattr(images, what)
            if mine != theirs:
                shown = (tuple(mine), tuple(theirs)) if what == "shape" else (mine, theirs)
                raise UserError(f"{must}, got {what} {shown[0]} for {shown[1]}; {cure}")
        return found

    def try_on(self, images: Tensor) -> None:
        """Check the results on two images, so that a mistake shows before the run has a folder.

        Args:
            images: of the training, left as they are.
        """
        with global_generators(0):
            self(images[:2].clone(), torch.Generator(images.device).manual_seed(0))

    def __repr__(self) -> str:
        return f"{name_of(self.function)}, called with {FORMS[self.form]}"


def form_of(function: Any) -> str:
    """Return the name, in `FORMS`, of the form in which an augmentation is called.

    Raises:
        UserError: there is none.

    Example:
        >>> form_of(lambda images, generator: images), form_of(lambda images: images)
        ('generator', 'images')
    """
    if is_transform(function):
        if bad := [name for part in parts(function) if (name := type(part).__name__) in OF_LABELS]:
            raise UserError(
                f"`augmentation` changes images and not labels, got torchvision's {bad[0]}, which mixes both; leave "
                "it out"
            )
        return "image"
    cure = f"write it as `{FORM}`"
    if isinstance(function, type) or isinstance(getattr(function, "func", None), type):
        raise UserError(
            f"`augmentation` must be a function or an object that can be called, got the class {name_of(function)}; "
            "leave out `_partial_: true`"
        )
    called = function.forward if isinstance(function, nn.Module) else function
    if not callable(function):
        raise UserError(f"`augmentation` must be a function of images, got {name_of(function)}; {cure}")
    try:
        parameters = inspect.signature(called).parameters
    except ValueError:  # of a function written in C
        return "images"
    named = parameters.get("generator")
    if named is not None and named.kind is named.KEYWORD_ONLY:
        return "keyword"
    by_position = [p for p in parameters.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    variable = any(p.kind is p.VAR_POSITIONAL for p in parameters.values())
    second = by_position[1:2]
    if takes(called, 2) and (variable or (second and (second[0].default is second[0].empty or named is second[0]))):
        return "generator"
    if takes(called, 1):
        return "images"
    raise UserError(
        f"`augmentation` must be a function of images, or of images and a generator, got {name_of(function)}"
        f"{signature_of(called)}; {cure}, and give its other arguments in its level (NAME: VALUE)"
    )


def is_transform(function: Any) -> bool:
    """Return whether an object is a transform of torchvision, or derived from one."""
    return any(cls.__module__.startswith("torchvision.transforms") for cls in type(function).__mro__)


def parts(transform: Any) -> Iterator[Any]:
    """Yield a transform and all that it contains."""
    yield transform
    for inner in getattr(transform, "transforms", None) or []:
        yield from parts(inner)


def as_augmentation(piece: Any) -> Any:
    """Return an augmentation of this package as it is, and anything else adapted: see `OwnAugmentation`."""
    return piece if type(piece).__module__.startswith("ablate.") else OwnAugmentation(piece)

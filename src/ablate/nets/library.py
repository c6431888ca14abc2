"""Nets that are not of this package: any `torch.nn.Module`, and the classifiers of a library of models."""

import difflib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import Any, Literal, cast

import torch
from torch import nn

from ablate.errors import UserError, making, unexpected_keyword
from ablate.nets.contract import check_outputs, materialize, takes_channels_last
from ablate.nets.net import Contiguous, Net, Shape
from ablate.nets.substitution import Substitution
from ablate.nets.tracing import is_function
from ablate.seeding import global_generators

SMALL = 64  # pixels below which `stem=auto` takes the small stem
INSTALL = {"timm": "pip install 'timm>=1'"}


@dataclass(frozen=True, kw_only=True)
class Module:
    """The description of a net that somebody else wrote; `build` makes it and puts the chosen levels in its places.

    Args:
        make: a class or function that returns a `torch.nn.Module` from images (N, C, H, W) to logits (N, num_classes).
            If it takes `num_classes` or `image_shape`, it is given them. Where they do not fit, its last affine layer
            is replaced by one with as many outputs as there are classes, and its first convolution by one for the
            channels of the images.
        stem: "small" gives the first convolution a kernel of 3x3 and stride 1 and removes the pooling behind it, for
            images that would be too small for a net made for 224 pixels; "native" leaves them; "auto" is small for
            images below 64 pixels, where the net has such a stem. A patch embedding (kernel = stride) is left.

    Example:
        >>> from ablate.layers.native import NativeDropout, NativeNormalization
        >>> def make(num_classes):
        ...     return nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.ReLU(inplace=True), nn.Linear(8, num_classes))
        >>> net = Module(make=make).build(
        ...     (3, 2, 2), 10, activation=nn.SiLU, normalization=NativeNormalization(), dropout=NativeDropout()
        ... )
        >>> net.replaced
        ['activation: ReLU -> SiLU: model.2']
    """

    make: Callable[..., nn.Module]
    stem: Literal["auto", "small", "native"] = "native"

    def build(
        self,
        image_shape: Shape,
        num_classes: int,
        *,
        activation: Any,
        normalization: Any,
        dropout: Any,
        front: list[tuple[str, nn.Module]] | None = None,
    ) -> Net:
        """Return the net: the layers in front, and the module under the name `model`; see `ConvNet.build`.

        Raises:
            NoPlace: a choice finds no place.
            UserError: the module does not map images to logits.
        """
        model = self._made(image_shape, num_classes)
        materialize(model, image_shape, type(model).__name__)
        for path, parameter in model.named_parameters():
            if parameter.is_floating_point() and parameter.dtype != torch.float32:
                raise UserError(
                    f"the parameters of {type(model).__name__} must be float32 when it is made, got {path} with "
                    f"{parameter.dtype}; leave out the conversion, and choose precision=bf16 for bfloat16"
                )
        work = Substitution(model, image_shape, num_classes, type(model).__name__)
        with global_generators():  # what is tried out draws nothing from the generators that the weights come from
            work.fit_input()
            if self.stem == "small" or (self.stem == "auto" and max(image_shape[1:]) < SMALL):
                work.shrink_stem(required=self.stem == "small")
            work.fit_output()
            work.replace_activations(activation)
            work.replace_normalizations(normalization)
            work.replace_dropout(dropout)
            shape = (image_shape, num_classes, type(model).__name__)
            trace = check_outputs(model, *shape)
            contiguous = not takes_channels_last(model, *shape)
        net = Net()
        for name, layer in front or []:
            net.add_module(name, layer)
        if (at_input := getattr(dropout, "at_input", lambda: None)()) is not None:
            net.add_module("input_dropout", at_input)
        if contiguous:
            net.add_module("contiguous", Contiguous())
            work.note(
                "memory format: contiguous, as the forward fails with channels_last (flatten instead of view works)"
            )
        net.add_module("model", model)
        net.replaced = work.lines()
        net.functions = [f"model.{call.path}" for call in trace.units if is_function(call)]
        if (make_activation := work.make_activation(activation)) is not None:
            net.make_activation = make_activation
        return net

    def _made(self, image_shape: Shape, num_classes: int) -> nn.Module:
        if isinstance(one := getattr(self.make, "func", self.make), nn.Module):
            raise UserError(
                f"`net._target_` must name a class or function that makes a torch.nn.Module, got one "
                f"{type(one).__name__} that is made already; name its class, or a function that returns a new one"
            )
        known = {"num_classes": num_classes, "image_shape": image_shape}
        try:
            parameters = inspect.signature(self.make).parameters
        except (TypeError, ValueError):
            parameters = {}  # type: ignore[assignment]
        given = getattr(self.make, "keywords", {})
        wanted = {name: value for name, value in known.items() if name in parameters and name not in given}
        try:
            with making("net", __file__):
                model = self.make(**wanted)
        except TypeError as error:
            if not (key := unexpected_keyword(error, given)):
                raise
            raise UserError(f"`net.{key}` is not an argument of the net: {error}; leave it out") from error
        if not isinstance(model, nn.Module):
            raise UserError(
                f"`net._target_` must name a class or function that makes a torch.nn.Module, got one that makes "
                f"{type(model).__name__}"
            )
        return model


@dataclass(frozen=True, kw_only=True)
class Library:
    """The description of a net of a library of models; it is built as a `Module` is.

    Args:
        path: import path of the function that makes a net, called with (name, num_classes=..., **arguments).
        name: of the net.
        stem: see `Module`.
        arguments: further ones.

    Raises:
        UserError: when built, if the library is not installed or has no such net.
    """

    path: str
    name: str
    stem: Literal["auto", "small", "native"] = "auto"
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.stem not in ("auto", "small", "native"):
            raise UserError(f"`net.stem` must be auto, small or native, got {self.stem!r}")

    @property
    def loads(self) -> str:
        """The argument that makes the library load trained weights, "" if there is none."""
        return next((name for name in ("weights", "pretrained", "checkpoint_path") if self.arguments.get(name)), "")

    def build(self, image_shape: Shape, num_classes: int, **choices: Any) -> Net:
        """Return the net; for the arguments see `Module.build`."""
        function = self._function()
        self._check_name()
        arguments = {**usual_arguments(self.name, image_shape), **self.arguments}
        make = partial(self._make, function, num_classes=num_classes, **arguments)
        return Module(make=make, stem=self.stem).build(image_shape, num_classes, **choices)

    def _function(self) -> Callable[..., nn.Module]:
        module, _, name = self.path.rpartition(".")
        try:
            return cast(Callable[..., nn.Module], getattr(import_module(module), name))
        except (ImportError, AttributeError, ValueError) as error:
            cure = INSTALL.get(module.partition(".")[0], "is its package installed, and the name right?")
            raise UserError(f"`net.path={self.path}` cannot be imported ({error}): {cure}") from error

    def _check_name(self) -> None:
        """Refuse a name that is not one of a classifier of the library, before its code may load anything."""
        library = self.path.partition(".")[0]
        if library not in ("torchvision", "timm") or ":" in self.name:  # timm's hf-hub:... and local-dir:...
            return
        if library == "torchvision":
            models = import_module("torchvision.models")
            known, name = models.list_models(module=models), self.name.lower()
        else:
            known, name = import_module("timm").list_models(), self.name.partition(".")[0]
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
            cure = f"did you mean {', '.join(near)}?" if near else f"{', '.join(known[:3])}, ... are there"
            raise UserError(f"`net.name` must be a classifier of {library}, got {self.name}; {cure}")

    def _make(self, function: Callable[..., nn.Module], **arguments: Any) -> nn.Module:
        try:
            return function(self.name, **arguments)
        except (ValueError, TypeError, RuntimeError, AssertionError) as error:
            raise UserError(
                f"`net.name={self.name}` cannot be made by {self.path}: {' '.join(str(error).split())}"
            ) from error


def usual_arguments(name: str, image_shape: Shape) -> dict[str, Any]:
    """Return the arguments that a net of torchvision needs to be a plain classifier of these images.

    Example:
        >>> usual_arguments("vit_b_16", (3, 32, 32)), usual_arguments("resnet18", (3, 32, 32))
        ({'image_size': 32}, {})
    """
    if name in ("googlenet", "inception_v3"):
        return {"aux_logits": False, "init_weights": True}
    if name.startswith("vit_") and name[4:6] in ("b_", "l_", "h_"):
        return {"image_size": image_shape[1]}
    if name == "maxvit_t":
        return {"input_size": tuple(image_shape[1:])}
    return {}

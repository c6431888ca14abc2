"""What a net needs of the user's own activation, normalization, dropout and initializer."""

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from ablate.errors import UserError, making
from ablate.layers.native import is_native
from ablate.signatures import name_of, signature_of, takes

PARTIAL = "add `_partial_: true` to its level"
NORMALIZATION = "def mine(num_features, ndim): return torch.nn.BatchNorm2d(num_features) if ndim == 4 else None"
INITIALIZER = (
    "def mine(net, images, make_generator): for path, layer in ablate.layers.initialization.weight_layers(net): "
    "layer.weight.normal_(generator=make_generator(path))"
)
GIVE = "give its other arguments in its level (NAME: VALUE)"
PLACES = ("at_input", "after_stage", "after_hidden", "num_samples")  # of a dropout


def check_activation(make: Any) -> None:
    """Check that an activation is made once for each layer, and keeps shape and type.

    Raises:
        UserError: it does not.

    Example:
        >>> check_activation(nn.ReLU())
        Traceback (most recent call last):
        ablate.errors.UserError: `activation` must make a module for each layer, got one torch...ReLU; add ...
    """
    if type(make).__module__.startswith("ablate."):
        return
    must = "`activation` must make a module for each layer"
    if isinstance(make, nn.Module):
        raise UserError(f"{must}, got one {name_of(make)}; {PARTIAL}")
    check_callable("activation", make, "class Mine(torch.nn.Module) with `def forward(self, x): return ...`")
    if not isinstance(make, type) and not isinstance(getattr(make, "func", None), type) and not takes(make, 0):
        raise UserError(
            f"{must}, got {name_of(make)}, a function of {inspect.signature(make)}; write it as `class "
            f"Mine(torch.nn.Module)` with `def forward(self, x): return ...`, or {GIVE}"
        )
    with making("activation", __file__):
        module = make()
    width = getattr(module, "num_parameters", 1)
    width = width if isinstance(width, int) and width > 1 else 4
    pieces = getattr(module, "num_pieces", 1)
    for shape in ((2, width, 3, 3), (2, width)):
        images = torch.zeros(shape).repeat_interleave(pieces, dim=1)
        _check_layer("activation", module, images, shape)


def check_normalization(normalization: Any) -> None:
    """Check that a normalization is called with (num_features, ndim), and makes a module that keeps shape and type.

    Raises:
        UserError: it does not.
    """
    if type(normalization).__module__.startswith("ablate."):
        return
    must = "`normalization` must be a function of (num_features, ndim)"
    cure = f"write `{NORMALIZATION}`, with `_partial_: true` in its level"
    if isinstance(normalization, nn.Module):
        raise UserError(f"{must} that makes a module for each place, got one {name_of(normalization)}; {cure}")
    check_callable("normalization", normalization, NORMALIZATION)
    made = getattr(normalization, "func", normalization)
    of_module = isinstance(made, type) and issubclass(made, nn.Module)
    if not takes(normalization, 2) or (of_module and "ndim" not in inspect.signature(made).parameters):
        raise UserError(f"{must}, got {name_of(normalization)}{signature_of(normalization)}; {cure}")
    for ndim in (4, 2):
        try:
            module = normalization(8, ndim)
        except Exception:  # another number of features may be right
            continue
        if module is not None:
            shape = (4, 8, 3, 3)[:ndim]
            _check_layer("normalization", module, torch.zeros(shape), shape, "a module, or None for no layer")


def check_dropout(dropout: Any) -> None:
    """Check that dropout knows its places, and that its layers keep shape and type.

    Raises:
        UserError: it does not.
    """
    if is_native(dropout):
        return
    missing = [name for name in PLACES if not hasattr(dropout, name)]
    if missing:
        raise UserError(
            f"`dropout` must say where units are dropped, got {name_of(dropout)} without {', '.join(missing)}; keep a "
            "level such as dropout=hidden, and name the class as its layer, dropout.layer._target_=mine.Drop"
        )
    layer = getattr(dropout, "layer", None)
    if layer is None or getattr(layer, "func", layer).__module__.startswith("ablate."):
        return
    with making("dropout.layer", __file__):
        module = layer(0.5)
    shape = (2, 4, 3, 3)
    _check_layer("dropout.layer", module, torch.zeros(shape), shape)
    if dropout.num_samples and not hasattr(module, "monte_carlo"):
        raise UserError(
            f"`dropout.num_samples={dropout.num_samples}` needs a layer that drops at inference too, and "
            f"{name_of(module)} has no attribute `monte_carlo`; derive it from ablate.layers.dropout.Dropout, or set "
            "dropout.num_samples=0"
        )


def check_initializer(initializer: Any) -> None:
    """Check that an initializer is called with (net, images, make_generator).

    Raises:
        UserError: it is not.
    """
    if type(initializer).__module__.startswith("ablate."):
        return
    check_callable("initializer", initializer, INITIALIZER)
    made = getattr(initializer, "func", initializer)
    if not takes(initializer, 3) or getattr(made, "__module__", "") == "torch.nn.init" or isinstance(made, type):
        raise UserError(
            f"`initializer` must be a function of (net, images, make_generator), got {name_of(initializer)}"
            f"{signature_of(initializer)}; write `{INITIALIZER}`"
        )


def check_initialized(net: nn.Module) -> None:
    """Check that the weights of an initialized net are still parameters that train in float32.

    Raises:
        UserError: one is not.
    """
    for name, parameter in net.named_parameters():
        if parameter.dtype != torch.float32 or parameter.device.type != "cpu":
            raise UserError(
                f"the parameters of a net must be float32 and on the CPU when it is made, got {name} with "
                f"{parameter.dtype} on {parameter.device}; change weights in place, `layer.weight.copy_(values)`"
            )


def check_callable(group: str, piece: Any, form: str) -> None:
    """Check that a piece can be called.

    Raises:
        UserError: it cannot.
    """
    if not callable(piece):
        raise UserError(f"`{group}` must be a class or function, got {name_of(piece)}; write `{form}`, and {PARTIAL}")


def _check_layer(group: str, module: Any, images: Tensor, shape: tuple[int, ...], what: str = "a module") -> None:
    """Check that a layer is a module, takes one input, and gives float32 of a shape."""
    if not isinstance(module, nn.Module):
        raise UserError(f"`{group}` must make {what}, got {name_of(module)}; make it a torch.nn.Module")
    forward = "def forward(self, x): return ..."
    if type(module).forward is nn.Module.forward:
        raise UserError(f"`{group}`: {name_of(module)} has no method `forward`; add `{forward}`")
    if not takes(module.forward, 1):
        raise UserError(
            f"`{group}`: `forward` of {name_of(module)} must take one input, got {signature_of(module.forward)}; write "
            f"`{forward}`"
        )
    try:
        with torch.no_grad():
            found = module.eval()(images)
    except Exception:  # the images may not suit it; the net that it stands in shows the error
        return
    if not isinstance(found, Tensor):
        raise UserError(f"`{group}`: {name_of(module)} must return a tensor, got {name_of(found)}; return the new x")
    if found.shape != shape or found.dtype != torch.float32 or found.device != images.device:
        got = f"shape {tuple(found.shape)}, {found.dtype} on {found.device}"
        raise UserError(
            f"`{group}`: {name_of(module)} must keep shape, type and device, {shape} of torch.float32 on "
            f"{images.device}, got {got}; change `forward`, for the type with `return x.float()`"
        )

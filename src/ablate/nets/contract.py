"""The check of a net that was built: does it map images to logits, and has every choice found a place?

Any `torch.nn.Module` is built by `library.Module`, which puts the choices into it. An object with a method `build`, as
`ConvNet` has, gets the choices and puts them in their places itself: a `Watch` checks that it does.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ablate.errors import UserError
from ablate.layers.initialization import weight_layers
from ablate.nets.net import NoPlace, Shape
from ablate.nets.restoring import in_channels_last, restoring
from ablate.nets.roles import AFFINE, FRONT, made, role
from ablate.nets.tracing import Trace, is_function, tracing


def trial(model: nn.Module, image_shape: Shape, name: str, *, fallback: Shape | None = None) -> tuple[Trace, Tensor]:
    """Return the trace and the output of two black images in training mode; modes and buffers are restored.

    Args:
        model: images -> logits.
        image_shape: (C, H, W).
        name: of the net, for messages.
        fallback: the shape that is tried if the net cannot take `image_shape`.

    Raises:
        UserError: the net cannot take such images, or returns something else than one tensor.
    """
    with restoring(model):
        try:
            return _try(model.train(), torch.zeros(2, *image_shape), name)
        except UserError as error:
            if fallback is None or error.__cause__ is None:
                raise
    return trial(model, fallback, name)


def _try(model: nn.Module, images: Tensor, name: str) -> tuple[Trace, Tensor]:
    """Return the trace and the output of images in the present mode.

    Raises:
        UserError: the net cannot take such images (with torch's error as its cause), or does not return one tensor.
    """
    try:
        with torch.no_grad(), tracing(model, values=False) as trace:
            output = model(images)
    except (RuntimeError, ValueError, AssertionError) as error:  # the three that torch raises for a wrong shape
        if isinstance(error, UserError):
            raise
        raise _cannot_take(name, tuple(images.shape[1:]), error) from error
    if not isinstance(output, Tensor):
        when, cure = "at inference", "return the logits alone where self.training is False"
        if model.training:
            when, cure = "in training", "is there an argument that switches auxiliary outputs off?"
        raise UserError(
            f"the forward of {name} must return one tensor, the logits (N, num_classes), {when} too; got "
            f"{type(output).__name__}; {cure}"
        )
    return trace, output


def takes_channels_last(model: nn.Module, image_shape: Shape, num_classes: int, name: str) -> bool:
    """Return whether a net that passes `check_outputs` does so with images and weights in channels_last too.

    A forward with `x.view(x.size(0), -1)` does not: the maps of its convolutions are then in the order (N, H, W, C).

    Example:
        >>> takes_channels_last(nn.Sequential(nn.Conv2d(3, 2, 1), nn.Flatten()), (3, 2, 2), 8, "net")
        True
    """
    images = torch.empty(2, *image_shape, memory_format=torch.channels_last).zero_()
    with in_channels_last(model):
        try:
            _check_both_modes(model, images, num_classes, name)
        except UserError:
            return False
    return True


def materialize(model: nn.Module, image_shape: Shape, name: str) -> None:
    """Give the parameters of lazy modules (`nn.LazyConv2d`) their shapes, which follow from the images.

    Raises:
        UserError: the net cannot take such images.
    """
    if not any(is_lazy(tensor) for tensor in (*model.parameters(), *model.buffers())):
        return
    modes = {module: module.training for module in model.modules()}
    model.eval()  # statistics are left as they begin
    try:
        with torch.no_grad():
            model(torch.zeros(2, *image_shape))
    except (RuntimeError, ValueError, AssertionError) as error:
        raise _cannot_take(name, image_shape, error) from error
    finally:
        for module, training in modes.items():
            module.training = training


def check_outputs(model: nn.Module, image_shape: Shape, num_classes: int, name: str) -> Trace:
    """Check that two images give logits (2, num_classes), in training and then at inference.

    Returns:
        The trace in training.

    Raises:
        UserError: they do not.
    """
    return _check_both_modes(model, torch.zeros(2, *image_shape), num_classes, name)


def _check_both_modes(model: nn.Module, images: Tensor, num_classes: int, name: str) -> Trace:
    traces = []
    with restoring(model):
        for training in (True, False):  # inference comes second, as what is learned in training may be needed there
            trace, output = _try(model.train(training), images, name)
            if output.shape != (2, num_classes) or not output.is_floating_point():
                raise UserError(
                    f"{name} must return logits of shape (N, {num_classes}) for the {num_classes} classes of the "
                    f"data, got {tuple(output.shape)} for 2 images of shape {_by(tuple(images.shape[1:]))} "
                    f"{'in training' if training else 'at inference'}; let it take an argument `num_classes`"
                )
            traces.append(trace)
    return traces[0]


def check_initializer(net: nn.Module, loads: str = "") -> None:
    """Check that an initializer reaches the weights of a net; note in `net.replaced` the parameters that it leaves.

    It leaves parameters of two or more axes that are no weights of its layers, such as those of attention and of
    recurrent layers, and frozen weights.

    Args:
        net: as it is built.
        loads: the argument by which the net loads trained weights, "" if it loads none.

    Raises:
        NoPlace: trained weights would be drawn anew; weights are computed from other parameters; there are none.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.GRUCell(3, 4))
        >>> check_initializer(net)
        >>> net.replaced
        ['left by the initializer: 1.weight_ih, 1.weight_hh']
    """
    if loads:
        raise NoPlace("initializer", f"net.arguments.{loads} loads trained weights, which it draws anew; use native")
    modules = [(path, m) for path, m in net.named_modules() if path.partition(".")[0] != FRONT]
    computed = [path for path, m in modules if isinstance(m, AFFINE) and "weight" not in m._parameters]
    if computed:
        raise NoPlace(
            "initializer",
            f"the weights of {', '.join(computed[:3])} are computed from other parameters (weight_norm, "
            "spectral_norm), so they cannot be written; use initializer=native",
        )
    layers = dict(weight_layers(net))
    if not any(path in layers for path, _ in modules):
        raise NoPlace("initializer", "no convolution or fully connected layer is trained; use initializer=native")
    left = [
        f"{path}.{name}".lstrip(".")
        for path, module in modules
        if path not in layers and role(module) not in ("activation", "normalization")
        for name, parameter in module.named_parameters(recurse=False)
        if parameter.ndim > 1
    ]
    if left:
        net.replaced = [*getattr(net, "replaced", []), f"left by the initializer: {', '.join(left)}"]  # type: ignore[assignment]


class Watch:
    """What a net's own `build` does with the choices that it gets.

    Args:
        activation, normalization, dropout: the choices.

    `activation`, `normalization` and `dropout` of this object are to be given to `build` in their place.
    """

    def __init__(self, activation: Any, normalization: Any, dropout: Any) -> None:
        self._chosen = {"activation": activation, "normalization": normalization, "dropout": dropout}
        self.made: dict[str, list[nn.Module]] = {"activation": [], "normalization": [], "dropout": []}
        self.normalization = _Watched(normalization, self.made["normalization"])
        self.dropout = _Watched(dropout, self.made["dropout"])

    def activation(self) -> nn.Module:
        """Return a new activation of the chosen level."""
        module = made(self._chosen["activation"]())
        self.made["activation"].append(module)
        return module

    def check(
        self, net: nn.Module, front: list[tuple[str, nn.Module]], image_shape: Shape, num_classes: int, name: str
    ) -> None:
        """Check that the net has the layers in front, makes use of every choice, and maps images to logits.

        The paths of its activations that are functions become its attribute `functions`.

        Raises:
            UserError: layers in front are missing, or the outputs are no logits.
            NoPlace: a choice is not used.
        """
        inside = set(net.modules())
        for path, layer in front:
            if layer not in inside or (path == FRONT and getattr(net, FRONT, None) is not layer):
                raise UserError(
                    f"the net that `build` of {name} returns must begin with the layers in `front`, each under its "
                    f"name, and {path!r} is missing: for name, layer in front: net.add_module(name, layer)"
                )
        if not any(module in inside for module in self.made["activation"]):
            raise NoPlace("activation", f"`build` of {name} makes no activation with it: call activation()")
        self._check_normalization(inside, name)
        dropout = self._chosen["dropout"]
        for rate, place in (("input", "at_input"), ("conv", "after_stage"), ("hidden", "after_hidden")):
            rates = getattr(dropout, rate, 0.0)
            if (any(rates) if isinstance(rates, list) else rates) and place not in self.dropout.read:
                raise NoPlace("dropout", f"{rate}={rates}, but `build` of {name} does not call dropout.{place}")
        try:
            trace = check_outputs(net, image_shape, num_classes, name)
        except UserError as error:
            num_pieces = getattr(self.made["activation"][0], "num_pieces", 1)
            if num_pieces == 1:
                raise
            raise NoPlace(
                "activation",
                f"it takes {num_pieces} times as many channels as it returns, and {name} has no layers so wide",
            ) from error
        net.functions = [call.path for call in trace.units if is_function(call)]  # type: ignore[assignment]

    def _check_normalization(self, inside: set[nn.Module], name: str) -> None:
        chosen = self._chosen["normalization"]
        if hasattr(chosen, "wrap"):
            if not any(module in inside for module in self.made["normalization"]):
                raise NoPlace("normalization", f"`build` of {name} does not call normalization.wrap(layer)")
        elif chosen(8, 4) is not None and not any(module in inside for module in self.made["normalization"]):
            raise NoPlace(
                "normalization", f"`build` of {name} puts none of it into the net: call normalization(width, ndim)"
            )
        if getattr(chosen, "position", "before") != "before" and "position" not in self.normalization.read:
            raise NoPlace(
                "normalization",
                f"it stands after the activation, and `build` of {name} does not read normalization.position",
            )


class _Watched:
    """An object that notes which of its attributes are read and keeps the modules that its calls return."""

    def __init__(self, chosen: Any, kept: list[nn.Module]) -> None:
        self._chosen, self._kept = chosen, kept
        self.read: set[str] = set()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._keep(self._chosen(*args, **kwargs))

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._chosen, name)
        self.read.add(name)
        if not callable(value):
            return value
        return lambda *args, **kwargs: self._keep(value(*args, **kwargs))

    def _keep(self, value: Any) -> Any:
        if isinstance(value, nn.Module):
            self._kept.append(value)
        return value


def _cannot_take(name: str, image_shape: tuple[int, ...], error: Exception) -> UserError:
    return UserError(
        f"{name} cannot take images of shape {_by(image_shape)}: {' '.join(str(error).split())}; give it arguments for "
        "images of this size, or choose another net or larger images"
    )


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))

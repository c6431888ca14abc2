"""Put the chosen levels in the places of a net that somebody else wrote.

What is replaced is found by its role (see `roles`) and by a forward pass (see `tracing`); a choice whose place is not
there is refused by name.
"""

import copy
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

from ablate.errors import UserError
from ablate.layers.native import is_native
from ablate.nets.contract import trial
from ablate.nets.net import NoPlace, Shape
from ablate.nets.redrawing import redrawn
from ablate.nets.restoring import restoring
from ablate.nets.roles import RANDOM_DEPTH, made, parts
from ablate.nets.tracing import Call, Trace, is_function, tracing
from ablate.seeding import global_generators

MODEL = "model"  # the name of the net under which its paths are listed
CURES = {  # for a function in a forward
    "activation": "make it a module (self.act = torch.nn.ReLU(), then self.act(x)), or use activation=native",
    "normalization": "make it a module (self.norm = torch.nn.LayerNorm(...), then self.norm(x)), or use "
    "normalization=native",
    "dropout": "make it a module (self.drop = torch.nn.Dropout(p), then self.drop(x)), set its rate to 0, or use "
    "dropout=native",
}


class Substitution:
    """A net in work.

    Args:
        model: changed in place.
        image_shape: (C, H, W) of the images that it gets.
        num_classes: number of logits that it shall have.
        name: of the net, for messages.
    """

    def __init__(self, model: nn.Module, image_shape: Shape, num_classes: int, name: str) -> None:
        self.model, self.image_shape, self.num_classes, self.name = model, image_shape, num_classes, name
        self._done: dict[str, list[str]] = {}  # what -> the paths where

    def lines(self) -> list[str]:
        """Return what was replaced and what was left, one line each, with the paths."""
        return [f"{what}: {', '.join(paths)}" if paths else what for what, paths in self._done.items()]

    def note(self, what: str, *paths: str) -> None:
        """Add to the lines."""
        self._done.setdefault(what, []).extend(f"{MODEL}.{path}" for path in paths)

    def trace(self) -> Trace:
        """Return the calls of a forward pass in training mode."""
        return trial(self.model, self.image_shape, self.name)[0]

    def refuse_functions(self, group: str, paths: list[str]) -> None:
        """Refuse a choice whose place is taken by functions, if there are any.

        Raises:
            NoPlace: there are.
        """
        if paths:
            more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
            raise NoPlace(
                group,
                f"{', '.join(paths[:3])}{more} in the forward of {self.name} is a function and cannot be replaced; "
                f"{CURES[group]}",
            )

    def put(self, old: nn.Module, new: nn.Module) -> None:
        """Replace a module wherever it is registered.

        At inference torch computes a transformer layer in one fused kernel, which has an activation, normalizations
        and no dropout of its own; where one of them is replaced, the layer calls its modules instead.
        """
        for parent in list(self.model.modules()):
            for name, child in list(parent._modules.items()):
                if child is old:
                    parent._modules[name] = new
                    if isinstance(parent, nn.TransformerEncoderLayer):
                        parent.activation_relu_or_gelu = 0
                        self._forbid_nested_tensors()

    def _forbid_nested_tensors(self) -> None:
        """Have transformers pass padding as a mask: only the fused kernel takes it in another form."""
        for module in self.model.modules():
            if isinstance(module, nn.TransformerEncoder):
                module.use_nested_tensor = False

    def fit_input(self) -> None:
        """Give the convolution on the images as many input channels as they have, if the net fails with its own."""
        channels = self.image_shape[0]
        with global_generators(), restoring(self.model), torch.no_grad(), tracing(self.model, values=False) as trace:
            try:
                self.model.train()(torch.zeros(2, *self.image_shape))
            except Exception:  # whatever it is: what fails for another reason fails again, and is refused, later
                last = trace.calls[-1] if trace.calls else None
            else:
                return
        if last is None or not isinstance(conv := last.module, nn.Conv2d) or conv.groups != 1:
            return
        if last.shape[1:2] == (channels,) and conv.in_channels != channels:
            self.put(conv, redrawn(conv, in_channels=channels))
            self.note(f"first layer: {conv.in_channels} -> {channels} channels", last.path)

    def shrink_stem(self, *, required: bool) -> None:
        """Give the first convolution a kernel of 3x3 and stride 1, and remove the pooling behind it.

        Raises:
            NoPlace: `required`, and the net does not begin with a convolution of this kind.
        """
        calls = trial(self.model, self.image_shape, self.name, fallback=(self.image_shape[0], 224, 224))[0].calls
        affine = [i for i, call in enumerate(calls) if call.role == "affine"]
        conv = calls[affine[0]].module if affine else None
        if not isinstance(conv, nn.Conv2d) or (conv.kernel_size == conv.stride and conv.stride[0] > 1):
            if required:
                raise NoPlace("net.stem", "the net does not begin with a convolution other than a patch embedding")
            return
        pools = [
            call for call in calls[: affine[1] if len(affine) > 1 else None] if isinstance(call.module, nn.MaxPool2d)
        ]
        if max(conv.stride) == 1 and not pools:
            return
        if max(conv.stride) > 1 or max(conv.kernel_size) > 3:
            self.put(conv, redrawn(conv, kernel_size=3))
            self.note(
                f"stem: kernel {_by(conv.kernel_size)}, stride {_by(conv.stride)} -> kernel 3x3, stride 1x1",
                calls[affine[0]].path,
            )
        for call in pools:
            self.put(call.module, nn.Identity())
            self.note("stem: MaxPool2d removed", call.path)

    def fit_output(self) -> None:
        """Give the last affine layer as many outputs as there are classes.

        Raises:
            UserError: no affine layer of the net gives its outputs.
        """
        trace, output = trial(self.model, self.image_shape, self.name)
        if output.shape[-1:] == (self.num_classes,) or output.ndim != 2 or not trace.affine:
            return
        path, last = list(trace.affine.items())[-1]
        if isinstance(last, nn.Linear):
            new: nn.Module = nn.Linear(last.in_features, self.num_classes, bias=last.bias is not None)
        elif isinstance(last, nn.Conv2d):
            new = redrawn(last, out_channels=self.num_classes)
        else:
            return
        self.put(last, new)
        self.note(f"last layer: {output.shape[1]} -> {self.num_classes} classes", path)

    def replace_activations(self, activation: Any) -> None:
        """Replace every activation module by one of the chosen level.

        Raises:
            NoPlace: there is none, or one is a function that is not the chosen one.
        """
        units = self.trace().units
        functions = {call.path: call for call in units if is_function(call)}
        if is_native(activation):
            if functions:
                self.note("left, a function", *functions)
            return
        sample = activation()
        if (num_pieces := getattr(sample, "num_pieces", 1)) > 1:
            raise NoPlace(
                "activation",
                f"it takes {num_pieces} times as many channels as it returns, and the widths of {self.name} are fixed",
            )
        others = [path for path, call in functions.items() if not same_function(call.module, sample)]
        self.refuse_functions("activation", others)
        if functions:
            self.note("left, a function that is the chosen activation", *functions)
        called = {call.module for call in units}
        modules = [part for part in parts(self.model) if part.role == "activation"]
        if not any(part.module in called for part in modules) and not functions:
            has = (
                f"calls none of its activation modules ({modules[0].path})" if modules else "has no activation modules"
            )
            raise NoPlace("activation", f"{self.name} {has}; use activation=native")
        for part in modules:
            new = made(activation())
            self.put(part.module, new)
            where = "" if part.module in called else ", not called in training"
            self.note(f"activation: {_kind(part.module)} -> {_kind(new)}{where}", part.path)

    def make_activation(self, activation: Any) -> Callable[[], nn.Module] | None:
        """Return the factory of the net's activation, None if it has none or several."""
        if not is_native(activation):
            return cast(Callable[[], nn.Module], activation)
        found = list({repr(unit.module): unit.module for unit in self.trace().units}.values())
        if not found or not all(same_function(module, found[0]) for module in found[1:]):
            return None
        return lambda: copy.deepcopy(found[0])

    def replace_normalizations(self, normalization: Any) -> None:
        """Replace every normalization by one of the chosen level, of as many features and axes.

        Where it is replaced by nothing, the affine layer before it gets a bias if it has none.

        Raises:
            NoPlace: there is none, or the level cannot stand there.
        """
        if is_native(normalization):
            return
        if hasattr(normalization, "wrap"):
            raise NoPlace(
                "normalization", f"it acts on weights, and in {self.name} only normalization layers are replaced"
            )
        if getattr(normalization, "position", "before") != "before":
            raise NoPlace(
                "normalization", f"it stands after the activation, and {self.name} decides where a normalization stands"
            )
        removes = normalization(8, 4) is None
        trace = self.trace()
        self.refuse_functions("normalization", [path for role, path in trace.functions if role == "normalization"])
        calls = _by_module(trace.of("normalization"))
        layers = [part for part in parts(self.model) if part.role == "normalization"]
        if not calls and not removes:
            raise NoPlace("normalization", f"{self.name} has none to replace; use normalization=none or native")
        for part in layers:
            if part.module not in calls:
                self.note("left, not called", part.path)
                continue
            new = None if removes else self._normalization(normalization, calls[part.module][0])
            fused = getattr(part.module, "act", None)  # timm's normalizations hold the activation behind them
            stand_in = new if new is not None else nn.Identity()
            self.put(part.module, nn.Sequential(stand_in, fused) if isinstance(fused, nn.Module) else stand_in)
            self.note(f"normalization: {_kind(part.module)} -> {_kind(new) if new is not None else 'none'}", part.path)
            if new is None:
                for path in dict.fromkeys(call.behind for call in calls[part.module] if call.behind):
                    self._add_bias(path)

    def _add_bias(self, path: str) -> None:
        layer: Any = self.model.get_submodule(path)  # a convolution, also a transposed one, or fully connected
        if getattr(layer, "bias", layer) is None:
            layer.bias = nn.Parameter(torch.zeros(getattr(layer, "out_channels", 0) or layer.out_features))
            self.note("bias added, as no normalization follows", path)

    def _normalization(self, normalization: Any, call: Call) -> nn.Module | None:
        ndim = len(call.shape)
        by_last_axis = (
            isinstance(call.module, nn.LayerNorm | nn.RMSNorm) and type(call.module).__name__ != "LayerNorm2d"
        )
        if ndim not in (2, 4) or (ndim == 4 and by_last_axis):
            raise NoPlace(
                "normalization",
                f"{MODEL}.{call.path} normalizes the {'last axis' if by_last_axis else 'channels'} of an input with "
                f"{ndim} axes, and the levels are for (N, C) and (N, C, H, W); use normalization=native or none",
            )
        positions = 1
        for size in call.shape[2:]:
            positions *= size
        if positions < getattr(normalization, "min_positions", 1) and ndim == 4:
            raise UserError(
                f"normalization {_kind(normalization)} needs at least {normalization.min_positions} positions, but "
                f"{MODEL}.{call.path} has {positions}; choose another normalization, net.stem=small, or larger images"
            )
        return cast(nn.Module | None, normalization(call.shape[1], ndim))

    def replace_dropout(self, dropout: Any) -> None:
        """Replace every dropout module: on maps by the rates `conv`, on vectors by the rates `hidden`.

        Raises:
            NoPlace: a rate is above 0, and there is no such module; units are dropped where none can be replaced; or
                one module drops units of maps and of vectors.
        """
        if is_native(dropout):
            return
        for path, module in self.model.named_modules():
            if isinstance(module, nn.RNNBase) and module.dropout > 0 and module.num_layers > 1:
                raise NoPlace(
                    "dropout",
                    f"{MODEL}.{path} ({_kind(module)}) drops units between its {module.num_layers} layers, "
                    f"dropout={module.dropout}, which cannot be replaced; give it dropout=0, or use dropout=native",
                )
        trace = self.trace()
        self.refuse_functions("dropout", [path for role, path in trace.functions if role == "dropout"])
        places: dict[str, list[Call]] = {"conv": [], "hidden": []}
        for module, (call, *further) in _by_module(trace.of("dropout")).items():
            if type(module).__name__ in RANDOM_DEPTH:
                self.note("left, drops whole branches", call.path)
                continue
            if any((len(other.shape) == 4) != (len(call.shape) == 4) for other in further):
                raise NoPlace(
                    "dropout",
                    f"{MODEL}.{call.path} ({_kind(module)}) drops units of maps and of vectors, which have rates of "
                    "their own; give the net two modules, or use dropout=native",
                )
            places["conv" if len(call.shape) == 4 else "hidden"].append(call)
        for where, found in places.items():
            rates = getattr(dropout, where)
            if not found and (any(rates) if isinstance(rates, list) else rates):
                on = "maps" if where == "conv" else "hidden units"
                raise NoPlace(
                    "dropout", f"{where}={rates}, but {self.name} has no dropout on {on}; set dropout.{where}=0"
                )
            layer_for = dropout.after_stage if where == "conv" else dropout.after_hidden
            for i, call in enumerate(found):
                new = layer_for(i, len(found))
                self.put(call.module, new if new is not None else nn.Identity())
                self.note(f"dropout: {_kind(call.module)} -> {'none' if new is None else new}", call.path)


def same_function(function: nn.Module, activation: nn.Module) -> bool:
    """Return whether two activations agree on a grid in [-8, 8].

    Example:
        >>> from ablate.nets.tracing import Function
        >>> same_function(Function(torch.relu), nn.ReLU()), same_function(Function(torch.relu), nn.SiLU())
        (True, False)
    """
    z = torch.linspace(-8, 8, 257)[:, None]
    with torch.no_grad():
        try:
            values: list[Tensor] = [copy.deepcopy(f).eval()(z.clone()) for f in (function, activation)]
        except RuntimeError:  # it has slopes for more channels
            return False
    return torch.equal(*values)


def _by_module(calls: list[Call]) -> dict[nn.Module, list[Call]]:
    """Return the calls of each module, in the order of the first ones."""
    found: dict[nn.Module, list[Call]] = {}
    for call in calls:
        found.setdefault(call.module, []).append(call)
    return found


def _kind(module: object) -> str:
    return type(module).__name__


def _by(size: tuple[int, ...]) -> str:
    return "x".join(map(str, size))

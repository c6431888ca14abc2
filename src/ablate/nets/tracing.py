"""What happens in a forward pass: the calls of affine layers, normalizations, activations, and so on, in order.

Modules are found by their role and observed by hooks, which leave what they compute as it is: activations that work in
place, modules that are called several times, and branches are recorded as they run. Activations that are functions
(`F.relu(x)`, `x.tanh()`) are recorded too, see `FUNCTIONS`; what is written with other operations (`x.clamp(min=0)`)
is not.
"""

import contextlib
import functools
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.overrides import TorchFunctionMode

from ablate.nets.functions import FUNCTIONS, Function, role_of_function
from ablate.nets.roles import FRONT, GATES, TRANSPOSED, parts


@dataclass
class Call:
    """One call of a module with a role, or of a function that counts as an activation.

    Args:
        path: of the module; of a function, the path of the module that calls it and the function's name.
        module: a `Function` for a function.
        role: see `roles`.
        shape: of the input.
        fed_by: path of the affine layer whose output this is, as it is or normalized; "" if the input is anything else,
            such as a sum of two branches.
        behind: path of the layer whose output this is, as it is or normalized: as `fed_by`, but transposed convolutions
            count too.
        name: of a unit (a call of an activation): `fed_by`, or `path` where that is "" or taken; a further call of the
            same has _2, _3, ... behind it.
        inputs, outputs: values, copied; kept for units, and for affine layers if asked for.
        edge: the input's place (of affine layers: the output's) in the graph, for `torch.autograd.grad`.
    """

    path: str
    module: nn.Module
    role: str
    shape: tuple[int, ...]
    fed_by: str
    behind: str = ""
    name: str = ""
    inputs: Tensor | None = None
    outputs: Tensor | None = None
    edge: GradientEdge | None = None


def is_function(call: Call) -> bool:
    """Return whether a call of an activation is that of a function, not of a module."""
    return isinstance(call.module, Function)


@dataclass
class Trace:
    """The calls of a forward pass, in the order in which they begin.

    Args:
        calls: of modules with a role, and of activations that are functions.
        functions: role ("dropout" or "normalization") and path of functions that drop units or normalize.
    """

    calls: list[Call] = field(default_factory=list)
    functions: list[tuple[str, str]] = field(default_factory=list)

    def of(self, role: str) -> list[Call]:
        """Return the calls of modules with this role."""
        return [call for call in self.calls if call.role == role]

    @property
    def units(self) -> list[Call]:
        """The calls of activations."""
        return self.of("activation")

    @property
    def affine(self) -> dict[str, nn.Module]:
        """The affine layers by path, each once, in the order of their first calls."""
        return {call.path: call.module for call in self.of("affine")}


@contextlib.contextmanager
def tracing(net: nn.Module, *, values: bool = True, affine_values: bool = False) -> Iterator[Trace]:
    """Record the calls in the forward passes of `net` inside the block.

    Args:
        net: computes what it computes without.
        values: keep inputs and outputs of units, and their edges where gradients are recorded.
        affine_values: keep inputs and edges of affine layers.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
        >>> with tracing(net) as trace:
        ...     _ = net(torch.ones(1, 2))
        >>> [(call.name, call.path) for call in trace.units], list(trace.affine)
        ([('0', '1')], ['0', '2'])
    """
    tracer = _Tracer(values, affine_values)
    hooks = tracer.attach(net)
    try:
        with _Functions(tracer):
            yield tracer.trace
    finally:
        for hook in hooks:
            hook.remove()


class _Tracer:
    """Writes a trace from hooks."""

    def __init__(self, values: bool, affine_values: bool) -> None:
        self.values, self.affine_values = values, affine_values
        self.trace = Trace()
        self.open: list[str] = []  # paths of the modules whose forward runs, the innermost last
        self.closed_to_functions = 0  # how many of them are activations, gates, or the preprocessing
        self.pending: list[Call] = []
        self.names: set[str] = set()
        # id of a tensor -> the tensor, its version, and the layer that it comes from
        self.origin: dict[int, tuple[weakref.ref[Tensor], int, str]] = {}
        self.transposed: set[str] = set()  # paths of transposed convolutions

    def attach(self, net: nn.Module) -> list[Any]:
        found = {part.module: part for part in parts(net)}
        hooks = []
        for path, module in net.named_modules():
            part = found.get(module)
            is_role = part is not None
            closes = (
                path == FRONT or path.rpartition(".")[2] in GATES or (part is not None and part.role == "activation")
            )
            if path.partition(".")[0] == FRONT and path != FRONT:
                continue
            begin = functools.partial(self.begin, path, part.role if part else "", closes)
            end = functools.partial(self.end, is_role, closes)
            if part is None and isinstance(module, TRANSPOSED):
                self.transposed.add(path)
                hooks.append(module.register_forward_hook(functools.partial(self.end_transposed, path)))
            hooks.append(module.register_forward_pre_hook(begin))
            hooks.append(module.register_forward_hook(end))
        return hooks

    def begin(self, path: str, role: str, closes: bool, module: nn.Module, inputs: tuple[Any, ...]) -> Any:
        self.open.append(path)
        self.closed_to_functions += closes
        if not role:
            return None
        x = inputs[0] if inputs and isinstance(inputs[0], Tensor) else None
        call = self.call(path, module, role, x)
        self.pending.append(call)
        if role == "activation" and x is not None:
            fresh = self.enter(call, x)
            return None if fresh is x else (fresh, *inputs[1:])
        if role == "affine" and self.affine_values and x is not None:
            call.inputs = x.detach().clone()
        return None

    def end(self, is_role: bool, closes: bool, module: nn.Module, inputs: Any, output: Any) -> None:
        self.open.pop()
        self.closed_to_functions -= closes
        if not is_role:
            return
        call = self.pending.pop()
        if not isinstance(output, Tensor):
            return
        if call.role == "activation":
            self.leave(call, output)
        elif call.role == "affine":
            self.remember(output, call.path)
            if self.affine_values and output.requires_grad:
                call.edge = get_gradient_edge(output)
        elif call.behind and call.role in ("normalization", "dropout"):
            self.remember(output, call.behind)

    def end_transposed(self, path: str, module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            self.remember(output, path)

    def call(self, path: str, module: nn.Module, role: str, x: Tensor | None) -> Call:
        shape = () if x is None else tuple(x.shape)
        behind = "" if x is None else self.comes_from(x)
        call = Call(path, module, role, shape, "" if behind in self.transposed else behind, behind)
        self.trace.calls.append(call)
        return call

    def enter(self, call: Call, x: Tensor) -> Tensor:
        """Keep the input of a unit; return what the activation gets: x, or a copy with a gradient if x has none."""
        call.name = self.unique(call.fed_by if call.fed_by and call.fed_by not in self.names else call.path)
        self.origin.pop(
            id(x), None
        )  # what leaves an activation is no affine map's output, even if it is the same tensor
        if not self.values:
            return x
        call.inputs = x.detach().clone()
        if not torch.is_grad_enabled():
            return x
        if not x.requires_grad:
            leaf = x.detach().clone().requires_grad_()
            call.edge = get_gradient_edge(leaf)
            return leaf.clone()
        call.edge = get_gradient_edge(x)
        return x

    def leave(self, call: Call, output: Tensor) -> None:
        self.origin.pop(id(output), None)
        if self.values:
            call.outputs = output.detach().clone()

    def unique(self, name: str) -> str:
        number = 1
        found = name
        while found in self.names:
            number += 1
            found = f"{name}_{number}"
        self.names.add(found)
        return found

    def remember(self, x: Tensor, path: str) -> None:
        self.origin[id(x)] = weakref.ref(x), x._version, path

    def comes_from(self, x: Tensor) -> str:
        tensor, version, path = self.origin.get(id(x), (None, 0, ""))
        # After `x += y` the tensor is the same, and its version is another.
        return path if tensor is not None and tensor() is x and x._version == version else ""


class _Functions(TorchFunctionMode):
    """Records calls of functions that stand in the forward of a module that has no role itself, see `functions`."""

    def __init__(self, tracer: _Tracer) -> None:
        super().__init__()
        self.tracer = tracer

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        tracer, kwargs = self.tracer, kwargs or {}
        name = getattr(func, "__name__", "").rstrip("_")
        if not tracer.open or tracer.closed_to_functions:
            return func(*args, **kwargs)
        if not tracer.pending and (role := role_of_function(name, args, kwargs)):
            tracer.trace.functions.append((role, f"{tracer.open[-1]}.{name}".lstrip(".")))
        if name not in FUNCTIONS:
            return func(*args, **kwargs)
        (x, *rest), kwargs = (
            (args, kwargs) if args else ((kwargs["input"],), {k: v for k, v in kwargs.items() if k != "input"})
        )
        if not x.is_floating_point():
            return func(x, *rest, **kwargs)
        path = f"{tracer.open[-1]}.{name}".lstrip(".")
        call = tracer.call(path, Function(func, tuple(rest), kwargs), "activation", x)
        output = func(tracer.enter(call, x), *rest, **kwargs)
        tracer.leave(call, output)
        return output

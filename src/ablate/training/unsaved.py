"""State of modules and of the optimizer that a checkpoint does not hold, and that a resumed run would lose.

A checkpoint holds parameters, buffers, and what `get_extra_state` of a module returns: on resuming, its
`set_extra_state` receives that. State kept elsewhere in a module (`self.num_calls += 1`) is reset to its initial
value by a resume. Of an optimizer, a checkpoint holds `param_groups` and `state`.
"""

import copy
import io
import pickle
import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ablate.errors import UserError
from ablate.training.loop import Callback, State

PLAIN = (bool, int, float, complex, str, bytes, type(None), np.generic, np.ndarray, Tensor)
OWN_OF_EVERY_MODULE = frozenset(vars(nn.Module()))
OWN_OF_EVERY_OPTIMIZER = frozenset(vars(torch.optim.SGD([nn.Parameter(torch.zeros(1))], fused=True)))
KEYED = frozenset({"seed", "generator"})  # set by `reseed` at every step


class Unsaved(Callback):
    """Refuses extra state that cannot be saved, and warns, once per run, of changed attributes that are not saved."""

    def __init__(self) -> None:
        self.before: dict[str, dict[str, Any]] = {}
        self.of_optimizer: dict[str, Any] = {}

    def on_fit_start(self, state: State) -> None:
        check_extra_state(state.net)
        self.before = attributes(state.net)
        self.of_optimizer = optimizer_attributes(state.optimizer)

    def on_epoch_end(self, state: State) -> None:
        self.check(state)

    def on_stop(self, state: State) -> None:
        self.check(state)

    def check(self, state: State) -> None:
        """Refuse and warn as the class says."""
        check_extra_state(state.net)
        if self.of_optimizer:
            before, self.of_optimizer = self.of_optimizer, {}
            now_there = optimizer_attributes(state.optimizer)
            lost = [name for name, value in now_there.items() if name not in before or not same(before[name], value)]
            if lost:
                warnings.warn(
                    f"training changed {', '.join(lost)} of the optimizer, which a checkpoint does not hold: a run "
                    "that resumes after an interruption will have other values; keep them in param_groups "
                    "(group['name']) or in state (self.state[parameter]['name'])",
                    stacklevel=2,
                )
        if self.before:
            now = attributes(state.net)
            changed = [
                f"{path}.{name}"
                for path, values in now.items()
                for name, value in values.items()
                if not same(self.before.get(path, {}).get(name), value)
            ]
            self.before = {}
            if changed:
                warnings.warn(
                    f"training changed {', '.join(changed)}, which a checkpoint does not hold: a run that resumes "
                    "after an interruption will have other values; keep them in a buffer (register_buffer), or "
                    "return them from get_extra_state and accept them in set_extra_state",
                    stacklevel=2,
                )


def attributes(net: nn.Module) -> dict[str, dict[str, Any]]:
    """Return copies of the plain attributes, by path and name, of modules outside torch, torchvision and ablate.

    Plain values are numbers, strings, tensors and arrays, and lists, tuples and dicts of these. Not included: what the
    checkpoint holds, what every module has, and modules with a `get_extra_state`.
    """
    found: dict[str, dict[str, Any]] = {}
    for path, module in net.named_modules():
        if type(module).__module__.partition(".")[0] in ("torch", "torchvision", "ablate") or has_extra_state(module):
            continue
        # A non-persistent buffer is not saved either.
        values = {name: module.get_buffer(name) for name in module._non_persistent_buffers_set}
        hidden = OWN_OF_EVERY_MODULE | (KEYED if hasattr(module, "reseed") else set())
        values |= {name: value for name, value in vars(module).items() if name not in hidden and is_plain(value)}
        found[path] = copy.deepcopy({name: detached(value) for name, value in values.items()})
    return {path: values for path, values in found.items() if values}


def optimizer_attributes(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return copies of the plain attributes of an optimizer outside torch and ablate, by name.

    Not included: what the checkpoint holds, what torch's optimizers have, and the parameters, which are the net's.
    Empty for a class with a `state_dict` of its own.
    """
    kind = type(optimizer)
    if (
        kind.__module__.partition(".")[0] in ("torch", "ablate")
        or kind.state_dict is not torch.optim.Optimizer.state_dict
    ):
        return {}
    own = {name: value for name, value in vars(optimizer).items() if name not in OWN_OF_EVERY_OPTIMIZER}
    return {name: copy.deepcopy(_without_parameters(value)) for name, value in own.items() if is_plain(value)}


def _without_parameters(value: Any) -> Any:
    if isinstance(value, nn.Parameter):
        return None
    if isinstance(value, dict):
        return [[_without_parameters(key), _without_parameters(item)] for key, item in value.items()]
    return [_without_parameters(item) for item in value] if isinstance(value, list | tuple) else detached(value)


def is_plain(value: Any) -> bool:
    """Return whether a value consists of numbers, strings, tensors and arrays only.

    Example:
        >>> is_plain([1, "a", torch.zeros(2)]), is_plain(nn.ReLU())
        (True, False)
    """
    if isinstance(value, dict):
        return all(map(is_plain, (*value.keys(), *value.values())))
    return all(map(is_plain, value)) if isinstance(value, list | tuple) else isinstance(value, PLAIN)


def detached(value: Any) -> Any:
    """Return the value with its tensors detached from any graph, so that they can be copied."""
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, dict):
        return {key: detached(item) for key, item in value.items()}
    return [detached(item) for item in value] if isinstance(value, list | tuple) else value


def same(a: Any, b: Any) -> bool:
    """Return whether two plain values are equal; nan equals itself.

    Example:
        >>> same([float("nan")], [float("nan")])
        True
    """
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all())
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return bool(np.array_equal(a, b))
    return type(a) is type(b) and bool(a == b or (a != a and b != b))


def has_extra_state(module: nn.Module) -> bool:
    """Return whether the module's class defines `get_extra_state`."""
    return type(module).get_extra_state is not nn.Module.get_extra_state


def check_extra_state(net: nn.Module) -> None:
    """Check that the value of every `get_extra_state` can be saved in a checkpoint and loaded again.

    Raises:
        UserError: it has a type that is not loaded, since loading it could run code.
    """
    for path, module in net.named_modules():
        if not has_extra_state(module):
            continue
        state = module.get_extra_state()
        content = io.BytesIO()
        try:
            torch.save(state, content)
            content.seek(0)
            torch.load(content, weights_only=True)
        except (pickle.PicklingError, pickle.UnpicklingError, AttributeError, TypeError) as error:
            raise UserError(
                f"get_extra_state of {path} ({type(module).__name__}) must return numbers, strings, tensors, and "
                f"lists, tuples and dicts of these, got {state!r}: a checkpoint cannot hold it"
            ) from error

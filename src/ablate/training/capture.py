"""Whether the training step of a run can be recorded as a CUDA graph."""

import functools
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ablate.data import steps
from ablate.data.augmentation import Augmentation
from ablate.errors import UserError
from ablate.nets import functions
from ablate.optimization import is_capturable
from ablate.signatures import name_of
from ablate.training.step import is_keyed

# Packages whose layers do no more than operations on tensors in their forward pass.
KNOWN = frozenset({"ablate", "timm", "torch", "torchvision"})
# Modules of these packages that do more: they draw from Python's generators, or copy from the CPU and read back.
EXCEPT = ("timm.data", "torchvision.transforms")
FUNCTIONS = (steps.Function, functions.Function)  # their code is the function that they hold


def obstacle(
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    augmentation: Any,
    regularizer: Any,
    *,
    device: str,
    compile_mode: str | None = None,
) -> str:
    """Return why a run's step cannot be recorded as a CUDA graph, "" if it can.

    Code that is not of this package or of `KNOWN` may draw from Python's or numpy's generators, or decide by the value
    of a tensor. A replay repeats neither, so a run with such code is not captured.

    Args:
        net, optimizer, augmentation, regularizer: the run's.
        device: "cpu" or "cuda".
        compile_mode: None, or the mode in which the forward pass is compiled.

    Example:
        >>> net = nn.Linear(2, 2)
        >>> obstacle(net, torch.optim.SGD(net.parameters(), lr=0.1), None, None, device="cpu")
        'it runs on the CPU'
    """
    if device != "cuda":
        return "it runs on the CPU"
    if compile_mode == "reduce-overhead":
        return "trainer.compile=reduce-overhead makes CUDA graphs of its own"
    if not is_capturable(optimizer):
        return f"a step of {type(optimizer).__name__} cannot be recorded"
    for module in net.modules():
        if is_keyed(module) and not hasattr(module, "generator"):
            return f"{type(module).__name__} makes a new generator at every step"
        if isinstance(module, _BatchNorm) and module.momentum is None and module.track_running_stats:
            return f"{type(module).__name__} with momentum=None reads its number of batches back at every step"
    return unknown_code(net, augmentation, regularizer)


def unknown_code(net: nn.Module, augmentation: Any, regularizer: Any) -> str:
    """Return which part of a run is code that may do more than operations on tensors, "" if none is."""
    if type(augmentation) is not Augmentation:
        return "the augmentation is not of this package"
    if not type(regularizer).__module__.startswith("ablate."):
        return "the regularizer is not of this package"
    for module in net.modules():
        code = module.function if isinstance(module, FUNCTIONS) else type(module)
        where = module_of(code)
        if where.partition(".")[0] not in KNOWN:
            return f"the net has {name_of(code)}, which is of none of {', '.join(sorted(KNOWN))}"
        if any(f"{where}.".startswith(f"{outer}.") for outer in EXCEPT):
            return f"the net has {name_of(code)}, which may draw from Python's generators or read a tensor back"
    return ""


def module_of(function: Any) -> str:
    """Return the name of the module of a class, a function, or the class of a callable object; "" if it is unknown.

    Example:
        >>> module_of(torch.sqrt), module_of(functools.partial(torch.nn.functional.relu, inplace=False))
        ('torch', 'torch.nn.functional')
        >>> module_of(torch.Tensor.sqrt)
        'torch._C'
    """
    while isinstance(function, functools.partial):
        function = function.func
    owner = getattr(function, "__objclass__", None)  # of a method written in C
    return getattr(function, "__module__", None) or getattr(owner, "__module__", None) or ""


def is_captured(capture: bool | str, why_not: str) -> bool:
    """Return whether the steps are to be recorded.

    Args:
        capture: `trainer.capture`: True, False, or "auto", which means where it can be.
        why_not: see `obstacle`.

    Raises:
        UserError: it is asked for and cannot be.

    Example:
        >>> is_captured("auto", "it runs on the CPU")
        False
    """
    if capture is True and why_not:
        raise UserError(
            f"`trainer.capture=true` asks for training steps as a CUDA graph, and {why_not}; set trainer.capture=auto"
        )
    return bool(capture) and not why_not

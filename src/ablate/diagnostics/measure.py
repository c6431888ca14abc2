"""Measures of the user's own: functions of (net, images, labels), and what any measure may return."""

import functools
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from ablate.diagnostics.probe import Measure, Probe, probing
from ablate.errors import UserError
from ablate.signatures import name_of, signature_of, takes

FORM = "def mine(net, images, labels): return float(...)"
ONLY = "value"  # the key of a measure that returns one number


def as_measure(name: str, function: Any) -> Measure:
    """Return a measure: a function of a probe as it is, one of (net, images, labels) adapted.

    The function of (net, images, labels) gets the net at inference (eval mode, running statistics), integer images
    (N, C, H, W), which the net preprocesses, and labels (N,); gradients may be computed.

    Args:
        name: of the measure, for the error.
        function: the measure.

    Raises:
        UserError: it is neither; the message shows the line to add.

    Example:
        >>> from ablate.diagnostics.probe import example_probe
        >>> measure = as_measure("largest", lambda net, images, labels: net(images).max())
        >>> list(measure(example_probe()))
        ['value']
    """
    cure = f"write `{FORM}`, with `_partial_: true` in its settings"
    if not callable(function):
        got = name_of(function)
        raise UserError(f"diagnostic {name!r} must be a function of (net, images, labels), got {got}; {cure}")
    if takes(function, 1):
        return functools.partial(_of_probe, name, function)
    if not takes(function, 3):
        raise UserError(
            f"diagnostic {name!r} must be a function of (net, images, labels), got {name_of(function)}"
            f"{signature_of(function)}; {cure}, and give its other arguments there (NAME: VALUE)"
        )
    return functools.partial(_of_net, name, function)


def _of_probe(name: str, function: Callable[[Probe], Any], probe: Probe) -> dict[str, Tensor]:
    return as_values(name, function, function(probe), probe.images.device)


def _of_net(name: str, function: Callable[..., Any], probe: Probe) -> dict[str, Tensor]:
    """Measure a net at inference; its gradients, modes and buffers are as before, and its weights must be."""
    parameters = list(probe.net.parameters())
    gradients, versions = [p.grad for p in parameters], [p._version for p in parameters]
    for parameter in parameters:
        parameter.grad = None
    try:
        with probing(probe.net, inference=True), torch.enable_grad():
            found = function(probe.net, probe.images.clone(), probe.labels.clone())
    finally:
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
    if [p._version for p in parameters] != versions:
        raise UserError(
            f"diagnostic {name!r} ({name_of(function)}) must not change the weights of the net, which is in training; "
            "begin it with `net = copy.deepcopy(net)`"
        )
    return as_values(name, function, found, probe.images.device)


def as_values(name: str, function: Any, found: Any, device: torch.device) -> dict[str, Tensor]:
    """Return what a measure found as 0-d float64 tensors by key; a single number gets the key "value".

    Args:
        name, function: of the measure, for the error.
        found: a number, a 0-d tensor, or a mapping of text to these.
        device: for the result.

    Raises:
        UserError: it is something else.

    Example:
        >>> as_values("w", print, 0.5, torch.device("cpu"))
        {'value': tensor(0.5000, dtype=torch.float64)}
    """
    values = found if isinstance(found, Mapping) else {ONLY: found}
    must = f"diagnostic {name!r} ({name_of(function)}) must return a number, a 0-d tensor, or a dict of these"
    if not values:
        return {}
    result = {}
    for key, value in values.items():
        if not isinstance(key, str) or not key:
            raise UserError(f"{must} by text, got the key {key!r}; return {{'name': value}}")
        if isinstance(value, Tensor) and (value.ndim or value.is_complex() or value.is_meta):
            shown = f"a {value.dtype} tensor of shape {tuple(value.shape)} on {value.device}"
            raise UserError(f"{must}, got {shown}{_under(key)}; return its mean, `value.mean()`")
        if not isinstance(value, Tensor | Real):
            raise UserError(f"{must}, got {name_of(value)}{_under(key)}; end it with `return float(value)`")
        number = value.detach() if isinstance(value, Tensor) else torch.tensor(float(value), dtype=torch.float64)
        result[key] = number.to(device, torch.float64)
    return result


def _under(key: str) -> str:
    return "" if key == ONLY else f" under {key!r}"

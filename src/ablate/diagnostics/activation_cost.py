"""Cost of an activation: seconds relative to ReLU."""

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ablate.diagnostics.probe import Probe, probing
from ablate.errors import UserError


class Seconds(NamedTuple):
    """Wall-clock seconds of one forward and one backward computation."""

    forward: float
    backward: float


def activation_seconds(
    activations: dict[str, tuple[Callable[[Tensor], Tensor], list[nn.Parameter]]], z: dict[str, Tensor], repeats: int
) -> dict[str, Seconds]:
    """Return the median seconds of each activation, measured in turns, so that a slow moment affects all.

    Args:
        activations: functions by name, with the parameters whose gradients their backward computation includes.
        z: the input of each.
        repeats: number of rounds, at least 1.
    """
    rounds: dict[str, list[Seconds]] = {name: [] for name in activations}
    for _ in range(repeats):
        for name, (f, parameters) in activations.items():
            leaf = z[name].detach().requires_grad_()
            inputs = leaf.clone()  # an activation that works in place changes the copy
            start = _now(inputs.device)
            with torch.enable_grad():
                outputs = f(inputs)
            forward = _now(inputs.device) - start
            by_outputs = torch.ones_like(outputs)
            start = _now(inputs.device)
            torch.autograd.grad(outputs, [leaf, *parameters], by_outputs)
            rounds[name].append(Seconds(forward, _now(inputs.device) - start))
    return {
        name: Seconds(*(statistics.median(column) for column in zip(*found, strict=True)))
        for name, found in rounds.items()
    }


def activation_cost(probe: Probe, *, repeats: int = 15) -> dict[str, Tensor]:
    """Seconds that the net's activation takes relative to ReLU, on the pre-activations of its largest layer.

    A measure of time: it depends on the machine and its load, and is never the same twice, bit for bit. Medians over
    rounds in which all are measured in turns; fp32. With maxout, ReLU gets as many numbers as maxout returns: choosing
    between k pieces is included in the cost, computing them is not.

    Range: above 0, no unit. Keys: `forward`; `backward`, by inputs and learned slopes; `exp`, the forward seconds of
    `torch.exp` alone relative to ReLU's. Cost: the shared pass; `repeats` times three activations, forward and
    backward.

    Args:
        repeats: number of rounds, at least 1.

    Raises:
        UserError: `repeats` is out of range.

    Example:
        >>> from ablate.diagnostics.probe import example_probe
        >>> sorted(activation_cost(example_probe(), repeats=1))
        ['backward', 'exp', 'forward']
    """
    if repeats < 1:
        raise UserError(f"`repeats` of activation_cost must be at least 1, got {repeats}")
    if not probe.passed.units:
        return {}
    unit = max(probe.passed.units, key=lambda unit: unit.inputs.numel())
    z = unit.inputs
    plain = z[:, : unit.outputs.shape[1]].clone()
    functions: dict[str, tuple[Callable[[Tensor], Tensor], list[nn.Parameter]]] = {
        "own": (unit.activation, list(unit.activation.parameters())),
        "relu": (torch.relu, []),
        "exp": (torch.exp, []),
    }
    with probing(unit.activation, inference=True):
        seconds = activation_seconds(functions, {"own": z, "relu": plain, "exp": plain}, repeats)
    ratios = {
        "forward": seconds["own"].forward / seconds["relu"].forward,
        "backward": seconds["own"].backward / seconds["relu"].backward,
        "exp": seconds["exp"].forward / seconds["relu"].forward,
    }
    return {name: torch.tensor(ratio, device=z.device) for name, ratio in ratios.items()}


def _now(device: torch.device) -> float:
    """Return the time once `device` has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()

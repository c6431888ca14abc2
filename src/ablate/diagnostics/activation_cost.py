"""Cost of an activation: seconds relative to ReLU."""

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ablate.diagnostics.probe import Probe, probing
from ablate.errors import UserError

CALLS = 50  # between two events of a GPU, so that what is measured is the work and not one launch
WARM_UP = 5  # calls before them


class Seconds(NamedTuple):
    """Seconds of one forward and one backward computation: of the clock on the CPU, of the device on CUDA."""

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
            measure = _on_cuda if z[name].device.type == "cuda" else _on_cpu
            rounds[name].append(measure(f, parameters, z[name].detach().requires_grad_()))
    return {
        name: Seconds(*(statistics.median(column) for column in zip(*found, strict=True)))
        for name, found in rounds.items()
    }


def activation_cost(probe: Probe, *, repeats: int = 15) -> dict[str, Tensor]:
    """Seconds that the net's activation takes relative to ReLU, on the pre-activations of its largest layer.

    A measure of time: it depends on the machine and its load, and is never the same twice, bit for bit. Medians over
    rounds in which all are measured in turns; fp32. With maxout, ReLU gets as many numbers as maxout returns: choosing
    between k pieces is included in the cost, computing them is not.

    On CUDA (not run on a card) a round is 50 calls between two events of the device: the time of the kernels, but that
    of the launches where a kernel is shorter than its launch, and that of other processes on the same GPU too.

    Range: above 0, no unit. Keys: `forward`; `backward`, by inputs and learned slopes; `exp`, the forward seconds of
    `torch.exp` alone relative to ReLU's. Cost: the shared pass; `repeats` times three activations, forward and
    backward, on CUDA 55 times as many.

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


def _on_cpu(f: Callable[[Tensor], Tensor], parameters: list[nn.Parameter], leaf: Tensor) -> Seconds:
    inputs = leaf.clone()  # an activation that works in place changes the copy
    start = time.perf_counter()
    with torch.enable_grad():
        outputs = f(inputs)
    forward = time.perf_counter() - start
    by_outputs = torch.ones_like(outputs)
    start = time.perf_counter()
    torch.autograd.grad(outputs, [leaf, *parameters], by_outputs)
    return Seconds(forward, time.perf_counter() - start)


def _on_cuda(f: Callable[[Tensor], Tensor], parameters: list[nn.Parameter], leaf: Tensor) -> Seconds:
    with torch.enable_grad():
        inputs, again = leaf.clone(), leaf.clone()
        outputs = f(again)
        forward = seconds_between_events(lambda: f(inputs))
    by_outputs, wanted = torch.ones_like(outputs), [leaf, *parameters]
    backward = seconds_between_events(lambda: torch.autograd.grad(outputs, wanted, by_outputs, retain_graph=True))
    return Seconds(forward, backward)


def seconds_between_events(call: Callable[[], object]) -> float:
    """Return the device's mean seconds of a call, over `CALLS` of them between two CUDA events, after `WARM_UP`."""
    for _ in range(WARM_UP):
        call()
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    for _ in range(CALLS):
        call()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1000 / CALLS

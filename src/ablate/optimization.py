"""Learning-rate schedules, and the parameter groups that decide what is decayed."""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ablate.errors import UserError

# Tolerance as a fraction of a run: 0.28 * 25 is 7.000000000000001. A step is a larger part of any run.
ROUNDING = 1e-9


def reached(epoch: float, place: float, num_epochs: int) -> bool:
    """Return whether `epoch` is at `place` (both in epochs) or beyond, except for the rounding of floats.

    Example:
        >>> reached(7.0, 0.28 * 25, num_epochs=25)
        True
    """
    return epoch >= place - ROUNDING * num_epochs


def parameter_groups(net: nn.Module, l2: float, bias_lr_factor: float = 1.0) -> list[dict[str, Any]]:
    """Return the groups of an optimizer: weights of affine maps, decayed by `l2`, and all else, not decayed.

    Biases, the scales and shifts of normalizations and PReLU's slopes have one dimension or none; shrinking them
    towards 0 is not what "weight decay" is meant to do (He et al. 2015, arXiv:1502.01852, for the slopes).

    Args:
        net: gives the parameters.
        l2: weight decay, at least 0.
        bias_lr_factor: factor on the learning rate of the biases, above 0. Unless it is 1, all parameters named `bias`,
            those of normalizations too, are a third group, which holds it as "lr_factor" (Jordan 2024,
            arXiv:2404.00498, has 64 for batch norm's).

    Example:
        >>> [group["weight_decay"] for group in parameter_groups(nn.Linear(3, 2), l2=5e-4)]
        [0.0005, 0.0]
    """
    named = [(name.rpartition(".")[2], p) for name, p in net.named_parameters() if p.requires_grad]
    apart = [p for name, p in named if p.ndim < 2 and name == "bias" and bias_lr_factor != 1]
    undecayed = [p for name, p in named if p.ndim < 2 and not (name == "bias" and bias_lr_factor != 1)]
    groups = [
        {"params": [p for _, p in named if p.ndim >= 2], "weight_decay": l2},
        {"params": undecayed, "weight_decay": 0.0},
        {"params": apart, "weight_decay": 0.0, "lr_factor": bias_lr_factor},
    ]
    return [group for group in groups if group["params"]]


FUSED = (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW)
"""Optimizers of torch that do a step in few kernels on CUDA, and take learning rates from tensors there."""


def for_device(make: Callable[..., torch.optim.Optimizer], device: str) -> Callable[..., torch.optim.Optimizer]:
    """Return what makes the same optimizer in the form for a device: on CUDA, the fused one if there is one.

    Args:
        make: parameter groups -> optimizer, as a partial function for those that have another form.
        device: "cpu" or "cuda".

    Example:
        >>> make = functools.partial(torch.optim.SGD, lr=0.1)
        >>> for_device(make, "cpu") is make, for_device(make, "cuda").keywords["fused"]
        (True, True)
    """
    made = getattr(make, "func", None)
    if device != "cuda" or made not in FUSED:
        return make
    captured = {} if made is torch.optim.SGD else {"capturable": True}
    return functools.partial(make, **{"fused": True, **captured, **getattr(make, "keywords", {})})


def is_capturable(optimizer: torch.optim.Optimizer) -> bool:
    """Return whether an optimizer's step can be part of a CUDA graph: learning rates in tensors, nothing read back."""
    return type(optimizer) in FUSED or bool(getattr(optimizer, "is_capturable", False))


def set_initial_lr(optimizer: torch.optim.Optimizer) -> None:
    """Write each group's learning rate before any schedule, its "lr_factor" included, under "initial_lr".

    Example:
        >>> optimizer = torch.optim.SGD(parameter_groups(nn.Linear(3, 2), l2=0.0, bias_lr_factor=64.0), lr=0.5)
        >>> set_initial_lr(optimizer)
        >>> [group["initial_lr"] for group in optimizer.param_groups]
        [0.5, 32.0]
    """
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] = group["lr"] * group.get("lr_factor", 1.0)


@dataclass(frozen=True, kw_only=True)
class Constant:
    """A constant learning rate. Every schedule is called with (epoch, num_epochs) and returns a factor on `lr`.

    `epoch` is a real number in [0, num_epochs): the epochs done before the step.

    Example:
        >>> Constant()(2.5, 8)
        1.0
    """

    def __call__(self, epoch: float, num_epochs: int) -> float:
        return 1.0


@dataclass(frozen=True, kw_only=True)
class Step:
    """lr * factor ** (number of milestones passed).

    Args:
        milestones: fractions of the run in (0, 1), increasing.
        factor: in (0, 1].

    Example:
        >>> Step(milestones=[0.5, 0.75], factor=0.5)(6.0, 8)
        0.25
    """

    milestones: Sequence[float]
    factor: float

    def __post_init__(self) -> None:
        if any(not 0 < m < 1 for m in self.milestones) or list(self.milestones) != sorted(self.milestones):
            raise UserError(
                f"`schedule.milestones` must be increasing fractions between 0 and 1, got {self.milestones}"
            )
        if not 0 < self.factor <= 1:
            raise UserError(f"`schedule.factor` must lie in (0, 1], got {self.factor}")

    def __call__(self, epoch: float, num_epochs: int) -> float:
        return self.factor ** sum(reached(epoch, milestone * num_epochs, num_epochs) for milestone in self.milestones)


@dataclass(frozen=True, kw_only=True)
class Cosine:
    """final + (1 - final) (1 + cos(pi t)) / 2 over the run, after a linear warm-up (arXiv:1608.03983).

    Args:
        final: factor at the end, in [0, 1].
        warmup_epochs: epochs of linear increase from 0 before it.

    Example:
        >>> round(Cosine()(4.0, 8), 3)
        0.5
    """

    final: float = 0.0
    warmup_epochs: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.final <= 1:
            raise UserError(f"`schedule.final` must lie in [0, 1], got {self.final}")
        if self.warmup_epochs < 0:
            raise UserError(f"`schedule.warmup_epochs` must be at least 0, got {self.warmup_epochs}")

    def __call__(self, epoch: float, num_epochs: int) -> float:
        warmup = min(self.warmup_epochs, num_epochs)
        if not reached(epoch, warmup, num_epochs):
            return epoch / warmup
        t = max(epoch - warmup, 0.0) / max(num_epochs - warmup, 1e-12)
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * t)) / 2


@dataclass(frozen=True, kw_only=True)
class Triangular:
    """Linear from `start` up to 1 at `peak`, then linear down to `final` (arXiv:1708.07120).

    Args:
        peak: fraction of the run at which lr is reached, in (0, 1).
        start, final: factors at the ends, in [0, 1].

    Example:
        >>> round(Triangular(peak=0.25)(1.0, 8), 3)
        0.5
    """

    peak: float = 0.2
    start: float = 0.0
    final: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.peak < 1:
            raise UserError(f"`schedule.peak` must lie in (0, 1), got {self.peak}")
        for name in ("start", "final"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"`schedule.{name}` must lie in [0, 1], got {getattr(self, name)}")

    def __call__(self, epoch: float, num_epochs: int) -> float:
        t = epoch / num_epochs
        if not reached(epoch, self.peak * num_epochs, num_epochs):
            return self.start + (1 - self.start) * t / self.peak
        return self.final + (1 - self.final) * (1 - max(t, self.peak)) / (1 - self.peak)


@dataclass(frozen=True, kw_only=True)
class Geometric:
    """lr * growth ** (whole epochs done): the learning-rate stress test raises lr until training breaks.

    Args:
        growth: factor an epoch, above 0; sqrt(2) in D. Page's "How to train your ResNet 7".

    Example:
        >>> Geometric(growth=2.0)(3.5, 8)
        8.0
    """

    growth: float

    def __post_init__(self) -> None:
        if self.growth <= 0:
            raise UserError(f"`schedule.growth` must be above 0, got {self.growth}")

    def __call__(self, epoch: float, num_epochs: int) -> float:
        try:
            return self.growth ** math.floor(epoch + ROUNDING * num_epochs)
        except OverflowError:  # more than a float holds: training diverges, as it would with any such lr
            return math.inf

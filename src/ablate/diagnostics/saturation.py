"""How much of what a net computes lies where its activations are flat."""

import functools

import torch
from torch import Tensor, nn

from ablate.diagnostics.probe import Probe, mean_of, slopes
from ablate.errors import UserError

LIMIT = 10.0  # the largest slope is sought in [-LIMIT, LIMIT]
POINTS = 1281  # a step of 1/64, with a point at 0, where kinks and the slopes of sigmoids are


def largest_slope(activation: nn.Module, z: Tensor) -> Tensor:
    """Return max |f'(x)| over a grid in [-10, 10]: exact for a slope that is largest at 0 or at the ends.

    Args:
        activation: see `probe.slopes`.
        z: (N, k C, ...), an input, of which only shape and type count: a learned slope may differ between channels.

    Returns:
        (C, 1, ...), one value a unit, or (1, 1, ...) where all units have the same.
    """
    ones = (1,) * (z.ndim - 2)
    grid = torch.linspace(-LIMIT, LIMIT, POINTS, dtype=z.dtype, device=z.device)
    same = getattr(activation, "num_pieces", 1) == 1 and next(activation.parameters(), None) is None
    num_channels = 1 if same else z.shape[1]
    return slopes(activation, grid.view(-1, 1, *ones).expand(-1, num_channels, *ones)).abs().amax(0)


def saturated(activation: nn.Module, z: Tensor, threshold: float, slope: Tensor | None = None) -> Tensor:
    """Return where |f'(z)| < threshold * max |f'|, boolean, (N, C, ...); `slope` is f'(z) where it is known."""
    slope = slopes(activation, z) if slope is None else slope
    return slope.abs() < threshold * largest_slope(activation, z)


def saturation(probe: Probe, *, threshold: float = 0.05) -> dict[str, Tensor]:
    """Fraction of (image, position, unit) whose slope |f'(z)| is below `threshold` times the largest of the activation.

    For sigmoid and the default that is |z| > 4.36, for ReLU the off half, for maxout nothing. GELU, SiLU and Mish
    count where their slope changes its sign, too.

    Range: [0, 1]. Keys: every hidden layer; `mean` over them; `positive`, the mean over them of the fraction that is
    saturated at z > 0, which is 0 for the ReLU family. Cost: the shared pass and slopes.

    Args:
        threshold: in (0, 1).

    Raises:
        UserError: `threshold` is out of range.

    Source: Glorot & Bengio 2010 watch saturation during training; this measure of it is ours.
    """
    if not 0 < threshold < 1:
        raise UserError(f"`threshold` of saturation is a fraction of the largest slope, in (0, 1), got {threshold}")
    fractions: dict[str, Tensor] = {}
    positive: list[Tensor] = []
    for unit in probe.passed.units:
        flat = saturated(unit.activation, unit.inputs, threshold, probe.slopes[unit.name])
        num_pieces = getattr(unit.activation, "num_pieces", 1)
        z = functools.reduce(torch.maximum, unit.inputs.chunk(num_pieces, dim=1))
        fractions[unit.name] = flat.count_nonzero() / flat.numel()
        positive.append((flat & (z > 0)).count_nonzero() / flat.numel())
    return {**mean_of(fractions), "positive": torch.stack(positive).mean()} if positive else {}

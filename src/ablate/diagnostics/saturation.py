"""Fraction of units where the activation is nearly flat."""

import functools

import torch
from torch import Tensor, nn

from ablate.diagnostics.probe import Probe, mean_of, slopes
from ablate.errors import UserError

LIMIT = 10.0  # the largest slope is searched in [-LIMIT, LIMIT]
POINTS = 1281  # a step of 1/64; one point is 0, where kinks and the largest slopes of sigmoids are


def largest_slope(activation: nn.Module, z: Tensor) -> Tensor:
    """Return max |f'(x)| over a grid in [-10, 10]: exact if the slope is largest at 0 or at the ends.

    Args:
        activation: see `probe.slopes`.
        z: (N, k C, ...), an input, used only for shape and type: a learned slope may differ between channels.

    Returns:
        (C, 1, ...), one value per unit, or (1, 1, ...) if all units have the same.

    Example:
        >>> largest_slope(nn.Sigmoid(), torch.zeros(1, 4)).item()
        0.25
    """
    ones = (1,) * (z.ndim - 2)
    grid = torch.linspace(-LIMIT, LIMIT, POINTS, dtype=z.dtype, device=z.device)
    same = getattr(activation, "num_pieces", 1) == 1 and next(activation.parameters(), None) is None
    num_channels = 1 if same else z.shape[1]
    return slopes(activation, grid.view(-1, 1, *ones).expand(-1, num_channels, *ones)).abs().amax(0)


def saturated(activation: nn.Module, z: Tensor, threshold: float, slope: Tensor | None = None) -> Tensor:
    """Return where |f'(z)| < threshold * max |f'|, boolean, (N, C, ...); `slope` is f'(z), if known.

    Example:
        >>> saturated(nn.Sigmoid(), torch.tensor([[0.0, 5.0]]), threshold=0.05)
        tensor([[False,  True]])
    """
    slope = slopes(activation, z) if slope is None else slope
    return slope.abs() < threshold * largest_slope(activation, z)


def saturation(probe: Probe, *, threshold: float = 0.05) -> dict[str, Tensor]:
    """Fraction of (image, position, unit) whose slope |f'(z)| is below `threshold` times the largest of the activation.

    For sigmoid and the default that is |z| > 4.36, for ReLU z < 0, for maxout none. GELU, SiLU and Mish also
    count where their slope changes its sign.

    Range: [0, 1]. Keys: every hidden layer; `mean` over them; `positive`, the mean over them of the fraction that is
    saturated at z > 0, which is 0 for the ReLU family. Cost: the shared pass and slopes.

    Args:
        threshold: in (0, 1).

    Raises:
        UserError: `threshold` is out of range.

    Source: Glorot & Bengio 2010 measure saturation during training; this measure is ours.

    Example:
        >>> from ablate.diagnostics.probe import example_probe
        >>> list(saturation(example_probe()))
        ['conv1_1', 'fc1', 'mean', 'positive']
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

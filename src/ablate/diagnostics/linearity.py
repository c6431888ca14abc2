"""How well a straight line fits an activation on its actual inputs."""

import itertools

import torch
from torch import Tensor

from ablate.diagnostics.probe import Probe, mean_of


def r_squared(z: Tensor, a: Tensor, num_pieces: int = 1) -> tuple[Tensor, Tensor]:
    """Return R^2 of the best line a ~ alpha + beta z, with one line for the layer, and with one for each unit.

    Formula: 1 - E[r^2] / Var(a) with r the residuals of least squares; for units, mean over them of both. With maxout
    the line is a plane, a ~ alpha + sum_j beta_j z_j over the k pieces of a unit. If a does not vary, it is 1: a
    constant is a line.

    Args:
        z: (N, k C, ...).
        a: (N, C, ...).
        num_pieces: k.

    Example:
        >>> z = torch.tensor([[-1.0], [0.0], [1.0]])
        >>> layer, by_unit = r_squared(z, z.relu())
        >>> round(layer.item(), 2)
        0.75
    """
    axes = tuple(axis for axis in range(a.ndim) if axis != 1)
    variables = [*z.chunk(num_pieces, dim=1), a]
    means = [x.mean(axes, keepdim=True) for x in variables]
    centred = [x - mean for x, mean in zip(variables, means, strict=True)]
    size = len(variables)
    by_unit = torch.empty(a.shape[1], size, size, dtype=a.dtype, device=a.device)
    for i, j in itertools.combinations_with_replacement(range(size), 2):
        by_unit[:, i, j] = by_unit[:, j, i] = (centred[i] * centred[j]).mean(axes)
    # The covariance of all is the mean covariance within channels plus the covariance of their means.
    layer = by_unit.mean(0) + torch.cov(torch.stack([mean.flatten() for mean in means]), correction=0)
    return _explained(layer[None]), _explained(by_unit)


def _explained(covariance: Tensor) -> Tensor:
    """Return the share of the last variable's variance that the others explain, (B, k + 1, k + 1) -> 0-d."""
    variance = covariance[:, -1, -1].mean()
    while covariance.shape[-1] > 1:  # the Schur complement removes what the first variable explains of the others
        pivot = covariance[:, :1, :1]
        beta = torch.where(pivot == 0, 0.0, covariance[:, :1, 1:] / pivot)
        covariance = covariance[:, 1:, 1:] - covariance[:, 1:, :1] * beta
    return torch.where(variance == 0, 1.0, 1 - covariance.mean() / variance).clamp(0, 1)


def linearity(probe: Probe) -> dict[str, Tensor]:
    """R^2 of the least-squares line a ~ alpha + beta z through the inputs and outputs of each activation.

    1 means that the layer's activation acts as a linear function: tanh of small inputs, or ReLU of inputs of one sign.
    Under N(0, 1) it is 0.73 for ReLU and 0.93 for tanh. Formulas: see `r_squared`.

    Range: [0, 1]. Keys: every hidden layer, with one line for all its units; `mean` over them; `by_unit`, the mean over
    them with a line for each unit, which is 1 also if every unit stays on one straight piece. Cost: the shared
    pass.

    Source: the question is that of Ioffe & Szegedy 2015 (arXiv:1502.03167), section 3; this measure is ours.

    Example:
        >>> from ablate.diagnostics.probe import example_probe
        >>> list(linearity(example_probe()))
        ['conv1_1', 'fc1', 'mean', 'by_unit']
    """
    layers: dict[str, Tensor] = {}
    by_unit: list[Tensor] = []
    for unit in probe.passed.units:
        num_pieces = getattr(unit.activation, "num_pieces", 1)
        layers[unit.name], units_share = r_squared(unit.inputs, unit.outputs, num_pieces)
        by_unit.append(units_share)
    return {**mean_of(layers), "by_unit": torch.stack(by_unit).mean()} if by_unit else {}

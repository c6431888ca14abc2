"""Standardized inputs keep sigmoid and tanh in their linear part; gamma and beta change it and can undo batch norm."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from ablate.errors import UserError
from ablate.layers.batch_norm import BatchNorm
from ablate.report.plotting import COLOURS, INK, MUTED, SHADE, decade_ticks, new_figure
from ablate.seeding import Streams
from ablate.training.lab import Arrays, Lab

SHAPES = ("sigmoid", "tanh", "relu")


def compute(lab: Lab, *, betas: Sequence[float], largest_gamma: float, mean: float, std: float, num: int) -> Arrays:
    """Return how linear activations are on gamma z + beta with z ~ N(0, 1), and batch norm's nearness to the identity.

    Args:
        betas: shifts.
        largest_gamma: scales run from 1/10 to it, geometrically; above 1/10.
        mean, std: of the made values x that batch norm is applied to, std above 0.
        num: how many values x, at least 2.

    Returns:
        names (A,); z (Z,), values (A, Z) of f(z) and fits (A, Z), the best line over N(0, 1); gammas (G,); betas (B,);
        r_squared (A, B, G); x (num,); y (3, num): batch norm of x with gamma = 1, beta = 0; with gamma = Var, beta =
        mean, as a slide of the lecture has it; and with gamma = sqrt(Var + eps), beta = mean.
    """
    if not (largest_gamma > 0.1 and std > 0 and num >= 2):
        raise UserError(
            "`figure.largest_gamma` must be above 0.1, `figure.std` above 0 and `figure.num` at least 2, "
            f"got {largest_gamma}, {std} and {num}"
        )
    functions = [lab.run(f"activation={name}").activation().double() for name in SHAPES]
    z = torch.linspace(-4, 4, 401, dtype=torch.float64)
    gammas = torch.logspace(-1, np.log10(largest_gamma), 61, dtype=torch.float64)
    fits, r_squared = [], []
    for f in functions:
        slope, intercept, _ = best_line(f, 1.0, 0.0)
        fits.append(intercept + slope * z)
        r_squared.append([[best_line(f, gamma.item(), beta)[2] for gamma in gammas] for beta in betas])
    x = mean + std * torch.randn(num, dtype=torch.float64, generator=Streams(0).generator("figure", "linear_regime"))
    return {
        "names": np.array(SHAPES),
        "z": z.numpy(),
        "values": np.stack([f(z).numpy() for f in functions]),
        "fits": torch.stack(fits).numpy(),
        "gammas": gammas.numpy(),
        "betas": np.array(betas, dtype=float),
        "r_squared": np.array(r_squared),
        "x": x.numpy(),
        "y": torch.stack([normalized(x, *scale) for scale in scales(x)]).numpy(),
    }


def best_line(f: torch.nn.Module, gamma: float, beta: float) -> tuple[float, float, float]:
    """Return slope, intercept and R^2 of the least-squares line through f(u) against u = gamma z + beta, z ~ N(0, 1).

    Formula: R^2 = Cov(f(u), z)^2 / Var f(u), by the trapezoidal rule in float64.

    Example:
        >>> slope, intercept, r_squared = best_line(torch.nn.Identity(), 2.0, 1.0)
        >>> round(slope, 6), round(abs(intercept), 6), round(r_squared, 6)
        (1.0, 0.0, 1.0)
    """
    z = torch.linspace(-12, 12, 24 * 256 + 1, dtype=torch.float64)
    density = torch.exp(-z.square() / 2)
    density /= density.sum()
    y = f(gamma * z + beta)
    mean = (density * y).sum()
    covariance = (density * (y - mean) * z).sum()
    slope = covariance / gamma
    r_squared = covariance.square() / (density * (y - mean).square()).sum()
    return slope.item(), (mean - slope * beta).item(), r_squared.item()


def scales(x: Tensor) -> list[tuple[float, float]]:
    """Return the pairs (gamma, beta): plain, the slide's, and those with which batch norm is the identity."""
    mean, variance = x.mean().item(), x.var(correction=0).item()
    return [(1.0, 0.0), (variance, mean), ((variance + BatchNorm(1).eps) ** 0.5, mean)]


@torch.no_grad()
def normalized(x: Tensor, gamma: float, beta: float) -> Tensor:
    """Return the batch norm, in training mode, of a batch x (N,) of one feature, float64."""
    norm = BatchNorm(1).double()
    assert norm.weight is not None and norm.bias is not None
    norm.weight.fill_(gamma)
    norm.bias.fill_(beta)
    y: Tensor = norm(x[:, None])
    return y[:, 0]


def draw(arrays: Arrays) -> Figure:
    """Draw each activation with its line, R^2 by gamma below it, and batch norm's output against its input."""
    names = arrays["names"]
    figure = new_figure(3.0 * (len(names) + 1), 5.4)
    axes = figure.subplots(2, len(names) + 1, squeeze=False)
    for column, (name, values, line) in enumerate(zip(names, arrays["values"], arrays["fits"], strict=True)):
        ax = axes[0, column]
        ax.axvspan(-2, 2, color=SHADE, zorder=0)
        ax.plot(arrays["z"], values, color=COLOURS[0], label="f")
        ax.plot(arrays["z"], line, color=COLOURS[1], linestyle=(0, (4, 1.5)), label="best line")
        low, high = values.min(), min(values.max(), 3.0)
        ax.set_ylim(low - 0.15 * (high - low), high + 0.15 * (high - low))
        at = arrays["r_squared"][column, 0, np.abs(np.log(arrays["gammas"])).argmin()]
        ax.set_title(f"{name}: R² {at:.3f} on N(0, 1)" if arrays["betas"][0] == 0 else name)
        ax.set_xlabel("input; 95% lie in the shade")
        ax = axes[1, column]
        for beta, row, colour in zip(arrays["betas"], arrays["r_squared"][column], COLOURS[2:], strict=False):
            ax.plot(arrays["gammas"], row, color=colour, label=f"β = {beta:g}")
        ax.axvline(1, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
        ax.set_xscale("log")
        decade_ticks(ax.xaxis)
        ax.set_ylim(0, 1.03)
        ax.set_xlabel("γ")
    axes[0, 0].legend(loc="upper left")
    axes[1, 0].set_ylabel("R² of the best line")
    axes[1, 0].legend(loc="lower left")
    x, mean, variance = arrays["x"], arrays["x"].mean(), arrays["x"].var()
    settings = ("γ = 1, β = 0", "γ = Var, β = mean", "γ = √(Var + ε), β = mean")
    ax = axes[0, -1]
    for y, label, colour, size in zip(
        arrays["y"], settings, (COLOURS[0], COLOURS[1], COLOURS[2]), (5, 5, 14), strict=True
    ):
        ax.scatter(x, y, s=size, color=colour, label=label, linewidths=0)
    ax.axline((mean, mean), slope=1, color=INK, linewidth=0.8)
    ax.set_title(f"one channel, Var {variance:.3g}")
    ax.set_xlabel("x")
    ax.set_ylabel("batch norm of x")
    ax.legend(loc="upper left", fontsize=8, markerscale=1.5, handletextpad=0.2)
    ax.set_ylim(top=arrays["y"].max() + 0.6 * np.ptp(arrays["y"]))
    ax = axes[1, -1]
    for y, label, colour in zip(arrays["y"], settings, COLOURS, strict=False):
        ax.scatter(x, y - x, s=5, color=colour, linewidths=0)
        ax.text(
            0.03,
            0.97 - 0.09 * settings.index(label),
            f"{np.abs(y - x).max():.2g}: {label}",
            color=colour,
            fontsize=8.5,
            va="top",
            transform=ax.transAxes,
        )
    ax.set_ylim(top=(arrays["y"] - x).max() + 0.7 * np.ptp(arrays["y"] - x))
    ax.set_title("largest error")
    ax.set_xlabel("x")
    ax.set_ylabel("batch norm of x, less x")
    return figure


def caption(arrays: Arrays) -> str:
    """Return what the figure shows."""
    one = np.abs(np.log(arrays["gammas"])).argmin()
    far = len(arrays["gammas"]) - 1
    text = ", ".join(
        f"{name} {row[0, one]:.3f} at γ = {arrays['gammas'][one]:.2g} and {row[0, far]:.3f} at γ = "
        f"{arrays['gammas'][far]:g}"
        for name, row in zip(arrays["names"], arrays["r_squared"], strict=True)
    )
    errors = np.abs(arrays["y"] - arrays["x"]).max(1)
    return (
        f"How much of an activation's variance a line explains, for inputs γ z + β with standard normal z, at β = "
        f"{arrays['betas'][0]:g}: {text}. Right: batch norm of {len(arrays['x'])} made values is the identity with "
        f"γ = √(Var + ε), β = mean (largest error {errors[2]:.1g}, float64), and not with γ = Var ({errors[1]:.2g})."
    )

"""The same cloud of points, and the same images, raw, centred, normalised, decorrelated and whitened."""

import copy
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from ablate.data.preprocessing import Center, Chain, Standardize
from ablate.data.whitening import Decorrelate, Whiten
from ablate.errors import UserError
from ablate.report.plotting import COLOURS, MUTED, RULE, new_figure
from ablate.training.lab import Arrays, Lab

STEPS = ("raw", "centred", "normalised", "decorrelated", "whitened")


def compute(
    lab: Lab,
    *,
    num_points: int,
    mean: Sequence[float],
    std: Sequence[float],
    correlation: float,
    levels: Sequence[str],
    num_shown: int,
    seed: int,
) -> Arrays:
    """Return a cloud and images after each kind of preprocessing; image statistics are those of the training images.

    Args:
        num_points: of the cloud, at least 3.
        mean, std, correlation: of the cloud's two coordinates; |correlation| < 1.
        levels: of the factor `preprocessing`, one for each of raw, centred, normalised, decorrelated, whitened.
        num_shown: test images in the picture, at least 1.
        seed: of the cloud.

    Returns:
        With a first axis of the five kinds: clouds (5, P, 2); images (5, V, H, W, C); limits (5,), a value that 99 % of
        the test images' values do not exceed in absolute value; means, stds and neighbours (5,), of all values of the
        test images and the correlation of horizontal neighbours. Besides: levels (5,); maximum (), of raw intensities.
    """
    if len(levels) != len(STEPS):
        raise UserError(f"`figure.levels` must name {len(STEPS)} levels, for {', '.join(STEPS)}, got {list(levels)}")
    if num_points < 3 or num_shown < 1:
        raise UserError(f"`figure.num_points` must be at least 3, `num_shown` 1, got {num_points} and {num_shown}")
    if not abs(correlation) < 1:
        raise UserError(f"`figure.correlation` must lie between -1 and 1, got {correlation}")
    covariance = np.outer(std, std) * np.array([[1, correlation], [correlation, 1]])
    cloud = np.random.default_rng(seed).multivariate_normal(mean, covariance, num_points)
    images, statistics = [], []
    lab.expect(len(levels))
    for level in levels:
        lab.step(f"preprocessing {level}")
        run = lab.run(f"preprocessing={level}")
        dataset = lab.dataset(run)
        fitted = copy.deepcopy(run.preprocessing).fit(dataset.train.images)
        processed = fitted(dataset.test.images).double()
        images.append(processed[:num_shown].permute(0, 2, 3, 1).numpy())
        statistics.append(describe(processed))
    limits, means, stds, neighbours = np.array(statistics).T
    return {
        "clouds": process_cloud(cloud),
        "images": np.stack(images).astype(np.float32),
        "limits": limits,
        "means": means,
        "stds": stds,
        "neighbours": neighbours,
        "levels": np.array(levels),
        "maximum": np.array(2.0**dataset.bits - 1),
    }


def process_cloud(cloud: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the cloud (P, 2) after each of `STEPS` (5, P, 2): to the steps, a point is an image of two channels."""
    # The variance added in whitening is far below those of a cloud, and far above the rounding of float32.
    chains: tuple[dict[str, torch.nn.Module], ...] = (
        {},
        {"center": Center(per="channel")},
        {"standardize": Standardize()},
        {"decorrelate": Decorrelate()},
        {"whiten": Whiten(eps=1e-9)},
    )
    points = torch.from_numpy(cloud).float()[:, :, None, None]
    return np.stack([Chain(steps).fit(points)(points).flatten(1).double().numpy() for steps in chains])


def describe(images: Tensor) -> tuple[float, float, float, float]:
    """Return the 99th percentile of |x|, mean, std, and the correlation of neighbours, x (N, C, H, W) and x shifted."""
    limit = float(np.quantile(images.abs().numpy(), 0.99))
    left, right = images[..., :-1].flatten(), images[..., 1:].flatten()
    return limit, images.mean().item(), images.std().item(), torch.corrcoef(torch.stack([left, right]))[0, 1].item()


def draw(arrays: Arrays) -> Figure:
    """Draw the cloud on the same axes after each step, the images below."""
    num_shown = arrays["images"].shape[1]
    figure = new_figure(11, 2.5 + 2.0 * num_shown)
    axes = figure.subplots(1 + num_shown, len(STEPS), height_ratios=[1.12] + [1] * num_shown, squeeze=False)
    low, high = arrays["clouds"].min() - 0.5, arrays["clouds"].max() + 0.5
    for k, step in enumerate(STEPS):
        _draw_cloud(axes[0, k], arrays["clouds"][k])
        axes[0, k].set(xlim=(low, high), ylim=(low, high))
        axes[0, k].set_title(step, loc="center")
        for v in range(num_shown):
            ax = axes[1 + v, k]
            ax.imshow(_shown(arrays, k, v), interpolation="nearest")
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
        mean, std, neighbours = (arrays[name][k] for name in ("means", "stds", "neighbours"))
        statistics = f"mean {_number(mean)}, std {_number(std)}\nneighbours correlate {neighbours:+.2f}"
        axes[-1, k].set_xlabel(statistics, fontsize=8.5)
        axes[1, k].set_title(f"preprocessing={arrays['levels'][k]}", fontsize=8.5, loc="center")
    return figure


def _number(value: float) -> str:
    return f"{0 if abs(value) < 0.005 else value:.2f}"


def _shown(arrays: Arrays, k: int, v: int) -> NDArray[np.float64]:
    """Return an image for display: raw on its whole range, otherwise 0 is grey and the limit white."""
    image = arrays["images"][k, v].astype(float)
    shown = image / arrays["maximum"] if STEPS[k] == "raw" else 0.5 + image / (2 * arrays["limits"][k])
    return shown.clip(0, 1)


def _draw_cloud(ax: Axes, points: NDArray[np.float64]) -> None:
    ax.axhline(0, color=RULE, linewidth=0.8, zorder=0)
    ax.axvline(0, color=RULE, linewidth=0.8, zorder=0)
    ax.scatter(points[:, 0], points[:, 1], s=4, color=COLOURS[0], alpha=0.4, linewidth=0)
    covariance = np.cov(points.T, bias=True)
    variances, vectors = np.linalg.eigh(covariance)
    upward = vectors.T * np.where(vectors.sum(0) < 0, -1, 1)[:, None]
    for length, direction in zip(2 * np.sqrt(variances), upward, strict=True):
        ax.annotate(
            "",
            points.mean(0) + length * direction,
            points.mean(0),
            arrowprops={"arrowstyle": "-|>", "color": COLOURS[1], "lw": 1.5, "shrinkA": 0, "shrinkB": 0},
        )
    (a, b), (_, d) = covariance
    ax.text(0.03, 0.03, f"var {a:.2f}, {d:.2f}, cov {_number(b)}", transform=ax.transAxes, fontsize=7.5, color=MUTED)
    ax.set_aspect("equal")
    ax.locator_params(nbins=5)


def caption(arrays: Arrays) -> str:
    """Return what the figure shows."""
    conditions = [np.linalg.cond(np.cov(cloud.T, bias=True)) for cloud in arrays["clouds"]]
    first, last = arrays["neighbours"][0], arrays["neighbours"][-1]
    return (
        f"Above: {arrays['clouds'].shape[1]} points of a correlated normal distribution; arrows are two standard "
        "deviations along the principal axes. The condition number of the covariance is "
        f"{', '.join(f'{c:.3g}' for c in conditions)}, from left to right. Below: test images, with all that is "
        "learned taken from the training images. Raw ones as they are; else grey is 0, and black to white hold 99 % "
        f"of the values. Horizontal neighbours correlate with {first:.2f} raw and {last:.2f} whitened; the "
        "decorrelated values are components in the order of their variance, no longer places."
    )

"""Inputs of one sign: what they do to the signs of gradients, and to the path of descent, on two weights."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ablate.errors import UserError
from ablate.report.plotting import COLOURS, INK, MUTED, SHADE, decade_ticks, new_figure
from ablate.training.lab import Arrays, Lab

Array = NDArray[np.float64]
INPUTS = ("raw", "centred")
DASHES = {"descent": (1, 0), "stochastic": (3, 1.5)}


def compute(
    lab: Lab,
    *,
    num_samples: int,
    solution: Sequence[float],
    start: Sequence[float],
    num_steps: int,
    batch_sizes: Sequence[int],
    num_draws: int,
    seed: int,
) -> Arrays:
    """Return gradients and paths of the loss L(w) = mean_i (x_i (w - solution))^2 / 2, raw and centred.

    The raw x_i are uniform on [0, 1]^2, as intensities are; the centred ones are x_i less their mean. The target is
    linear and centred with the inputs, so that both problems have the same solution and need no bias.

    Args:
        lab: not used.
        num_samples: N, at least 3.
        solution: the two weights of loss 0.
        start: the two weights of the first step, not the solution.
        num_steps: of both paths, at least 1.
        batch_sizes: numbers of samples, drawn with replacement, whose mean gradient is measured.
        num_draws: batches a size; for each, w - solution has a uniformly random direction.
        seed: of all random numbers.

    Returns:
        With a first axis raw, centred: inputs (2, N, 2); hessians (2, 2, 2); gradients (2, N, 2), one a sample, at the
        start; descent and stochastic (2, T + 1, 2), paths of all samples at the step size 2 / (λ1 + λ2) that contracts
        most, and of one sample a step at 1 / max |x_i|^2; one_sign (2, B), the share of batches whose gradient has two
        components of one sign; one_sign_all (2,), the same for all samples at once, exactly. Besides: batch_sizes (B,);
        solution (2,); order (T,), the sample of each step.
    """
    if num_samples < 3:
        raise UserError(f"`figure.num_samples` must be at least 3 for a Hessian of full rank, got {num_samples}")
    if list(start) == list(solution):
        raise UserError(f"`figure.start` must differ from `figure.solution`, got {list(start)} for both")
    if num_steps < 1 or num_draws < 1 or min(batch_sizes) < 1:
        raise UserError("`figure.num_steps`, `num_draws` and `batch_sizes` must be at least 1")
    rng = np.random.default_rng(seed)
    raw = rng.random((num_samples, 2))
    order = rng.integers(num_samples, size=num_steps)
    inputs = np.stack([raw, raw - raw.mean(0)])
    hessians = np.einsum("kni,knj->kij", inputs, inputs) / num_samples
    away = np.subtract(start, solution)
    return {
        "inputs": inputs,
        "hessians": hessians,
        "gradients": np.stack([x * (x @ away)[:, None] for x in inputs]),
        "descent": np.stack([descend(h, away, num_steps) for h in hessians]) + solution,
        "stochastic": np.stack([descend_by_one(x, away, order) for x in inputs]) + solution,
        "one_sign": np.array([[one_sign_share(x, b, num_draws, seed) for b in batch_sizes] for x in inputs]),
        "one_sign_all": np.array([one_sign_share_of_all(h) for h in hessians]),
        "batch_sizes": np.array(batch_sizes),
        "solution": np.array(solution, dtype=float),
        "order": order,
    }


def descend(hessian: Array, away: Array, num_steps: int) -> Array:
    """Return w - solution (T + 1, 2) along gradient descent at the step size 2 / (λ1 + λ2), which is 2 / trace."""
    path = [away]
    for _ in range(num_steps):
        path.append(path[-1] - 2 / np.trace(hessian) * hessian @ path[-1])
    return np.stack(path)


def descend_by_one(inputs: Array, away: Array, order: NDArray[np.int64]) -> Array:
    """Return w - solution (T + 1, 2) along steps on one sample each, of size 1 / max |x|^2: none overshoots."""
    lr = 1 / np.square(inputs).sum(1).max()
    path = [away]
    for x in inputs[order]:
        path.append(path[-1] - lr * x * (x @ path[-1]))
    return np.stack(path)


def one_sign_share(inputs: Array, batch_size: int, num_draws: int, seed: int) -> float:
    """Return the share of drawn batches whose gradient at a point in a random direction has components of one sign."""
    rng = np.random.default_rng([seed, batch_size])
    angle = rng.uniform(0, 2 * np.pi, num_draws)
    away = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    gradient = np.zeros((num_draws, 2))
    for _ in range(batch_size):
        x = inputs[rng.integers(len(inputs), size=num_draws)]
        gradient += x * (x * away).sum(1, keepdims=True)
    return float((gradient.prod(1) > 0).mean())


def one_sign_share_of_all(hessian: Array) -> float:
    """Return the same for the gradient H (w - solution) of all samples: the angle between the columns of H^-1 over π.

    H^-1 maps the quadrant of two positive components onto the cone that its columns span.

    Example:
        >>> round(one_sign_share_of_all(np.eye(2)), 6)
        0.5
    """
    a, b = np.linalg.inv(hessian).T
    return float(np.arccos(a @ b / np.sqrt((a @ a) * (b @ b))) / np.pi)


def steps_to(path: Array, solution: Array, share: float) -> int | None:
    """Return the first step of a path at `share` of the first distance to the solution or less; None: never.

    Example:
        >>> steps_to(np.array([[1.0, 0.0], [0.5, 0.0], [0.1, 0.0]]), np.zeros(2), 0.2)
        2
    """
    distance = np.linalg.norm(path - solution, axis=1)
    reached = np.flatnonzero(distance <= share * distance[0])
    return int(reached[0]) if len(reached) else None


def draw(arrays: Arrays) -> Figure:
    """Draw, raw above centred: the gradients at the start, both paths; beside them the signs and the distances."""
    figure = new_figure(11, 5.6)
    axes = figure.subplots(2, 4, width_ratios=[1, 1, 1, 1.15])
    paths = np.concatenate([arrays["descent"].reshape(-1, 2), arrays["stochastic"].reshape(-1, 2)])
    low, high = paths.min(0), paths.max(0)
    half = 0.6 * (high - low).max()
    middle = (low + high) / 2
    for k, inputs in enumerate(INPUTS):
        condition = np.linalg.cond(arrays["hessians"][k])
        _draw_gradients(axes[k, 0], arrays, k)
        axes[k, 0].set_title(f"{inputs}: gradients at the start", color=COLOURS[k])
        for ax, kind, what in (
            (axes[k, 1], "stochastic", "one sample a step"),
            (axes[k, 2], "descent", f"all samples, κ = {condition:.2g}"),
        ):
            _draw_path(ax, arrays["hessians"][k], arrays["solution"], arrays[kind][k], COLOURS[k])
            ax.set(xlim=(middle[0] - half, middle[0] + half), ylim=(middle[1] - half, middle[1] + half))
            ax.set_title(f"{inputs}: {what}")
            ax.set_ylabel("w₂")
            ax.set_aspect("equal")
            if k == 1:
                ax.set_xlabel("w₁")
    _draw_signs(axes[0, 3], arrays)
    _draw_distances(axes[1, 3], arrays)
    return figure


def _draw_gradients(ax: Axes, arrays: Arrays, k: int) -> None:
    gradients = arrays["gradients"][k]
    limit = 1.15 * np.abs(gradients).max()
    for sign in (-1, 1):
        ax.fill_between([0, sign * limit], 0, sign * limit, color=SHADE, linewidth=0)
    ax.scatter(gradients[:, 0], gradients[:, 1], s=7, color=COLOURS[k], alpha=0.55, linewidth=0, label="one sample")
    ax.scatter(
        gradients[:, 0].mean(),
        gradients[:, 1].mean(),
        s=45,
        marker="X",
        color=INK,
        edgecolor="white",
        label="mean of all",
        zorder=3,
    )
    share = (gradients.prod(1) > 0).mean()
    ax.text(0.97, 0.04, f"{100 * share:.0f} % of one sign", transform=ax.transAxes, ha="right", fontsize=8.5)
    ax.set(xlim=(-limit, limit), ylim=(-limit, limit), ylabel="∂L/∂w₂", xlabel="∂L/∂w₁" if k else None)
    ax.set_aspect("equal")
    ax.locator_params(nbins=5)
    if k == 0:
        ax.legend(loc="upper left", fontsize=8, handletextpad=0.1, borderpad=0.1)


def _draw_path(ax: Axes, hessian: Array, solution: Array, path: Array, colour: str) -> None:
    # Points of equal loss: d = sqrt(2 L) H^-1/2 (cos, sin), and the first is that of the start.
    values, vectors = np.linalg.eigh(hessian)
    angle = np.linspace(0, 2 * np.pi, 201)
    circle = (vectors / np.sqrt(values)) @ np.stack([np.cos(angle), np.sin(angle)])
    reach = np.sqrt((path[0] - solution) @ hessian @ (path[0] - solution))
    for scale in reach * 2.0 ** np.arange(-4, 3):
        ax.plot(*(solution[:, None] + scale * circle), color=MUTED, linewidth=0.5, alpha=0.6)
    ax.plot(*path.T, color=colour, marker="o", markersize=2.6, linewidth=1.1)
    ax.plot(*path[0], marker="o", color=INK, markersize=4.5)
    ax.plot(*solution, marker="*", color=INK, markersize=9)


def _draw_signs(ax: Axes, arrays: Arrays) -> None:
    for k, inputs in enumerate(INPUTS):
        ax.plot(arrays["batch_sizes"], arrays["one_sign"][k], color=COLOURS[k], marker="o", markersize=3, label=inputs)
        ax.axhline(arrays["one_sign_all"][k], color=COLOURS[k], linewidth=0.8, linestyle=(0, (4, 2)))
    ax.set_xscale("log", base=2)
    ax.set_xticks(arrays["batch_sizes"], [str(b) for b in arrays["batch_sizes"]])
    ax.minorticks_off()
    ax.set(ylim=(0, 1.05), xlabel="samples in the batch", title="share of gradients of one sign")
    ax.legend(loc="lower left", title="dashed: all samples at once", alignment="left", title_fontsize=8)


def _draw_distances(ax: Axes, arrays: Arrays) -> None:
    for k in range(len(INPUTS)):
        for kind, dashes in DASHES.items():
            distance = np.linalg.norm(arrays[kind][k] - arrays["solution"], axis=1)
            ax.plot(distance / distance[0], color=COLOURS[k], dashes=dashes, linewidth=1.4)
    ax.set_yscale("log")
    decade_ticks(ax.yaxis)
    ax.set(ylim=(1e-5, 2), xlim=(0, None), xlabel="step", title="distance to the solution, relative")
    for what, dashes in zip(("all samples", "one a step"), DASHES.values(), strict=True):
        ax.plot([], [], color=INK, dashes=dashes, linewidth=1.4, label=what)
    ax.legend(loc="lower left", bbox_to_anchor=(0.12, 0), fontsize=8)


def caption(arrays: Arrays) -> str:
    """Return what the figure shows."""
    raw, centred = (f"{np.linalg.cond(h):.2f}" for h in arrays["hessians"])
    alone = [f"{100 * (g.prod(1) > 0).mean():.0f} %" for g in arrays["gradients"]]
    together = [f"{100 * share:.0f} %" for share in arrays["one_sign_all"]]
    reached = [steps_to(path, arrays["solution"], 0.01) for path in arrays["descent"]]
    steps_text = [f"more than {len(arrays['order'])}" if steps is None else f"{steps}" for steps in reached]
    return (
        f"Squared error of a linear unit with two weights on {arrays['inputs'].shape[1]} made samples, whose inputs "
        "are uniform on [0, 1] (raw) or that less their mean (centred). At the start, the gradient of a single sample "
        f"has both components of one sign for {alone[0]} of the raw and {alone[1]} of the centred samples; that of all "
        f"samples together has it in {together[0]} and {together[1]} of all directions from the solution. The "
        f"Hessian's condition number κ is {raw} raw and {centred} centred, and gradient descent at its best step size "
        f"comes within 1 % of the first distance after {steps_text[0]} and {steps_text[1]} steps."
    )

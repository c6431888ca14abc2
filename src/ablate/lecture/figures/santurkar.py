"""Loss landscape, gradient predictiveness and effective beta-smoothness along training, with and without batch norm."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn

from ablate.diagnostics.landscape import along_gradient
from ablate.diagnostics.probe import probing
from ablate.errors import UserError
from ablate.report.plotting import COLOURS, new_figure, plain_log_ticks
from ablate.training.lab import Arrays, Lab
from ablate.training.loop import Callback, State

ARMS = ("batch norm", "no batch norm", "batch norm + noise")
QUANTITIES = ("loss", "gradient_change", "smoothness")


class ChannelNoise(nn.Module):
    """y = s x + m in training, a scale and a shift for each channel that change at every step; y = E[s] x at inference.

    m ~ U(-max_shift, max_shift) and s ~ U(1, max_scale) are functions of the key of `reseed`, so that two passes within
    a step see the same noise.

    Args:
        max_shift: at least 0.
        max_scale: at least 1.

    Source: after Santurkar et al. 2018 (arXiv:1805.11604).
    """

    def __init__(self, max_shift: float, max_scale: float) -> None:
        super().__init__()
        self.max_shift, self.max_scale = max_shift, max_scale
        self.seed = 0

    def reseed(self, key: int) -> None:
        """Seed the next noise with `key`."""
        self.seed = key

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x * ((1 + self.max_scale) / 2)
        generator = torch.Generator(x.device).manual_seed(self.seed)
        shape = (2, x.shape[1]) + (1,) * (x.ndim - 2)
        shift, scale = torch.rand(shape, generator=generator, device=x.device, dtype=x.dtype)
        return x * (1 + (self.max_scale - 1) * scale) + self.max_shift * (2 * shift - 1)


@dataclass(frozen=True)
class Noisy:
    """A normalization with `ChannelNoise` behind it: a recipe like those of `layers.normalization`."""

    inner: Any
    max_shift: float
    max_scale: float

    @property
    def removes_bias(self) -> bool:
        return bool(self.inner.removes_bias)

    def __call__(self, num_features: int, ndim: int) -> nn.Module:
        return nn.Sequential(self.inner(num_features, ndim), ChannelNoise(self.max_shift, self.max_scale))


class _Watch(Callback):
    """Measures, every so many steps, along the gradient of a fixed batch of training images."""

    def __init__(self, every: int, num_images: int, factors: list[float]) -> None:
        self.every, self.num_images, self.factors = every, num_images, factors
        self.losses: list[float] = []  # of every training step
        self.ranges: list[NDArray[np.float64]] = []

    def on_step_end(self, state: State) -> None:
        self.losses.append(state.loss.item())
        if state.step % self.every:
            return
        train = state.dataset.train
        images, labels = train.images[: self.num_images], train.labels[: self.num_images]
        with probing(state.net, noise=True):
            found = along_gradient(state.net, images, labels, steps=[f * state.lr for f in self.factors])
        values = torch.stack([found.losses, found.gradient_changes, found.smoothness])
        self.ranges.append(torch.stack([values.amin(1), values.amax(1)], dim=1).double().cpu().numpy())


def compute(
    lab: Lab, *, every: int, num_images: int, factors: list[float], max_shift: float, max_scale: float
) -> Arrays:
    """Train the three nets with the same seed and lr, and measure along the gradient while they train.

    At the weights w with the gradient g of the probe's mean loss, batch norm with the statistics of the batch and the
    noise of the last step, and for each eta = factor * lr: the loss at w - eta g; |g(w - eta g) - g(w)|, which
    is small where the gradient is predictive; and that by eta |g|, the effective beta-smoothness.

    Args:
        every: training steps between two measurements, at least 1.
        num_images: training images of the probe.
        factors: step lengths in units of lr, above 0.
        max_shift, max_scale: of the noise, see `ChannelNoise`.

    Returns:
        arms (A,); steps (T,); train_loss (A, number of steps), of each step's batch; loss, gradient_change, smoothness
        (A, T, 2), smallest and largest over the factors, NaN from divergence on; factors, lr, num_images.

    Raises:
        UserError: an argument is out of range.

    Source: Santurkar et al. 2018 (arXiv:1805.11604), Fig. 4.
    """
    runs = {ARMS[0]: lab.run("normalization=batch"), ARMS[1]: lab.run("normalization=none")}
    plain = runs[ARMS[0]]
    runs[ARMS[2]] = replace(plain, normalization=Noisy(plain.normalization, max_shift, max_scale))
    steps_per_epoch = len(lab.dataset(plain).train) // plain.batch_size
    num_steps = plain.epochs * steps_per_epoch
    if not 1 <= every <= num_steps:
        raise UserError(f"`figure.every` must lie in [1, {num_steps}], the steps of the training, got {every}")
    if not 2 <= num_images <= len(lab.dataset(plain).train):
        raise UserError(f"`figure.num_images` must lie in [2, {len(lab.dataset(plain).train)}], got {num_images}")
    num_measured = num_steps // every
    train_loss = np.full((len(ARMS), num_steps), np.nan)
    ranges = np.full((len(ARMS), num_measured, len(QUANTITIES), 2), np.nan)
    lab.expect(len(runs))
    for i, (arm, run) in enumerate(runs.items()):
        lab.step(arm)
        watch = _Watch(every, num_images, factors)
        state = lab.train(run, [watch])
        lab.log(f"{'diverged' if state.diverged else 'trained'}, {state.step} steps")
        train_loss[i, : len(watch.losses)] = watch.losses
        ranges[i, : len(watch.ranges)] = watch.ranges
    return {
        "arms": np.array(ARMS),
        "steps": every * np.arange(1, num_measured + 1),
        "train_loss": train_loss,
        **{name: ranges[:, :, k] for k, name in enumerate(QUANTITIES)},
        "factors": np.array(factors),
        "lr": np.array(plain.settings["optimizer"]["lr"]),
        "num_images": np.array(num_images),
    }


def draw(arrays: Arrays) -> Figure:
    """Draw the training loss, and for each quantity the range over the step lengths."""
    figure = new_figure(11, 3.4)
    axes = figure.subplots(1, 4)
    factors = f"{arrays['factors'].min():g}–{arrays['factors'].max():g} × lr"
    for arm, losses, colour in zip(arrays["arms"], arrays["train_loss"], COLOURS, strict=False):
        axes[0].plot(np.arange(1, len(losses) + 1), _smooth(losses), color=colour, label=arm)
    axes[0].set_title("Training loss")
    axes[0].set_ylabel("nats, running mean")
    titles = ("Loss along the gradient", "Change of the gradient", "Effective β-smoothness")
    labels = (f"nats, range over {factors}", "|g(w − ηg) − g(w)|", "|g(w − ηg) − g(w)| / |ηg|")
    for ax, name, title, label in zip(axes[1:], QUANTITIES, titles, labels, strict=True):
        _ranges(ax, arrays, name)
        ax.set_title(title)
        ax.set_ylabel(label)
        ax.set_yscale("log")
        plain_log_ticks(ax.yaxis)
    for ax in axes:
        ax.set_xlabel("step")
        ax.set_xlim(0, arrays["train_loss"].shape[1])
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def _ranges(ax: Axes, arrays: Arrays, name: str) -> None:
    """Shade the range over the step lengths and draw its upper end, no batch norm below the others."""
    for i in (1, 0, 2):
        low, high = arrays[name][i].T
        ax.fill_between(arrays["steps"], low, high, color=COLOURS[i], alpha=0.2, linewidth=0)
        ax.plot(arrays["steps"], high, color=COLOURS[i], linewidth=1.2)


def _smooth(values: NDArray[np.float64], width: int = 15) -> NDArray[np.float64]:
    """Return the mean of the last `width` values at each place."""
    sums = np.cumsum(np.concatenate([np.zeros(1), values]))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - width)
    return np.asarray((sums[ends] - sums[starts]) / (ends - starts))


def caption(arrays: Arrays) -> str:
    """Return what the figure shows."""
    change, smoothness = (np.nanmedian(arrays[name][:, :, 1], axis=1) for name in ("gradient_change", "smoothness"))
    rise = np.nanmedian(arrays["loss"][:, :, 1], axis=1)
    arms = "; ".join(
        f"{arm} {rise[i]:.3g}, {change[i]:.3g}, {smoothness[i]:.3g}" for i, arm in enumerate(arrays["arms"])
    )
    return (
        f"Along the gradient of {arrays['num_images']} training images at {len(arrays['steps'])} moments of training "
        f"(lr {arrays['lr']:g}): range over steps of {arrays['factors'].min():g} to {arrays['factors'].max():g} times "
        f"lr, the line is its upper end. Medians over training of the largest loss, change of the gradient and "
        f"effective β: {arms}."
    )

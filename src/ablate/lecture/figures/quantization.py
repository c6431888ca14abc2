"""Window and level, and rounding to fewer bits, on images whose content lies in a narrow window of their range."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ablate.data.preprocessing import Window
from ablate.errors import UserError
from ablate.report.plotting import COLOURS, INK, SHADE, decade_ticks, new_figure
from ablate.training.lab import Arrays, Lab
from ablate.training.run import Run

ORDERS = ("whole range rounded", "window first, then rounded")


def compute(lab: Lab, *, bits_kept: Sequence[int], shown: Sequence[int], num_images: int) -> Arrays:
    """Return images rounded to 2^k levels of the whole range, and of the window that `preprocessing=window` cuts out.

    Args:
        bits_kept: the values of k, each in [1, 16].
        shown: positions of test images in the picture.
        num_images: test images that are measured, at least 1.

    Returns:
        whole (K, V, H, W, C), the whole range rounded, in [0, 1]; stretched (K, V, H, W, C), its window spread over
        [0, 1]; first (K, V, H, W, C), the window spread over [0, 1] and then rounded. For the last two: levels (2, K),
        distinct values between 0 and 1, both included, and errors (2, K), root mean square differences from the
        unrounded window over the pixels inside it. Besides: bits_kept (K,); bits (); window (2,), its ends, and
        histogram (256,), shares of intensities, on the whole range [0, 1]; inside (), the share inside the window.
    """
    if not bits_kept or not shown or num_images < 1:
        raise UserError("`figure.bits_kept` and `figure.shown` must not be empty, `figure.num_images` at least 1")
    run = lab.run("preprocessing=window")
    dataset = lab.dataset(run)
    images = dataset.test.images[:num_images]
    if not 0 <= min(shown) <= max(shown) < len(images):
        raise UserError(f"`figure.shown` must lie in [0, {len(images)}), the images measured, got {list(shown)}")
    exact, intensity = run.preprocessing(images), images.double() / (2**dataset.bits - 1)
    low, high = window_ends(run, dataset.bits)
    within = (intensity >= low) & (intensity <= high)
    # On images in [0, 1] the same window is one of 1 bit, whose largest intensity is 1.
    stretch = Window(center=(low + high) / 2, width=high - low, bits=1)
    pictures: dict[str, list[Tensor]] = {"whole": [], "stretched": [], "first": []}
    levels, errors = [], []
    for k in bits_kept:
        step = f"{{_target_: ablate.data.preprocessing.Quantize, bits_kept: {k}}}"
        whole = lab.run("preprocessing=quantize", f"preprocessing.steps.quantize.bits_kept={k}").preprocessing(images)
        first = lab.run("preprocessing=window", f"+preprocessing.steps.quantize={step}").preprocessing(images)
        results = {"whole": whole, "stretched": stretch(whole), "first": first}
        for name, result in results.items():
            pictures[name].append(result[list(shown)].permute(0, 2, 3, 1))
        pair = (results["stretched"], first)
        levels.append([len(result.unique()) for result in pair])
        errors.append([(result - exact)[within].double().square().mean().sqrt().item() for result in pair])
    counts, _ = np.histogram(intensity.numpy(), bins=256, range=(0, 1))
    return {
        **{name: np.stack([one.numpy() for one in found]) for name, found in pictures.items()},
        "levels": np.array(levels).T,
        "errors": np.array(errors).T,
        "bits_kept": np.array(bits_kept),
        "bits": np.array(dataset.bits),
        "window": np.array([low, high]),
        "histogram": counts / counts.sum(),
        "inside": within.double().mean().numpy(),
    }


def window_ends(run: Run, bits: int) -> tuple[float, float]:
    """Return both ends of the window of a run's preprocessing, as fractions of the range."""
    window, maximum = run.preprocessing.steps["window"], 2**bits - 1
    return window.lower / maximum, (window.lower + window.width) / maximum


def draw(arrays: Arrays) -> Figure:
    """Draw the images by bits kept, in three rows, and below the intensities, the levels left and the errors."""
    bits_kept = arrays["bits_kept"]
    figure = new_figure(11, 6.4)
    grid = figure.add_gridspec(2, 1, height_ratios=[2, 1])
    maps = grid[0].subgridspec(3, len(bits_kept), wspace=0.03, hspace=0.03).subplots(squeeze=False)
    rows = (
        ("whole", "whole range,\nrounded"),
        ("stretched", "the same,\nwindow cut out"),
        ("first", "window first,\nrounded"),
    )
    for row, (name, label) in enumerate(rows):
        for k, bits in enumerate(bits_kept):
            ax = maps[row, k]
            ax.imshow(_side_by_side(arrays[name][k]), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
            if row == 0:
                ax.set_title(f"{bits} bits", loc="center")
        maps[row, 0].set_ylabel(label, color=INK)
    intensities, levels, errors = grid[1].subgridspec(1, 3).subplots(squeeze=False).flatten()
    _draw_intensities(intensities, arrays)
    coarser = bits_kept < arrays["bits"]
    for i, order in enumerate(ORDERS):
        levels.plot(bits_kept, arrays["levels"][i], color=COLOURS[i], marker="o", markersize=4, label=order)
        errors.plot(bits_kept[coarser], arrays["errors"][i][coarser], color=COLOURS[i], marker="o", markersize=4)
    levels.set_yscale("log", base=2)
    powers = 2 ** np.arange(1, np.log2(arrays["levels"].max()) + 1, 2).astype(int)
    levels.set_yticks(powers, [str(power) for power in powers])
    levels.set(ylim=(None, 32 * arrays["levels"].max()), title="distinct values in the window")  # room for the legend
    levels.legend(loc="upper left", fontsize=8, borderpad=0, labelspacing=0.2)
    errors.set_yscale("log")
    decade_ticks(errors.yaxis)
    errors.set(title="error in the window (rms, of its width)")
    for ax in (levels, errors):
        ax.set_xticks(sorted(bits_kept), [str(bits) for bits in sorted(bits_kept)])
        ax.set_xlabel("bits kept")
    return figure


def _side_by_side(images: np.ndarray) -> np.ndarray:
    """Return images (V, H, W, C) as one, white columns between them."""
    gap = np.ones_like(images[0][:, :1])
    parts = [part for image in images for part in (image, gap)][:-1]
    return np.concatenate(parts, axis=1)


def _draw_intensities(ax: Axes, arrays: Arrays) -> None:
    low, high = arrays["window"]
    ax.axvspan(low, high, color=SHADE)
    edges = np.linspace(0, 1, len(arrays["histogram"]) + 1)
    ax.stairs(arrays["histogram"], edges, fill=True, color=COLOURS[0])
    ax.text(high + 0.02, 0.9, "window", transform=ax.get_xaxis_transform(), fontsize=8.5)
    ax.set_yscale("log")
    decade_ticks(ax.yaxis)
    ax.set(xlim=(0, 1), xlabel="intensity, as a fraction of the range", title="share of pixels")


def caption(arrays: Arrays) -> str:
    """Return what the figure shows."""
    low, high = arrays["window"]
    rows = [
        f"{late} and {early} at {bits} bits"
        for bits, late, early in zip(arrays["bits_kept"], *arrays["levels"], strict=True)
        if bits < arrays["bits"]
    ]
    return (
        f"Images of {arrays['bits']} bits, {100 * arrays['inside']:.0f} % of whose pixels lie in a window of "
        f"{100 * (high - low):.3g} % of the range (shaded). Distinct values left of the window, the black and white of "
        f"what lies outside included, if the whole range is rounded and if the window comes first: {', '.join(rows)}. "
        "Errors are taken over the pixels inside the window, against the window of the images as they are."
    )

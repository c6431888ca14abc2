"""Uncertainty of a net with dropout: entropies and loss on images that are rotated and shifted."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ablate.errors import UserError
from ablate.report.phrases import plural
from ablate.report.plotting import COLOURS, MUTED, new_figure
from ablate.seeding import Streams
from ablate.training.lab import Arrays, Lab
from ablate.training.loop import monte_carlo, predict


def compute(lab: Lab, *, num_masks: int, angles: Sequence[float], shifts: Sequence[float]) -> Arrays:
    """Train one net with dropout and predict moved test images by weight scaling and by the mean over masks.

    Args:
        num_masks: T, at least 2.
        angles: of rotation about the centre, counterclockwise, in degrees.
        shifts: to the right, in pixels, at least 0 and below the side of the images.

    Returns:
        angles, shifts; for each of rotation and shift, with M its values: <move>_scaled (3, M) of weight scaling and
        <move>_sampled (3, M) of the mean over masks, rows accuracy, predictive entropy H[mean p] and loss in nats,
        means over the test images; <move>_information (M,), H[mean p] - mean H[p], the part of the entropy that
        comes from the masks; num_test, num_masks, num_classes.

    Raises:
        UserError: an argument is out of range, or the net has no dropout.

    Source: Gal & Ghahramani 2016 (arXiv:1506.02142); for the split of the entropy Houlsby et al. 2011
    (arXiv:1112.5745).
    """
    run = lab.run()
    if num_masks < 2:
        raise UserError(f"`figure.num_masks` must be at least 2, got {num_masks}")
    side = lab.dataset(run).image_shape[2]
    if any(not 0 <= shift < side for shift in shifts):
        raise UserError(f"`figure.shifts` must lie in [0, {side}) pixels, got {list(shifts)}")
    lab.expect(1 + len(angles) + len(shifts))
    lab.step(f"training for {plural(run.epochs, 'epoch')}")
    state = lab.train(run)
    if not any(hasattr(layer, "monte_carlo") for layer in state.net.modules()):
        raise UserError(f"this figure needs a net with dropout, got dropout={run.levels['dropout']}")
    test, streams = state.dataset.test, Streams(run.seed)
    arrays: Arrays = {"angles": np.array(angles, dtype=float), "shifts": np.array(shifts, dtype=float)}
    for name, moves in (("rotation", [(a, 0.0) for a in angles]), ("shift", [(0.0, s) for s in shifts])):
        columns = []
        for angle, shift in moves:
            lab.step(f"{name} of {angle:g} degrees" if name == "rotation" else f"{name} of {shift:g} pixels")
            images = move(test.images, angle, shift)
            scaled = predict(state.net, images, batch_size=run.eval_batch_size, precision="fp32", streams=streams)
            with monte_carlo(state.net, active=True) as dropouts, torch.no_grad():
                samples = []
                for sample in range(num_masks):
                    for path, layer in dropouts:
                        layer.reseed(streams.key("monte_carlo", path, sample))
                    samples.append(F.log_softmax(state.net(images), dim=1).double())
            columns.append(
                measure(scaled.double()[None], test.labels)[:-1] + measure(torch.stack(samples), test.labels)
            )
        found = np.array(columns).T
        arrays |= {f"{name}_scaled": found[:3], f"{name}_sampled": found[3:6], f"{name}_information": found[6]}
    return {
        **arrays,
        "num_test": np.array(len(test)),
        "num_masks": np.array(num_masks),
        "num_classes": np.array(state.dataset.num_classes),
    }


def move(images: Tensor, angle: float, shift: float) -> Tensor:
    """Return images rotated about their centre and shifted to the right, bilinear, mirrored beyond their edges.

    Args:
        images: (N, C, H, W), H = W.
        angle: degrees, counterclockwise.
        shift: pixels.

    Returns:
        float32 images; those of quarter turns and of whole pixels are those of indexing, up to rounding.

    Example:
        >>> move(torch.arange(9.0).reshape(1, 1, 3, 3), angle=90, shift=0).round()
        tensor([[[[2., 5., 8.],
                  [1., 4., 7.],
                  [0., 3., 6.]]]])
    """
    turn = math.radians(angle)
    # affine_grid asks where an output pixel comes from, in units of half the side, the y axis pointing down.
    theta = torch.tensor(
        [
            [math.cos(turn), -math.sin(turn), -2 * shift / images.shape[3]],
            [math.sin(turn), math.cos(turn), 0.0],
        ],
        device=images.device,
    )
    grid = F.affine_grid(theta.expand(len(images), 2, 3), list(images.shape), align_corners=False)
    return F.grid_sample(images.float(), grid, padding_mode="reflection", align_corners=False)


def measure(log_probs: Tensor, labels: Tensor) -> list[float]:
    """Return accuracy, entropy H[mean p] and loss of the mean over the samples, and H[mean p] - mean H[p], in nats.

    Args:
        log_probs: (T, N, K).
        labels: (N,).
    """
    mean = torch.logsumexp(log_probs, dim=0) - math.log(len(log_probs))
    entropy = _entropy(mean)
    accuracy = (mean.argmax(1) == labels).double().mean()
    parts = (accuracy, entropy, F.nll_loss(mean, labels), entropy - _entropy(log_probs))
    return [part.item() for part in parts]


def _entropy(log_probs: Tensor) -> Tensor:
    return -(log_probs.exp() * log_probs).sum(-1).mean()


def draw(arrays: Arrays) -> Figure:
    """Draw a row a movement: accuracy, entropies and loss against its size."""
    figure = new_figure(11, 5.4)
    axes = figure.subplots(2, 3, sharey="col")
    rows = (("rotation", "angles", "Rotation, degrees"), ("shift", "shifts", "Shift, pixels"))
    for row, (name, key, label) in zip(axes, rows, strict=True):
        x: NDArray[np.float64] = arrays[key]
        for k, ax in enumerate(row):
            ax.plot(
                x, arrays[f"{name}_sampled"][k], color=COLOURS[0], marker="o", markersize=4, label="mean over masks"
            )
            ax.plot(x, arrays[f"{name}_scaled"][k], color=COLOURS[1], marker="s", markersize=4, label="weight scaling")
            ax.set_xlabel(label)
            ax.grid(axis="y")
        row[1].plot(
            x, arrays[f"{name}_information"], color=COLOURS[2], marker="^", markersize=4, linestyle=":",
            label="part of it due to the masks",
        )  # fmt: skip
        row[1].axhline(math.log(arrays["num_classes"]), color=MUTED, linewidth=0.9, linestyle=(0, (4, 2)))
        row[0].axhline(1 / arrays["num_classes"], color=MUTED, linewidth=0.9, linestyle=(0, (4, 2)))
        row[2].axhline(math.log(arrays["num_classes"]), color=MUTED, linewidth=0.9, linestyle=(0, (4, 2)))
    for ax, title in zip(axes[0], ("Accuracy", "Predictive entropy, nats", "Loss, nats"), strict=True):
        ax.set_title(title)
        ax.set_ylim(bottom=0)
    for ax in axes[0]:
        ax.xaxis.set_major_locator(MultipleLocator(45))
    figure.legend(*axes[0, 1].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def caption(arrays: Arrays) -> str:
    """Return what the figure shows."""
    places = [f"at {arrays['angles'][0]:g} degrees {_described(arrays, 'rotation', 0)}"]
    for name, key, unit in (("rotation", "angles", "degrees"), ("shift", "shifts", "pixels")):
        worst = int(np.argmin(arrays[f"{name}_scaled"][0]))
        places.append(f"at {arrays[key][worst]:g} {unit} (lowest accuracy) {_described(arrays, name, worst)}")
    return (
        f"One net with dropout on {arrays['num_test']} test images, rotated or shifted, edges mirrored; dashed: "
        f"guessing. Mean over {arrays['num_masks']} masks | weight scaling: {'; '.join(places)}."
    )


def _described(arrays: Arrays, name: str, place: int) -> str:
    pairs = zip(
        ("accuracy", "entropy", "loss"),
        arrays[f"{name}_sampled"][:, place],
        arrays[f"{name}_scaled"][:, place],
        strict=True,
    )
    return ", ".join(f"{label} {sampled:.2f} | {scaled:.2f}" for label, sampled, scaled in pairs)

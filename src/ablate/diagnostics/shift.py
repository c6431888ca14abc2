"""Shift: what a net answers when the image is moved by a few pixels."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ablate.diagnostics.calibration import log_probabilities
from ablate.diagnostics.probe import Probe, probing
from ablate.errors import UserError
from ablate.training.scoring import answers, hits

DIRECTIONS = ((0, 1), (0, -1), (1, 0), (-1, 0))  # down and right count positive


def shift(probe: Probe, *, shifts: Sequence[int] = (1, 2, 4), num_images: int = 500) -> dict[str, Tensor]:
    """Measure accuracy and constancy of the answers at inference, on the first held-out images, moved.

    Formulas: the accuracy A_s on the images moved by s pixels, averaged over the four directions; A_s / A_0; the share
    of the moved images that get the class they get unmoved.

    Args:
        shifts: the s in pixels, from 0 to the image size less 1; what enters at an edge is its reflection.
        num_images: at most so many are looked at.

    Returns:
        accuracy/<s>, accuracy/0: A_s, in [0, 1].
        relative/<s>: A_s / A_0, in [0, inf]; nan where A_0 and A_s are 0.
        agreement/<s>: in [0, 1].
        An output that is not finite is no answer: no hit, and in agreement with nothing.

    Raises:
        UserError: if an image is too small for a shift, or a shift is negative.

    Source: Azulay & Weiss 2018 (arXiv:1805.12177).

    Cost: a forward pass of these images, and four for every shift.
    """
    images, labels = probe.held_out.images[:num_images], probe.held_out.labels[:num_images]
    if any(not 0 <= s < min(images.shape[2:]) for s in shifts):
        raise UserError(
            f"`shifts` must lie between 0 and the image size {images.shape[2]}x{images.shape[3]} less 1, "
            f"got {list(shifts)}"
        )
    with probing(probe.net, inference=True):
        unmoved = log_probabilities(probe.net, images)
        outputs = {
            s: torch.cat([log_probabilities(probe.net, moved(images, s * y, s * x)) for y, x in DIRECTIONS])
            for s in shifts
        }
    accuracy = hits(unmoved, labels).mean()
    first = answers(unmoved).repeat(len(DIRECTIONS))
    found = {"accuracy/0": accuracy}
    for s, log_probs in outputs.items():
        found[f"accuracy/{s}"] = hits(log_probs, labels.repeat(len(DIRECTIONS))).mean()
        found[f"relative/{s}"] = found[f"accuracy/{s}"] / accuracy
        found[f"agreement/{s}"] = ((answers(log_probs) == first) & (first >= 0)).double().mean()
    return found


def moved(images: Tensor, down: int, right: int) -> Tensor:
    """Return `images` (N, C, H, W) moved by so many pixels, the edges filled by reflection about the edge pixel."""
    return _moved(_moved(images, 2, down), 3, right)


def _moved(images: Tensor, axis: int, pixels: int) -> Tensor:
    last = images.shape[axis] - 1
    source = (torch.arange(last + 1, device=images.device) - pixels).abs()
    return images.index_select(axis, last - (last - source).abs())

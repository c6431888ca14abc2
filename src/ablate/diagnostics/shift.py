"""Shift: predictions for images moved by a few pixels."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ablate.diagnostics.calibration import log_probabilities
from ablate.diagnostics.probe import Probe, probing
from ablate.errors import UserError
from ablate.training.scoring import answers, hits

DIRECTIONS = ((0, 1), (0, -1), (1, 0), (-1, 0))  # down and right are positive


def shift(probe: Probe, *, shifts: Sequence[int] = (1, 2, 4), num_images: int = 500) -> dict[str, Tensor]:
    """Measure accuracy and agreement of the predictions for moved held-out images, at inference.

    Formulas: the accuracy A_s on the images moved by s pixels, averaged over the four directions; A_s / A_0; the share
    of moved images with the same prediction as the unmoved one.

    Args:
        shifts: the s in pixels, from 0 to the image size less 1; edges are filled by reflection.
        num_images: maximum number of images, the first ones.

    Returns:
        accuracy/<s>, accuracy/0: A_s, in [0, 1].
        relative/<s>: A_s / A_0, in [0, inf]; nan if A_0 and A_s are 0.
        agreement/<s>: in [0, 1].
        A non-finite output counts as no hit and no agreement.

    Raises:
        UserError: if an image is too small for a shift, or a shift is negative.

    Source: Azulay & Weiss 2018 (arXiv:1805.12177).

    Cost: a forward pass of these images, and four for every shift.

    Example:
        >>> from ablate.diagnostics.probe import example_probe
        >>> list(shift(example_probe(), shifts=[1]))
        ['accuracy/0', 'accuracy/1', 'relative/1', 'agreement/1']
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
    """Return `images` (N, C, H, W) moved by some pixels, the edges filled by reflection about the edge pixel.

    Example:
        >>> moved(torch.arange(4.0).view(1, 1, 1, 4), down=0, right=1).flatten().tolist()
        [1.0, 0.0, 1.0, 2.0]
    """
    return _moved(_moved(images, 2, down), 3, right)


def _moved(images: Tensor, axis: int, pixels: int) -> Tensor:
    last = images.shape[axis] - 1
    source = (torch.arange(last + 1, device=images.device) - pixels).abs()
    return images.index_select(axis, last - (last - source).abs())

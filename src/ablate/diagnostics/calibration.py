"""Calibration on held-out images: whether a confidence of 90 % means an accuracy of 90 %."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ablate.diagnostics.probe import Probe, probing
from ablate.errors import UserError
from ablate.training.scoring import hits

BATCH_SIZE = 500  # images per pass; changes only the speed


def calibration(probe: Probe, *, num_images: int = 1000, num_bins: int = 15) -> dict[str, Tensor]:
    """Measure calibration and uncertainty at inference, on the first held-out images.

    Formulas: see `expected_calibration_error`; entropy = mean of -sum_k p_k log p_k; Brier score = mean of
    sum_k (p_k - y_k)^2, with y one-hot.

    Args:
        num_images: maximum number of images.
        num_bins: M, of equal width.

    Returns:
        ece: in [0, 1].
        entropy: in nats, in [0, log num_classes].
        brier: in [0, 2].
        All are nan if an output is not finite: such an image has no probabilities.

    Raises:
        UserError: if there is no bin.

    Source: Guo et al. 2017 (arXiv:1706.04599), section 2; Brier 1950 (Monthly Weather Review 78).

    Cost: one forward pass of these images.

    Example:
        >>> from ablate.diagnostics.probe import example_probe
        >>> sorted(calibration(example_probe()))
        ['brier', 'ece', 'entropy']
    """
    labels = probe.held_out.labels[:num_images]
    with probing(probe.net, inference=True):
        log_probs = log_probabilities(probe.net, probe.held_out.images[:num_images])
    probs = log_probs.exp()
    return {
        "ece": expected_calibration_error(probs.amax(1), hits(log_probs, labels), num_bins),
        "entropy": torch.special.entr(probs).sum(1).mean(),
        "brier": (probs - F.one_hot(labels, probs.shape[1])).square().sum(1).mean(),
    }


@torch.no_grad()
def log_probabilities(net: nn.Module, images: Tensor) -> Tensor:
    """Return the log-probabilities (N, num_classes) of `images`, float64, in the mode the net is in.

    Example:
        >>> log_probabilities(nn.Flatten(), torch.zeros(2, 1, 1, 4)).exp()[0]
        tensor([0.2500, 0.2500, 0.2500, 0.2500], dtype=torch.float64)
    """
    with torch.autocast(images.device.type, enabled=False):
        logits = torch.cat([net(batch) for batch in images.split(BATCH_SIZE)])
    return F.log_softmax(logits.double(), dim=1)


def expected_calibration_error(confidence: Tensor, correct: Tensor, num_bins: int = 15) -> Tensor:
    """Return the mean gap between confidence and accuracy over bins of the confidence.

    Formula: sum over m = 1 .. M of |B_m| / N |acc(B_m) - conf(B_m)|, B_m the images whose confidence lies in
    ((m - 1) / M, m / M].

    Args:
        confidence: (N,), probability of the predicted class, in (0, 1].
        correct: (N,), whether that class is right, or a score in [0, 1].
        num_bins: M.

    Raises:
        UserError: if there is no bin.

    Source: Guo et al. 2017 (arXiv:1706.04599), section 2.

    Example:
        >>> round(expected_calibration_error(torch.tensor([0.9, 0.9]), torch.tensor([1.0, 0.0])).item(), 3)
        0.4
    """
    if num_bins < 1:
        raise UserError(f"`num_bins` must be at least 1, got {num_bins}")
    # A confidence of nan, from a net that diverged, belongs to no bin; put in the first, it makes the result nan.
    bins = ((confidence * num_bins).ceil() - 1).nan_to_num(0).clamp(0, num_bins - 1).long()
    # |B_m| (acc - conf) is a sum over the images of a bin.
    gaps = (correct.to(confidence.dtype) - confidence) @ F.one_hot(bins, num_bins).to(confidence.dtype)
    return gaps.abs().sum() / len(confidence)

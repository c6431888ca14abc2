"""Gradient noise: the batch size at which noise and signal in the gradient are equal."""

import math

import torch
from torch import Tensor

from ablate.diagnostics.curvature import flat
from ablate.diagnostics.probe import Probe, probing, run_pass
from ablate.errors import UserError


def gradient_noise(probe: Probe, *, batch_size: int = 32, inference: bool = False) -> dict[str, Tensor]:
    """Measure the simple noise scale of the gradient.

    Formula: B = tr(Sigma) / |G|^2, with G the expected gradient and Sigma the covariance of one image's gradient, both
    estimated by `noise_and_signal` from batches of the probe: tr(Sigma) from random batches, as in training, |G|^2 from
    batches in the probe's order. That order may balance the classes (`data.dataset`); then the probe's mean gradient
    has no noise of random class counts, and none may be subtracted from it.

    Args:
        batch_size: b, images per batch, best a few times the number of classes; at most half the probe's images.
        inference: whether batch norm uses its running statistics. If not, each batch has its own, the
            gradients of its images depend on each other, and Sigma is b times the covariance of b images' gradient.

    Returns:
        scale: B, in images, in [0, inf]; in batches much smaller noise dominates; inf if the signal is not above 0.
        noise: tr(Sigma), in squared nats per squared unit of weight, in [0, inf).
        signal: |G|^2, in the same unit; an unbiased estimate, so it may be negative.
        The scale is a ratio of two uncertain numbers: to smooth it, average noise and signal first.

    Raises:
        UserError: if the probe holds fewer than two batches.

    Source: McCandlish et al. 2018 (arXiv:1812.06162), section 2.2 and appendix A.1.

    Cost: two forward and backward passes, in batches.

    Example:
        >>> from ablate.diagnostics.probe import example_probe
        >>> list(gradient_noise(example_probe(), batch_size=4))
        ['scale', 'noise', 'signal']
    """
    num_images = len(probe.images)
    if not 1 <= batch_size <= num_images // 2:
        raise UserError(
            f"`diagnostics.known.gradient_noise.batch_size` must leave at least two batches of the {num_images} images "
            f"of the probe, got {batch_size}; lower it, or raise diagnostics.num_images"
        )
    generator = probe.generator("gradient_noise")
    shuffled = torch.randperm(num_images, generator=generator, device=generator.device)
    with probing(probe.net, inference=inference):
        noise, _ = noise_and_signal(_gradients(probe, shuffled, batch_size), batch_size)
        in_order = torch.arange(num_images, device=generator.device)
        _, signal = noise_and_signal(_gradients(probe, in_order, batch_size), batch_size)
    return {"scale": torch.where(signal > 0, noise / signal, math.inf), "noise": noise, "signal": signal}


def _gradients(probe: Probe, order: Tensor, batch_size: int) -> Tensor:
    """Return the gradients (n, P) of the full batches of the probe's images in this order."""
    batches = [chosen for chosen in order.split(batch_size) if len(chosen) == batch_size]
    passes = (run_pass(probe.net, probe.images[chosen], probe.labels[chosen]) for chosen in batches)
    return torch.stack([flat(one.gradients.values()) for one in passes])


def noise_and_signal(gradients: Tensor, batch_size: int) -> tuple[Tensor, Tensor]:
    """Return the unbiased estimates of tr(Sigma) and |G|^2.

    Formula, over n batches of b images with gradients g_k of mean g: tr(Sigma) = b / (n - 1) sum |g_k - g|^2 and
    |G|^2 = |g|^2 - tr(Sigma) / (n b). This equals the estimate from the squared norms at the two batch sizes b and n b.

    Args:
        gradients: (n, P), of the mean loss over each batch, n at least 2.
        batch_size: b.

    Example:
        >>> noise, signal = noise_and_signal(torch.tensor([[1.0], [3.0]]), batch_size=4)
        >>> noise.item(), signal.item()
        (8.0, 3.0)
    """
    mean = gradients.mean(0)
    noise = batch_size * (gradients - mean).square().sum() / (len(gradients) - 1)
    return noise, mean.square().sum() - noise / (len(gradients) * batch_size)

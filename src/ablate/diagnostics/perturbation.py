"""Perturbation: effect of small steps of all weights, random or along the outputs' gradients, on the predictions."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ablate.diagnostics.curvature import Batch, flat
from ablate.diagnostics.output_moments import moment_gradients
from ablate.diagnostics.probe import Probe, probing
from ablate.errors import UserError
from ablate.seeding import Streams


def perturbation(probe: Probe, *, relative_length: float = 0.01, inference: bool = False) -> dict[str, Tensor]:
    """Measure how the predictions change when the weights move by a share of their norm.

    Formula: the trainable parameters theta, as one vector, move by `relative_length` |theta|: in one random direction,
    drawn with the run's seed, and along +g_k for each of the K classes, g_k the gradient of the mean of logit k over
    the probe's images. The predicted class is the largest logit, on the same images.

    Args:
        relative_length: above 0.
        inference: whether batch norm uses its running statistics, as constants ("frozen"), or those of the batch.

    Returns:
        random: share of images whose predicted class changes by the random step.
        targeted: share of images predicted as k after the step along g_k, mean over k.
        unchanged: the same share without a step, for comparison: 1 / K, since each image is predicted as one class.
        changed_targeted: share of images whose predicted class changes by the step along g_k, mean over k.
        All lie in [0, 1], and are nan if a logit is not finite.

    Raises:
        UserError: `relative_length` is not above 0.

    Source: D. Page 2019, How to train your ResNet 7: Batch norm (myrtle.ai).

    Cost: K + 4 forward and K backward passes.

    Example:
        >>> from ablate.diagnostics.probe import example_probe
        >>> list(perturbation(example_probe()))
        ['random', 'targeted', 'unchanged', 'changed_targeted']
    """
    if not relative_length > 0:
        raise UserError(f"`relative_length` of perturbation must be above 0, got {relative_length}")
    device = probe.images.device
    generator = Streams(probe.seed).generator("diagnostics", "perturbation", device=device)
    with probing(probe.net, inference=inference), torch.autocast(device.type, enabled=False):
        steps = moves(probe.net, [(probe.images, probe.labels)], relative_length, generator)
        logits = torch.stack([moved_logits(probe.net, probe.images, step) for step in steps])
    here, random, *along = logits.argmax(-1)
    found = {
        "random": share(random != here),
        "targeted": torch.stack([share(there == k) for k, there in enumerate(along)]).mean(),
        "unchanged": torch.stack([share(here == k) for k in range(len(along))]).mean(),
        "changed_targeted": torch.stack([share(there != here) for there in along]).mean(),
    }
    return {key: torch.where(logits.isfinite().all(), value, math.nan) for key, value in found.items()}


def moves(net: nn.Module, batches: Sequence[Batch], relative_length: float, generator: torch.Generator) -> Tensor:
    """Return the steps (2 + K, P) from the weights theta: zero, one in a random direction, and one along every g_k.

    Args:
        net: in the mode it is in (see `probing`); P counts its trainable parameters, in their order.
        batches: over which the gradients g_k of the mean logits are taken.
        relative_length: of the steps, in units of |theta|; for a g_k of 0 the step is 0.
        generator: for the random direction.
    """
    weights = flat(p.detach() for p in net.parameters() if p.requires_grad)
    random = torch.randn(len(weights), generator=generator, device=generator.device).to(weights)
    directions = torch.stack([random, *moment_gradients(net, batches, order=1)[0]])
    lengths = directions.norm(dim=1, keepdim=True).clamp(min=torch.finfo(weights.dtype).tiny)
    return torch.cat([torch.zeros_like(weights)[None], relative_length * weights.norm() * directions / lengths])


@torch.no_grad()
def moved_logits(net: nn.Module, images: Tensor, step: Tensor) -> Tensor:
    """Return the logits (N, K) with `step` (P,) added to the trainable parameters, which are not modified."""
    here = {name: p for name, p in net.named_parameters() if p.requires_grad}
    parts = step.split([p.numel() for p in here.values()])
    there = {name: p + part.view(p.shape) for (name, p), part in zip(here.items(), parts, strict=True)}
    logits: Tensor = functional_call(net, there, (images,))
    return logits


def share(chosen: Tensor) -> Tensor:
    """Return the share of the entries that are true, float64."""
    return chosen.double().mean()

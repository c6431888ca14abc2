"""Landscape: how loss and gradient change along the gradient, over the length of a training step."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from ablate.diagnostics.curvature import Loss, flat
from ablate.diagnostics.probe import Probe, probing
from ablate.errors import UserError


class Slice(NamedTuple):
    """Loss and gradient along the line w - step g from the weights w, g the gradient there, of S steps.

    Args:
        loss: at w, 0-d.
        gradient_norm: |g|, 0-d.
        losses: (S,) at w - step g.
        gradient_changes: (S,) |g(w - step g) - g|.
        smoothness: (S,) |g(w - step g) - g| / (step |g|), the effective beta at that distance.
    """

    loss: Tensor
    gradient_norm: Tensor
    losses: Tensor
    gradient_changes: Tensor
    smoothness: Tensor


def landscape(
    probe: Probe, *, lr: float, factors: Sequence[float] = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0)
) -> dict[str, Tensor]:
    """Measure how much loss and gradient change along the probe's gradient.

    Formulas: of `Slice`, at the steps factor * lr.

    Args:
        lr: learning rate of the training, above 0.
        factors: step lengths in units of `lr`, above 0.

    Returns:
        loss_min, loss_max: smallest and largest loss over the steps, in nats, at least 0.
        loss_variation: their difference, in nats, at least 0.
        gradient_variation: largest change of the gradient over the steps, in [0, inf); small means that the
            gradient predicts well.
        beta: largest ratio of the gradient's change to the distance moved, in [0, inf).

    Source: Santurkar et al. 2018 (arXiv:1805.11604), section 3.1.

    Cost: one forward and backward pass more than there are factors.

    Example:
        >>> from ablate.diagnostics.probe import example_probe
        >>> list(landscape(example_probe(), lr=0.1))
        ['loss_min', 'loss_max', 'loss_variation', 'gradient_variation', 'beta']
    """
    with probing(probe.net):
        found = along_gradient(probe.net, probe.images, probe.labels, steps=[lr * factor for factor in factors])
    low, high = found.losses.min(), found.losses.max()
    return {
        "loss_min": low,
        "loss_max": high,
        "loss_variation": high - low,
        "gradient_variation": found.gradient_changes.max(),
        "beta": found.smoothness.max(),
    }


def along_gradient(
    net: nn.Module, images: Tensor, labels: Tensor, *, steps: Sequence[float], loss: Loss = F.cross_entropy
) -> Slice:
    """Return loss and gradient along the gradient, in the mode the net is in (see `probing`); no parameter is written.

    Args:
        steps: S factors on the gradient, above 0.
        loss: of logits and labels.

    Raises:
        UserError: if there is no step, or one is not above 0.

    Example:
        >>> from ablate.diagnostics.probe import example_probe
        >>> probe = example_probe()
        >>> found = along_gradient(probe.net, probe.images, probe.labels, steps=[0.1, 0.2])
        >>> found.losses.shape, bool((found.losses < found.loss).all())
        (torch.Size([2]), True)
    """
    if not steps or any(not step > 0 for step in steps):
        raise UserError(f"`steps` along the gradient must be at least one number above 0, got {list(steps)}")
    here = {name: p.detach() for name, p in net.named_parameters() if p.requires_grad}
    value, gradient = _loss_and_gradient(net, here, images, labels, loss)
    norm = flat(gradient.values()).norm()
    losses, changes = [], []
    for step in steps:
        there = {name: p - step * gradient[name] for name, p in here.items()}
        moved_value, moved_gradient = _loss_and_gradient(net, there, images, labels, loss)
        losses.append(moved_value)
        changes.append(flat(moved_gradient[name] - gradient[name] for name in here).norm())
    gradient_changes = torch.stack(changes)
    distances = norm * torch.tensor(steps, dtype=norm.dtype, device=norm.device)
    return Slice(value, norm, torch.stack(losses), gradient_changes, gradient_changes / distances)


def _loss_and_gradient(
    net: nn.Module, parameters: dict[str, Tensor], images: Tensor, labels: Tensor, loss: Loss
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the loss with `parameters` instead of the net's, and its gradient by them."""
    leaves = {name: p.detach().requires_grad_() for name, p in parameters.items()}
    with torch.enable_grad(), torch.autocast(images.device.type, enabled=False):
        value = loss(functional_call(net, leaves, (images,)), labels)
        gradient = torch.autograd.grad(value, list(leaves.values()))
    return value.detach(), dict(zip(leaves, gradient, strict=True))

"""One sign: whether all weight gradients of a unit have the same sign, as with inputs of one sign."""

import functools
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ablate.diagnostics.probe import Probe, mean_of, probing
from ablate.errors import UserError


class Affine(NamedTuple):
    """One affine layer in a pass: its inputs x, and the gradient of the mean loss by its outputs z = W x + b."""

    layer: nn.Conv2d | nn.Linear
    inputs: Tensor
    gradient: Tensor


def one_sign(probe: Probe, *, num_samples: int = 32) -> dict[str, Tensor]:
    """Measure how many units have gradients of one sign by all their weights: for each image, and for the batch.

    Formula: the gradient by the weights of unit o is dL/dw_o = sum over images i and positions p of dL/dz_iop x_ip. A
    fully connected layer has one position: if x_i has one sign, so has image i's term, whatever dL/dz. The terms of
    several images or positions differ in the sign of dL/dz, so a batch, and a convolution, need not have one sign.
    Entries that are 0 (e.g. for inputs of 0) have no sign, and a unit with no other entries is left out.

    Args:
        num_samples: how many of the probe's images are measured one by one; the batch is always the whole probe.
            Image i's term is taken from the batch's gradient, so that batch norm has its usual statistics.

    Returns:
        sample/<layer>, batch/<layer>: share of units whose gradient entries all have one sign, in [0, 1].
        sample_majority/<layer>, batch_majority/<layer>: share of a unit's entries that have the more frequent sign, the
            mean over units, in [0.5, 1]; about 0.5 + 0.4 / sqrt(n) for n independent signs.
        sample/mean, ...: over the layers. nan if a layer has no gradient.

    Raises:
        UserError: if there is no sample.

    Source: LeCun et al. 1998, "Efficient BackProp", section 4.3.

    Cost: one forward and backward pass, and one more of the weights' gradients, taken image by image.

    Example:
        >>> from ablate.diagnostics.probe import example_probe
        >>> list(one_sign(example_probe()))[:3]
        ['sample/conv1_1', 'sample/fc1', 'sample/classifier']
    """
    if num_samples < 1:
        raise UserError(f"`num_samples` must be at least 1, got {num_samples}")
    found: dict[str, dict[str, Tensor]] = {"sample": {}, "sample_majority": {}, "batch": {}, "batch_majority": {}}
    with probing(probe.net):
        affines = affine_pass(probe.net, probe.images, probe.labels)
    for name, affine in affines.items():
        total = torch.zeros_like(affine.layer.weight).flatten(1)
        shares = []
        for i in range(len(probe.images)):
            own = weight_gradient(affine, i)
            total += own
            if i < num_samples:
                shares.append(majority(own))
        for key, share in (("sample", torch.cat(shares)), ("batch", majority(total))):
            found[key][name] = (share[~share.isnan()] == 1).double().mean()
            found[f"{key}_majority"][name] = share.nanmean()
    return {f"{key}/{name}": value for key, values in found.items() for name, value in mean_of(values).items()}


def affine_pass(net: nn.Sequential, images: Tensor, labels: Tensor) -> dict[str, Affine]:
    """Return the affine layers of `net` with their inputs and gradients in one pass, in the net's present mode."""
    entered: dict[str, tuple[Tensor, Tensor]] = {}
    layers = {name: layer for name, layer in net.named_children() if isinstance(layer, nn.Conv2d | nn.Linear)}

    def keep(name: str, layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        entered[name] = inputs[0], output
        return output.clone()  # an activation that works in place changes the clone

    hooks = [layer.register_forward_hook(functools.partial(keep, name)) for name, layer in layers.items()]
    try:
        with torch.enable_grad(), torch.autocast(images.device.type, enabled=False):
            loss = F.cross_entropy(net(images), labels)
            gradients = torch.autograd.grad(loss, [z for _, z in entered.values()])
    finally:
        for hook in hooks:
            hook.remove()
    return {
        name: Affine(layers[name], x.detach(), gradient)
        for (name, (x, _)), gradient in zip(entered.items(), gradients, strict=True)
    }


def weight_gradient(affine: Affine, i: int) -> Tensor:
    """Return image i's term (num_units, fan_in) of the gradient by the weights that multiply the inputs.

    It is one matrix product over the positions: library convolutions may round an entry that is 0 to another sign.
    """
    layer, x, gradient = affine.layer, affine.inputs[i], affine.gradient[i]
    if isinstance(layer, nn.Linear):
        return torch.outer(gradient, x)
    assert layer.groups == 1 and not isinstance(layer.padding, str)
    patches = F.unfold(x[None], layer.kernel_size, layer.dilation, layer.padding, layer.stride)[0]
    return gradient.flatten(1) @ patches.T


def majority(gradient: Tensor) -> Tensor:
    """Return for each row the share of its entries other than 0 that have the more frequent sign; nan if none.

    Example:
        >>> majority(torch.tensor([[1.0, 2.0, 3.0, -1.0]])).item()
        0.75
    """
    positive, negative = (gradient > 0).sum(1), (gradient < 0).sum(1)
    return torch.maximum(positive, negative) / (positive + negative)

"""One sign: whether all weight gradients of a unit have the same sign, as with inputs of one sign."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ablate.diagnostics.probe import Probe, mean_of, probing
from ablate.errors import UserError
from ablate.nets.tracing import tracing

LAYERS = (nn.Conv2d, nn.Linear)


class Affine(NamedTuple):
    """An affine layer in a pass: for each call its inputs x, and the gradient of the mean loss by its outputs z."""

    layer: nn.Conv2d | nn.Linear
    inputs: list[Tensor]
    gradients: list[Tensor]


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


def affine_pass(net: nn.Module, images: Tensor, labels: Tensor) -> dict[str, Affine]:
    """Return the affine layers of `net` with inputs and gradients in one pass, in the net's present mode."""
    with torch.enable_grad(), torch.autocast(images.device.type, enabled=False):
        with tracing(net, values=False, affine_values=True) as trace:
            logits = net(images)
        calls = [call for call in trace.of("affine") if isinstance(call.module, LAYERS)]
        edges = [call.edge for call in calls if call.edge is not None]
        gradients = torch.autograd.grad(F.cross_entropy(logits, labels), edges, allow_unused=True)
    found: dict[str, Affine] = {}
    for call, gradient in zip(calls, gradients, strict=True):
        assert isinstance(call.module, LAYERS)
        affine = found.setdefault(call.path, Affine(call.module, [], []))
        if gradient is not None and call.inputs is not None:
            affine.inputs.append(call.inputs)
            affine.gradients.append(gradient)
    return found


def weight_gradient(affine: Affine, i: int) -> Tensor:
    """Return image i's term (num_units, fan_in) of the gradient by the weights that multiply the inputs.

    It is one matrix product over the positions: library convolutions may round an entry that is 0 to another sign.
    """
    total = torch.zeros_like(affine.layer.weight).flatten(1)
    for x, gradient in zip(affine.inputs, affine.gradients, strict=True):
        total += _term(affine.layer, x[i], gradient[i])
    return total


def _term(layer: nn.Conv2d | nn.Linear, x: Tensor, gradient: Tensor) -> Tensor:
    """Return what one call of a layer gives to the gradient of one image."""
    if isinstance(layer, nn.Linear):
        # A layer may be applied at several positions, such as the patches of an image.
        return gradient.reshape(-1, gradient.shape[-1]).T @ x.reshape(-1, x.shape[-1])
    padding: Any = layer.padding
    if isinstance(padding, str) or layer.padding_mode != "zeros":
        mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
        x, padding = F.pad(x[None], layer._reversed_padding_repeated_twice, mode=mode)[0], 0
    terms = []
    for maps, by_output in zip(x.chunk(layer.groups), gradient.flatten(1).chunk(layer.groups), strict=True):
        patches = F.unfold(maps[None], layer.kernel_size, layer.dilation, padding, layer.stride)[0]
        terms.append(by_output @ patches.T)
    return torch.cat(terms)


def majority(gradient: Tensor) -> Tensor:
    """Return for each row the share of its entries other than 0 that have the more frequent sign; nan if none.

    Example:
        >>> majority(torch.tensor([[1.0, 2.0, 3.0, -1.0]])).item()
        0.75
    """
    positive, negative = (gradient > 0).sum(1), (gradient < 0).sum(1)
    return torch.maximum(positive, negative) / (positive + negative)

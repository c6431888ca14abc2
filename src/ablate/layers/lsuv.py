"""LSUV: orthogonal weights, then each layer scaled to unit variance on a batch of data."""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from ablate.errors import UserError
from ablate.layers.batch_norm import batch_statistics
from ablate.layers.initialization import MakeGenerator, Orthogonal, weight_layers
from ablate.layers.weight_standardization import StandardizedConv2d, StandardizedLinear


@dataclass(frozen=True, kw_only=True)
class Lsuv:
    """Layer-sequential unit variance: each layer's weights, first to last, over the standard deviation of its output.

    The variance is taken over all values of a layer's output. As one bias value for all units does not change it and
    the layer is linear in its weights, one division is exact, and one forward pass is enough for the whole net: the
    paper's tolerance and number of iterations are not needed. A layer that is called several times is scaled at its
    first call. Batch norm uses batch statistics in this pass and
    keeps its running ones as at construction; dropout is inactive; modes are restored.

    Args:
        bias: value of all biases.

    Raises:
        UserError: if `bias` is None; when called, if a layer has standardized weights, whose scale is fixed, or the
            output of a layer has no positive, finite variance, or a layer is not called.

    Example:
        >>> net, images = nn.Linear(50, 20), torch.arange(3200.0).reshape(64, 50).sin()
        >>> Lsuv()(net, images, lambda path: torch.Generator().manual_seed(0))
        >>> round(net(images).var(correction=0).item(), 3)
        1.0

    Source: Mishkin & Matas 2015 (arXiv:1511.06422).
    """

    bias: float = 0.0

    def __post_init__(self) -> None:
        if self.bias is None:
            raise UserError("`bias` of lsuv must be one number, since drawn biases add to the variance, got None")

    @torch.no_grad()
    def __call__(self, net: nn.Module, batch: Tensor, make_generator: MakeGenerator) -> None:
        layers = weight_layers(net)
        for name, layer in layers:
            if isinstance(layer, StandardizedConv2d | StandardizedLinear):
                raise UserError(
                    f"initializer lsuv scales weights, but normalization weight_standardization fixes the scale of "
                    f"layer {name!r}; choose another initializer or normalization"
                )
        Orthogonal(gain="linear", bias=self.bias)(net, batch, make_generator)
        scaled: set[str] = set()
        hooks = [layer.register_forward_hook(partial(_rescale, scaled, name)) for name, layer in layers]
        try:
            with batch_statistics(net) as norms:
                net(batch)
        finally:
            for hook in hooks:
                hook.remove()
        for norm in norms:
            norm.reset_running_stats()
        if missed := [name for name, _ in layers if name not in scaled]:
            raise UserError(
                f"initializer lsuv needs the output of every layer, but {missed[0]!r} is not called in the forward "
                "pass; choose another initializer"
            )


def _rescale(scaled: set[str], name: str, layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
    """Divides the weights of `layer`, at its first call, by the standard deviation of its output; returns it anew."""
    if name in scaled:
        return output
    scaled.add(name)
    variance = output.var(correction=0).item()
    if not 0 < variance < float("inf"):
        raise UserError(f"lsuv cannot bring the output of layer {name!r} to variance 1, its variance is {variance}")
    assert isinstance(layer.weight, Tensor)
    layer.weight.div_(variance**0.5)
    return layer.forward(*inputs)

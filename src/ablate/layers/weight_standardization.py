"""Weight standardization: the normalization that acts on weights and leaves activations alone."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ablate.errors import UserError


def standardize(weight: Tensor, eps: float, gain: float | None) -> Tensor:
    """Weights with mean 0 and variance gain^2/fan_in for every output unit.

    Formula: gain / sqrt(fan_in) * (w - mean(w)) / sqrt(var(w) + eps), with the biased variance over the fan_in
    weights of a unit.

    Args:
        weight: (out, ...), with fan_in weights per unit.
        eps: added to the variance; it keeps the gradient finite where all weights of a unit are equal.
        gain: None leaves out gain / sqrt(fan_in), so that the variance is 1.

    Returns:
        A tensor of the shape of `weight`.

    Example:
        >>> standardize(torch.tensor([[1.0, 3.0]]), eps=0.0, gain=None)
        tensor([[-1.,  1.]])

    Source: Qiao et al. 2019 (arXiv:1903.10520) without the scale; Brock, De & Smith 2021 (arXiv:2101.08692) with it.
    """
    axes = tuple(range(1, weight.ndim))
    var, mean = torch.var_mean(weight, dim=axes, correction=0, keepdim=True)
    scale = 1.0 if gain is None else gain / weight[0].numel() ** 0.5
    return (weight - mean) * (scale * torch.rsqrt(var + eps))


class StandardizedConv2d(nn.Conv2d):
    """A convolution with the standardized form of its plain parameter `weight`; see `standardize`."""

    eps: float
    gain: float | None

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, standardize(self.weight, self.eps, self.gain), self.bias)


class StandardizedLinear(nn.Linear):
    """A linear map with the standardized form of its plain parameter `weight`; see `standardize`."""

    eps: float
    gain: float | None

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, standardize(self.weight, self.eps, self.gain), self.bias)


@dataclass(frozen=True, kw_only=True)
class WeightStandardization:
    """Normalization that adds no layer and standardizes the weights of the layers it wraps.

    Args:
        eps: added to the variance of the weights, positive.
        gain: scale of the weights, see `standardize`. The paper leaves it out because another normalization follows
            there; here none does, and without it the signal grows by sqrt(fan_in) at each layer. The default
            sqrt(2 / (1 - 1/pi)) keeps the variance through relu: the weights have mean 0, hence only the variance
            (1 - 1/pi)/2 of relu(z) reaches the next layer, not its second moment.

    Raises:
        UserError: if `eps` or `gain` is not positive.

    Example:
        >>> type(WeightStandardization().wrap(nn.Linear(4, 2))).__name__
        'StandardizedLinear'
    """

    eps: float = 1e-5
    gain: float | None = 1.7128585504496627

    def __post_init__(self) -> None:
        if not self.eps > 0:
            raise UserError(f"`eps` must be positive, got {self.eps}")
        if self.gain is not None and not self.gain > 0:
            raise UserError(f"`gain` must be positive, or null for the paper's unit variance, got {self.gain}")

    def __call__(self, num_features: int, ndim: int) -> None:
        return None

    def wrap(self, layer: nn.Module) -> StandardizedConv2d | StandardizedLinear:
        """Returns `layer`, a Conv2d or Linear, with standardized weights; its parameters stay the same objects."""
        standardized: StandardizedConv2d | StandardizedLinear
        # On the meta device the construction draws no random number.
        if isinstance(layer, nn.Conv2d):
            names = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups")
            shape: dict[str, Any] = {name: getattr(layer, name) for name in names}
            standardized = StandardizedConv2d(
                **shape, bias=layer.bias is not None, padding_mode=layer.padding_mode, device="meta"
            )
        elif isinstance(layer, nn.Linear):
            standardized = StandardizedLinear(
                layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta"
            )
        else:
            raise UserError(f"weight standardization takes a Conv2d or a Linear, got {type(layer).__name__}")
        standardized.weight, standardized.bias = layer.weight, layer.bias
        standardized.eps, standardized.gain = self.eps, self.gain
        return standardized

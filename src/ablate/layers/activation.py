"""The activations that torch lacks, and the gain that keeps the scale of a signal through any activation.

A level is a factory `() -> nn.Module` of a module that does not work in place. Where torch has the module, a file in
conf/activation is enough.
"""

import copy
import functools
import math

import torch
from torch import Tensor, nn

from ablate.errors import UserError


class LeCunTanh(nn.Module):
    """The scaled tangent f(x) = 1.7159 tanh(2x/3), for which f(1) = 1 and f(-1) = -1 to four digits.

    Example:
        >>> LeCunTanh()(torch.tensor([-1.0, 1.0])).round(decimals=3)
        tensor([-1.,  1.])

    Source: LeCun, Bottou, Orr & Müller 1998, Efficient BackProp, section 4.4.
    """

    def forward(self, x: Tensor) -> Tensor:
        return 1.7159 * torch.tanh(x * (2 / 3))


class Maxout(nn.Module):
    """The largest of k affine maps of the same input: y_c = max_j x_{jC + c} for j = 0, ..., k - 1.

    The module takes the maximum alone. A net reads `num_pieces` and makes the affine map before it k times as wide.
    Where pieces are equal the gradient is shared between them.

    Args:
        num_pieces: k, at least 2.
        equal_parameters: asks the net to narrow its widths until it has as many parameters as with one piece;
            otherwise the widths stay and the parameters grow about k-fold.

    Raises:
        UserError: if `num_pieces` is below 2, or the channels of an input do not divide by it.

    Example:
        >>> Maxout(num_pieces=2)(torch.tensor([[1.0, 5.0, 3.0, 4.0]]))
        tensor([[3., 5.]])

    Source: Goodfellow et al. 2013 (arXiv:1302.4389).
    """

    def __init__(self, num_pieces: int = 2, equal_parameters: bool = False) -> None:
        super().__init__()
        if num_pieces < 2:
            raise UserError(f"`num_pieces` of maxout must be at least 2, got {num_pieces}")
        self.num_pieces = num_pieces
        self.equal_parameters = equal_parameters

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, kC, ...) to (N, C, ...)."""
        if x.shape[1] % self.num_pieces:
            raise UserError(
                f"maxout with {self.num_pieces} pieces needs a number of channels that divides by {self.num_pieces}, "
                f"got {x.shape[1]}; the affine map before it must be {self.num_pieces} times as wide as its output"
            )
        # Equal to unflatten(1, (k, C)).amax(1), but keeps channels_last.
        return functools.reduce(torch.maximum, x.chunk(self.num_pieces, dim=1))

    def extra_repr(self) -> str:
        return f"num_pieces={self.num_pieces}, equal_parameters={self.equal_parameters}"


def second_moment(activation: nn.Module) -> float:
    """E[f(z)^2] for independent standard normal inputs, by the trapezoidal rule in float64.

    Formula: the integral of f(z)^2 k phi(z) Phi(z)^(k-1) over z, with k = 1 except for maxout, where the density is
    that of the maximum of k normals.

    Args:
        activation: an elementwise module, or one with `num_pieces`; it is not changed. If it has a parameter for
            each of `num_parameters` channels, as `nn.PReLU` may, the result is the mean over the channels.

    Returns:
        The second moment; 1/2 for relu, 1 for the identity.

    Raises:
        UserError: the activation cannot be applied to inputs of this number of channels.

    Example:
        >>> round(second_moment(nn.ReLU()), 6)
        0.5
    """
    num_channels = getattr(activation, "num_parameters", 1)
    num_pieces = getattr(activation, "num_pieces", 1)
    # The step of 1/1024 has a node at 0, where the kinks are; beyond 12 less than 1e-32 of the mass is left.
    z = torch.linspace(-12, 12, 24 * 1024 + 1, dtype=torch.float64)
    density = torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)
    density = num_pieces * density * torch.special.ndtr(z) ** (num_pieces - 1)
    with torch.no_grad():
        f = copy.deepcopy(activation).to("cpu", torch.float64).eval()
        try:
            values = f(z[:, None].repeat(1, num_pieces * num_channels))
        except RuntimeError as error:
            raise UserError(
                f"the gain of {type(activation).__name__} cannot be computed, since it does not accept inputs of shape "
                f"(N, {num_pieces * num_channels}) ({error}); give initializer.gain a number"
            ) from error
    return torch.trapezoid(values.square().mean(1) * density, z).item()


def gain(activation: nn.Module) -> float:
    """The factor 1/sqrt(E[f(z)^2]) by which weights of standard deviation gain/sqrt(fan_in) keep the second moment.

    Args:
        activation: as for `second_moment`.

    Returns:
        The gain; sqrt(2) for relu, 1 for the identity.

    Example:
        >>> round(gain(nn.ReLU()), 4)
        1.4142
    """
    return 1 / math.sqrt(second_moment(activation))

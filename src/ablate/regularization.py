"""Regularizers: L2, L1 on activations, input noise and label smoothing."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ablate.errors import UserError
from ablate.layers.keyed import Keyed
from ablate.nets.roles import activations


class InputNoise(Keyed):
    """x + std * z with z ~ N(0, 1) in training, x at inference (Bishop 1995: for small noise a Tikhonov penalty).

    Args:
        std: standard deviation, in the units of the preprocessed images.

    Example:
        >>> InputNoise(0.1).eval()(torch.ones(2))
        tensor([1., 1.])
    """

    def __init__(self, std: float) -> None:
        super().__init__()
        self.std = std

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        return x + self.std * torch.empty_like(x).normal_(generator=self.seeded(x.device))

    def extra_repr(self) -> str:
        return f"std={self.std:g}"


@dataclass(frozen=True, kw_only=True)
class Regularizer:
    """The penalties of a run; each is off at 0, and they combine.

    Args:
        l2: coefficient of (l2 / 2) ||W||^2 over the weights of affine maps. It reaches the optimizer as its
            `weight_decay`: in sgd and adam this is the penalty's gradient, in adamw it is decoupled from it.
        l1_activation: coefficient of the sum, over activation layers, of the mean |a| of their outputs.
        input_noise: standard deviation of Gaussian noise on the preprocessed images, in training.
        label_smoothing: probability mass spread evenly over all classes, in [0, 1) (arXiv:1512.00567).

    Example:
        >>> loss = Regularizer(label_smoothing=0.1).make_loss(nn.Sequential())
        >>> round(loss(torch.zeros(1, 10), torch.tensor([3])).item(), 4)
        2.3026
    """

    l2: float = 0.0
    l1_activation: float = 0.0
    input_noise: float = 0.0
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        for name in ("l2", "l1_activation", "input_noise"):
            if not getattr(self, name) >= 0:
                raise UserError(f"`regularizer.{name}` must be at least 0, got {getattr(self, name)}")
        if not 0 <= self.label_smoothing < 1:
            raise UserError(f"`regularizer.label_smoothing` must lie in [0, 1), got {self.label_smoothing}")

    def front(self) -> list[tuple[str, nn.Module]]:
        """Return the named layers that stand between preprocessing and net."""
        return [("input_noise", InputNoise(self.input_noise))] if self.input_noise else []

    def make_loss(self, net: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
        """Return the training loss (logits (N, K), labels (N,)) -> 0-d tensor: cross-entropy plus l1_activation.

        With `l1_activation` the activations of `net` (see `nets.roles`) get forward hooks; one that is called several
        times counts at each call.

        Raises:
            UserError: `l1_activation` is above 0, and the net has no activation modules.
        """
        terms: list[Tensor] = []
        if self.l1_activation:
            layers = activations(net)
            if not layers:
                raise UserError(
                    f"`regularizer.l1_activation={self.l1_activation}` finds no place in this net: it has no "
                    "activation modules; set it to 0, or choose another net"
                )
            for _, layer in layers:
                layer.register_forward_hook(
                    lambda layer, _, output: terms.append(output.float().abs().mean()) if layer.training else None
                )

        def loss(logits: Tensor, labels: Tensor) -> Tensor:
            value = F.cross_entropy(logits.float(), labels, label_smoothing=self.label_smoothing)
            if terms:
                value = value + self.l1_activation * torch.stack(terms).sum()
                terms.clear()
            return value

        return loss

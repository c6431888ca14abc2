"""Dropout: the modules, and the positions of a net at which they act.

Everywhere, `p` is the probability to drop, in [0, 1). Srivastava et al. 2014 call the probability to keep p, while
the usual "0.2 for inputs, 0.5 for hidden units" are probabilities to drop: their p is 1 - p here.

torch's dropout takes no generator, so the masks are drawn here. `reseed(key)` before a step makes the masks a function
of the key, the shape, its memory layout and the device; without it they come from torch's default generator.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ablate.errors import UserError, making
from ablate.layers.keyed import Keyed

SCALINGS = ("inverted", "test_time")

# The limit of selu for x -> -inf, minus its scale times its alpha (arXiv:1706.02515).
SELU_SATURATION = -1.0507009873554805 * 1.6732632423543772


class _Masked(Keyed):
    """Base of the dropout modules: the probability, the mode and a keyed source of masks.

    Attributes:
        monte_carlo: when True, units are dropped in eval mode exactly as they are in training.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise UserError(f"`p` is the probability to drop and must lie in [0, 1), got {p}")
        self.p = p
        self.monte_carlo = False

    @property
    def drops(self) -> bool:
        return self.training or self.monte_carlo

    def _keep(self, mask: Tensor) -> Tensor:
        """Fills `mask` with independent ones (probability 1 - p) and zeros."""
        return mask.bernoulli_(1 - self.p, generator=self.seeded(mask.device))

    def extra_repr(self) -> str:
        return f"p={self.p}"


class Dropout(_Masked):
    """Sets each unit to zero with probability p, independently.

    Formula, with r ~ Bernoulli(1 - p): "inverted" trains with r x / (1 - p) and infers with x; "test_time" trains with
    r x and infers with (1 - p) x, as in the paper. Both agree in expectation between training and inference. Dropped
    units get no gradient.

    Args:
        p: probability to drop, in [0, 1).
        scaling: "inverted" or "test_time".

    Raises:
        UserError: if `p` is out of range or `scaling` unknown.

    Example:
        >>> sorted(set(Dropout(0.5)(torch.ones(1000)).tolist()))
        [0.0, 2.0]

    Source: Srivastava et al. 2014 (JMLR 15).
    """

    def __init__(self, p: float, scaling: str = "inverted") -> None:
        super().__init__(p)
        if scaling not in SCALINGS:
            raise UserError(f"`scaling` must be one of {', '.join(SCALINGS)}, got {scaling!r}")
        self.scaling = scaling

    def forward(self, x: Tensor) -> Tensor:
        inverted = self.scaling == "inverted"
        if not self.drops:
            return x if inverted else x * (1 - self.p)
        mask = self._keep(self._empty_mask(x))
        return x * (mask.div_(1 - self.p) if inverted else mask)

    def _empty_mask(self, x: Tensor) -> Tensor:
        return torch.empty_like(x)

    def extra_repr(self) -> str:
        return f"p={self.p}, scaling={self.scaling}"


class SpatialDropout(Dropout):
    """Drops whole channels of (N, C, H, W); on (N, C) it is `Dropout`. Its arguments are those of `Dropout`.

    Example:
        >>> y = SpatialDropout(0.5)(torch.ones(8, 4, 3, 3))
        >>> torch.equal(y, y[..., :1, :1].expand_as(y))
        True

    Source: Tompson et al. 2015 (arXiv:1411.4280).
    """

    def _empty_mask(self, x: Tensor) -> Tensor:
        return x.new_empty(x.shape[:2] + (1,) * (x.ndim - 2))


class AlphaDropout(_Masked):
    """Sets units to the saturation value of selu and restores mean 0 and variance 1, for inputs that have them.

    Formula, with q = 1 - p, r ~ Bernoulli(q) and s the saturation value: a (r x + (1 - r) s) + b, where
    a = (q + s^2 q (1 - q))^(-1/2) and b = -a (1 - q) s. The identity at inference.

    Args:
        p: probability to drop, in [0, 1).

    Raises:
        UserError: if `p` is out of range.

    Example:
        >>> AlphaDropout(0.1).eval()(torch.ones(2))
        tensor([1., 1.])

    Source: Klambauer et al. 2017 (arXiv:1706.02515).
    """

    def __init__(self, p: float) -> None:
        super().__init__(p)
        self.scale = (1 - p + SELU_SATURATION**2 * (1 - p) * p) ** -0.5
        self.shift = -self.scale * p * SELU_SATURATION

    def forward(self, x: Tensor) -> Tensor:
        if not self.drops:
            return x
        keep = self._keep(torch.empty_like(x, dtype=torch.bool))
        return torch.where(keep, x, SELU_SATURATION) * self.scale + self.shift


@dataclass(frozen=True, kw_only=True)
class Positions:
    """Where a net drops units and how often; a module is None where its probability is 0.

    Args:
        layer: factory `(p) -> nn.Module`, such as `Dropout`.
        input: probability for the preprocessed images, in [0, 1).
        conv: probability after the pooling of each conv stage; a list has one for each stage.
        hidden: probability after the activation of each hidden fully connected layer; a list has one for each.
        num_samples: number of masks over which inference averages the softmax (Monte-Carlo dropout), 0 for none.

    Raises:
        UserError: if a probability is out of range, `num_samples` is negative, or it is positive and nothing is
            dropped; when called, if a list has another length than the net has places.

    Example:
        >>> Positions(layer=Dropout, hidden=[0.2, 0.5]).after_hidden(1, num_hidden=2)
        Dropout(p=0.5, scaling=inverted)

    Source: Srivastava et al. 2014 (JMLR 15); for the samples Gal & Ghahramani 2015 (arXiv:1506.02142).
    """

    layer: Callable[[float], nn.Module]
    input: float = 0.0
    conv: float | list[float] = 0.0
    hidden: float | list[float] = 0.0
    num_samples: int = 0

    def __post_init__(self) -> None:
        rates = {"input": self.input, "conv": self.conv, "hidden": self.hidden}
        flat = [(name, p) for name, ps in rates.items() for p in (ps if isinstance(ps, list) else [ps])]
        for name, p in flat:
            if not 0 <= p < 1:
                raise UserError(f"`{name}` is a probability to drop and must lie in [0, 1), got {p}")
        if self.num_samples < 0:
            raise UserError(f"`num_samples` must be 0 (no Monte-Carlo dropout) or more, got {self.num_samples}")
        if self.num_samples > 0 and not any(p for _, p in flat):
            raise UserError(
                f"`num_samples` asks for {self.num_samples} Monte-Carlo samples, but nothing is dropped; "
                "set one of `input`, `conv` and `hidden` above 0"
            )
        if isinstance(self.layer, nn.Module):
            raise UserError(
                f"`dropout.layer` must make a module from a probability, got one {type(self.layer).__name__}; add "
                "`_partial_: true` to it"
            )
        with making("dropout.layer", __file__):  # a wrong keyword shows here and not in the middle of a study
            self.layer(0.5)

    def at_input(self) -> nn.Module | None:
        """The module for the preprocessed images."""
        return self._module(self.input)

    def after_stage(self, i: int, num_stages: int) -> nn.Module | None:
        """The module after the pooling of conv stage i, in [0, num_stages)."""
        return self._module(_rate("conv", self.conv, i, num_stages))

    def after_hidden(self, i: int, num_hidden: int) -> nn.Module | None:
        """The module after the activation of hidden fully connected layer i, in [0, num_hidden)."""
        return self._module(_rate("hidden", self.hidden, i, num_hidden))

    def _module(self, p: float) -> nn.Module | None:
        return self.layer(p) if p > 0 else None


def _rate(name: str, rates: float | list[float], i: int, num_places: int) -> float:
    if not isinstance(rates, list):
        return rates
    if len(rates) != num_places:
        raise UserError(
            f"`{name}` lists {len(rates)} probabilities, but the net has {num_places} such places; "
            "give one number for all, or one for each"
        )
    return rates[i]

"""Normalizations: factories `(num_features, ndim) -> Module | None`.

A factory checks its settings when it is made. It is called once for every place in a net, with `ndim` 2 for inputs
(N, C) and 4 for (N, C, H, W); None means that no layer is added. A net also reads these attributes, if there are any:
`position` ("before" the activation), `removes_bias` (False), `min_positions` (1) and `wrap` (absent).
"""

from dataclasses import dataclass

from torch import nn

from ablate.errors import UserError
from ablate.layers.batch_norm import BatchNorm

POSITIONS = ("before", "after")
INFERENCE = ("running", "population", "population_std")


def _check_eps(eps: float) -> None:
    if not eps > 0:
        raise UserError(f"`eps` must be positive, got {eps}")


def _group_norm(num_groups: int, num_features: int, ndim: int, eps: float, affine: bool) -> nn.Module:
    if num_features % num_groups:
        raise UserError(
            f"group norm needs a number of features that divides by `num_groups`, "
            f"got {num_features} features and {num_groups} groups"
        )
    if ndim == 2 and num_features == num_groups:
        raise UserError(
            f"group norm of {num_features} features in {num_groups} groups on (N, C) has one value per group and would "
            "return zeros; use fewer groups, or another normalization where there is one feature only"
        )
    return nn.GroupNorm(num_groups, num_features, eps=eps, affine=affine)


@dataclass(frozen=True, kw_only=True)
class NoNormalization:
    """The empty normalization.

    Example:
        >>> NoNormalization()(8, ndim=4) is None
        True
    """

    def __call__(self, num_features: int, ndim: int) -> None:
        return None


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Factory of `BatchNorm`, with the same arguments.

    Args:
        position: "before" or "after" the activation. Before it, the affine map needs no bias: subtracting the
            mean removes it.

    Raises:
        UserError: if a field is out of range, or `frozen_scale` is combined with `affine=False`.

    Example:
        >>> Batch(momentum=0.2)(8, ndim=4)
        BatchNorm(8, momentum=0.2, eps=1e-05, inference=running)
    """

    momentum: float | None = 0.1
    eps: float = 1e-5
    affine: bool = True
    frozen_scale: bool = False
    inference: str = "running"
    position: str = "before"

    def __post_init__(self) -> None:
        _check_eps(self.eps)
        if self.momentum is not None and not 0 <= self.momentum <= 1:
            raise UserError(f"`momentum` must lie in [0, 1] or be null, got {self.momentum}")
        if self.inference not in INFERENCE:
            raise UserError(f"`inference` must be one of {', '.join(INFERENCE)}, got {self.inference!r}")
        if self.position not in POSITIONS:
            raise UserError(f"`position` must be one of {', '.join(POSITIONS)}, got {self.position!r}")
        if self.frozen_scale and not self.affine:
            raise UserError("`frozen_scale` keeps beta and fixes gamma, so it needs `affine=True`, got `affine=False`")

    @property
    def removes_bias(self) -> bool:
        return self.position == "before"

    def __call__(self, num_features: int, ndim: int) -> nn.Module:
        return BatchNorm(
            num_features,
            momentum=self.momentum,
            eps=self.eps,
            affine=self.affine,
            frozen_scale=self.frozen_scale,
            inference=self.inference,
        )


@dataclass(frozen=True, kw_only=True)
class Layer:
    """Factory of layer norm over (C) or (C, H, W) of each sample, with gamma and beta per channel: one group of all.

    Example:
        >>> Layer()(8, ndim=4).num_groups
        1

    Source: Ba, Kiros & Hinton 2016 (arXiv:1607.06450).
    """

    eps: float = 1e-5
    affine: bool = True

    def __post_init__(self) -> None:
        _check_eps(self.eps)

    def __call__(self, num_features: int, ndim: int) -> nn.Module:
        return _group_norm(1, num_features, ndim, self.eps, self.affine)


@dataclass(frozen=True, kw_only=True)
class Group:
    """Factory of group norm: the channels of a sample in `num_groups` groups, each with a mean and a variance.

    Raises:
        UserError: if `num_groups` is below 1; when called, if the features do not divide by it.

    Example:
        >>> Group(num_groups=4)(8, ndim=4).num_groups
        4

    Source: Wu & He 2018 (arXiv:1803.08494).
    """

    num_groups: int = 4
    eps: float = 1e-5
    affine: bool = True

    def __post_init__(self) -> None:
        _check_eps(self.eps)
        if self.num_groups < 1:
            raise UserError(f"`num_groups` must be at least 1, got {self.num_groups}")

    def __call__(self, num_features: int, ndim: int) -> nn.Module:
        return _group_norm(self.num_groups, num_features, ndim, self.eps, self.affine)


@dataclass(frozen=True, kw_only=True)
class Instance:
    """Factory of instance norm over the positions of each channel of each sample; None for (N, C), which has none.

    Example:
        >>> Instance()(8, ndim=2) is None
        True

    Source: Ulyanov, Vedaldi & Lempitsky 2016 (arXiv:1607.08022).
    """

    eps: float = 1e-5
    affine: bool = True
    min_positions = 2  # a channel of one position would come out as zero

    def __post_init__(self) -> None:
        _check_eps(self.eps)

    def __call__(self, num_features: int, ndim: int) -> nn.Module | None:
        # Equal to group norm with as many groups as channels, which is ten times slower in bfloat16 channels_last.
        return nn.InstanceNorm2d(num_features, eps=self.eps, affine=self.affine) if ndim == 4 else None

"""Batch norm, and the statistics that it uses at inference."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ablate.errors import UserError


class BatchNorm(nn.Module):
    """Batch norm over every axis but the channels: y = gamma (x - mu) / sqrt(var + eps) + beta.

    In training mode mu and var (biased) are those of the batch; in eval mode they are `running_mean` and `running_var`
    (unbiased). Training never reads the running statistics, it only updates them. The keys of the state are those
    of `nn.BatchNorm2d`; one class serves (N, C) and (N, C, H, W).

    Args:
        num_features: C.
        momentum: weight of the newest batch in the running statistics, in [0, 1]; None for the mean over all batches so
            far, as in torch.
        eps: added to the variance, positive.
        affine: whether gamma and beta exist.
        frozen_scale: whether gamma is fixed at 1.
        inference: "running"; or "population" or "population_std", which need `estimate_population_statistics` before
            inference.

    Example:
        >>> BatchNorm(3)(torch.ones(4, 3, 8, 8)).shape
        torch.Size([4, 3, 8, 8])

    Source: Ioffe & Szegedy 2015 (arXiv:1502.03167), Algorithm 1.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    weight: Tensor | None
    bias: Tensor | None

    def __init__(
        self,
        num_features: int,
        *,
        momentum: float | None = 0.1,
        eps: float = 1e-5,
        affine: bool = True,
        frozen_scale: bool = False,
        inference: str = "running",
    ) -> None:
        super().__init__()
        self.num_features = num_features
        self.momentum = momentum
        self.eps = eps
        self.inference = inference
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))
        self.register_buffer("num_batches_tracked", torch.tensor(0))
        ones = torch.ones(num_features)
        if frozen_scale:
            # A tensor of ones and not None: cuDNN's kernel takes gamma and beta, or neither.
            self.register_buffer("weight", ones)
        else:
            self.register_parameter("weight", nn.Parameter(ones) if affine else None)
        self.register_parameter("bias", nn.Parameter(torch.zeros(num_features)) if affine else None)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:
                return self._cumulative(x)
        momentum = self.momentum or 0.0  # at inference it has no effect
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, self.training, momentum, self.eps
        )

    def _cumulative(self, x: Tensor) -> Tensor:
        """Normalizes with the batch's statistics and adds them to the mean over all batches.

        torch reads the number of batches back from the device for this, once a batch; here it stays there.
        """
        newest = [torch.zeros_like(self.running_mean), torch.ones_like(self.running_var)]
        y = F.batch_norm(x, newest[0], newest[1], self.weight, self.bias, True, 1.0, self.eps)
        with torch.no_grad():
            for running, new in zip((self.running_mean, self.running_var), newest, strict=True):
                running.lerp_(new, 1 / self.num_batches_tracked.to(running.dtype))
        return y

    def reset_running_stats(self) -> None:
        """Sets the running statistics to those of construction: mean 0, variance 1, no batch seen."""
        self.running_mean.zero_()
        self.running_var.fill_(1)
        self.num_batches_tracked.zero_()

    def extra_repr(self) -> str:
        return f"{self.num_features}, momentum={self.momentum}, eps={self.eps}, inference={self.inference}"


AnyBatchNorm = BatchNorm | nn.modules.batchnorm._BatchNorm


@contextmanager
def batch_statistics(net: nn.Module) -> Iterator[list[AnyBatchNorm]]:
    """Puts batch norm in training mode and all else in eval mode; yields the batch norms, restores the modes at exit.

    The forward passes within still update the running statistics. torch's own batch norms are among them.

    Example:
        >>> with batch_statistics(nn.Sequential(BatchNorm(2), nn.Dropout())) as norms:
        ...     norms[0].training
        True
    """
    modes = {module: module.training for module in net.modules()}
    norms = [module for module in modes if isinstance(module, AnyBatchNorm)]
    net.eval()
    for norm in norms:
        norm.train()
    try:
        yield norms
    finally:
        for module, training in modes.items():
            module.training = training


@torch.no_grad()
def estimate_population_statistics(net: nn.Module, batches: Iterable[Tensor]) -> None:
    """Writes into every batch norm of `net`, in place, the statistics that Algorithm 2 prescribes for inference.

    Formula: E[x] = mean over batches of mu_B; Var[x] = m/(m-1) mean over batches of var_B, with m the number of values
    per channel in a batch. Where `inference` is "population_std" it is (mean over batches of sqrt(var_B))^2 instead, as
    if Algorithm 2 averaged standard deviations: too small, by their variance over batches and by the factor m/(m-1).
    Training afterwards is not affected.

    Args:
        net: a module that maps images to logits; its modes are restored.
        batches: training images as `net` takes them, each batch of the same size.

    Raises:
        UserError: if there is no batch, or one differs in size from the first.

    Example:
        >>> norm = BatchNorm(1, inference="population")
        >>> estimate_population_statistics(norm, [torch.tensor([[0.0], [2.0]]), torch.tensor([[4.0], [6.0]])])
        >>> norm.running_mean, norm.running_var
        (tensor([3.]), tensor([2.]))

    Source: Ioffe & Szegedy 2015 (arXiv:1502.03167), Algorithm 2.
    """
    size = 0
    stds: dict[BatchNorm, Tensor] = {}

    def add_std(norm: BatchNorm, inputs: tuple[Tensor]) -> None:
        x = inputs[0].to(stds[norm].dtype)
        stds[norm] += x.std([0, *range(2, x.ndim)], correction=0)

    with batch_statistics(net) as all_norms:
        norms = [norm for norm in all_norms if isinstance(norm, BatchNorm)]
        momenta = [norm.momentum for norm in norms]
        stds |= {norm: torch.zeros_like(norm.running_var) for norm in norms if norm.inference == "population_std"}
        hooks = [norm.register_forward_pre_hook(add_std) for norm in stds]
        try:
            for i, images in enumerate(batches, start=1):
                size = size or len(images)
                if len(images) != size:
                    raise UserError(
                        f"population statistics need batches of one size, got {len(images)} after {size}; "
                        "drop the last, smaller batch"
                    )
                for norm in norms:
                    if i == 1:
                        norm.reset_running_stats()
                    # A running average with weight 1/i is the mean of all i batches; torch's update is unbiased.
                    norm.momentum = 1 / i
                net(images)
        finally:
            for norm, momentum in zip(norms, momenta, strict=True):
                norm.momentum = momentum
            for hook in hooks:
                hook.remove()
    if size == 0:
        raise UserError("population statistics need at least one batch, got none")
    for norm, std in stds.items():
        norm.running_var.copy_((std / norm.num_batches_tracked) ** 2)


def needs_population_statistics(net: nn.Module) -> bool:
    """Whether a batch norm of `net` needs `estimate_population_statistics` before inference.

    Example:
        >>> needs_population_statistics(BatchNorm(1, inference="population"))
        True
    """
    return any(isinstance(module, BatchNorm) and module.inference != "running" for module in net.modules())


def batch_norms_behind_dropout(net: nn.Module) -> list[str]:
    """Return the names of the batch norms before which, in the order of the layers, units are dropped.

    Dropping units raises the variance of what follows, in training and not at inference. The running variance of a
    batch norm is that of training, so at inference its outputs are too small.

    Example:
        >>> from ablate.layers.dropout import Dropout
        >>> batch_norms_behind_dropout(nn.Sequential(BatchNorm(2), Dropout(0.5), nn.ReLU(), BatchNorm(2)))
        ['3']

    Source: Li, Chen, Hu & Yang 2019 (arXiv:1801.05134).
    """
    found, drops = [], False
    for name, layer in net.named_modules():
        is_dropout = hasattr(layer, "monte_carlo") or isinstance(layer, nn.modules.dropout._DropoutNd)
        drops |= is_dropout and float(getattr(layer, "p", 0.0)) > 0
        found += [name] if drops and isinstance(layer, AnyBatchNorm) else []
    return found

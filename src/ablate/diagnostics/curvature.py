"""Curvature: the leading eigenvalues and eigenvectors of the loss's Hessian, by Lanczos, without forming the matrix."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from ablate.diagnostics.probe import Probe, probing
from ablate.errors import UserError

Batch = tuple[Tensor, Tensor]  # images, labels
Loss = Callable[[Tensor, Tensor], Tensor]  # (logits, labels) -> 0-d


class Eigenpairs(NamedTuple):
    """Leading eigenpairs of a symmetric matrix, float64 on the CPU.

    Args:
        values: (k,), the largest first.
        vectors: (k, P), one unit vector per row.
    """

    values: Tensor
    vectors: Tensor


def curvature(probe: Probe, *, num: int = 2, inference: bool = False, tolerance: float = 1e-3) -> dict[str, Tensor]:
    """Measure the largest eigenvalues of the Hessian of the mean cross-entropy by all trainable parameters.

    Formula: H v = lambda v, H = d^2 L / d theta^2, L the mean over the probe's images in nats. Gradient descent
    without momentum can only go down along v if lr < 2 / lambda.

    Args:
        num: k, how many eigenvalues.
        inference: whether batch norm uses its running statistics, as constants, instead of those of the batch.
        tolerance: see `top_eigenpairs`.

    Returns:
        1 .. k: eigenvalues, the largest first, in nats per squared unit of weight, any real number.
        stable_lr: 2 / lambda_1, in (0, inf]; inf if lambda_1 <= 0.
        All are nan if the gradient is not finite or the solver does not converge.

    Source: Cohen et al. 2021 (arXiv:2103.00065) on 2 / lambda_1.

    Cost: at least max(20, 2 k + 1) Hessian-vector products, each as expensive as 3 (without batch norm) to 6
    (with it) forward and backward passes.

    Example:
        >>> from ablate.diagnostics.probe import example_probe
        >>> list(curvature(example_probe(), num=1))
        ['1', 'stable_lr']
    """
    values = torch.full((num,), math.nan, dtype=torch.float64)
    if all(gradient.isfinite().all() for gradient in probe.passed.gradients.values()):
        try:
            with probing(probe.net, inference=inference):
                values = top_eigenpairs(
                    probe.net,
                    [(probe.images, probe.labels)],
                    num=num,
                    generator=probe.generator("curvature"),
                    tolerance=tolerance,
                ).values
        except ArpackError:
            pass
    found = {str(i): value for i, value in enumerate(values, start=1)}
    return {**found, "stable_lr": torch.where(values[0] <= 0, math.inf, 2 / values[0])}


def top_eigenpairs(
    net: nn.Module,
    batches: Sequence[Batch],
    *,
    num: int,
    generator: torch.Generator,
    loss: Loss = F.cross_entropy,
    tolerance: float = 1e-3,
    max_restarts: int = 100,
) -> Eigenpairs:
    """Return the eigenpairs of the Hessian with the largest (most positive) eigenvalues.

    The Hessian is that of the mean over `batches` of each batch's loss, by all trainable parameters, flattened and in
    the order of `net.parameters()`; the net is in the mode it is in (see `probing`). Products with it are taken in the
    dtype of the net, while the solver keeps float64. The solver is ARPACK's restarted Lanczos iteration, through
    scipy.

    Args:
        batches: images and labels; of equal size, if the mean over images is wanted.
        num: k, at least 1 and less than the number P of parameters.
        generator: draws the start vector.
        loss: of logits and labels.
        tolerance: |H v - lambda v| / |lambda| at which an eigenpair is accepted; the relative error of the
            eigenvalue is of the order of its square. Products in float32 set a limit of about 1e-6.
        max_restarts: of the Lanczos iteration.

    Raises:
        UserError: if there is no batch or `num` is out of range.
        scipy.sparse.linalg.ArpackNoConvergence: if the restarts are not enough; raise `max_restarts` or `tolerance`.

    Source: Lehoucq, Sorensen & Yang 1998 (ARPACK users' guide).

    Memory: about 8 P (max(20, 2 k + 1) + k) bytes on the CPU in addition to that of the passes.

    Example:
        >>> from ablate.diagnostics.probe import example_probe
        >>> probe = example_probe()
        >>> pairs = top_eigenpairs(probe.net, [(probe.images, probe.labels)], num=2, generator=torch.Generator())
        >>> pairs.values.shape, pairs.vectors.norm(dim=1).round(decimals=4).tolist()
        (torch.Size([2]), [1.0, 1.0])
    """
    parameters = [p for p in net.parameters() if p.requires_grad]
    size = sum(p.numel() for p in parameters)
    if not batches:
        raise UserError("a Hessian needs at least one batch of images and labels, got none")
    if not 1 <= num < size:
        raise UserError(f"`num` eigenvalues must be at least 1 and fewer than the {size} parameters, got {num}")
    like = parameters[0]

    def product(vector: NDArray[Any]) -> NDArray[np.float64]:
        v = torch.from_numpy(vector.reshape(-1)).to(like.device, like.dtype)
        return hessian_product(net, batches, v, loss).double().cpu().numpy()

    start = torch.randn(size, generator=generator, device=generator.device, dtype=torch.float64).cpu().numpy()
    operator = LinearOperator((size, size), matvec=product, dtype=np.float64)
    values, vectors = eigsh(operator, k=num, which="LA", v0=start, tol=tolerance, maxiter=max_restarts)
    # ARPACK's order is ascending.
    return Eigenpairs(torch.from_numpy(values[::-1].copy()), torch.from_numpy(vectors.T[::-1].copy()))


def hessian_product(net: nn.Module, batches: Sequence[Batch], vector: Tensor, loss: Loss = F.cross_entropy) -> Tensor:
    """Return H v (P,), with H as in `top_eigenpairs`: the derivative of the gradient along `vector` (P,).

    Example:
        >>> net, images, labels = nn.Linear(2, 3), torch.ones(4, 2), torch.zeros(4, dtype=torch.long)
        >>> hessian_product(net, [(images, labels)], torch.zeros(9)).shape
        torch.Size([9])
    """
    parameters = [p for p in net.parameters() if p.requires_grad]
    pieces = vector.split([p.numel() for p in parameters])
    direction = [piece.view(p.shape) for piece, p in zip(pieces, parameters, strict=True)]
    total = torch.zeros_like(vector)
    for images, labels in batches:
        # Of the kernels for attention only this one has a second derivative.
        with torch.enable_grad(), torch.autocast(images.device.type, enabled=False), sdpa_kernel(SDPBackend.MATH):
            gradient = torch.autograd.grad(loss(net(images), labels), parameters, create_graph=True)
            total += flat(torch.autograd.grad(gradient, parameters, direction, materialize_grads=True))
    return total / len(batches)


def flat(tensors: Iterable[Tensor]) -> Tensor:
    """Return all entries in one vector, each tensor's in its logical order, whatever its memory format.

    Example:
        >>> flat([torch.zeros(2, 3), torch.ones(1)]).shape
        torch.Size([7])
    """
    return torch.cat([tensor.reshape(-1) for tensor in tensors])

"""How a net's mean outputs, and their variances and third moments, depend on the weights."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ablate.diagnostics.curvature import Batch


def moment_gradients(net: nn.Module, batches: Sequence[Batch], *, order: int, centred: bool = False) -> Tensor:
    """Return the gradients, by all parameters, of the moments over the data of every logit.

    Formula: row (j, k) is d/dtheta of m_k = E[z_k] for j = 0 and of E[(z_k - m_k)^(j+1)] above, with z_k = logit k and
    E the mean over all images; the net's mode is not changed.

    Args:
        net: images -> logits (N, K).
        batches: images and labels (not used); with batch norm in training mode they share statistics.
        order: 1 for the means, 2 for variances too, 3 for third central moments too.
        centred: subtract the mean over the classes from the logits first. The softmax does not change, and the K
            gradients of the means then sum to 0: they span K - 1 dimensions.

    Returns:
        (order, K, P), in the order of `net.parameters()`.

    Example:
        >>> net, images = nn.Linear(2, 3), torch.ones(4, 2)
        >>> moment_gradients(net, [(images, torch.zeros(4))], order=2).shape
        torch.Size([2, 3, 9])
    """
    parameters = [p for p in net.parameters() if p.requires_grad]

    def outputs(images: Tensor) -> Tensor:
        logits: Tensor = net(images)
        return logits - logits.mean(1, keepdim=True) if centred else logits

    with torch.no_grad():
        z = torch.cat([outputs(images) for images, _ in batches])
    deviations = z - z.mean(0)
    # d E[d^n] = n E[(d^(n-1) - E[d^(n-1)]) dz] for n > 1, since d = z - E[z] has the mean 0.
    powers = [deviations**n for n in range(order)]
    weights = [torch.ones_like(z), *(n * (p - p.mean(0)) for n, p in enumerate(powers[1:], start=2))]
    cotangents = torch.stack(weights) / len(z)
    total = z.new_zeros(order, z.shape[1], sum(p.numel() for p in parameters))
    first = 0
    for images, _ in batches:
        z = outputs(images)
        part = cotangents[:, first : first + len(z)]
        first += len(z)
        for j in range(order):
            for k in range(z.shape[1]):
                found = torch.autograd.grad(z[:, k], parameters, part[j, :, k], retain_graph=True)
                total[j, k] += torch.cat([g.flatten() for g in found])
    return total


def orthonormal_basis(vectors: Tensor, tolerance: float = 1e-4) -> Tensor:
    """Return (r, P), float64: an orthonormal basis of the span of `vectors` (M, P).

    Args:
        vectors: their lengths do not matter.
        tolerance: singular values of the unit vectors below it, relative to the largest, count as 0.

    Example:
        >>> orthonormal_basis(torch.tensor([[1.0, 0.0, 0.0], [2.0, 0.0, 0.0]])).shape
        torch.Size([1, 3])
    """
    units = vectors.double()
    units = units / units.norm(dim=1, keepdim=True).clamp(min=torch.finfo(torch.float64).tiny)
    _, values, basis = torch.linalg.svd(units, full_matrices=False)
    return basis[values > tolerance * values[0]]


def share_in_span(basis: Tensor, vectors: Tensor) -> Tensor:
    """Return |Q' v|^2, (n,), in [0, 1]: the share of each unit vector in `vectors` (n, P) that lies in the span of Q.

    Args:
        basis: Q', (r, P) with orthonormal rows.

    Example:
        >>> round(share_in_span(torch.tensor([[1.0, 0.0]]), torch.tensor([[3.0, 4.0]])).item(), 3)
        0.36
    """
    units = vectors.to(basis) / vectors.to(basis).norm(dim=1, keepdim=True)
    return (units @ basis.T).square().sum(1)

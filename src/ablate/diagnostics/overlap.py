"""Overlap: how much of the leading Hessian eigenvectors lies in the span of the output means' gradients."""

import math

import torch
from scipy.sparse.linalg import ArpackError
from torch import Tensor

from ablate.diagnostics.curvature import top_eigenpairs
from ablate.diagnostics.output_moments import moment_gradients, orthonormal_basis, share_in_span
from ablate.diagnostics.probe import Probe, probing


def overlap(
    probe: Probe, *, num: int | None = None, inference: bool = False, tolerance: float = 1e-2
) -> dict[str, Tensor]:
    """Measure the overlap of the loss's leading Hessian eigenvectors with the gradients of the mean outputs.

    Formula: |Q' v_i|^2, i = 1 .. num, with v_i the unit eigenvectors of the Hessian of `curvature`, the largest
    eigenvalue first, and Q an orthonormal basis of the gradients of the K mean logits over the probe's images. The
    logits are centred over the classes, which the softmax ignores, so that these span K - 1 dimensions. A random
    direction has (K - 1) / P of its square in the span, with P parameters.

    Args:
        num: how many eigenvectors; None for K - 1.
        inference: whether batch norm uses its running statistics, as constants ("frozen"), or those of the batch.
        tolerance: see `top_eigenpairs`.

    Returns:
        mean: of the overlaps, in [0, 1].
        first: that of the leading eigenvector, in [0, 1].
        eigenvalue: the largest one, of the mean loss, in nats per squared unit of weight.
        All are nan if the gradients are not finite or the solver does not converge.

    Source: D. Page 2019, How to train your ResNet 7: Batch norm (myrtle.ai); Gur-Ari, Roberts & Dyer 2018
    (arXiv:1812.04754) for the subspace.

    Cost: K backward passes and what `curvature` costs for `num` eigenvalues; for 9 of them 27 to 60 Hessian-vector
    products were observed at the default tolerance, most before training.

    Example:
        >>> from ablate.diagnostics.probe import example_probe
        >>> list(overlap(example_probe()))
        ['mean', 'first', 'eigenvalue']
    """
    batches = [(probe.images, probe.labels)]
    nan = torch.tensor(math.nan, dtype=torch.float64)
    found = {"mean": nan, "first": nan, "eigenvalue": nan}
    with probing(probe.net, inference=inference), torch.autocast(probe.images.device.type, enabled=False):
        gradients = moment_gradients(probe.net, batches, order=1, centred=True)[0].cpu()
        if not gradients.isfinite().all():
            return found
        try:
            pairs = top_eigenpairs(
                probe.net,
                batches,
                num=len(gradients) - 1 if num is None else num,
                generator=probe.generator("overlap"),
                tolerance=tolerance,
            )
        except ArpackError:
            return found
    shares = share_in_span(orthonormal_basis(gradients), pairs.vectors)
    return {"mean": shares.mean(), "first": shares[0], "eigenvalue": pairs.values[0]}

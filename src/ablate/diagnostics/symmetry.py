"""Symmetry: whether the units of a layer differ from each other."""

import torch
from torch import Tensor

from ablate.diagnostics.probe import Probe
from ablate.errors import UserError


def rank_and_identity(rows: Tensor, tolerance: float) -> tuple[Tensor, Tensor]:
    """Return the numerical rank relative to full rank, and the fraction of pairs of rows that are identical.

    Formulas: #{singular values > tolerance * largest} / min(U, D), and the fraction of pairs i < j with
    |w_i - w_j| <= tolerance * max(|w_i|, |w_j|); 0 if there is only one row.

    Args:
        rows: (U, D), finite.
        tolerance: above 1e-7, the resolution of the squares in the float64 Gram matrix.

    Example:
        >>> rank, identical = rank_and_identity(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), tolerance=1e-4)
        >>> rank.item(), identical.item()
        (0.5, 1.0)
    """
    rows = rows.double()
    gram = rows @ rows.T
    eigenvalues = torch.linalg.eigvalsh(gram)
    rank = (eigenvalues > tolerance**2 * eigenvalues[-1]).sum() / min(rows.shape)
    squares = gram.diagonal()
    distances = squares[:, None] + squares[None, :] - 2 * gram
    identical = (distances <= tolerance**2 * torch.maximum(squares[:, None], squares[None, :])).sum() - len(rows)
    num_pairs = max(1, len(rows) * (len(rows) - 1))
    return rank, identical / num_pairs


def symmetry(probe: Probe, *, tolerance: float = 1e-4) -> dict[str, Tensor]:
    """Rank of the units of each hidden layer relative to full rank, and the fraction of their pairs that are identical.

    A unit is its row of weights, with its bias, if any, as the last entry (with maxout: a piece). Weights are better
    than outputs here: they need no images, and two dead units do not count as equal. With a constant initialization
    all units of a layer are equal, the rank is 1, and equal gradients keep it so. The last layer is left out, since
    its units have different labels. Formulas: see `rank_and_identity`.

    Range: both [0, 1]. Keys: `<layer>/rank`, `<layer>/identical` for every hidden layer, and `rank`, `identical` for
    the means over them. Cost: no pass; one symmetric eigenvalue problem per layer, of the size of its number of units.

    Args:
        tolerance: relative difference below which numbers count as equal, in [1e-6, 1): above the rounding of fp32
            weights.

    Raises:
        UserError: `tolerance` is out of range.

    Source: Goodfellow, Bengio & Courville 2016, section 8.4, for the need to break the symmetry.

    Example:
        >>> from ablate.diagnostics.probe import example_probe
        >>> list(symmetry(example_probe()))[:2]
        ['conv1_1/rank', 'conv1_1/identical']
    """
    if not 1e-6 <= tolerance < 1:
        raise UserError(f"`tolerance` of symmetry must lie in [1e-6, 1), as fp32 is not more precise, got {tolerance}")
    values: dict[str, Tensor] = {}
    ranks, identities = [], []
    for name, layer in list(probe.passed.affine.items())[:-1]:
        assert isinstance(layer.weight, Tensor)
        rows = layer.weight.detach().flatten(1)
        if isinstance(layer.bias, Tensor):
            rows = torch.cat([rows, layer.bias.detach()[:, None]], dim=1)
        rank, identical = rank_and_identity(rows, tolerance)
        values |= {f"{name}/rank": rank, f"{name}/identical": identical}
        ranks.append(rank)
        identities.append(identical)
    if ranks:
        values |= {"rank": torch.stack(ranks).mean(), "identical": torch.stack(identities).mean()}
    return values

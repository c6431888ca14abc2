"""Whether the units of a layer are different at all."""

import torch
from torch import Tensor

from ablate.diagnostics.probe import Probe
from ablate.errors import UserError
from ablate.nets import units


def rank_and_identity(rows: Tensor, tolerance: float) -> tuple[Tensor, Tensor]:
    """Return the numerical rank relative to full rank, and the fraction of pairs of rows that are identical.

    Formulas: #{singular values > tolerance * largest} / min(U, D), and the fraction of pairs i < j with
    |w_i - w_j| <= tolerance * max(|w_i|, |w_j|); 0 where there is one row only.

    Args:
        rows: (U, D), finite.
        tolerance: above 1e-7, what the squares in the float64 Gram matrix can tell apart.
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

    A unit is its row of weights, with its bias as a last entry where it has one (with maxout: a piece). Weights tell
    more than outputs here: they need no images, and two dead units are not taken for equal ones. Under a constant
    initialization all units of a layer are one, the rank is 1, and equal gradients keep it so. The classifier is left
    out, since the labels tell its units apart. Formulas: see `rank_and_identity`.

    Range: both [0, 1]. Keys: `<layer>/rank`, `<layer>/identical` for every hidden layer, and `rank`, `identical` for
    the means over them. Cost: no pass; one symmetric eigenvalue problem a layer, of the size of its number of units.

    Args:
        tolerance: relative difference below which numbers are taken for equal, in [1e-6, 1): above what rounding
            does to fp32 weights.

    Raises:
        UserError: `tolerance` is out of range.

    Source: Goodfellow, Bengio & Courville 2016, section 8.4, for the need to break the symmetry.
    """
    if not 1e-6 <= tolerance < 1:
        raise UserError(f"`tolerance` of symmetry must lie in [1e-6, 1), fp32 tells no finer, got {tolerance}")
    values: dict[str, Tensor] = {}
    ranks, identities = [], []
    for name, _ in units(probe.net):
        layer = probe.net.get_submodule(name)
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

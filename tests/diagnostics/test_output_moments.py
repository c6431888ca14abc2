"""Gradients of output moments against autograd of the moments themselves, and the geometry of their span."""

import pytest
import torch
from torch import nn

from ablate.diagnostics.output_moments import moment_gradients, orthonormal_basis, share_in_span
from ablate.layers.batch_norm import BatchNorm


@pytest.fixture
def case():
    """A float64 net with batch norm, in training mode, and two batches."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 7), BatchNorm(7, affine=False), nn.Softplus(), nn.Linear(7, 4)).double()
    batches = [(torch.randn(6, 5, dtype=torch.float64), torch.zeros(6, dtype=torch.long)) for _ in range(2)]
    return net, batches


@pytest.mark.parametrize("centred", [False, True])
def test_gradients_are_those_of_the_moments(case, centred):
    net, batches = case
    found = moment_gradients(net, batches, order=3, centred=centred)
    z = torch.cat([net(images) for images, _ in batches])
    z = z - z.mean(1, keepdim=True) if centred else z
    for order, moment in enumerate([z.mean(0), z.var(0, correction=0), (z - z.mean(0)).pow(3).mean(0)]):
        for k in range(4):
            gradient = torch.autograd.grad(moment[k], list(net.parameters()), retain_graph=True)
            torch.testing.assert_close(found[order, k], torch.cat([g.flatten() for g in gradient]))


def test_centred_means_span_one_dimension_less_than_there_are_classes(case):
    raw = moment_gradients(*case, order=1)[0]
    centred = moment_gradients(*case, order=3, centred=True)
    torch.testing.assert_close(centred[0].sum(0), torch.zeros_like(raw[0]))
    torch.testing.assert_close(centred[0], raw - raw.mean(0))
    assert len(orthonormal_basis(raw)) == 4
    assert len(orthonormal_basis(centred[0])) == 3
    assert len(orthonormal_basis(centred.flatten(0, 1))) == 11


def test_the_basis_is_orthonormal_whatever_the_lengths_of_the_vectors():
    vectors = torch.randn(4, 30, generator=torch.Generator().manual_seed(0)) * torch.tensor([[1e-6], [1], [10], [1e5]])
    basis = orthonormal_basis(torch.cat([vectors, vectors[1:2] - vectors[2:3]]))
    assert len(basis) == 4
    torch.testing.assert_close(basis @ basis.T, torch.eye(4, dtype=torch.float64))
    torch.testing.assert_close(share_in_span(basis, vectors), torch.ones(4, dtype=torch.float64))


def test_share_of_a_random_direction_is_the_share_of_dimensions():
    generator = torch.Generator().manual_seed(0)
    basis = orthonormal_basis(torch.randn(20, 100, generator=generator))
    vectors = torch.randn(2000, 100, generator=generator)
    shares = share_in_span(basis, vectors)
    assert (shares >= 0).all() and (shares <= 1).all()
    assert shares.mean().item() == pytest.approx(0.2, abs=0.005)  # beta(10, 40): standard error 0.0013
    outside = vectors.double() - vectors.double() @ basis.T @ basis
    assert share_in_span(basis, outside).max() < 1e-20

"""Overlap against the eigenvectors of the dense Hessian and a projection by least squares."""

import math

import pytest
import torch
from torch.func import functional_call, hessian
from torch.nn import functional as F

from ablate.diagnostics.curvature import curvature
from ablate.diagnostics.overlap import overlap
from ablate.diagnostics.probe import probing
from ablate.layers.normalization import Batch

SMALL = {"widths": [3], "pool_size": 4, "num_hidden": 0, "activation": torch.nn.Softplus}


def expected_overlaps(probe, num, inference):
    """|Q' v|^2 of the leading eigenvectors of the dense Hessian, and the eigenvalues, in float64."""
    net = probe.net.double()
    weights = {name: p.detach() for name, p in net.named_parameters()}
    sizes = [p.numel() for p in weights.values()]

    def logits(flat):
        parts = {name: part.view(p.shape) for (name, p), part in zip(weights.items(), flat.split(sizes), strict=True)}
        return functional_call(net, parts, (probe.images.double(),))

    theta = torch.cat([p.reshape(-1) for p in weights.values()])
    with probing(net, inference=inference):
        dense = hessian(lambda flat: F.cross_entropy(logits(flat), probe.labels))(theta)
        means = torch.autograd.functional.jacobian(lambda flat: F.log_softmax(logits(flat), 1).mean(0), theta)
    values, vectors = torch.linalg.eigh(dense)
    values, vectors = values.flip(0)[:num], vectors.flip(1)[:, :num]
    # Centred logits are log-probabilities less their mean over the classes.
    span = (means - means.mean(0)).T
    residual = vectors - span @ torch.linalg.pinv(span) @ vectors
    return 1 - residual.square().sum(0), values


@pytest.mark.parametrize(("normalization", "inference"), [(None, False), (Batch(affine=False), True)])
@pytest.mark.parametrize("num", [None, 4])
def test_overlaps_are_those_of_the_dense_hessian(normalization, inference, num, make_probe):
    probe = make_probe(normalization=normalization, **SMALL)
    found = overlap(probe, num=num, inference=inference, tolerance=1e-6)
    shares, values = expected_overlaps(probe, num or 2, inference)
    assert found["mean"].item() == pytest.approx(shares.mean().item(), abs=2e-3)
    assert found["first"].item() == pytest.approx(shares[0].item(), abs=2e-3)
    assert found["eigenvalue"].item() == pytest.approx(values[0].item(), rel=1e-4)
    assert set(found) == {"mean", "first", "eigenvalue"}


@pytest.mark.parametrize("inference", [False, True])
def test_the_eigenvalue_is_that_of_curvature(inference, make_probe):
    probe = make_probe(normalization=Batch(), dropout=0.5)
    found = overlap(probe, inference=inference, tolerance=1e-4)
    expected = curvature(probe, inference=inference, tolerance=1e-4)["1"]
    assert found["eigenvalue"].item() == pytest.approx(expected.item(), rel=1e-4)
    assert 0 <= found["mean"] <= 1 and 0 <= found["first"] <= 1


def test_softmax_regression_in_closed_form(make_probe):
    """All weights 0, one image x: H = (I/K - 1/K^2) kron (x, 1)(x, 1)', whose range is the span of the gradients."""
    probe = make_probe(widths=[], num_hidden=0, num_images=1)
    with torch.no_grad():
        for p in probe.net.parameters():
            p.zero_()
        x = probe.net.preprocessing(probe.images).flatten()
    found = overlap(probe)
    assert found["eigenvalue"].item() == pytest.approx((x.square().sum().item() + 1) / 3, rel=1e-4)
    assert found["mean"].item() == pytest.approx(1, abs=1e-5) and found["first"].item() == pytest.approx(1, abs=1e-5)


def test_a_net_that_diverged_has_no_overlap(make_probe):
    probe = make_probe()
    with torch.no_grad():
        probe.net.classifier.weight.fill_(math.inf)
    assert all(value.isnan() for value in overlap(probe).values())


def test_more_eigenvectors_than_parameters_are_refused(make_probe):
    with pytest.raises(ValueError, match=r"`num` eigenvalues must be at least 1"):
        overlap(make_probe(), num=0)

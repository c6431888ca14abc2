"""Leading eigenpairs against the dense Hessian, in float64."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.func import functional_call, hessian
from torch.nn import functional as F

from ablate.data.dataset import Split
from ablate.diagnostics.curvature import curvature, hessian_product, top_eigenpairs
from ablate.diagnostics.probe import Probe, probing
from ablate.layers.batch_norm import BatchNorm
from ablate.layers.dropout import Dropout, Positions
from ablate.layers.normalization import Batch, NoNormalization
from ablate.nets import ConvNet


def small_net(normalization=None, activation=nn.Tanh, dtype=torch.float64, dropout=0.0):
    torch.manual_seed(0)
    net = ConvNet(widths=[2], convs_per_stage=1, hidden_width=3).build(
        (1, 6, 6),
        3,
        activation=activation,
        normalization=normalization or NoNormalization(),
        dropout=Positions(layer=Dropout, hidden=dropout),
    )
    return net.to(dtype).to(memory_format=torch.channels_last)


def some_batch(seed, num_images=12, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(num_images, 1, 6, 6, generator=generator, dtype=dtype)
    return images.to(memory_format=torch.channels_last), torch.randint(0, 3, (num_images,), generator=generator)


class WrittenOut(nn.Module):
    """Batch norm from its formula, without the running update that torch.func refuses."""

    def __init__(self, norm):
        super().__init__()
        self.norm = norm

    def forward(self, x):
        axes = [0, 2, 3][: x.ndim - 1]
        shape = [1, -1, 1, 1][: x.ndim]
        mean, var = self.norm.running_mean.reshape(shape), self.norm.running_var.reshape(shape)
        if self.norm.training:
            mean = x.mean(axes, keepdim=True)
            var = ((x - mean) ** 2).mean(axes, keepdim=True)
        gamma, beta = self.norm.weight.reshape(shape), self.norm.bias.reshape(shape)
        return gamma * (x - mean) / torch.sqrt(var + self.norm.eps) + beta


def dense_hessian(net, batches):
    """The whole Hessian, forward over reverse, by the flat vector of parameters."""
    net = copy.deepcopy(net)
    for name, layer in list(net.named_children()):
        if isinstance(layer, BatchNorm):
            setattr(net, name, WrittenOut(layer))
    named = dict(net.named_parameters())

    def loss(theta):
        pieces = theta.split([p.numel() for p in named.values()])
        given = {name: piece.reshape(p.shape) for (name, p), piece in zip(named.items(), pieces, strict=True)}
        return torch.stack([F.cross_entropy(functional_call(net, given, (x,)), y) for x, y in batches]).mean()

    return hessian(loss)(torch.cat([p.detach().reshape(-1) for p in named.values()]))


@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize("normalization", [NoNormalization(), Batch()])
def test_eigenpairs_are_those_of_the_dense_hessian(normalization, inference):
    net = small_net(normalization)
    batches = [some_batch(1), some_batch(2)]
    with probing(net, inference=inference):
        dense = dense_hessian(net, batches)
        pairs = top_eigenpairs(net, batches, num=4, generator=torch.Generator().manual_seed(0), tolerance=1e-10)
    values, vectors = torch.linalg.eigh(dense)
    torch.testing.assert_close(pairs.values, values.flip(0)[:4], rtol=1e-8, atol=1e-10)
    overlap = (pairs.vectors * vectors.T.flip(0)[:4]).sum(1).abs()
    torch.testing.assert_close(overlap, torch.ones(4, dtype=torch.float64), rtol=0, atol=1e-8)
    assert values[-4] > 1e-3  # none of the four is lost in rounding


def test_a_product_is_that_with_the_dense_hessian():
    net, batches = small_net(Batch()), [some_batch(1), some_batch(2)]
    vector = torch.randn(sum(p.numel() for p in net.parameters()), dtype=torch.float64)
    with probing(net):
        torch.testing.assert_close(hessian_product(net, batches, vector), dense_hessian(net, batches) @ vector)


def test_single_precision_is_enough():
    double, single = small_net(Batch()), small_net(Batch()).float()
    images, labels = some_batch(1)
    with probing(double), probing(single):
        exact = top_eigenpairs(double, [(images, labels)], num=3, generator=torch.Generator().manual_seed(0))
        found = top_eigenpairs(single, [(images.float(), labels)], num=3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(found.values, exact.values, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.vectors @ found.vectors.T, torch.eye(3, dtype=torch.float64), rtol=0, atol=1e-8)


def test_the_start_vector_decides_and_nothing_else_does():
    net, batches = small_net(), [some_batch(1)]
    first, second = (top_eigenpairs(net, batches, num=2, generator=torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first.values, second.values) and torch.equal(first.vectors, second.vectors)


def test_softmax_regression_in_closed_form():
    """All weights 0, K classes, one image x and its bias: H = (I/K - 1/K^2) kron (x, 1)(x, 1)', top (|x|^2 + 1)/K."""
    net = ConvNet(widths=[], num_hidden=0).build(
        (1, 2, 2),
        4,
        activation=nn.ReLU,
        normalization=NoNormalization(),
        dropout=Positions(layer=Dropout),
    )
    with torch.no_grad():
        for p in net.parameters():
            p.zero_()
    images = torch.tensor([1.0, 2.0, 3.0, 4.0]).reshape(1, 1, 2, 2)
    pairs = top_eigenpairs(net, [(images, torch.tensor([1]))], num=5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        pairs.values, torch.tensor([31 / 4] * 3 + [0.0, 0.0], dtype=torch.float64), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("num", [0, 7])
def test_a_number_out_of_range_is_refused(num):
    net = nn.Sequential(nn.Flatten(), nn.Linear(2, 2))
    with pytest.raises(ValueError, match=f"fewer than the 6 parameters, got {num}"):
        top_eigenpairs(
            net, [(torch.ones(1, 2), torch.tensor([0]))], num=num, generator=torch.Generator().manual_seed(0)
        )


def probe_of(net, **changes):
    images, labels = some_batch(3, dtype=torch.float32)
    return Probe(
        **{"net": net, "images": images, "labels": labels, "held_out": Split(images=images, labels=labels)} | changes
    )


def test_the_measure_leaves_the_net_alone():
    net = small_net(Batch(), dtype=torch.float32, dropout=0.5)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    net.eval()
    probe = probe_of(net)
    found = curvature(probe, num=2)
    assert list(found) == ["1", "2", "stable_lr"]
    assert all(value.shape == () for value in found.values())
    assert found["1"] >= found["2"] and found["stable_lr"] == 2 / found["1"]
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not any(module.training for module in net.modules())
    assert all(p.grad is None for p in net.parameters())
    with probing(net):
        dense = dense_hessian(net, [(probe.images, probe.labels)])
    assert found["1"].item() == pytest.approx(torch.linalg.eigvalsh(dense)[-1].item(), rel=1e-4)


def test_a_net_that_diverged_has_no_curvature():
    net = small_net(dtype=torch.float32)
    with torch.no_grad():
        net.classifier.weight.fill_(math.inf)
    assert all(value.isnan() for value in curvature(probe_of(net)).values())

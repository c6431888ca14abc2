import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ablate.diagnostics.symmetry import rank_and_identity, symmetry
from ablate.layers.initialization import Constant
from ablate.layers.normalization import Batch


def test_rank_and_identity_by_hand():
    rows = torch.tensor([[1.0, 0, 0, 0], [1, 0, 0, 0], [0, 2, 0, 0], [1, 2, 0, 0], [1, 2, 0, 1e-6]])
    rank, identical = rank_and_identity(rows, 1e-4)
    assert rank.item() == 0.5  # 2 of 4
    assert identical.item() == pytest.approx(2 / 10)
    rank, identical = rank_and_identity(rows, 1e-7)
    assert rank.item() == 0.75
    assert identical.item() == pytest.approx(1 / 10)


def test_extremes():
    assert [v.item() for v in rank_and_identity(torch.zeros(3, 5), 1e-4)] == [0, 1]
    assert [v.item() for v in rank_and_identity(torch.eye(6)[:4], 1e-4)] == [1, 0]
    assert [v.item() for v in rank_and_identity(torch.ones(1, 5), 1e-4)] == [1, 0]


@pytest.mark.parametrize("shape", [(12, 7), (7, 12)])
def test_rank_is_that_of_the_singular_values(shape):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(shape[0], 4)) @ rng.normal(size=(4, shape[1]))
    assert np.linalg.matrix_rank(rows) == 4
    rank, _ = rank_and_identity(torch.tensor(rows).float(), 1e-5)
    assert rank.item() == pytest.approx(4 / 7)


def test_random_units_differ(make_probe):
    values = symmetry(make_probe())
    assert values["rank"].item() == 1
    assert values["identical"].item() == 0
    layers = ("conv1_1", "conv2_1", "fc1")
    assert set(values) == {"rank", "identical"} | {f"{x}/{key}" for x in layers for key in ("rank", "identical")}


@pytest.mark.parametrize("normalization", [None, Batch()])
def test_constant_units_stay_one_unit_through_training(normalization, make_probe):
    probe = make_probe(initializer=Constant(value=0.05, bias=0.0), normalization=normalization)
    before = probe.net.conv1_1.weight.detach().clone()
    for _ in range(10):
        values = {key: value.item() for key, value in symmetry(probe).items()}
        assert {key: values[key] for key in values if key.endswith("identical")} == {
            "conv1_1/identical": 1,
            "conv2_1/identical": 1,
            "fc1/identical": 1,
            "identical": 1,
        }
        ranks = [values[f"{name}/rank"] for name in ("conv1_1", "conv2_1", "fc1")]
        assert ranks == pytest.approx([1 / 4, 1 / 6, 1 / 8])
        loss = F.cross_entropy(probe.net(probe.images), probe.labels)
        gradients = torch.autograd.grad(loss, list(probe.net.parameters()))
        with torch.no_grad():
            for p, gradient in zip(probe.net.parameters(), gradients, strict=True):
                p -= 0.1 * gradient
    assert not torch.allclose(probe.net.conv1_1.weight, before)


def test_the_bias_belongs_to_the_unit(make_probe):
    probe = make_probe(initializer=Constant(value=0.05, bias=0.0))
    with torch.no_grad():
        probe.net.fc1.bias.copy_(torch.tensor([0.0, 0, 0, 0, 1, 1, 1, 1]))
    values = symmetry(probe)
    assert values["fc1/identical"].item() == pytest.approx(2 * 6 / 28)
    assert values["fc1/rank"].item() == pytest.approx(2 / 8)


@pytest.mark.parametrize("tolerance", [0, 1e-8, 1])
def test_bad_tolerance(tolerance, make_probe):
    with pytest.raises(ValueError, match=r"tolerance.*got"):
        symmetry(make_probe(), tolerance=tolerance)

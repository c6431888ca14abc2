from dataclasses import FrozenInstanceError
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ablate.layers.batch_norm import BatchNorm
from ablate.layers.normalization import Batch, Group, Instance, Layer, NoNormalization

SHAPES = [(5, 12), (3, 12, 4, 6)]


def standardized(x: Tensor, axes: tuple[int, ...], eps: float) -> Tensor:
    mean = x.mean(axes, keepdim=True)
    return (x - mean) / (((x - mean) ** 2).mean(axes, keepdim=True) + eps) ** 0.5


def check(recipe: Any, x: Tensor, expected: Tensor) -> None:
    """The module of `recipe`, with drawn gamma and beta, maps `x` to the affine map of `expected`, in both modes."""
    norm = recipe(12, x.ndim).double()
    gamma, beta = torch.rand(12, dtype=torch.float64) + 0.5, torch.randn(12, dtype=torch.float64)
    with torch.no_grad():
        norm.weight.copy_(gamma)
        norm.bias.copy_(beta)
    shape = (12,) + (1,) * (x.ndim - 2)
    for module in (norm.train(), norm.eval()):
        torch.testing.assert_close(module(x), gamma.view(shape) * expected + beta.view(shape), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("shape", SHAPES)
def test_layer_norm(shape: tuple[int, ...]) -> None:
    x = 3 * torch.randn(shape, dtype=torch.float64) + 2
    check(Layer(eps=1e-3), x, standardized(x, tuple(range(1, len(shape))), 1e-3))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("num_groups", [2, 4])
def test_group_norm(shape: tuple[int, ...], num_groups: int) -> None:
    x = 3 * torch.randn(shape, dtype=torch.float64) + 2
    width = 12 // num_groups
    groups = [x[:, i * width : (i + 1) * width] for i in range(num_groups)]
    axes = tuple(range(1, len(shape)))
    check(Group(num_groups=num_groups, eps=1e-3), x, torch.cat([standardized(g, axes, 1e-3) for g in groups], 1))


def test_instance_norm() -> None:
    x = 3 * torch.randn(3, 12, 4, 6, dtype=torch.float64) + 2
    check(Instance(eps=1e-3), x, standardized(x, (2, 3), 1e-3))


@pytest.mark.parametrize("recipe", [Layer(affine=False), Group(affine=False), Instance(affine=False)])
def test_without_affine_there_is_nothing_to_learn(recipe: Any) -> None:
    assert list(recipe(12, 4).parameters()) == []


def test_what_a_net_reads() -> None:
    assert NoNormalization()(8, 2) is None
    assert NoNormalization()(8, 4) is None
    assert Instance()(8, 2) is None
    assert Instance().min_positions == 2
    assert Batch().removes_bias
    assert Batch(affine=False).removes_bias
    assert not Batch(position="after").removes_bias
    assert not any(hasattr(recipe, "wrap") for recipe in (NoNormalization(), Batch(), Layer(), Group(), Instance()))


@pytest.mark.parametrize("ndim", [2, 4])
def test_batch_hands_its_fields_on(ndim: int) -> None:
    norm = Batch(momentum=0.2, eps=1e-3, inference="population")(8, ndim)
    assert isinstance(norm, BatchNorm)
    assert (norm.momentum, norm.eps, norm.inference) == (0.2, 1e-3, "population")
    assert [name for name, _ in norm.named_parameters()] == ["weight", "bias"]
    assert list(Batch(affine=False)(8, ndim).parameters()) == []
    assert [name for name, _ in Batch(frozen_scale=True)(8, ndim).named_parameters()] == ["bias"]


def test_the_slides_layer_has_770_parameters() -> None:
    conv = nn.Conv2d(3, 10, 5, bias=not Batch().removes_bias)
    assert sum(p.numel() for m in (conv, Batch()(10, 4)) for p in m.parameters()) == 750 + 20


@pytest.mark.parametrize("recipe", [Batch(), Layer(), Group(), Instance()])
def test_gradients_are_those_of_finite_differences(recipe: Any) -> None:
    x = torch.randn(3, 4, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(recipe(4, 4).double(), x)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Batch(momentum=3), r"`momentum` must lie in \[0, 1\] or be null, got 3"),
        (lambda: Batch(eps=0), r"`eps` must be positive, got 0"),
        (
            lambda: Batch(inference="exact"),
            r"`inference` must be one of running, population, population_std, got 'exact'",
        ),
        (lambda: Batch(position="middle"), r"`position` must be one of before, after, got 'middle'"),
        (lambda: Batch(frozen_scale=True, affine=False), r"`frozen_scale`.*needs `affine=True`"),
        (lambda: Layer(eps=-1), r"`eps` must be positive, got -1"),
        (lambda: Instance(eps=-1), r"`eps` must be positive, got -1"),
        (lambda: Group(num_groups=0), r"`num_groups` must be at least 1, got 0"),
        (lambda: Group(num_groups=5)(12, 4), r"12 features and 5 groups"),
        (lambda: Group(num_groups=12)(12, 2), r"one value per group"),
    ],
)
def test_refusals(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_recipe_is_keyword_only_and_frozen() -> None:
    with pytest.raises(TypeError):
        Batch(0.1)
    with pytest.raises(FrozenInstanceError):
        Batch().momentum = 0.2

import copy

import pytest
import torch
from torch import Tensor, nn

from ablate.layers.batch_norm import (
    BatchNorm,
    batch_statistics,
    estimate_population_statistics,
    needs_population_statistics,
)

SHAPES = [(16, 6), (8, 6, 5, 4)]


def randn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def deep_net(inference: str = "population") -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3),
        BatchNorm(6, inference=inference),
        nn.ReLU(),
        nn.Conv2d(6, 4, 3),
        BatchNorm(4, inference=inference),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.9),
        nn.Linear(4 * 4 * 4, 8),
        BatchNorm(8, inference=inference),
        nn.ReLU(),
        nn.Linear(8, 10),
    )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("affine", [True, False])
def test_agrees_with_torch(shape: tuple[int, ...], affine: bool) -> None:
    reference = (nn.BatchNorm1d if len(shape) == 2 else nn.BatchNorm2d)(6, momentum=0.3, eps=1e-3, affine=affine)
    if affine:
        nn.init.uniform_(reference.weight, 0.5, 2)
        nn.init.normal_(reference.bias)
    norm = BatchNorm(6, momentum=0.3, eps=1e-3, affine=affine)
    norm.load_state_dict(reference.state_dict())
    for seed in range(3):
        x = 3 * randn(*shape, seed=seed) + 2
        inputs = [x.clone().requires_grad_(), x.clone().requires_grad_()]
        outputs = [module(x) for module, x in zip((norm, reference), inputs, strict=True)]
        for y in outputs:
            (y * randn(*shape, seed=9)).sum().backward()
        assert torch.equal(*outputs)
        assert torch.equal(inputs[0].grad, inputs[1].grad)
    for ours, theirs in zip(norm.parameters(), reference.parameters(), strict=True):
        assert torch.equal(ours.grad, theirs.grad)
    assert norm.state_dict().keys() == reference.state_dict().keys()
    assert all(torch.equal(norm.state_dict()[key], value) for key, value in reference.state_dict().items())
    x = randn(*shape, seed=7)
    assert torch.equal(norm.eval()(x), reference.eval()(x))


@pytest.mark.parametrize("shape", SHAPES)
def test_follows_the_formula_in_float64(shape: tuple[int, ...]) -> None:
    norm = BatchNorm(6, momentum=0.25, eps=1e-2).double()
    assert isinstance(norm.weight, nn.Parameter)
    assert isinstance(norm.bias, nn.Parameter)
    nn.init.uniform_(norm.weight, 0.5, 2)
    nn.init.normal_(norm.bias)
    x = 3 * randn(*shape, dtype=torch.float64) + 2
    values = x.transpose(0, 1).flatten(1)  # (C, m)
    m = values.shape[1]
    mean = values.sum(1) / m
    var = ((values - mean[:, None]) ** 2).sum(1) / m

    def normalized(mean: Tensor, var: Tensor) -> Tensor:
        gamma, beta = norm.weight, norm.bias
        y = gamma[:, None] * (values - mean[:, None]) / (var[:, None] + 1e-2) ** 0.5 + beta[:, None]
        return y.reshape(6, shape[0], *shape[2:]).transpose(0, 1)

    torch.testing.assert_close(norm(x), normalized(mean, var), rtol=1e-12, atol=1e-12)
    running_mean, running_var = 0.25 * mean, 0.75 + 0.25 * var * m / (m - 1)
    torch.testing.assert_close(norm.running_mean, running_mean, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(norm.running_var, running_var, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(norm.eval()(x), normalized(running_mean, running_var), rtol=1e-12, atol=1e-12)


def test_frozen_scale_learns_beta_alone() -> None:
    norm = BatchNorm(6, frozen_scale=True)
    assert [name for name, _ in norm.named_parameters()] == ["bias"]
    optimizer = torch.optim.SGD(norm.parameters(), lr=0.1)
    x = randn(8, 6, 4, 4)
    (norm(x) * randn(8, 6, 4, 4, seed=1)).sum().backward()
    optimizer.step()
    assert norm.weight is not None
    assert torch.equal(norm.weight, torch.ones(6))
    assert norm.bias is not None
    assert norm.bias.abs().min() > 0
    plain = BatchNorm(6, affine=False)
    torch.testing.assert_close(norm(x) - norm.bias[:, None, None], plain(x), rtol=0, atol=1e-6)


def test_a_bias_before_it_changes_nothing_in_training() -> None:
    x = randn(8, 6, 4, 4, dtype=torch.float64)
    norm = BatchNorm(6).double()
    torch.testing.assert_close(norm(x + 5), norm(x), rtol=0, atol=1e-12)


def test_statistics_stay_in_float32_under_bfloat16_autocast() -> None:
    # 32768 values around 1: summed in bfloat16 they would stop growing at 256.
    x = (randn(8, 6, 64, 64) * 0.1 + 1).bfloat16().to(memory_format=torch.channels_last)
    norm = BatchNorm(6, momentum=1.0)
    with torch.autocast("cpu", torch.bfloat16):
        y = norm(x)
    assert y.dtype == torch.bfloat16
    assert norm.running_mean.dtype == torch.float32
    torch.testing.assert_close(norm.running_mean, x.double().mean((0, 2, 3)).float(), rtol=1e-5, atol=0)
    torch.testing.assert_close(norm.running_var, x.double().var((0, 2, 3)).float(), rtol=1e-4, atol=0)


def test_batch_statistics_sets_modes_and_restores_them() -> None:
    net = deep_net().train()
    net[7].eval()
    before = [module.training for module in net.modules()]
    with batch_statistics(net) as norms:
        assert norms == [net[1], net[4], net[9]]
        assert {module for module in net.modules() if module.training} == set(norms)
    assert [module.training for module in net.modules()] == before


@pytest.mark.parametrize("inference", ["population", "population_std"])
def test_algorithm_2_and_its_slip_are_averages_over_batches(inference: str) -> None:
    net = deep_net(inference).double().eval()
    batches = [randn(6, 3, 8, 8, seed=seed, dtype=torch.float64) * (1 + seed) + seed for seed in range(4)]
    expected = {}
    for index in (1, 4, 9):
        # The inputs of the norm, with every norm before it on batch statistics and no dropout.
        means, variances = [], []
        for x in batches:
            for layer in list(net)[:index]:
                if isinstance(layer, BatchNorm):
                    axes = [0, *range(2, x.ndim)]
                    mean, var = x.mean(axes, keepdim=True), x.var(axes, correction=0, keepdim=True)
                    x = (x - mean) / (var + layer.eps).sqrt()
                elif not isinstance(layer, nn.Dropout):
                    x = layer(x)
            values = x.transpose(0, 1).flatten(1)
            m = values.shape[1]
            means.append(values.mean(1))
            variances.append(((values - values.mean(1, keepdim=True)) ** 2).mean(1))
        mean_var, mean_std = torch.stack(variances).mean(0), torch.stack(variances).sqrt().mean(0)
        var = mean_var * m / (m - 1) if inference == "population" else mean_std**2
        expected[index] = (torch.stack(means).mean(0), var)
    estimate_population_statistics(net, iter(batches))
    for index, (mean, var) in expected.items():
        torch.testing.assert_close(net[index].running_mean, mean, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(net[index].running_var, var, rtol=1e-10, atol=1e-12)


def test_averaged_standard_deviations_of_two_known_batches() -> None:
    # Standard deviations 1 and 3: their mean is 2, the mean of their squares 5, and 5 * 4 / 3 is unbiased.
    unit = torch.tensor([-1.0, 1.0, -1.0, 1.0])[:, None]
    for inference, var in (("population", 20 / 3), ("population_std", 4.0)):
        norm = BatchNorm(1, eps=1e-12, inference=inference)
        estimate_population_statistics(norm, [unit + 5, 3 * unit + 7])
        torch.testing.assert_close(norm.running_mean, torch.tensor([6.0]))
        torch.testing.assert_close(norm.running_var, torch.tensor([var]))
        torch.testing.assert_close(norm.eval()(unit + 6), unit / var**0.5)


def test_averaged_standard_deviations_are_those_of_float32_under_bfloat16_autocast() -> None:
    # Batches of 32768 values around 1: in bfloat16 neither their sum nor their number could be represented.
    batches = [((seed + 1) * randn(8, 6, 64, 64, seed=seed) + 1).bfloat16() for seed in range(2)]
    norm = BatchNorm(6, inference="population_std")
    with torch.autocast("cpu", torch.bfloat16):
        estimate_population_statistics(norm, batches)
    std = torch.stack([x.double().std((0, 2, 3), correction=0) for x in batches]).mean(0)
    torch.testing.assert_close(norm.running_var, (std**2).float(), rtol=1e-4, atol=0)


@pytest.mark.parametrize("inference", ["population", "population_std"])
def test_algorithm_2_forgets_what_was_there(inference: str) -> None:
    net = deep_net(inference)
    batches = [randn(6, 3, 8, 8, seed=seed) for seed in range(3)]
    estimate_population_statistics(net, batches)
    first = copy.deepcopy(net.state_dict())
    net[1].running_mean.fill_(float("nan"))
    net[4].running_var.fill_(float("inf"))
    estimate_population_statistics(net, batches)
    assert all(torch.equal(net.state_dict()[key], value) for key, value in first.items())


@pytest.mark.parametrize("inference", ["population", "population_std"])
def test_algorithm_2_leaves_training_unaffected(inference: str) -> None:
    def train(estimate: bool) -> list[Tensor]:
        net = deep_net(inference)
        net[7].p = 0.0
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        for seed in range(3):
            if estimate:
                estimate_population_statistics(net, [randn(6, 3, 8, 8, seed=9)])
            optimizer.zero_grad()
            net(randn(6, 3, 8, 8, seed=seed)).square().mean().backward()
            optimizer.step()
        assert all(module.momentum == 0.1 for module in net if isinstance(module, BatchNorm))
        return list(net.parameters())

    assert all(torch.equal(a, b) for a, b in zip(train(True), train(False), strict=True))


def test_algorithm_2_refuses_no_batch_and_unequal_batches() -> None:
    net = deep_net("population_std")
    with pytest.raises(ValueError, match="at least one batch, got none"):
        estimate_population_statistics(net, [])
    with pytest.raises(ValueError, match=r"one size, got 2 after 6.*drop the last"):
        estimate_population_statistics(net, [randn(6, 3, 8, 8), randn(2, 3, 8, 8)])
    assert net[1].momentum == 0.1
    assert not net[1]._forward_pre_hooks
    assert all(module.training for module in net.modules())


def test_needs_population_statistics() -> None:
    assert needs_population_statistics(deep_net())
    assert needs_population_statistics(deep_net("population_std"))
    assert not needs_population_statistics(nn.Sequential(BatchNorm(3), nn.ReLU()))

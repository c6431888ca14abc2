import zlib

import pytest
import torch
from torch import Tensor, nn

from ablate.layers.batch_norm import BatchNorm
from ablate.layers.dropout import Dropout
from ablate.layers.initialization import Orthogonal, weight_layers
from ablate.layers.lsuv import Lsuv
from ablate.layers.weight_standardization import WeightStandardization


def make_generator(path: str) -> torch.Generator:
    return torch.Generator().manual_seed(zlib.crc32(path.encode()))


def make_net(norm: bool = False) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(3, 8, 3), nn.ReLU()]
    for _ in range(4):
        layers += [nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), *([BatchNorm(8)] if norm else [])]
    return nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.5), Dropout(0.5), nn.Linear(8 * 36, 10))


def make_batch() -> Tensor:
    return 50 * torch.rand(32, 3, 8, 8) + 100


def output_variances(net: nn.Module, batch: Tensor) -> list[float]:
    variances = []
    hooks = [
        layer.register_forward_hook(lambda _, __, y: variances.append(y.double().var(correction=0).item()))
        for _, layer in weight_layers(net)
    ]
    with torch.no_grad():
        net(batch)
    for hook in hooks:
        hook.remove()
    return variances


@pytest.mark.parametrize("bias", [0.0, 0.1])
def test_every_layer_has_outputs_of_unit_variance(bias: float) -> None:
    net, batch = make_net().eval(), make_batch()
    Lsuv(bias=bias)(net, batch, make_generator)
    assert output_variances(net, batch) == pytest.approx([1] * 6, rel=1e-4)
    assert all(torch.equal(layer.bias, torch.full_like(layer.bias, bias)) for _, layer in weight_layers(net))


def test_one_pass_is_the_papers_loop_run_to_convergence() -> None:
    net, reference, batch = make_net().eval(), make_net().eval(), make_batch()
    Lsuv()(net, batch, make_generator)
    Orthogonal()(reference, batch, make_generator)
    for i, (_, layer) in enumerate(weight_layers(reference)):
        for _ in range(10):
            variance = output_variances(reference, batch)[i]
            with torch.no_grad():
                layer.weight /= variance**0.5
    for ours, theirs in zip(net.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-7)


def test_the_weights_stay_orthogonal() -> None:
    net = make_net()
    Lsuv()(net, make_batch(), make_generator)
    for _, layer in weight_layers(net):
        rows = layer.weight.detach().flatten(1)
        gram = rows @ rows.T
        torch.testing.assert_close(gram / gram[0, 0], torch.eye(len(gram)), rtol=0, atol=1e-5)


def test_with_batch_norm_the_variance_is_that_of_training() -> None:
    net, batch = make_net(norm=True), make_batch()
    Lsuv()(net, batch, make_generator)
    norms = [module for module in net if isinstance(module, BatchNorm)]
    for norm in norms:
        assert torch.equal(norm.running_mean, torch.zeros(8))
        assert torch.equal(norm.running_var, torch.ones(8))
        assert norm.num_batches_tracked == 0
    net.eval()
    for norm in norms:
        norm.train()
    assert output_variances(net, batch) == pytest.approx([1] * 6, rel=1e-4)


@pytest.mark.parametrize("training", [True, False])
def test_modes_hooks_and_generators_are_as_before(training: bool) -> None:
    net = make_net().train(training)
    state = torch.get_rng_state()
    batch = make_batch()
    torch.set_rng_state(state)
    Lsuv()(net, batch, make_generator)
    assert all(module.training == training for module in net.modules())
    assert not any(module._forward_hooks for module in net.modules())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.is_leaf and p.requires_grad and p.grad is None for p in net.parameters())


def test_standardized_weights_are_refused_by_name() -> None:
    net = nn.Sequential(WeightStandardization().wrap(nn.Conv2d(3, 4, 3)))
    before = net[0].weight.clone()
    with pytest.raises(ValueError, match=r"lsuv scales weights, but normalization weight_standardization.*'0'"):
        Lsuv()(net, make_batch(), make_generator)
    assert torch.equal(net[0].weight, before)


def test_an_output_without_variance_is_refused() -> None:
    net = make_net()
    with pytest.raises(ValueError, match=r"layer '0' to variance 1, its variance is 0"):
        Lsuv()(net, torch.zeros(4, 3, 8, 8), make_generator)
    assert not any(module._forward_hooks for module in net.modules())


def test_drawn_biases_are_refused() -> None:
    with pytest.raises(ValueError, match=r"`bias` of lsuv must be one number.*got None"):
        Lsuv(bias=None)

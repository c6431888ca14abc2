"""The measures on a residual net with shared modules that work in place, against plain autograd."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ablate.cli.planning import make
from ablate.config import catalog
from ablate.data.dataset import Split
from ablate.diagnostics.dead_units import dead_units
from ablate.diagnostics.gradient_norm import gradient_norm
from ablate.diagnostics.one_sign import affine_pass, weight_gradient
from ablate.diagnostics.pre_activation import pre_activation
from ablate.diagnostics.probe import Probe, probing
from ablate.diagnostics.saturation import saturation
from ablate.diagnostics.symmetry import symmetry
from ablate.layers.lsuv import Lsuv
from ablate.regularization import Regularizer
from ablate.seeding import Streams
from builders.nets import UNITS, Functional, SmallResNet, plain_forward, small_transformer

LABELS = torch.arange(12) % 3


def probe_of(net):
    torch.manual_seed(0)
    for p in net.parameters():
        nn.init.normal_(p, std=0.4)
    images = torch.randn(12, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    images = images.to(memory_format=torch.channels_last)
    return Probe(net=net.double(), images=images, labels=LABELS, held_out=Split(images=images, labels=LABELS))


@pytest.fixture
def probe():
    net = SmallResNet()
    probe = probe_of(net)
    with torch.no_grad():
        net.block1.bn1.bias[1] = -50.0  # a dead unit
        net.block2.bn2.bias[:3] = -90.0  # three of eight behind the sum
    return probe


@pytest.fixture
def plain(probe):
    """What enters each activation, and its gradient, by plain autograd."""
    entering = []
    probe.net.drop.eval()
    loss = F.cross_entropy(plain_forward(probe.net, probe.images, entering.append), LABELS)
    weights = {n.removesuffix(".weight"): p for n, p in probe.net.named_parameters() if p.ndim > 1}
    found = torch.autograd.grad(loss, [*entering, *weights.values()])
    zs = dict(zip(UNITS, [(z.detach(), g) for z, g in zip(entering, found, strict=False)], strict=True))
    return zs, dict(zip(weights, found[len(entering) :], strict=True))


def test_dead_and_saturated_units(probe, plain):
    dead, flat = dead_units(probe), saturation(probe)
    for name, (z, _) in plain[0].items():
        assert dead[name].item() == pytest.approx((z <= 0).all(0).all(-1).all(-1).double().mean().item())
        assert flat[name].item() == pytest.approx((z <= 0).double().mean().item())
    assert dead["block1.conv1"] == 0.25 and dead["block2.relu"] == 0.375


def test_pre_activations(probe, plain):
    found = pre_activation(probe)
    for name, (z, _) in plain[0].items():
        assert found[f"{name}/mean"].item() == pytest.approx(z.mean().item())
        assert found[f"{name}/std"].item() == pytest.approx(z.std(correction=0).item())


def test_gradients(probe, plain):
    found = gradient_norm(probe)
    for path, gradient in plain[1].items():
        assert found[path].item() == pytest.approx(gradient.norm().item())
    first, last = plain[0]["conv"][1], plain[0]["block2.relu"][1]
    assert found["first_last"].item() == pytest.approx((first.norm() / last.norm()).item())
    assert abs(found["first_last"].item() - 1) > 0.01


def test_terms_of_images_add_up_to_the_gradient_of_every_layer(probe, plain):
    with probing(probe.net):
        affines = affine_pass(probe.net, probe.images, probe.labels)
    assert affines.keys() == plain[1].keys()
    for path, affine in affines.items():
        total = sum(weight_gradient(affine, i) for i in range(len(LABELS)))
        torch.testing.assert_close(total, plain[1][path].flatten(1))


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(4, 6, 3, groups=2, padding=1),
        nn.Conv2d(4, 4, 3, stride=2, groups=4),
        nn.Conv2d(4, 6, 3, padding="same"),
        nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(4, 6, 3, padding=2, dilation=2),
    ],
    ids=str,
)
def test_terms_of_any_convolution(conv):
    net = nn.Sequential(
        nn.Conv2d(3, 4, 1), conv, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(conv.out_channels, 3)
    )
    probe = probe_of(net)
    F.cross_entropy(net(probe.images), LABELS).backward()
    for path, affine in affine_pass(net, probe.images, LABELS).items():
        total = sum(weight_gradient(affine, i) for i in range(len(LABELS)))
        torch.testing.assert_close(total, net.get_submodule(path).weight.grad.flatten(1))


def test_a_shared_layer_is_measured_over_its_calls():
    shared = nn.Linear(6, 6)
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(192, 6), shared, nn.Tanh(), shared, nn.ReLU(inplace=True), nn.Linear(6, 3)
    )
    probe = probe_of(net)
    F.cross_entropy(net(probe.images), LABELS).backward()
    found = affine_pass(net, probe.images, LABELS)
    assert list(found) == ["1", "2", "6"]
    total = sum(weight_gradient(found["2"], i) for i in range(len(LABELS)))
    torch.testing.assert_close(total, shared.weight.grad)
    assert [unit.name for unit in probe.passed.units] == ["2", "5"]
    assert set(symmetry(probe)) == {"1/rank", "1/identical", "2/rank", "2/identical", "rank", "identical"}


def test_embeddings_are_no_affine_layers():
    class WithToken(nn.Module):
        def __init__(self):
            super().__init__()
            self.token, self.fc = nn.Parameter(torch.zeros(1, 192)), nn.Linear(192, 3)

        def forward(self, x):
            return self.fc(x.flatten(1) + self.token)

    assert list(gradient_norm(probe_of(WithToken()))) == ["fc"]


def test_a_weight_that_the_loss_does_not_depend_on_has_no_gradient():
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
    net.unused = nn.Linear(2, 2)
    net.forward = lambda x: net[1](net[0](x))
    assert gradient_norm(probe_of(net))["unused"] == 0


SLOW = ("autoencoder", "algebra", "landscape", "overlap", "overlap_frozen", "curvature_frozen")
KNOWN = catalog.content_of("diagnostics", "default", catalog.folders())["known"]


@pytest.mark.parametrize("make_net", [SmallResNet, Functional, small_transformer])
@pytest.mark.parametrize("name", sorted(KNOWN.keys() - set(SLOW)))
def test_every_measure_takes_such_nets_and_leaves_them_alone(name, make_net):
    settings = {**KNOWN[name], **({"batch_size": 4} if name in ("gradient_noise",) else {})}
    settings = {**settings, **({"bits": 8} if "bits" in settings else {})}
    probe = probe_of(make_net())
    images = probe.images.float()
    held_out = Split(images=images, labels=LABELS)
    probe = Probe(net=probe.net.float(), images=images, labels=LABELS, held_out=held_out)
    before = {key: value.clone() for key, value in probe.net.state_dict().items()}
    found = make("diagnostics", settings)(probe)
    assert found or name == "update_ratio"
    assert all(torch.equal(value, before[key]) for key, value in probe.net.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in probe.net.modules())


def test_a_transformer_is_measured_as_plain_autograd_does():
    net = small_transformer()
    probe = probe_of(net)
    blocks = [f"encoder.layers.encoder_layer_{k}.mlp" for k in (0, 1)]
    assert [unit.name for unit in probe.passed.units] == [f"{block}.0" for block in blocks]
    entering = []
    for block in blocks:
        net.get_submodule(f"{block}.1").register_forward_hook(lambda m, x, y: entering.append(x[0]))
    F.cross_entropy(net(probe.images), LABELS).backward()
    found, gradients = pre_activation(probe), gradient_norm(probe)
    for unit, z in zip(probe.passed.units, entering[:2], strict=True):
        assert found[f"{unit.name}/mean"].item() == pytest.approx(z.mean().item())
        assert found[f"{unit.name}/std"].item() == pytest.approx(z.std(correction=0).item())
    for path, layer in net.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear) and path in gradients:
            assert gradients[path].item() == pytest.approx(layer.weight.grad.norm().item())
    assert {"conv_proj", "heads.head"} <= gradients.keys()


def test_lsuv_brings_every_layer_of_a_residual_net_to_unit_variance(probe):
    net, images = probe.net.float(), probe.images.float()
    Lsuv()(net, images, lambda path: Streams(0).generator("init", path))
    outputs = {}
    for path, layer in net.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(lambda m, x, y, path=path: outputs.__setitem__(path, y.detach().clone()))
    assert torch.equal(net.bn.running_mean, torch.zeros(4))
    with probing(net):
        net(images)
    assert len(outputs) == 8
    for path, output in outputs.items():
        assert output.var(correction=0).item() == pytest.approx(1, rel=1e-3), path


def test_the_penalty_on_activations_counts_every_call(probe, plain):
    loss = Regularizer(l1_activation=0.5).make_loss(probe.net)
    probe.net.train()
    probe.net.drop.eval()
    total = loss(probe.net(probe.images), LABELS)
    expected = sum(z.clamp(min=0).float().mean() for z, _ in plain[0].values())
    probe.net.drop.eval()
    cross_entropy = F.cross_entropy(plain_forward(probe.net, probe.images, lambda z: None), LABELS)
    assert total.item() == pytest.approx((cross_entropy + 0.5 * expected).item(), rel=1e-5)


def test_a_penalty_on_activations_that_are_not_there_is_refused():
    with pytest.raises(ValueError, match=r"l1_activation=0.5.*no activation modules"):
        Regularizer(l1_activation=0.5).make_loss(nn.Sequential(nn.Linear(2, 2)))

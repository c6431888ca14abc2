import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ablate.diagnostics.probe import run_pass
from ablate.nets.roles import activations, made, parts
from ablate.nets.tracing import tracing
from builders.nets import UNITS, Functional, InPlaceReLU, SmallResNet, plain_forward

LABELS = torch.arange(6) % 3


@pytest.fixture
def images():
    return torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def float64(net):
    torch.manual_seed(0)
    for p in net.parameters():
        nn.init.normal_(p, std=0.4)
    return net.double()


def without_dropout(net):
    net.drop.p = 0.0
    return net


def test_units_of_a_residual_net_are_those_of_plain_autograd(images):
    net = without_dropout(float64(SmallResNet()))
    entering = []
    logits = plain_forward(net, images, entering.append)
    loss = F.cross_entropy(logits, LABELS)
    expected = torch.autograd.grad(loss, [*entering, *net.parameters()])
    passed = run_pass(net, images, LABELS)
    assert [unit.name for unit in passed.units] == UNITS
    for unit, z, gradient in zip(passed.units, entering, expected, strict=False):
        torch.testing.assert_close(unit.inputs, z.detach())
        torch.testing.assert_close(unit.outputs, z.detach().relu())
        torch.testing.assert_close(unit.gradient, gradient)
    for found, gradient in zip(passed.gradients.values(), expected[len(entering) :], strict=True):
        torch.testing.assert_close(found, gradient)
    torch.testing.assert_close(passed.logits, logits.detach())


def test_a_pass_that_is_recorded_computes_what_the_net_computes(images):
    net = without_dropout(float64(SmallResNet()))
    with tracing(net, affine_values=True):
        found = net(images)
    assert torch.equal(found, net(images))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())


def test_an_ignored_return_value_of_an_activation_in_place_counts(images):
    class Ignores(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.act, self.fc = nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Linear(4, 3)

        def forward(self, x):
            x = self.conv(x)
            self.act(x)
            return self.fc(x.mean((2, 3)))

    net = float64(Ignores())
    logits = net(images)
    passed = run_pass(net, images, LABELS)
    assert torch.equal(passed.logits, logits)
    assert (passed.units[0].inputs < 0).any() and not (passed.units[0].outputs < 0).any()


def test_functions_are_units_under_the_names_of_their_affine_layers(images):
    net = float64(Functional())
    passed = run_pass(net, images, LABELS)
    assert [unit.name for unit in passed.units] == ["conv1", "conv2"]
    torch.testing.assert_close(passed.units[0].inputs, net.conv1(images).detach())
    torch.testing.assert_close(passed.units[1].outputs, net.conv2(net.conv1(images).relu()).tanh().detach())
    z = net.conv1(images)
    (expected,) = torch.autograd.grad(F.cross_entropy(net.fc(net.conv2(z.relu()).tanh().mean((2, 3))), LABELS), z)
    torch.testing.assert_close(passed.units[0].gradient, expected)


def test_a_function_inside_an_activation_is_no_unit(images):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), InPlaceReLU(), nn.Flatten(), nn.Linear(144, 3)).double()
    with tracing(net) as trace:
        net(images)
    assert [(call.name, call.path) for call in trace.units] == [("0", "1")]


def test_calls_of_one_activation_that_nothing_affine_feeds_are_numbered(images):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.act, self.fc = nn.Tanh(), nn.Linear(192, 3)

        def forward(self, x):
            return self.fc(self.act(2 * self.act(x)).flatten(1))

    passed = run_pass(float64(Twice()), images, LABELS)
    assert [unit.name for unit in passed.units] == ["act", "act_2"]
    assert passed.units[0].gradient.abs().sum() > 0  # of the images themselves, which have no gradient otherwise


def test_a_sum_is_not_taken_for_the_tensor_that_it_was_added_to(images):
    class Added(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.act = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3), nn.ReLU()

        def forward(self, x):
            y = self.a(x)
            y += self.b(x)
            return self.act(y)

    net = Added().double()
    with tracing(net) as trace:
        net(images)
    assert trace.units[0].name == "act"


def test_identity_is_an_activation_where_it_was_made_as_one():
    net = nn.Sequential(nn.Linear(2, 2), made(nn.Identity()), nn.Identity())
    assert [path for path, _ in activations(net)] == ["1"]


def test_gates_and_preprocessing_hold_no_units():
    net = nn.Sequential()
    net.add_module("preprocessing", nn.Sequential(nn.ReLU()))
    gated = nn.Module()
    gated.scale_activation, gated.activation = nn.Sigmoid(), nn.SiLU()
    net.add_module("gated", gated)
    assert [(part.path, part.role) for part in parts(net)] == [("gated.activation", "activation")]

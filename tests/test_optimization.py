import math

import pytest
import torch
from torch import nn

from ablate.optimization import Constant, Cosine, Geometric, Step, Triangular, parameter_groups, set_initial_lr


def test_constant():
    assert [Constant()(epoch, 8) for epoch in (0.0, 3.7, 7.99)] == [1, 1, 1]


def test_step_drops_at_its_milestones():
    schedule = Step(milestones=[0.5, 0.75], factor=0.1)
    assert [schedule(epoch, 8) for epoch in (0, 3.99, 4, 5.99, 6, 7.9)] == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_cosine_is_half_a_cosine_after_the_warmup():
    assert [Cosine()(epoch, 8) for epoch in (0, 2, 4, 8)] == pytest.approx([1, (1 + math.sqrt(0.5)) / 2, 0.5, 0])
    warm = Cosine(final=0.2, warmup_epochs=2)
    assert [warm(epoch, 10) for epoch in (0, 1, 2, 6, 10)] == pytest.approx([0, 0.5, 1, 0.6, 0.2])
    assert Cosine(warmup_epochs=5)(4.0, 5) == pytest.approx(0.8)


def test_triangular():
    schedule = Triangular(peak=0.25, start=0.2, final=0.1)
    assert [schedule(epoch, 8) for epoch in (0, 1, 2, 5, 8)] == pytest.approx([0.2, 0.6, 1, 0.55, 0.1])


def test_geometric_grows_once_an_epoch():
    schedule = Geometric(growth=2)
    assert [schedule(epoch, 8) for epoch in (0, 0.99, 1, 3.5)] == [1, 1, 2, 8]


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: Step(milestones=[0.75, 0.5], factor=0.1), "milestones"),
        (lambda: Step(milestones=[1.5], factor=0.1), "milestones"),
        (lambda: Step(milestones=[0.5], factor=0), "factor"),
        (lambda: Cosine(final=2), "final"),
        (lambda: Cosine(warmup_epochs=-1), "warmup_epochs"),
        (lambda: Triangular(peak=1), "peak"),
        (lambda: Triangular(start=-0.1), "start"),
        (lambda: Geometric(growth=0), "growth"),
    ],
)
def test_bad_values_are_named(make, word):
    with pytest.raises(ValueError, match=rf"schedule\.{word}.*got"):
        make()


def test_only_the_weights_of_affine_maps_are_decayed():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.PReLU(), nn.Flatten(), nn.Linear(4, 2))
    decayed, free = parameter_groups(net, 0.5)
    assert decayed["weight_decay"] == 0.5
    assert free["weight_decay"] == 0
    assert {id(p) for p in decayed["params"]} == {id(net[0].weight), id(net[4].weight)}
    assert len(decayed["params"]) + len(free["params"]) == len(list(net.parameters()))


def test_l2_is_the_gradient_of_half_the_squared_norm():
    weight = nn.Parameter(torch.tensor([[2.0, -4.0]], dtype=torch.float64))
    net = nn.Module()
    net.weight = weight
    optimizer = torch.optim.SGD(parameter_groups(net, 0.25), lr=0.1)
    weight.grad = torch.zeros_like(weight)
    optimizer.step()
    torch.testing.assert_close(weight.detach(), (1 - 0.1 * 0.25) * torch.tensor([[2.0, -4.0]], dtype=torch.float64))


def test_a_net_without_biases_has_one_group():
    assert len(parameter_groups(nn.Linear(2, 2, bias=False), 0.1)) == 1


def test_biases_have_a_learning_rate_of_their_own():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.PReLU(), nn.Flatten(), nn.Linear(4, 2))
    optimizer = torch.optim.SGD(parameter_groups(net, 0.5, 64.0), lr=0.25)
    set_initial_lr(optimizer)
    found = [({id(p) for p in g["params"]}, g["initial_lr"], g["weight_decay"]) for g in optimizer.param_groups]
    assert found == [
        ({id(net[0].weight), id(net[4].weight)}, 0.25, 0.5),
        ({id(net[1].weight), id(net[2].weight)}, 0.25, 0.0),
        ({id(net[0].bias), id(net[1].bias), id(net[4].bias)}, 16.0, 0.0),
    ]


def test_a_factor_of_one_leaves_the_groups_as_they_are():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    groups = parameter_groups(net, 0.5, 1.0)
    assert [set(group) for group in groups] == [{"params", "weight_decay"}] * 2
    assert [[id(p) for p in group["params"]] for group in groups] == [
        [id(net[0].weight)],
        [id(net[0].bias), id(net[1].weight), id(net[1].bias)],
    ]


def test_a_rate_that_no_float_holds_is_infinite_and_no_error():
    assert Geometric(growth=1000.0)(103.0, 200) == math.inf

"""What measures share: they leave no trace, repeat themselves and, those of units, survive odd nets."""

import copy

import pytest
import torch
from torch import nn

from ablate.diagnostics.activation_cost import activation_cost
from ablate.diagnostics.batch_mates import batch_mates
from ablate.diagnostics.dead_units import dead_units
from ablate.diagnostics.linearity import linearity
from ablate.diagnostics.off_state import off_state
from ablate.diagnostics.overlap import overlap
from ablate.diagnostics.perturbation import perturbation
from ablate.diagnostics.pre_activation import pre_activation
from ablate.diagnostics.probe import Probe
from ablate.diagnostics.saturation import saturation
from ablate.diagnostics.symmetry import symmetry
from ablate.layers.activation import Maxout
from ablate.layers.normalization import Batch
from ablate.lecture.algebra import algebra
from ablate.regularization import InputNoise

SHARED = [dead_units, saturation, pre_activation, symmetry, linearity]
MEASURES = [*SHARED, off_state, batch_mates, perturbation, overlap, algebra, activation_cost]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.__name__)
def test_a_measure_leaves_no_trace(measure, training, make_probe):
    probe = make_probe(
        activation=nn.PReLU, normalization=Batch(), dropout=0.5, front=[("input_noise", InputNoise(0.1))]
    )
    net = probe.net.train(training)
    net.fc_dropout1.eval()
    for p in net.parameters():
        p.grad = torch.ones_like(p)
    before = copy.deepcopy(net.state_dict())
    modes = [module.training for module in net.modules()]
    random_state = torch.get_rng_state()
    values = measure(probe)
    assert values
    assert all(v.shape == () and not v.requires_grad for v in values.values())
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert [module.training for module in net.modules()] == modes
    assert all(torch.equal(p.grad, torch.ones_like(p)) for p in net.parameters())
    assert not any(unit.inputs.requires_grad for unit in probe.passed.units)
    assert torch.equal(torch.get_rng_state(), random_state)


@pytest.mark.parametrize("measure", MEASURES[:-1], ids=lambda measure: measure.__name__)
def test_a_measure_repeats_itself(measure, make_probe):
    first, second = (measure(make_probe(normalization=Batch())) for _ in range(2))
    assert first.keys() == second.keys()
    assert all(torch.equal(value, second[key]) for key, value in first.items())


@pytest.mark.parametrize("measure", SHARED, ids=lambda measure: measure.__name__)
@pytest.mark.parametrize("activation", [nn.Sigmoid, nn.GELU, nn.Identity, nn.SELU, Maxout])
@pytest.mark.parametrize("position", ["before", "after"])
def test_fractions_are_fractions(measure, activation, position, make_probe):
    values = measure(make_probe(activation=activation, normalization=Batch(position=position)))
    for key, value in values.items():
        if not key.endswith(("mean", "std")) or measure is not pre_activation:
            assert 0 <= value.item() <= 1, key


@pytest.mark.parametrize("measure", [*SHARED, off_state, activation_cost], ids=lambda measure: measure.__name__)
def test_a_net_without_hidden_layers_gives_nothing(measure, make_probe):
    assert measure(make_probe(widths=[], num_hidden=0)) == {}


@pytest.mark.parametrize("measure", SHARED, ids=lambda measure: measure.__name__)
def test_the_shared_pass_is_the_only_one(measure, make_probe):
    probe = make_probe()
    assert isinstance(probe, Probe)
    _ = probe.passed
    passes = []
    probe.net.classifier.register_forward_hook(lambda *_: passes.append(1))
    measure(probe)
    assert passes == []

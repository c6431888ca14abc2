"""A penalty on activations listens to training alone: what a probe passes through the net must not reach its loss."""

import pytest

from ablate.diagnostics.batch_mates import batch_mates
from ablate.diagnostics.off_state import off_state
from ablate.diagnostics.overlap import overlap
from ablate.diagnostics.perturbation import perturbation
from ablate.regularization import Regularizer


@pytest.mark.parametrize("measure", [lambda probe: probe.passed, off_state, batch_mates, perturbation, overlap])
def test_the_loss_after_a_probe_is_the_loss_before(measure, make_probe):
    probe = make_probe()
    net = probe.net.train()
    loss = Regularizer(l1_activation=1.0).make_loss(net)
    before = loss(net(probe.images), probe.labels).item()
    measure(probe)
    assert loss(net(probe.images), probe.labels).item() == before

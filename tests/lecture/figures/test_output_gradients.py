"""Squared gradients by layer: they add up, and batch norm's invariance to scale shows in them."""

import numpy as np
import pytest
import torch

from ablate.diagnostics.output_moments import moment_gradients
from ablate.lecture.figures import output_gradients
from ablate.lecture.figures.half_trained import half_trained_run, probe_batches, subjects

RATES = {"lr_batch_norm": 0.5, "lr_none": 0.05}
PROBE = {"num_batches": 2, "batch_size": 30}


@pytest.fixture
def lab(make_lab, tmp_path):
    return make_lab(folder=tmp_path / "figures")


def test_layers_add_up_to_the_whole_gradient(lab):
    arrays = output_gradients.compute(lab, **RATES, **PROBE)
    assert list(arrays["layers"]) == ["conv1_1", "conv2_1", "classifier"]
    assert arrays["squared"].shape == (4, 10, 3)
    batches = probe_batches(lab, half_trained_run(lab, "none", 0.05), **PROBE)
    for row, subject in enumerate(subjects(lab, **RATES).values()):
        whole = moment_gradients(subject.net, batches, order=1)[0].square().sum(1)
        np.testing.assert_allclose(arrays["squared"][row].sum(1), whole, rtol=1e-5)
    output_gradients.draw(arrays)
    text = output_gradients.caption(arrays)
    share = arrays["squared"][2].mean(0)
    assert f"none {share.sum():.3g}, {share[-1] / share.sum():.0%} of it in the classifier (38.2, 17%)" in text


def test_the_classifier_is_the_same_in_every_class_and_a_layer_under_batch_norm_feels_no_scale(lab):
    net = subjects(lab, **RATES)["batch norm"].net
    batches = probe_batches(lab, half_trained_run(lab, "none", 0.05), **PROBE)
    gradients = moment_gradients(net, batches, order=1)[0]
    squared = output_gradients.by_layer(net, gradients)["classifier"]
    # d mean(z_k) / d W_j is the mean feature where j = k and 0 elsewhere, so its norm does not depend on k.
    torch.testing.assert_close(squared, squared[:1].expand(10))
    # Nothing changes when the weights under a batch norm grow together, so their gradient is orthogonal to them.
    weight = net.get_submodule("conv1_1").weight.detach().flatten()
    cosines = gradients[:, : len(weight)] @ weight / (gradients[:, : len(weight)].norm(dim=1) * weight.norm())
    assert cosines.abs().max() < 1e-2

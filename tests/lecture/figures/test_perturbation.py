"""Perturbations of the weights: their length, their first-order effect, and that the nets stay as they are."""

import numpy as np
import pytest
import torch

from ablate.diagnostics.output_moments import moment_gradients
from ablate.lecture.figures import perturbation
from ablate.lecture.figures.half_trained import half_trained_run, probe_batches, subjects

RATES = {"lr_batch_norm": 0.5, "lr_none": 0.05}
PROBE = {"num_batches": 2, "batch_size": 30}


@pytest.fixture
def lab(make_lab, tmp_path):
    return make_lab(folder=tmp_path / "figures")


def test_a_small_step_raises_the_mean_logit_by_length_times_the_gradient(lab):
    arrays = perturbation.compute(lab, **RATES, **PROBE, relative_length=1e-3)
    batches = probe_batches(lab, half_trained_run(lab, "none", 0.05), **PROBE)
    for row, subject in enumerate(subjects(lab, **RATES).values()):
        norm = torch.cat([p.detach().flatten() for p in subject.net.parameters()]).norm().item()
        assert arrays["lengths"][row] == pytest.approx(1e-3 * norm, rel=1e-5)
        with torch.no_grad():
            logits = torch.cat([subject.net(images) for images, _ in batches])
        np.testing.assert_allclose(arrays["logits"][row, 0], logits - logits.mean(1, keepdim=True), atol=1e-5)
        means = moment_gradients(subject.net, batches, order=1)[0].double()
        centred = means - means.mean(0)
        steps = arrays["lengths"][row] * means / means.norm(dim=1, keepdim=True)
        moved = (arrays["logits"][row, 2:] - arrays["logits"][row, :1]).mean(1)  # (moves, logits)
        np.testing.assert_allclose(moved, steps @ centred.T, rtol=0.05, atol=0.02 * np.abs(moved).max())


def test_shares_and_agreements_by_hand():
    logits = np.zeros((1, 3, 4, 2))
    logits[0, 0, :, 0] = 1  # all class 0
    logits[0, 1, :, 0] = [1, 1, 1, -1]  # the random move changes one of four
    logits[0, 2, :, 1] = 1
    np.testing.assert_array_equal(perturbation.predicted_shares(logits)[0], [[1, 0], [0.75, 0.25], [0, 1]])
    np.testing.assert_array_equal(perturbation.agreements(logits), [0.75])


def test_draws_and_refuses(lab):
    arrays = perturbation.compute(lab, **RATES, **PROBE, relative_length=0.01)
    perturbation.draw(arrays)
    assert "moved by 0.01 of their norm, on 60 training images" in perturbation.caption(arrays)
    with pytest.raises(ValueError, match="relative_length` must be above 0, got -1"):
        perturbation.compute(lab, **RATES, **PROBE, relative_length=-1)

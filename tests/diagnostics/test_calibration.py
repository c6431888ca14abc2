"""Calibration in closed form, bin by bin, and of a net whose answers are known."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from ablate.data.dataset import Split
from ablate.diagnostics.calibration import calibration, expected_calibration_error, log_probabilities
from ablate.diagnostics.probe import Probe, probing
from ablate.layers.dropout import Dropout, Positions
from ablate.layers.normalization import Batch, NoNormalization
from ablate.nets import ConvNet


def probe_of(normalization=None, num_images=30):
    torch.manual_seed(0)
    net = ConvNet(widths=[3], convs_per_stage=1, hidden_width=4).build(
        (1, 6, 6),
        4,
        activation=nn.ReLU,
        normalization=normalization or NoNormalization(),
        dropout=Positions(layer=Dropout, hidden=0.5),
    )
    images = torch.randn(num_images, 1, 6, 6).to(memory_format=torch.channels_last)
    labels = torch.arange(num_images) % 4
    return Probe(net=net, images=images, labels=labels, held_out=Split(images=images, labels=labels))


def test_two_bins_by_hand():
    """Of 4 images, 3 at 0.9 with 2 right and 1 at 0.4 that is wrong: 3/4 |2/3 - 0.9| + 1/4 |0 - 0.4|."""
    confidence = torch.tensor([0.9, 0.9, 0.9, 0.4], dtype=torch.float64)
    correct = torch.tensor([True, False, True, False])
    found = expected_calibration_error(confidence, correct, 2)
    torch.testing.assert_close(found, torch.tensor(0.275, dtype=torch.float64))


def test_bins_are_closed_on_the_right():
    """0.5 and 0.4 share the lower of two bins, where their gaps cancel."""
    confidence, correct = torch.tensor([0.5, 0.5], dtype=torch.float64), torch.tensor([True, False])
    assert expected_calibration_error(confidence, correct, 2) == 0
    confidence = torch.tensor([0.5, 0.75], dtype=torch.float64)
    torch.testing.assert_close(
        expected_calibration_error(confidence, torch.tensor([True, False]), 2).item(), (0.5 + 0.75) / 2
    )


def test_against_a_loop_over_the_bins():
    rng = np.random.default_rng(0)
    confidence, correct = rng.uniform(0.1, 1, 500), rng.uniform(size=500) < 0.6
    expected = 0.0
    for m in range(15):
        inside = (confidence > m / 15) & (confidence <= (m + 1) / 15)
        if inside.any():
            expected += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    found = expected_calibration_error(torch.from_numpy(confidence), torch.from_numpy(correct))
    assert found.item() == pytest.approx(expected, rel=1e-12)


def test_a_net_with_constant_outputs():
    """Equal logits over 4 classes: entropy log 4, Brier 3/4; an answer is a quarter of a hit."""
    probe = probe_of()
    with torch.no_grad():
        probe.net.classifier.weight.zero_()
        probe.net.classifier.bias.zero_()
    found = calibration(probe)
    assert found["entropy"].item() == pytest.approx(math.log(4))
    assert found["brier"].item() == pytest.approx(0.75)
    assert found["ece"].item() == pytest.approx(0, abs=1e-12)


def test_a_net_that_is_sure():
    probe = probe_of(num_images=20)
    with torch.no_grad():
        probe.net.classifier.weight.zero_()
        probe.net.classifier.bias.copy_(torch.tensor([0.0, 1000.0, 0.0, 0.0]))
    found = calibration(probe)
    assert found["entropy"] == 0
    assert found["ece"].item() == pytest.approx(0.75) and found["brier"].item() == pytest.approx(1.5)


def test_inference_on_the_first_images_leaves_the_net_alone(monkeypatch):
    probe = probe_of(Batch())
    with torch.no_grad():
        probe.net.norm1_1.running_mean.uniform_()
    before = {name: value.clone() for name, value in probe.net.state_dict().items()}
    found = calibration(probe, num_images=20)
    assert all(torch.equal(value, before[name]) for name, value in probe.net.state_dict().items())
    assert probe.net.training
    probs = probe.net.eval()(probe.images[:20]).double().softmax(1)
    assert found["entropy"].item() == pytest.approx(-(probs * probs.log()).sum(1).mean().item(), rel=1e-6)
    monkeypatch.setattr("ablate.diagnostics.calibration.BATCH_SIZE", 7)
    with probing(probe.net, inference=True):
        torch.testing.assert_close(log_probabilities(probe.net, probe.images[:20]).exp(), probs)


def test_a_net_that_diverged_gives_nan():
    probe = probe_of()
    with torch.no_grad():
        probe.net.classifier.weight.fill_(math.nan)
    assert all(value.isnan() for value in calibration(probe).values())


def test_there_must_be_a_bin():
    with pytest.raises(ValueError, match="`num_bins` must be at least 1, got 0"):
        expected_calibration_error(torch.tensor([0.5]), torch.tensor([True]), 0)

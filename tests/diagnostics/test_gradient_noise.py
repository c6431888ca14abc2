"""The noise scale against the covariance of single images' gradients, and the estimators against known moments."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ablate.data.dataset import Split
from ablate.diagnostics.gradient_noise import gradient_noise, noise_and_signal
from ablate.diagnostics.probe import Probe
from ablate.layers.dropout import Dropout, Positions
from ablate.layers.normalization import Batch, NoNormalization
from ablate.nets import ConvNet


def probe_of(normalization=None, num_images=16):
    torch.manual_seed(0)
    net = ConvNet(widths=[3], convs_per_stage=1, hidden_width=4).build(
        (1, 6, 6),
        3,
        activation=nn.ReLU,
        normalization=normalization or NoNormalization(),
        dropout=Positions(layer=Dropout, hidden=0.5),
    )
    images = torch.randn(num_images, 1, 6, 6).to(memory_format=torch.channels_last)
    labels = torch.arange(num_images) % 3
    return Probe(net=net.eval(), images=images, labels=labels, held_out=Split(images=images, labels=labels))


def gradients_by_image(probe):
    """(N, P) float64, by plain autograd; dropout and batch norm at inference."""
    net = probe.net.double()
    rows = []
    for image, label in zip(probe.images.double(), probe.labels, strict=True):
        loss = F.cross_entropy(net(image[None]), label[None])
        rows.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(net.parameters()))]))
    return torch.stack(rows)


def test_batches_of_one_image_give_the_sample_covariance():
    found = gradient_noise(probe_of(), batch_size=1)
    rows = gradients_by_image(probe_of())
    noise = torch.cov(rows.T).trace()
    signal = rows.mean(0).square().sum() - noise / len(rows)
    torch.testing.assert_close(found["noise"].double(), noise, rtol=1e-4, atol=0)
    torch.testing.assert_close(found["signal"].double(), signal, rtol=1e-4, atol=1e-8)
    expected = (noise / signal).item() if signal > 0 else math.inf
    assert found["scale"].item() == pytest.approx(expected, rel=1e-3)


def test_the_estimates_equal_those_from_the_norms_at_two_batch_sizes():
    """Formulas of the paper's appendix, with b images and with all."""
    gradients, b = torch.randn(6, 5, dtype=torch.float64), 4
    noise, signal = noise_and_signal(gradients, b)
    small, big, all_images = gradients.square().sum(1).mean(), gradients.mean(0).square().sum(), 6 * b
    torch.testing.assert_close(signal, (all_images * big - b * small) / (all_images - b))
    torch.testing.assert_close(noise, (small - big) / (1 / b - 1 / all_images))


def test_the_estimates_are_unbiased():
    """Gradients of single images ~ N(G, diag(s^2)): tr(Sigma) = sum s^2, |G|^2 = 1.25."""
    generator = torch.Generator().manual_seed(0)
    num_trials, n, b = 20_000, 3, 2
    g, s = torch.tensor([1.0, -0.5], dtype=torch.float64), torch.tensor([1.0, 2.0], dtype=torch.float64)
    images = g + s * torch.randn(num_trials, n, b, 2, generator=generator, dtype=torch.float64)
    estimates = torch.stack([torch.stack(noise_and_signal(batches.mean(1), b)) for batches in images])
    error = estimates.std(0) / math.sqrt(num_trials)
    assert ((estimates.mean(0) - torch.tensor([5.0, 1.25])).abs() < 4 * error).all()
    assert (error < 0.05).all()


def test_equal_images_make_no_noise():
    probe = probe_of()
    probe.images[:] = probe.images[:1]
    probe.labels[:] = 0
    found = gradient_noise(probe, batch_size=4)
    assert found["scale"] < 1e-6 and found["signal"] > 0


def test_class_counts_are_noise_of_random_batches_and_not_of_the_probe():
    """With all weights 0 the gradient is that of the biases, 1/3 - y: 0 in the mean of balanced classes.

    Of 24 images the sample variance is 24/23 (1 - 1/3). Batches of 3 in the order 0, 1, 2, 0, .. have no noise.
    """
    probe = probe_of(num_images=24)
    with torch.no_grad():
        for p in probe.net.parameters():
            p.zero_()
    assert gradient_noise(probe, batch_size=1)["noise"].item() == pytest.approx(24 / 23 * 2 / 3)
    found = gradient_noise(probe, batch_size=3)
    assert found["signal"].item() == pytest.approx(0, abs=1e-12) and found["noise"] > 0.1


def test_no_signal_means_an_infinite_scale():
    probe = probe_of(num_images=24)
    with torch.no_grad():
        for p in probe.net.parameters():
            p.zero_()
    found = gradient_noise(probe, batch_size=1)
    assert found["signal"] < 0 and found["scale"].isinf()


@pytest.mark.parametrize("inference", [False, True])
def test_the_net_is_left_alone_and_the_draw_is_fixed(inference):
    probe = probe_of(Batch())
    before = {name: value.clone() for name, value in probe.net.state_dict().items()}
    first, second = (gradient_noise(probe, batch_size=5, inference=inference) for _ in range(2))
    assert first == second and list(first) == ["scale", "noise", "signal"]
    assert all(torch.equal(value, before[name]) for name, value in probe.net.state_dict().items())
    assert not any(module.training for module in probe.net.modules())
    assert all(p.grad is None for p in probe.net.parameters())


@pytest.mark.parametrize("batch_size", [0, 9])
def test_there_must_be_two_batches(batch_size):
    with pytest.raises(ValueError, match=f"at least two batches of the 16 images of the probe, got {batch_size}"):
        gradient_noise(probe_of(), batch_size=batch_size)

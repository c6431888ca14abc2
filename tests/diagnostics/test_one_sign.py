"""Signs of weight gradients against the lecture's argument, and single images' terms against plain autograd."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ablate.data.dataset import Split
from ablate.diagnostics.one_sign import affine_pass, majority, one_sign, weight_gradient
from ablate.diagnostics.probe import Probe, probing
from ablate.layers.dropout import Dropout, Positions
from ablate.layers.normalization import Batch, NoNormalization
from ablate.layers.weight_standardization import WeightStandardization
from ablate.nets import ConvNet


def build(activation=nn.ReLU, normalization=None, **spec):
    torch.manual_seed(0)
    return ConvNet(**{"widths": [3, 4], "convs_per_stage": 1, "hidden_width": 16} | spec).build(
        (2, 8, 8),
        3,
        activation=activation,
        normalization=normalization or NoNormalization(),
        dropout=Positions(layer=Dropout, hidden=0.5 if spec.get("num_hidden", 1) else 0.0),
    )


def some_images(num_images=16):
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(num_images, 2, 8, 8, generator=generator).to(memory_format=torch.channels_last)
    return images, torch.randint(0, 3, (num_images,), generator=generator)


def probe_of(net, images, labels):
    return Probe(net=net, images=images, labels=labels, held_out=Split(images=images, labels=labels))


@pytest.mark.parametrize("spec", [{}, {"stride": 2, "padding": 2, "kernel_size": 5, "pool": "none"}])
def test_terms_of_images_are_their_own_gradients(spec):
    """Without batch norm the term of one image in the mean loss is the gradient of its own loss over N."""
    net = build(activation=nn.Tanh, **spec).double()
    images, labels = some_images()
    images = images.double()
    with probing(net):
        affines = affine_pass(net, images, labels)
        for i in range(3):
            net.zero_grad()
            F.cross_entropy(net(images[i : i + 1]), labels[i : i + 1]).backward()
            for name, affine in affines.items():
                expected = net.get_submodule(name).weight.grad.flatten(1) / len(images)
                torch.testing.assert_close(weight_gradient(affine, i), expected)


@pytest.mark.parametrize("normalization", [NoNormalization(), Batch()])
def test_terms_add_up_to_the_gradient_of_the_batch(normalization):
    net = build(normalization=normalization).double()
    images, labels = some_images()
    with probing(net):
        affines = affine_pass(net, images.double(), labels)
        F.cross_entropy(net(images.double()), labels).backward()
    for name, affine in affines.items():
        total = sum(weight_gradient(affine, i) for i in range(len(images)))
        torch.testing.assert_close(total, net.get_submodule(name).weight.grad.flatten(1))


def test_standardized_weights_are_measured_as_they_multiply_the_inputs():
    """By the plain weights every unit's gradient sums to 0 and never has one sign; the inputs' signs decide here."""
    net = build(normalization=WeightStandardization(), widths=[], num_hidden=1)
    images, labels = some_images()
    assert one_sign(probe_of(net, images.abs(), labels))["sample/fc1"] == 1


def test_positive_inputs_give_one_sign_to_each_image_and_not_to_the_batch():
    net = build(widths=[], num_hidden=2)
    images, labels = some_images()
    raw, centred = (one_sign(probe_of(net, x, labels)) for x in (images.abs() + 0.1, images))
    assert raw["sample/fc1"] == 1 and raw["sample_majority/fc1"] == 1
    assert raw["batch/fc1"] < 0.9
    assert centred["sample/fc1"] == 0
    # 128 independent signs
    assert centred["sample_majority/fc1"].item() == pytest.approx(0.5 + 0.4 / math.sqrt(128), abs=0.02)
    # What leaves a ReLU is positive, whatever entered the net.
    assert centred["sample/fc2"] == centred["sample/classifier"] == 1


def test_a_sigmoid_net_has_one_sign_in_hidden_layers_and_a_tanh_net_does_not():
    images, labels = some_images()
    sigmoid, tanh = (
        one_sign(probe_of(build(activation=f, widths=[], num_hidden=2), images, labels)) for f in (nn.Sigmoid, nn.Tanh)
    )
    assert sigmoid["sample/fc2"] == 1 and tanh["sample/fc2"] < 0.01


def test_a_convolution_adds_positions_of_both_signs():
    """Positive inputs do not give a convolution one sign, unless it has one position only."""
    images, labels = some_images()
    images = images.abs() + 0.1
    many = one_sign(probe_of(build(activation=nn.Identity), images, labels))
    assert many["sample/conv1_1"] < 0.9
    one = build(activation=nn.Identity, widths=[3], kernel_size=8, padding=0, pool="none", num_hidden=0)
    assert one_sign(probe_of(one, images, labels))["sample/conv1_1"] == 1


def test_majority_counts_no_zeros():
    rows = torch.tensor([[1.0, 2, -3, 0], [0, 0, -1, -1], [0, 0, 0, 0], [1, -1, 1, -1]])
    torch.testing.assert_close(majority(rows), torch.tensor([2 / 3, 1, math.nan, 0.5]), equal_nan=True)


def test_keys_means_and_the_net_left_alone():
    net = build(normalization=Batch())
    net.eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    found = one_sign(probe_of(net, *some_images()), num_samples=2)
    layers = ["conv1_1", "conv2_1", "fc1", "classifier"]
    keys = ["sample", "sample_majority", "batch", "batch_majority"]
    assert list(found) == [f"{key}/{name}" for key in keys for name in [*layers, "mean"]]
    for key in keys:
        mean = torch.stack([found[f"{key}/{name}"] for name in layers]).mean()
        torch.testing.assert_close(found[f"{key}/mean"], mean)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not any(module.training for module in net.modules())
    assert all(p.grad is None for p in net.parameters())


def test_there_must_be_a_sample():
    with pytest.raises(ValueError, match="`num_samples` must be at least 1, got 0"):
        one_sign(probe_of(build(), *some_images()), num_samples=0)

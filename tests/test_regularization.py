from collections import OrderedDict

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ablate.regularization import InputNoise, Regularizer

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 3.0]])
LABELS = torch.tensor([0, 1])


def test_label_smoothing_mixes_the_target_with_the_uniform_distribution():
    loss = Regularizer(label_smoothing=0.3).make_loss(nn.Sequential())
    log_probs = LOGITS.double().log_softmax(1)
    target = 0.7 * F.one_hot(LABELS, 3) + 0.3 / 3
    assert loss(LOGITS, LABELS).item() == pytest.approx(-(target * log_probs).sum(1).mean().item(), abs=1e-6)


def test_l1_activation_adds_the_mean_magnitude_of_every_activation_layer():
    names = ("conv1_1", "act1_1", "fc1", "fc_act1", "classifier")
    layers = (nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 3))
    net = nn.Sequential(OrderedDict(zip(names, layers, strict=True)))
    x = torch.randn(2, 2, generator=torch.Generator().manual_seed(0))
    first = layers[1](layers[0](x))
    second = layers[3](layers[2](first))
    expected = F.cross_entropy(layers[4](second), LABELS) + 0.5 * (first.abs().mean() + second.abs().mean())
    loss = Regularizer(l1_activation=0.5).make_loss(net)
    for _ in range(2):  # what one step left must not reach the next
        assert loss(net(x), LABELS).item() == pytest.approx(expected.item(), abs=1e-6)
    net.eval()
    net(x)
    net.train()
    assert loss(net(x), LABELS).item() == pytest.approx(expected.item(), abs=1e-6)


def test_input_noise_has_its_std_and_belongs_to_its_key():
    noise = InputNoise(0.5)
    x = torch.full((4, 3, 32, 32), 2.0)
    noise.reseed(1)
    first = noise(x)
    noise.reseed(1)
    assert torch.equal(noise(x), first)
    noise.reseed(2)
    assert not torch.equal(noise(x), first)
    # The standard error of a standard deviation over 12288 draws is 0.64 %.
    assert (first - x).std().item() == pytest.approx(0.5, rel=0.03)
    assert torch.equal(noise.eval()(x), x)


def test_front_has_noise_only_where_asked_for():
    assert Regularizer().front() == []
    ((name, layer),) = Regularizer(input_noise=0.1).front()
    assert name == "input_noise"
    assert layer.std == 0.1


@pytest.mark.parametrize(
    ("field", "value"), [("l2", -1), ("l1_activation", -0.1), ("input_noise", float("nan")), ("label_smoothing", 1)]
)
def test_bad_values_are_named(field, value):
    with pytest.raises(ValueError, match=rf"regularizer\.{field}.*got"):
        Regularizer(**{field: value})

"""Steps of the weights against a copy of the net that is moved, layer by layer, in float64."""

import copy
import math

import pytest
import torch
from torch import nn

from ablate.data.dataset import Split
from ablate.diagnostics.output_moments import moment_gradients
from ablate.diagnostics.perturbation import moved_logits, moves, perturbation
from ablate.diagnostics.probe import Probe, probing
from ablate.layers.normalization import Batch
from ablate.seeding import Streams


def moved_copy(net, step):
    """A copy whose parameters are moved by the pieces of `step`, written one by one."""
    net = copy.deepcopy(net)
    first = 0
    with torch.no_grad():
        for p in net.parameters():
            p += step[first : first + p.numel()].reshape(p.shape)
            first += p.numel()
    assert first == len(step)
    return net


@pytest.mark.parametrize("inference", [False, True])
def test_the_shares_are_those_of_copies_that_are_moved(inference, make_probe):
    probe = make_probe(normalization=Batch(), dropout=0.5, num_images=60)
    found = perturbation(probe, relative_length=0.2, inference=inference)
    net, images = probe.net, probe.images
    generator = Streams(0).generator("diagnostics", "perturbation")
    weights = torch.cat([p.detach().reshape(-1) for p in net.parameters()])
    random = torch.randn(len(weights), generator=generator)
    predicted = []
    with probing(net, inference=inference):
        mean = net(images).mean(0)
        gradients = [torch.autograd.grad(mean[k], list(net.parameters()), retain_graph=True) for k in range(3)]
        along = [torch.cat([g.reshape(-1) for g in gradient]) for gradient in gradients]
        for direction in (0 * random, random, *along):
            step = 0.2 * weights.norm() * direction / max(direction.norm(), 1e-30)
            predicted.append([int(logits.argmax()) for logits in moved_copy(net, step)(images)])
    here, there, *aimed = predicted
    changed = [sum(a != b for a, b in zip(one, here, strict=True)) / 60 for one in (there, *aimed)]
    assert found["random"].item() == pytest.approx(changed[0])
    assert found["changed_targeted"].item() == pytest.approx(sum(changed[1:]) / 3)
    assert found["targeted"].item() == pytest.approx(sum(one.count(k) for k, one in enumerate(aimed)) / 180)
    assert found["unchanged"].item() == pytest.approx(1 / 3)
    assert found["changed_targeted"] > 0 and found["targeted"] > found["unchanged"]


def test_steps_have_their_length_and_a_small_one_raises_its_logit_to_first_order(make_probe):
    probe = make_probe(activation=nn.Tanh)
    net, images = probe.net.double(), probe.images.double()
    batches = [(images[:10], probe.labels[:10]), (images[10:20], probe.labels[10:20])]
    weights = torch.cat([p.detach().reshape(-1) for p in net.parameters()])
    with probing(net):
        steps = moves(net, batches, 1e-6, torch.Generator().manual_seed(1))
        logits = torch.stack([moved_logits(net, images[:20], step) for step in steps])
        gradients = moment_gradients(net, batches, order=1)[0]
    lengths = torch.cat([torch.zeros(1), torch.full((4,), 1e-6)]).double() * weights.norm()
    torch.testing.assert_close(steps.norm(dim=1), lengths)
    rise = (logits - logits[0]).mean(1)[2:].diagonal()
    torch.testing.assert_close(rise, 1e-6 * weights.norm() * gradients.norm(dim=1), rtol=1e-3, atol=0)


def test_a_linear_classifier_by_hand():
    """Logits W x + b with all weights 0 but one: along g_k = (mean x, 1) of row k, only logit k moves."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(2, 3))
    with torch.no_grad():
        net[1].weight.zero_()
        net[1].bias.copy_(torch.tensor([1.0, 0.0, 0.0]))
    images = torch.tensor([[3.0, 0.0], [-1.0, 0.0]]).reshape(2, 2, 1, 1).to(memory_format=torch.channels_last)
    labels = torch.tensor([0, 1])
    probe = Probe(net=net, images=images, labels=labels, held_out=Split(images=images, labels=labels))
    # |theta| = 1 and g_k = (1, 0, 1) in row k: a step of 1 adds (x_1 + 1) / sqrt(2) to logit k, 2.83 and 0.
    found = perturbation(probe, relative_length=1.0)
    assert found["targeted"].item() == pytest.approx((2 + 1 + 1) / 6)
    assert found["changed_targeted"].item() == pytest.approx((0 + 1 + 1) / 6)


def test_the_runs_seed_decides_the_random_direction(make_probe):
    def probe_of(seed):
        probe = make_probe(num_images=200)
        return Probe(net=probe.net, images=probe.images, labels=probe.labels, held_out=probe.held_out, seed=seed)

    first, again, other = (perturbation(probe_of(seed), relative_length=0.3) for seed in (1, 1, 2))
    assert first == again
    assert first["random"] != other["random"] and first["targeted"] == other["targeted"]


def test_what_is_not_finite_or_leads_nowhere(make_probe):
    probe = make_probe()
    with torch.no_grad():
        probe.net.classifier.weight.fill_(math.inf)
    assert all(value.isnan() for value in perturbation(probe).values())
    dead = make_probe(bias=False)
    with torch.no_grad():
        dead.net.fc1.weight.zero_()  # no feature, hence no gradient by the classifier, and none by what lies before
        dead.net.classifier.weight.zero_()
    found = perturbation(dead)
    assert found["changed_targeted"] == 0 and found["unchanged"].item() == pytest.approx(1 / 3)


@pytest.mark.parametrize("length", [0, -0.1, math.nan])
def test_a_step_must_have_a_length(length, make_probe):
    with pytest.raises(ValueError, match=r"`relative_length` of perturbation must be above 0"):
        perturbation(make_probe(), relative_length=length)

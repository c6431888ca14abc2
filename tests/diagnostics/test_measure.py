"""Measures of the user's own: functions of (net, images, labels), and what a measure may return."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ablate.diagnostics.measure import as_measure
from ablate.diagnostics.track import Track
from ablate.errors import UserError
from ablate.training.start import start


def track(**known):
    return Track(measure="all", num_images=8, every=1, known=known)


def accuracy(net, images, labels):
    assert not net.training and images.dtype == torch.uint8
    return (net(images).argmax(1) == labels).double().mean().item()


def test_a_function_of_net_images_and_labels_is_a_measure(make_run, tmp_path):
    record, _ = start(make_run(), tmp_path, [track(accuracy=accuracy)])
    final = record.metrics["accuracy/value"]
    assert 0 <= final <= 1 and final == record.history[-1]["accuracy/value"]
    assert "initial/accuracy/value" in record.metrics


@pytest.mark.parametrize(
    ("found", "values"),
    [
        (0.5, {"value": 0.5}),
        (True, {"value": 1.0}),
        (np.float32(0.5), {"value": 0.5}),
        (Fraction(1, 2), {"value": 0.5}),
        (torch.tensor(2), {"value": 2.0}),
        (torch.tensor(0.1, dtype=torch.float64), {"value": 0.1}),
        ({"a": 1, "b/c": torch.tensor(2.0)}, {"a": 1.0, "b/c": 2.0}),
        ({}, {}),
    ],
)
@pytest.mark.parametrize("form", [lambda found: lambda net, images, labels: found, lambda found: lambda probe: found])
def test_what_a_measure_may_return(found, values, form, make_probe):
    measured = as_measure("w", form(found))(make_probe())
    assert {key: value.item() for key, value in measured.items()} == values
    assert all(value.dtype == torch.float64 for value in measured.values())


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (None, r"diagnostic 'w' .*must return a number.*got None; end it with `return float\(value\)`"),
        ("high", "got str 'high'"),
        ([1.0], "got list"),
        (torch.zeros(3), r"got a torch.float32 tensor of shape \(3,\) on cpu; return its mean, `value.mean\(\)`"),
        (torch.zeros((), device="meta"), "on meta"),
        (torch.zeros((), dtype=torch.complex64), "torch.complex64"),
        ({"a": None}, "got None under 'a'"),
        ({1: 0.5}, "got the key 1; return"),
    ],
)
def test_what_it_may_not_return_is_refused(found, words, make_probe):
    with pytest.raises(UserError, match=words):
        as_measure("w", lambda net, images, labels: found)(make_probe())


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (3, "diagnostic 'w' must be a function of .net, images, labels., got int 3; write `def mine"),
        (lambda net, images: 1.0, r"got .*<lambda>\(net, images\); write `def mine"),
        (lambda net, images, labels, power: 1.0, r"\(net, images, labels, power\).*give its other arguments there"),
    ],
)
def test_what_cannot_be_called_is_refused_before_the_training(function, words):
    with pytest.raises(UserError, match=words):
        track(w=function)


def test_measuring_with_gradients_leaves_the_training_as_it_is(make_run, tmp_path):
    def gradient(net, images, labels):
        F.cross_entropy(net(images), labels).backward()
        images.zero_()
        return sum(p.grad.square().sum() for p in net.parameters() if p.grad is not None)

    plain, _ = start(make_run(), tmp_path / "plain")
    watched, _ = start(make_run(), tmp_path / "watched", [track(gradient=gradient)])
    assert watched.metrics["gradient/value"] > 0
    assert {**watched.metrics, **plain.metrics} == watched.metrics


def test_gradients_of_the_step_are_there_again_and_a_changed_weight_is_refused(make_probe):
    probe = make_probe()
    kept = [torch.full_like(p, 2.0) for p in probe.net.parameters()]
    for parameter, gradient in zip(probe.net.parameters(), kept, strict=True):
        parameter.grad = gradient

    def clear(net, images, labels):
        assert all(p.grad is None for p in net.parameters())
        return net(images).sum().backward() or 0.0

    as_measure("clear", clear)(probe)
    assert all(p.grad is g and (g == 2).all() for p, g in zip(probe.net.parameters(), kept, strict=True))

    def change(net, images, labels):
        with torch.no_grad():
            net.classifier.weight.zero_()
        return 0.0

    with pytest.raises(UserError, match=r"must not change the weights.*copy.deepcopy\(net\)"):
        as_measure("change", change)(probe)

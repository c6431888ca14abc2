"""Muon: its steps against those that numpy, torch.optim.Muon and torch.optim.SGD make."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from ablate.muon import Muon, orthogonalized
from ablate.optimization import parameter_groups, set_initial_lr

SHAPES = [(6, 4, 3, 3), (6, 6, 3, 3), (6, 6, 3, 3), (40, 6, 2, 2), (5, 7)]  # a tall one, two equal ones, a classifier


def weights(dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    params = [nn.Parameter(torch.randn(shape, generator=generator, dtype=dtype)) for shape in [*SHAPES, (6,)]]
    params[1].data = params[1].data.contiguous(memory_format=torch.channels_last)
    return params


def draw_gradients(params, step):
    generator = torch.Generator().manual_seed(100 + step)
    for p in params:
        p.grad = torch.randn(p.shape, generator=generator, dtype=torch.float64).to(p.dtype)


def by_hand(matrix, iterations):
    """The iteration on the singular values alone: the vectors stay."""
    u, s, vt = np.linalg.svd(matrix, full_matrices=False)
    s = s / np.sqrt((s**2).sum())
    for _ in range(iterations):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    return u @ np.diag(s) @ vt


@pytest.mark.parametrize("shape", [(3, 8, 20), (2, 20, 8), (1, 6, 6)])
def test_the_update_is_nearly_orthogonal(shape):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    found = orthogonalized(100 * matrices, 5)
    values = torch.linalg.svdvals(found)
    assert found.shape == matrices.shape
    assert found.dtype == matrices.dtype
    assert (values > 0.5).all()
    assert (values < 1.3).all()
    u, _, vt = torch.linalg.svd(matrices, full_matrices=False)
    cosines = torch.linalg.diagonal(u.mT @ found @ vt.mT) / values.sort(dim=1).values.mean(1, keepdim=True)
    assert (cosines > 0.5).all()  # along the singular vectors of the gradient, and with their sign


def test_zeros_stay_zeros():
    assert not orthogonalized(torch.zeros(2, 3, 4), 5).any()


@pytest.mark.parametrize("fixed_norm", [False, True])
def test_steps_are_those_of_the_formulas(fixed_norm):
    options = {"lr": 0.1, "momentum": 0.6, "num_iterations": 3, "sgd_lr": 0.3, "sgd_momentum": 0.8}
    params = weights()
    expected = [p.detach().numpy().copy() for p in params]
    buffers = [np.zeros_like(w) for w in expected]
    optimizer = Muon(params, **options, fixed_norm=fixed_norm, weight_decay=0.05)
    for step in range(3):
        draw_gradients(params, step)
        optimizer.step()
        for w, b, p in zip(expected, buffers, params, strict=True):
            g = p.grad.numpy()
            if p.ndim == 4:
                b[...] = 0.6 * b + g
                rows, columns = len(w), w[0].size
                update = by_hand((g + 0.6 * b).reshape(rows, columns), 3).reshape(w.shape)
                w *= math.sqrt(rows / (w**2).sum()) if fixed_norm else 1 - 0.1 * 0.05
                w -= 0.1 * max(1, rows / columns) ** 0.5 * update
            else:
                g = g + 0.05 * w
                b[...] = 0.8 * b + g
                w -= 0.3 * (g + 0.8 * b)
    for p, w in zip(params, expected, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), w, rtol=1e-5, atol=1e-6)


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch.optim.Muon came with torch 2.9")
def test_on_matrices_it_is_torchs():
    """torch's iteration runs in bfloat16, with about 3 digits."""
    mine = [
        nn.Parameter(torch.randn(shape, generator=torch.Generator().manual_seed(2))) for shape in ((8, 20), (30, 8))
    ]
    theirs = copy.deepcopy(mine)
    classifier = nn.Parameter(torch.zeros(2, 8))
    ours = Muon([*mine, classifier], lr=0.1, weight_decay=0.2)
    other = torch.optim.Muon(theirs, lr=0.1, weight_decay=0.2, momentum=0.95)
    for step in range(3):
        draw_gradients(mine, step)
        draw_gradients(theirs, step)
        ours.step()
        other.step()
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0.02, atol=0.01)


def test_what_is_no_filter_has_the_steps_of_sgd():
    mine = weights(torch.float32)
    theirs = copy.deepcopy(mine[-2:])
    ours = Muon(mine, sgd_lr=0.3, sgd_momentum=0.8, weight_decay=0.05)
    other = torch.optim.SGD(theirs, lr=0.3, momentum=0.8, nesterov=True, weight_decay=0.05)
    for step in range(3):
        draw_gradients(mine, step)
        for a, b in zip(mine[-2:], theirs, strict=True):
            b.grad = a.grad.clone()
        ours.step()
        other.step()
    torch.testing.assert_close(mine[-2:], theirs)


def test_its_groups_are_those_of_a_run():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 6), nn.Linear(6, 2))
    optimizer = Muon(parameter_groups(net, 0.5, 64.0), lr=0.1, sgd_lr=0.25)
    set_initial_lr(optimizer)
    found = [
        ([id(p) for p in g["params"]], g["orthogonal"], g["initial_lr"], g["weight_decay"])
        for g in optimizer.param_groups
    ]
    assert found == [
        ([id(net[0].weight), id(net[3].weight)], True, 0.1, 0.5),
        ([id(net[4].weight)], False, 0.25, 0.5),
        ([id(net[1].weight)], False, 0.25, 0.0),
        ([id(net[0].bias), id(net[1].bias), id(net[3].bias), id(net[4].bias)], False, 16.0, 0.0),
    ]


def test_a_frozen_weight_stays_and_has_no_state():
    params = weights()
    before = params[0].detach().clone()
    optimizer = Muon(params, fixed_norm=True)
    draw_gradients(params[1:], 0)
    optimizer.step()
    assert torch.equal(params[0], before)
    assert params[0] not in optimizer.state


def test_a_saved_state_goes_on_as_if_never_stopped():
    one = weights()
    first = Muon(one, lr=0.1, momentum=0.6, fixed_norm=True)
    for step in range(2):
        draw_gradients(one, step)
        first.step()
    two = copy.deepcopy(one)
    second = Muon(two)  # every option comes from the state
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for params, optimizer in ((one, first), (two, second)):
        draw_gradients(params, 2)
        optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert not torch.equal(one[0], weights()[0])


@pytest.mark.parametrize("fixed_norm", [False, True])
def test_a_learning_rate_in_a_tensor_gives_the_same_bits(fixed_norm):
    found = []
    for kind in (float, torch.tensor):
        params = weights(torch.float32)
        optimizer = Muon(params, fixed_norm=fixed_norm, weight_decay=0.013)
        for step in range(3):
            for group in optimizer.param_groups:
                group["lr"] = kind(0.1 / (step + 1.7))
            draw_gradients(params, step)
            optimizer.step()
        found.append(params)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"lr": 0.0}, "`optimizer.lr` must be above 0, got 0.0"),
        ({"sgd_lr": -1.0}, "`optimizer.sgd_lr` must be above 0, got -1.0"),
        ({"momentum": 1.0}, r"`optimizer.momentum` must lie in \[0, 1\), got 1.0"),
        ({"sgd_momentum": -0.1}, r"`optimizer.sgd_momentum` must lie in \[0, 1\), got -0.1"),
        ({"num_iterations": 0}, "`optimizer.num_iterations` must be at least 1, got 0"),
    ],
)
def test_bad_values_are_named(options, words):
    with pytest.raises(ValueError, match=words):
        Muon([nn.Parameter(torch.zeros(2, 2))], **options)

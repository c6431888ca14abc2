import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ablate.data.polygon import corners, inside
from ablate.lecture.figures import capacity as figure
from ablate.training.lab import Lab

KNOBS = {
    "activations": ["relu", "tanh"],
    "widths": [3, 5],
    "num_edges": 5,
    "num_seeds": 3,
    "num_samples": 60,
    "num_steps": 40,
    "lr": 0.03,
    "constant": 0.5,
    "required_accuracy": 0.98,
}
ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "prelu": nn.PReLU}


@pytest.fixture
def lab(make_run):
    def compose(words):
        chosen = dict(word.split("=") for word in words)
        return make_run(activation=ACTIVATIONS[chosen["activation"]])

    return Lab(compose, log=lambda line: None)


@pytest.mark.parametrize("num_edges", [3, 5, 8])
def test_the_grid_covers_the_square(num_edges):
    area = num_edges / 2 * math.sin(2 * math.pi / num_edges)
    share = inside(figure.grid_points(), num_edges).double().mean().item()
    # A grid errs by no more than the cells that the outline meets: fewer than three for each of its length in cells.
    cell = 2 * figure.LIMIT / figure.GRID
    outline = 2 * num_edges * math.sin(math.pi / num_edges)
    assert share * (2 * figure.LIMIT) ** 2 == pytest.approx(area, abs=3 * outline * cell)


@pytest.mark.parametrize("f", [nn.ReLU(), nn.Tanh()])
@pytest.mark.parametrize("num_edges", [3, 5, 8])
def test_one_unit_an_edge_is_enough(num_edges, f):
    corner = corners(num_edges).float()
    normals = F.normalize(corner + corner.roll(-1, 0), dim=1)
    rectified = isinstance(f, nn.ReLU)
    scale = 1.0 if rectified else 1e4
    parameters = {
        "weight": scale * normals[None],
        "bias": torch.full((1, num_edges), -scale * math.cos(math.pi / num_edges)),
        "out": torch.full((1, num_edges), -1e4 if rectified else -1.0),
        "shift": torch.tensor([1.0 if rectified else 1.0 - num_edges]),
    }
    grid = figure.grid_points()
    found = figure.logits(parameters, f, grid[None]) > 0
    # The logit is positive up to some 1e-4 beyond an edge.
    assert (found == inside(grid, num_edges)).double().mean().item() > 0.999


def test_training_side_by_side_is_training_alone():
    seeds, width, steps = 3, 4, 6
    parameters = figure.initial_parameters(seeds, width, math.sqrt(2), None)
    samples = torch.rand(seeds, 50, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1
    labels = inside(samples, 5)
    nets = []
    for s in range(seeds):
        net = nn.Sequential(nn.Linear(2, width), nn.ReLU(), nn.Linear(width, 1)).double()
        with torch.no_grad():
            net[0].weight.copy_(parameters["weight"][s])
            net[0].bias.copy_(parameters["bias"][s])
            net[2].weight.copy_(parameters["out"][s][None])
            net[2].bias.copy_(parameters["shift"][s])
        nets.append(net)
    figure.train(parameters, nn.ReLU(), samples, labels, steps, lr=0.01)
    for s, net in enumerate(nets):
        optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = 0.01 * (1 + math.cos(math.pi * step / steps)) / 2
            optimizer.zero_grad()
            loss = F.binary_cross_entropy_with_logits(net(samples[s].double())[:, 0], labels[s].double())
            loss.backward()
            optimizer.step()
        assert torch.allclose(parameters["weight"][s].double(), net[0].weight, atol=1e-5)
        assert torch.allclose(parameters["bias"][s].double(), net[0].bias, atol=1e-5)
        assert torch.allclose(parameters["out"][s].double(), net[2].weight[0], atol=1e-5)
        assert torch.allclose(parameters["shift"][s].double(), net[2].bias, atol=1e-5)


def test_constant_weights_keep_units_identical_bit_for_bit(lab):
    arrays = figure.compute(lab, **KNOBS)
    random, constant = 0, 1
    assert (arrays["identical"][:, constant] == 1).all()
    assert (arrays["identical"][:, random] == 0).all()
    for w, width in enumerate(KNOBS["widths"]):
        lines = arrays["lines"][:, constant, w, :width]
        assert (lines == lines[:, :1]).all()
        assert np.isnan(arrays["lines"][:, :, w, width:]).all()
        assert (lines[..., :2] != KNOBS["constant"]).any()  # it trained
    assert "all are identical after training from constant weights, none from random" in figure.caption(arrays)
    assert len(figure.draw(arrays).axes) == 2 + 4 * 2


def test_random_weights_have_the_scale_of_the_gain():
    parameters = figure.initial_parameters(200, 8, 1.5, None)
    for name, fan_in in (("weight", 2), ("out", 8)):
        values = parameters[name].detach()
        std = 1.5 / math.sqrt(fan_in)
        assert values.std().item() == pytest.approx(std, rel=5 / math.sqrt(2 * values.numel()))
    more = figure.initial_parameters(201, 8, 1.5, None)
    assert torch.equal(more["weight"][:200], parameters["weight"])  # a seed's draw does not depend on the others


def test_wide_nets_learn_the_region(lab):
    knobs = copy.deepcopy(KNOBS) | {"activations": ["relu"], "widths": [24], "num_samples": 500, "num_steps": 400}
    arrays = figure.compute(lab, **knobs)
    majority = 1 - inside(figure.grid_points(), 5).double().mean().item()
    assert (arrays["accuracy"][0, 0, 0] > 0.95).all()
    assert (arrays["accuracy"][0, 1, 0] < majority + 0.15).all()


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"num_edges": 2}, "num_edges"),
        ({"widths": [1]}, "widths"),
        ({"lr": 0.0}, "lr"),
        ({"required_accuracy": 1.0}, "required_accuracy"),
        ({"activations": ["prelu"]}, "activations"),
    ],
)
def test_refusals(lab, wrong, named):
    with pytest.raises(ValueError, match=named):
        figure.compute(lab, **{**KNOBS, **wrong})

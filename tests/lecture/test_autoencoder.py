"""The spread of features in closed form, and what training an autoencoder on a probe's images gives."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from omegaconf import OmegaConf

from ablate.cli.planning import make
from ablate.data.dataset import Split
from ablate.diagnostics.probe import Probe
from ablate.layers.dropout import Dropout
from ablate.lecture.autoencoder import autoencoder, spread, standardized, train_autoencoder
from ablate.optimization import Constant

KNOBS = {"rate": 0.5, "num_hidden": 6, "epochs": 5, "batch_size": 8}


def test_spread_in_closed_form():
    uniform = torch.ones(1, 3, 6, 10)
    assert spread(uniform).item() == pytest.approx(math.sqrt((6**2 - 1) / 12 + (10**2 - 1) / 12))
    points = torch.zeros(2, 1, 6, 10)
    points[0, 0, 2, 3] = -4  # one pixel
    points[1, 0, 1, 1] = points[1, 0, 4, 5] = 2  # two equal ones, 5 apart: half the distance
    assert spread(points).tolist() == pytest.approx([0, 2.5])


def test_spread_does_not_change_with_sign_scale_or_place():
    patch = torch.randn(1, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    here, there = torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8)
    here[..., :3, :3], there[..., 4:7, 5:8] = patch, -7 * patch
    torch.testing.assert_close(spread(here), spread(there))


@pytest.mark.parametrize("grey", [True, False])
def test_standardized_images_have_mean_0_everywhere_and_variance_1(grey, make_probe):
    images = make_probe().images
    train, other = standardized(images, images[:5], grey)
    assert train.shape == (24, 1 if grey else 3, 8, 8)
    torch.testing.assert_close(train.mean(0), torch.zeros_like(train[0]), rtol=0, atol=1e-5)
    assert train.std(correction=0).item() == pytest.approx(1, abs=1e-5)
    torch.testing.assert_close(other, train[:5])


def test_one_step_of_training_against_autograd_written_out():
    """Full batch, SGD, no dropout: weights move by -lr times the gradient of the mean squared error."""
    x = torch.randn(7, 4, generator=torch.Generator().manual_seed(0))
    before, after = (
        train_autoencoder(
            x,
            num_hidden=3,
            dropout=Dropout(0.0),
            optimizer=lambda groups: torch.optim.SGD(groups, lr=0.5),
            schedule=Constant(),
            epochs=epochs,
            batch_size=7,
            seed=3,
        )
        for epochs in (0, 1)
    )
    w, b, v, c = (p.detach().double() for p in before.parameters())
    assert w.std().item() == pytest.approx(0.05 * math.sqrt(2 / 4), rel=0.5)
    assert not b.any() and not c.any()
    z = x.double() @ w.T
    error = 2 * (z.clamp(min=0) @ v.T - x.double()) / x.numel()
    hidden = (error @ v) * (z > 0)
    expected = {"0.weight": w - 0.5 * hidden.T @ x.double(), "0.bias": -0.5 * hidden.sum(0)}
    expected |= {"3.weight": v - 0.5 * error.T @ z.clamp(min=0), "3.bias": -0.5 * error.sum(0)}
    for name, p in after.named_parameters():
        torch.testing.assert_close(p.detach().double(), expected[name], rtol=1e-4, atol=1e-7)
    assert not after.training


def test_keys_ranges_and_that_nothing_is_touched(make_probe):
    probe = make_probe()
    before = copy.deepcopy(probe.net.state_dict())
    random_state = torch.get_rng_state()
    found = autoencoder(probe, **KNOBS)
    assert list(found) == ["spread", "mean_activation", "share_of_zeros", "error"]
    assert all(value.shape == () and not value.requires_grad for value in found.values())
    assert 0 < found["spread"] < math.sqrt((8**2 - 1) / 6) + 1
    assert found["mean_activation"] >= 0 and 0 <= found["share_of_zeros"] <= 1
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(torch.equal(value, before[key]) for key, value in probe.net.state_dict().items())


def test_the_seed_of_the_run_decides_and_nothing_else_does(make_probe):
    first, again, other = (autoencoder(replace(make_probe(), seed=seed), **KNOBS) for seed in (1, 1, 2))
    assert first == again
    assert all(first[key] != other[key] for key in ("spread", "mean_activation", "error"))


def test_features_are_as_local_as_what_the_images_have():
    """Images a_i u with a_i > 0 less their mean have rank 1: two units, one a sign, leave no error and look like u."""
    generator = torch.Generator().manual_seed(0)
    a, labels = torch.randint(0, 256, (64, 1, 1, 1), generator=generator), torch.zeros(64, dtype=torch.long)
    one_pixel, everywhere = torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4)
    one_pixel[..., 1, 2] = 1
    spreads = []
    for u in (one_pixel, everywhere):
        images = (a * u).to(memory_format=torch.channels_last)
        split = Split(images=images, labels=labels)
        probe = Probe(net=torch.nn.Sequential(), images=images, labels=labels, held_out=split)
        found = autoencoder(probe, rate=0.0, num_hidden=8, epochs=300, lr=0.01, batch_size=64)
        assert found["error"] < 0.02
        spreads.append(found["spread"].item())
    assert spreads[0] < 0.4
    assert spreads[1] == pytest.approx(math.sqrt((4**2 - 1) / 6), abs=0.1)


def test_more_images_a_step_than_there_are_is_all_of_them(make_probe):
    assert autoencoder(make_probe(), **KNOBS | {"batch_size": 1000}) == autoencoder(
        make_probe(), **KNOBS | {"batch_size": 24}
    )


def test_without_held_out_images_the_spread_is_left(make_probe):
    probe = make_probe()
    none = Split(images=probe.images[:0], labels=probe.labels[:0])
    found = autoencoder(replace(probe, held_out=none), **KNOBS)
    assert found["spread"] == autoencoder(probe, **KNOBS)["spread"]
    assert all(found[key].isnan() for key in ("mean_activation", "share_of_zeros", "error"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rate": [0.2, 0.5]}, r"one probability, got \[0.2, 0.5\]; where dropout.hidden is a list"),
        ({"rate": 1.0}, "probability to drop"),
        ({"num_hidden": 0}, "`num_hidden` of autoencoder must be at least 1, got 0"),
        ({"epochs": 0}, "`epochs`.*got 0"),
        ({"batch_size": 0}, "`batch_size`.*got 0"),
    ],
)
def test_arguments_are_checked(changes, words, make_probe):
    with pytest.raises(ValueError, match=words):
        autoencoder(make_probe(), **KNOBS | changes)


@pytest.mark.parametrize(("overrides", "rate"), [(["dropout=lecture"], 0.5), (["~dropout.hidden"], 0.0)])
def test_the_rate_is_that_of_the_runs_hidden_layers(overrides, rate, compose):
    cfg, _ = compose(overrides)
    settings = OmegaConf.to_container(cfg, resolve=True)["diagnostics"]
    measure = make("diagnostics", {**settings, "measure": "all"}).measures["autoencoder"]
    assert measure.args[1].keywords["rate"] == rate  # the function that `as_measure` adapts

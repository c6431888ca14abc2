"""Statements about layers: the published numbers, closed forms, and that a wrong layer would be seen."""

import itertools
import math

import pytest
import torch
from torch import nn

from ablate.layers.batch_norm import estimate_population_statistics
from ablate.lecture import algebra as module
from ablate.lecture.algebra import EveryMask, algebra, averaged_and_scaled, dropped_weights


@pytest.fixture
def found(make_probe):
    return {key: value.item() for key, value in algebra(make_probe()).items()}


def test_counts_are_those_of_the_lecture(found):
    assert found["conv_output_size"] == 32
    assert found["conv_parameters"] == 760
    assert found["conv_parameters_with_batch_norm"] == 770
    assert found["maxout_parameter_ratio"] == 2


@pytest.mark.parametrize(
    "key", ["population_statistics_error", "dropout_linear_error", "maxout_is_relu_error", "dropout_dropped_gradient"]
)
def test_exact_statements_are_exact(found, key):
    assert 0 <= found[key] < 1e-14


def test_batch_norm_is_the_identity_with_the_root_of_the_variance_only(found):
    assert 0 <= found["identity_error"] < 1e-14
    # With gamma = Var, y - x = (Var / sqrt(Var + eps) - 1) (x - mean), and Var is about 9.
    assert found["identity_error_with_variance"] > 1


def test_averaged_standard_deviations_give_too_small_a_variance(found):
    c4 = math.sqrt(2 / 7) * math.gamma(8 / 2) / math.gamma(7 / 2)
    assert found["mean_std_error"] == pytest.approx(1 - c4**2, abs=0.003)


def test_slopes_in_closed_form(found):
    s = 1 / (1 + math.exp(-10))
    assert found["sigmoid_slope_at_10"] == pytest.approx(s * (1 - s), rel=1e-9)
    assert found["sigmoid_slope_at_10"] == pytest.approx(4.54e-5, rel=1e-3)
    assert found["sigmoid_slope_at_0"] == 0.25
    assert [found[f"relu_slope_at_{place}"] for place in ("minus_10", "0", "10")] == [0, 0, 1]


def test_lecun_tanh_has_its_fixed_points_to_four_digits(found):
    assert found["lecun_tanh_fixed_point_error"] == pytest.approx(abs(1.7159 * math.tanh(2 / 3) - 1), rel=1e-6)
    assert found["lecun_tanh_fixed_point_error"] < 1e-4


def test_scaling_only_approximates_the_average_of_relu_units(found):
    assert 0.01 < found["dropout_relu_gap"] < 1


@pytest.mark.parametrize("scaling", ["inverted", "test_time"])
def test_masks_by_hand(scaling):
    """w = (1, -1), x = (1, 1): the masks leave 0, 1, -1 and 0, twice that where the scaling is inverted."""
    weight, x = torch.tensor([[1.0, -1.0]]), torch.ones(2)
    largest = 2 if scaling == "inverted" else 1
    averaged, scaled = averaged_and_scaled(weight, x, nn.ReLU(), scaling)
    assert (averaged.item(), scaled.item()) == (largest / 4, 0)
    averaged, scaled = averaged_and_scaled(weight, x, nn.Identity(), scaling)
    assert averaged.item() == scaled.item() == 0


def test_every_mask_comes_once():
    rows = EveryMask("test_time").train()(torch.ones(16, 4))
    assert {tuple(row.tolist()) for row in rows} == set(itertools.product([0.0, 1.0], repeat=4))


def test_the_weights_of_a_dropped_unit_stand_still_without_momentum_and_decay(found):
    gradient, update = dropped_weights(lr=0.1, momentum=0.0, weight_decay=0.0)
    assert gradient == 0 and update == 0
    _, by_decay = dropped_weights(lr=0.1, momentum=0.0, weight_decay=0.02)
    assert by_decay.item() == pytest.approx(0.1 * 0.02)
    _, by_momentum = dropped_weights(lr=0.1, momentum=0.9, weight_decay=0.0)
    assert by_momentum > 0
    assert 0.01 < found["dropped_weight_update"] < 1


def test_a_wrong_inference_would_be_seen(monkeypatch, make_probe):
    def biased(net, batches):
        estimate_population_statistics(net, batches)
        net.running_var *= 15 / 16  # without m / (m - 1), m = 4 * 2 * 2

    monkeypatch.setattr(module, "estimate_population_statistics", biased)
    assert algebra(make_probe())["population_statistics_error"] > 1e-3


def test_a_wrong_scaling_would_be_seen(monkeypatch, make_probe):
    def unscaled(self, x):
        return x * self._keep(torch.empty_like(x)) if self.training else x

    monkeypatch.setattr(EveryMask, "forward", unscaled)
    assert algebra(make_probe())["dropout_linear_error"].item() == pytest.approx(0.5)


def test_it_is_the_same_for_every_probe_and_touches_nothing(make_probe):
    probes = make_probe(), make_probe(seed=1, activation=nn.Tanh)
    random_state = torch.get_rng_state()
    first, second = (algebra(probe) for probe in probes)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert first == second
    assert len(first) == 19
    assert all(value.shape == () and value.dtype == torch.float64 for value in first.values())
    assert not any(value.requires_grad for value in first.values())

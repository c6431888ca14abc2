"""Weight scaling against averages over masks."""

import itertools

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ablate.lecture.figures import weight_scaling
from ablate.lecture.figures.weight_scaling import compare, sample_logits, total_variation
from ablate.report import plotting
from ablate.seeding import Streams

SETTING = ("net=mlp", "net.hidden_width=16", "net.pool_size=2", "net.widths=[]", "normalization=none", "dropout=hidden")


def test_with_one_dropout_layer_the_geometric_mean_over_all_masks_is_weight_scaling():
    """The logits are linear in the mask, so the mean of their 2^D values is their value at the mean mask."""
    rng = torch.Generator().manual_seed(0)
    hidden = torch.rand(7, 5, generator=rng, dtype=torch.float64)
    weight = torch.randn(3, 5, generator=rng, dtype=torch.float64)
    masks = torch.tensor(list(itertools.product((0.0, 2.0), repeat=5)), dtype=torch.float64)
    logits = (masks[:, None] * hidden) @ weight.T
    found = compare(logits, F.softmax(hidden @ weight.T, dim=1), torch.zeros(7, dtype=torch.long))
    assert found["geometric_distance"][-1] < 1e-14
    assert found["geometric_distance"][0] > 0.1
    assert found["distance"][-1] > 0.01


def test_each_number_of_masks_is_measured_on_disjoint_groups():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4, 50, 3))
    labels = rng.integers(3, size=50)
    p = np.exp(logits) / np.exp(logits).sum(2, keepdims=True)
    scaled = p[0]
    found = compare(torch.from_numpy(logits), torch.from_numpy(scaled), torch.from_numpy(labels))
    groups = {1: [[0], [1], [2], [3]], 2: [[0, 1], [2, 3]], 4: [[0, 1, 2, 3]]}
    for column, members in enumerate(groups.values()):
        means = [p[group].mean(0) for group in members]
        errors = [(m.argmax(1) != labels).mean() for m in means]
        np.testing.assert_allclose(found["error"][column], np.mean(errors))
        np.testing.assert_allclose(found["error_std"][column], np.std(errors, ddof=1) if len(errors) > 1 else 0)
        other = np.mean([(m.argmax(1) != scaled.argmax(1)).mean() for m in means])
        np.testing.assert_allclose(found["disagreement"][column], other)
        distance = np.mean([abs(m - scaled).sum(1).mean() / 2 for m in means])
        np.testing.assert_allclose(found["distance"][column], distance)
    np.testing.assert_allclose(found["scaled_error"], (scaled.argmax(1) != labels).mean())


def test_total_variation_of_disjoint_distributions_is_one():
    a, b = torch.tensor([[0.5, 0.5, 0, 0]]), torch.tensor([[0, 0, 0.1, 0.9]])
    assert total_variation(a, b) == pytest.approx(1)
    assert total_variation(a, a) == 0


def test_sampling_is_running_the_whole_net_under_each_mask(make_lab):
    lab = make_lab(*SETTING, "net.num_hidden=2")
    run = lab.run()
    net, images = lab.net(run).eval(), lab.dataset(run).test.images
    found = sample_logits(net, images, 3, Streams(5))
    dropouts = [(path, layer) for path, layer in net.named_modules() if hasattr(layer, "monte_carlo")]
    assert len(dropouts) == 2
    assert not any(layer.monte_carlo for _, layer in dropouts)
    for sample in range(3):
        for path, layer in dropouts:
            layer.monte_carlo = True
            layer.reseed(Streams(5).key("monte_carlo", path, sample))
        torch.testing.assert_close(found[sample], net(images).detach())
    assert not torch.equal(found[0], found[1])


def test_the_distance_falls_with_the_root_of_n_for_one_layer_only(make_lab):
    arrays = weight_scaling.compute(make_lab(*SETTING), num_masks=64, depths=[1, 3], p=0.5)
    assert arrays["n"].tolist() == [1, 2, 4, 8, 16, 32, 64]
    single, several = arrays["geometric_distance"]
    # Quadrupling n halves it, once the softmax is as good as linear in the noise.
    np.testing.assert_allclose(single[2:] / single[:-2], 0.5, rtol=0.15)
    assert several[-1] / several[0] > 1.5 * single[-1] / single[0]
    with plotting.style():
        weight_scaling.draw(arrays)
    assert f"{arrays['scaled_error'][1]:.3f} by weight scaling" in weight_scaling.caption(arrays)


@pytest.mark.parametrize("knobs", [{"num_masks": 6}, {"num_masks": 1}, {"depths": [0]}, {"p": 0.0}])
def test_knobs_are_checked(make_lab, knobs):
    with pytest.raises(ValueError, match=f"figure.{next(iter(knobs))}"):
        weight_scaling.compute(make_lab(*SETTING), **{"num_masks": 2, "depths": [1], "p": 0.5} | knobs)

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from ablate.data.preprocessing import Chain, Standardize
from ablate.layers.dropout import Positions
from ablate.layers.initialization import Normal, VarianceScaling, XavierAsPrinted
from ablate.layers.normalization import NoNormalization
from ablate.lecture.figures import init_depth as figure
from ablate.nets import ConvNet
from ablate.regularization import Regularizer
from ablate.training.lab import Lab

WIDTH = 400
ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}
INITIALIZERS = {
    "normal": Normal(),
    "xavier_normal": VarianceScaling(mode="average", gain="linear"),
    "xavier_as_printed": XavierAsPrinted(),
    "he_normal": VarianceScaling(),
}


@pytest.fixture
def lab(make_run):
    def compose(words):
        chosen = dict(word.split("=") for word in words)
        return make_run(
            activation=ACTIVATIONS[chosen["activation"]],
            initializer=INITIALIZERS[chosen["initializer"]],
            net=ConvNet(widths=[], num_hidden=int(chosen["net.num_hidden"]), hidden_width=WIDTH),
            preprocessing=Chain({"standardize": Standardize()}),
            normalization=NoNormalization(),
            dropout=Positions(layer=nn.Dropout),
            regularizer=Regularizer(l2=0.0),
        )

    return Lab(compose, log=lambda line: None)


def network(lab, activation, initializer, depth):
    run = lab.run(f"activation={activation}", f"initializer={initializer}", f"net.num_hidden={depth}")
    return lab.net(run).double(), lab.dataset(run).train


def hidden(net, images):
    """Each hidden layer's z and a, by hand."""
    x, pairs = net.preprocessing(images).flatten(1), []
    layer = 1
    while hasattr(net, f"fc{layer}"):
        affine = getattr(net, f"fc{layer}")
        z = x @ affine.weight.T + affine.bias
        z.retain_grad()
        x = getattr(net, f"fc_act{layer}")(z)
        pairs.append((z, x))
        layer += 1
    return pairs, x @ net.classifier.weight.T + net.classifier.bias


@pytest.mark.parametrize("variance", [0.01, 0.5, 3.0])
def test_normal_moments_against_gauss_hermite(variance):
    # The poles of tanh let 150 nodes err by some 1e-8 at the largest variance.
    nodes, weights = np.polynomial.hermite_e.hermegauss(150)
    values = np.tanh(math.sqrt(variance) * nodes)
    mean, moment = figure.normal_moments(nn.Tanh(), torch.tensor([variance], dtype=torch.float64))
    assert mean.item() == pytest.approx(0, abs=1e-14)
    assert moment.item() == pytest.approx(weights @ values**2 / weights.sum(), rel=1e-7)
    mean, moment = figure.normal_moments(nn.Sigmoid(), torch.tensor([variance], dtype=torch.float64))
    values = 1 / (1 + np.exp(-math.sqrt(variance) * nodes))
    assert mean.item() == pytest.approx(0.5, rel=1e-12)  # by symmetry
    assert moment.item() == pytest.approx(weights @ values**2 / weights.sum(), rel=1e-7)


def test_normal_moments_of_relu_have_closed_forms():
    q = torch.tensor([0.3, 2.0, 1e6], dtype=torch.float64)
    mean, moment = figure.normal_moments(nn.ReLU(), q)
    assert torch.allclose(mean, (q / (2 * math.pi)).sqrt(), rtol=1e-4)
    assert torch.allclose(moment, q / 2, rtol=1e-6)


@pytest.mark.parametrize(("initializer", "factor"), [("he_normal", 2.0), ("xavier_normal", 1.0)])
def test_relu_maps_second_moments_as_theory_says(lab, initializer, factor):
    """z of a layer is normal given the layer before: relative standard errors are sqrt(2/K) of the mean of z^2, and
    sqrt(5/K) of that of relu(z)^2, as E[relu^4] = 3/2 and E[relu^2] = 1/2; images share the weights, so they do not
    make it smaller."""
    net, train = network(lab, "relu", initializer, 8)
    pairs, _ = hidden(net, train.images)
    for (z, a), (z_next, _) in pairwise(pairs):
        q, passed, q_next = (x.square().mean().item() for x in (z, a, z_next))
        assert q_next == pytest.approx(factor * passed, rel=5 * math.sqrt(2 / WIDTH))
        assert passed == pytest.approx(q / 2, rel=5 * math.sqrt(5 / WIDTH))
        # Both together: He keeps the second moment, Xavier halves it.
        assert q_next == pytest.approx(factor * q / 2, rel=5 * math.sqrt(7 / WIDTH))


@pytest.mark.parametrize("initializer", ["he_normal", "xavier_normal"])
def test_tanh_maps_second_moments_as_theory_says(lab, initializer):
    net, train = network(lab, "tanh", initializer, 6)
    pairs, _ = hidden(net, train.images)
    nodes, weights = np.polynomial.hermite_e.hermegauss(150)
    weights = weights / weights.sum()
    for (_, a), (z_next, a_next) in pairwise(pairs):
        gain_squared = 2.0 if initializer == "he_normal" else 1.0
        q = gain_squared * a.square().mean(1).detach().numpy()  # of each image
        assert z_next.square().mean().item() == pytest.approx(q.mean(), rel=5 * math.sqrt(2 / WIDTH))
        squares = np.tanh(np.sqrt(q)[:, None] * nodes) ** 2
        moment, fourth = squares @ weights, squares**2 @ weights
        error = np.sqrt((fourth - moment**2) / WIDTH).max()  # of one image's mean over the units
        assert a_next.square().mean().item() == pytest.approx(moment.mean(), abs=5 * error)


def test_prediction_of_relu_is_the_product_of_the_layers_factors(lab):
    net, train = network(lab, "relu", "he_normal", 5)
    q0 = net.preprocessing(train.images).flatten(1).square().mean(1)
    predicted = torch.stack(figure.predict(net, q0))
    factors = [
        getattr(net, f"fc{k}").weight.square().mean() * getattr(net, f"fc{k}").in_features / 2 for k in range(1, 6)
    ]
    ratios = (predicted[1:] / predicted[:-1]) ** 2
    assert torch.allclose(ratios, torch.stack(factors[1:]).detach())
    # With gain sqrt(2) the factor is 1, up to the spread of the mean square of K^2 normal weights.
    assert torch.allclose(ratios, torch.ones(4, dtype=torch.float64), atol=5 * math.sqrt(2) / WIDTH)


def test_statistics_are_those_of_a_pass_by_hand(lab):
    net, train = network(lab, "tanh", "he_normal", 3)
    found = figure.measure(net, train.images, train.labels)
    pairs, logits = hidden(net, train.images)
    nn.functional.cross_entropy(logits, train.labels, reduction="sum").backward()
    for layer, (z, a) in enumerate(pairs):
        a = a.detach()
        assert found.stds[layer] == pytest.approx(a.std().item(), rel=1e-9)
        assert found.spreads[layer] == pytest.approx(a.var(0).mean().sqrt().item(), rel=1e-9)
        assert found.gradient_stds[layer] == pytest.approx(z.grad.std().item(), rel=1e-9)
        assert found.largest[layer] == pytest.approx(a.abs().max().item(), rel=1e-9)
    assert (found.activation_counts.sum(1) == a.numel()).all()
    assert (found.gradient_counts.sum(1) == a.numel()).all()  # tanh lets something of every gradient pass


def test_arrays_picture_and_caption(lab):
    names, depths = list(INITIALIZERS), [2, 12]
    arrays = figure.compute(lab, initializers=names, activations=["tanh", "relu"], depths=depths, num_images=20)
    assert arrays["stds"].shape == (2, 4, 2, 12)
    assert np.isnan(arrays["stds"][:, :, 0, 2:]).all() and np.isfinite(arrays["stds"][:, :, 1]).all()
    assert np.array_equal(arrays["stds"][:, :, 0, :2], arrays["stds"][:, :, 1, :2])  # draws are keyed by the layer
    relu, tanh = 1, 0
    final = dict(zip(names, arrays["stds"][relu, :, 1, -1], strict=True))
    assert final["normal"] < final["xavier_normal"] < final["he_normal"] < final["xavier_as_printed"]
    printed = arrays["stds"][tanh, names.index("xavier_as_printed"), 1]
    assert (printed > 0.95).all()  # saturated: nearly all outputs are -1 or 1
    assert len(figure.draw(arrays).axes) == 3 * 2 + 2 * 8
    assert "xavier_as_printed" in figure.caption(arrays)


@pytest.mark.parametrize("wrong", [{"depths": [0]}, {"num_images": 1}])
def test_refusals(lab, wrong):
    knobs = {"initializers": ["normal"], "activations": ["tanh"], "depths": [2], "num_images": 4}
    with pytest.raises(ValueError, match="depths"):
        figure.compute(lab, **{**knobs, **wrong})

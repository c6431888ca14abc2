"""The overlap figure: eigenpairs of the whole Hessian on a tiny net, and what the caption states."""

import numpy as np
import pytest
import torch
from torch.func import functional_call, hessian

from ablate.diagnostics.output_moments import moment_gradients
from ablate.lecture.figures import overlap
from ablate.lecture.figures.half_trained import NAMES, half_trained_run, loss, probe_batches, subjects

KNOBS = {"lr_batch_norm": 0.5, "lr_none": 0.05}
PROBE = {"num_batches": 2, "batch_size": 30}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("figures")


def dense_hessian(net, batches):
    """The Hessian of the mean loss, by forward over reverse mode, in float64."""
    net = net.double()
    weights = {name: p.detach() for name, p in net.named_parameters()}
    sizes = [p.numel() for p in weights.values()]

    def mean_loss(flat):
        parts = {name: part.view(p.shape) for (name, p), part in zip(weights.items(), flat.split(sizes), strict=True)}
        return sum(loss(functional_call(net, parts, (images,)), labels) for images, labels in batches) / len(batches)

    return hessian(mean_loss)(torch.cat([p.flatten() for p in weights.values()]))


def test_values_and_overlaps_are_those_of_the_dense_hessian(make_lab, folder):
    lab = make_lab("net.widths=[2]", "net.pool_size=16", folder=folder)
    arrays = overlap.compute(lab, **KNOBS, **PROBE, tolerance=1e-4)
    nets = subjects(lab, **KNOBS)
    batches = probe_batches(lab, half_trained_run(lab, "none", 0.05), **PROBE)
    assert tuple(arrays["names"]) == NAMES
    assert (arrays["dimensions"] == [9, 29]).all()
    for key in ("by_means", "by_moments"):
        assert (arrays[key] >= 0).all() and (arrays[key] <= 1 + 1e-9).all()
    assert (arrays["by_moments"] >= arrays["by_means"] - 1e-9).all()
    for row, name in enumerate(("frozen", "none"), start=1):
        values, vectors = torch.linalg.eigh(dense_hessian(nets[name].net, batches))
        np.testing.assert_allclose(arrays["values"][row], values.flip(0)[:10], rtol=2e-3)
        q, _ = np.linalg.qr(moment_gradients(nets[name].net, batches, order=1, centred=True)[0, :9].T.numpy())
        expected = ((q.T @ vectors.flip(1)[:, :3].numpy()) ** 2).sum(0)
        np.testing.assert_allclose(arrays["by_means"][row, :3], expected, atol=5e-3)


def test_the_caption_states_the_arrays_and_the_published_values(make_lab, folder):
    arrays = overlap.compute(make_lab(folder=folder), **KNOBS, **PROBE, tolerance=1e-1)
    overlap.draw(arrays)
    text = overlap.caption(arrays)
    leading = dict(zip(arrays["names"], arrays["values"][:, 0], strict=True))
    assert f"none / batch norm, is {leading['none'] / leading['batch norm']:.3g} (27.3)" in text
    for name, published in (("frozen", "0.84"), ("none", "0.62"), ("batch norm", "0.36")):
        mean = arrays["by_means"][list(NAMES).index(name), :9].mean()
        assert f"{name} {mean:.2f} ({published})" in text
    assert f"trained for 1 epochs on {int(arrays['num_train'])} images" in text

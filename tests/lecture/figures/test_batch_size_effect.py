"""Statistics of the batch against those of inference."""

import numpy as np
import pytest
import torch

from ablate.lecture.figures import batch_size_effect
from ablate.lecture.figures.batch_size_effect import relative_spread, shuffled_logits

KNOBS = {"sizes": [2, 8, 20], "num_images": 60, "num_draws": 4}


def test_spread_falls_with_the_batch_and_all_figures_are_there(make_lab):
    arrays = batch_size_effect.compute(make_lab("trainer.epochs=2"), **KNOBS)
    assert arrays["accuracy"].shape == (4, 3)
    assert ((arrays["accuracy"] >= 0) & (arrays["accuracy"] <= 1)).all()
    assert (np.diff(arrays["spread"]) < 0).all()
    # Multiples of 1 / 60, so nothing but the 60 images was looked at.
    for key in ("running", "population"):
        assert float(arrays[key]) * 60 == pytest.approx(round(float(arrays[key]) * 60))
    batch_size_effect.draw(arrays)
    text = batch_size_effect.caption(arrays)
    assert f"with moving averages {float(arrays['running']):.1%}" in text
    assert "in batches of 20, on 60 validation images in 4 random orders" in text


def test_each_image_gets_the_logits_of_its_own_batch(make_lab):
    lab = make_lab()
    run = lab.run("normalization=batch")
    net, images = lab.net(run), lab.dataset(run).train.images[:11]
    before = [value.clone() for value in net.state_dict().values()]
    order = torch.randperm(11, generator=torch.Generator().manual_seed(0))
    logits = shuffled_logits(net, images, order, 4)
    assert logits[order[8:]].isnan().all()
    with torch.no_grad():
        second = net.train()(images[order[4:8]])
    torch.testing.assert_close(logits[order[4:8]], second - second.mean(1, keepdim=True))
    net = lab.net(run)
    shuffled_logits(net, images, order, 4)
    assert all(torch.equal(one, other) for one, other in zip(before, net.state_dict().values(), strict=True))


def test_relative_spread_against_known_variances():
    generator = torch.Generator().manual_seed(0)
    fixed = 3 * torch.randn(1, 500, 8, generator=generator)
    logits = fixed + 0.6 * torch.randn(40, 500, 8, generator=generator)
    assert relative_spread(logits) == pytest.approx(0.6 / (9 + 0.36) ** 0.5, rel=0.03)
    logits[:5, :100] = torch.nan
    assert relative_spread(logits) == pytest.approx(0.6 / (9 + 0.36) ** 0.5, rel=0.03)


def test_refuses_sizes_beyond_the_images(make_lab):
    with pytest.raises(ValueError, match=r"got \[2, 64\]"):
        batch_size_effect.compute(make_lab(), **{**KNOBS, "sizes": [2, 64]})
    with pytest.raises(ValueError, match=r"got 4 and 61 for 60"):
        batch_size_effect.compute(make_lab(), **{**KNOBS, "num_images": 61})

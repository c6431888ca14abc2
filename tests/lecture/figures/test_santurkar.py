"""The landscape along training, and the noise after batch norm."""

import numpy as np
import pytest
import torch

from ablate.diagnostics.landscape import along_gradient
from ablate.diagnostics.probe import probing
from ablate.lecture.figures import santurkar
from ablate.lecture.figures.santurkar import ChannelNoise
from ablate.report import plotting
from ablate.training.loop import Callback

KNOBS = {"every": 3, "num_images": 16, "factors": [0.5, 1, 4], "max_shift": 0.5, "max_scale": 1.25}
SETTING = ("optimizer=sgd", "schedule=constant", "trainer.epochs=2", "augmentation=none")


@pytest.mark.parametrize("shape", [(6, 400), (6, 400, 3, 3)])
def test_noise_is_one_scale_and_one_shift_a_channel_and_key(shape):
    noise = ChannelNoise(0.5, 1.25)
    noise.reseed(7)
    shift, one = noise(torch.zeros(shape)), noise(torch.ones(shape))
    scale = one - shift
    for values in (shift, scale):
        per_channel = values.transpose(0, 1).flatten(1)
        torch.testing.assert_close(per_channel, per_channel[:, :1].expand_as(per_channel))
    assert -0.5 <= shift.min() < -0.45
    assert 0.45 < shift.max() <= 0.5
    assert 1 <= scale.min() + 1e-6 < 1.02
    assert 1.23 < scale.max() <= 1.25 + 1e-6
    torch.testing.assert_close(noise(torch.ones(shape)), one, rtol=0, atol=0)
    noise.reseed(8)
    assert not torch.equal(noise(torch.ones(shape)), one)
    torch.testing.assert_close(noise.eval()(torch.ones(shape)), torch.full(shape, 1.125))


def test_what_is_measured_is_the_landscape_of_the_net_at_that_step(make_lab):
    lab = make_lab(*SETTING)
    arrays = santurkar.compute(lab, **KNOBS)
    run = lab.run("normalization=none")
    found = {}

    class AtStep(Callback):
        def on_step_end(self, state):
            if state.step == 6:
                train = state.dataset.train
                with probing(state.net):
                    found["slice"] = along_gradient(
                        state.net, train.images[:16], train.labels[:16], steps=[f * state.lr for f in KNOBS["factors"]]
                    )

    lab.train(run, [AtStep()])
    place = arrays["steps"].tolist().index(6)
    for name, values in (("loss", found["slice"].losses), ("gradient_change", found["slice"].gradient_changes),
                         ("smoothness", found["slice"].smoothness)):  # fmt: skip
        expected = [values.min().item(), values.max().item()]
        np.testing.assert_allclose(arrays[name][1, place], expected, rtol=1e-6)


def test_the_three_nets_are_trained_alike_and_looking_changes_nothing(make_lab):
    lab = make_lab(*SETTING)
    often = santurkar.compute(lab, **KNOBS)
    rarely = santurkar.compute(lab, **KNOBS | {"every": 7})
    np.testing.assert_array_equal(often["train_loss"], rarely["train_loss"])
    assert often["train_loss"].shape == (3, 14)
    assert often["steps"].tolist() == [3, 6, 9, 12]
    assert not np.array_equal(often["train_loss"][0], often["train_loss"][2])
    for name in santurkar.QUANTITIES:
        low, high = np.moveaxis(often[name], -1, 0)
        assert often[name].shape == (3, 4, 2)
        assert ((low > 0) & (low < high)).all()
    with plotting.style():
        santurkar.draw(often)
    assert "no batch norm" in santurkar.caption(often)


def test_without_noise_the_noisy_net_is_the_net_with_batch_norm(make_lab):
    arrays = santurkar.compute(make_lab(*SETTING), **KNOBS | {"max_shift": 0.0, "max_scale": 1.0})
    np.testing.assert_allclose(arrays["train_loss"][2], arrays["train_loss"][0], rtol=1e-5)
    np.testing.assert_allclose(arrays["gradient_change"][2], arrays["gradient_change"][0], rtol=1e-3)


@pytest.mark.parametrize("knobs", [{"every": 0}, {"every": 15}, {"num_images": 1}, {"num_images": 1000}])
def test_knobs_are_checked(make_lab, knobs):
    with pytest.raises(ValueError, match=f"figure.{next(iter(knobs))}"):
        santurkar.compute(make_lab(*SETTING), **KNOBS | knobs)

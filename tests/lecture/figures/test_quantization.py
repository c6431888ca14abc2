import math

import numpy as np
import pytest

from ablate.data.preprocessing import Chain, Quantize, Scale, Window
from ablate.data.shapes import Shapes
from ablate.lecture.figures import quantization as figure
from ablate.training.lab import Lab

CENTER, WIDTH, BITS = 0.3, 0.0625, 12
KNOBS = {"bits_kept": [12, 8, 5, 3], "shown": [0, 3], "num_images": 20}


@pytest.fixture
def lab(make_run, tmp_path):
    data = Shapes(
        num_train=30, num_test=20, seed=0, contrast=0.4, noise=0.045, min_radius=0.5, max_radius=0.8,
        window_center=CENTER, window_width=WIDTH, val_size=10, cache_dir=str(tmp_path), bits=BITS,
    )  # fmt: skip

    def compose(words):
        chosen = dict(word.split("=", 1) for word in words)
        steps = {"window": Window(CENTER, WIDTH, BITS)}
        if chosen["preprocessing"] == "quantize":
            kept = int(chosen["preprocessing.steps.quantize.bits_kept"])
            steps = {"scale": Scale(BITS), "quantize": Quantize(kept)}
        elif added := chosen.get("+preprocessing.steps.quantize"):
            steps["quantize"] = Quantize(int(added.removesuffix("}").split()[-1]))
        return make_run(data=data, preprocessing=Chain(steps))

    return Lab(compose, log=lambda line: None)


@pytest.fixture
def arrays(lab):
    return figure.compute(lab, **KNOBS)


def test_the_window_is_where_the_data_say(arrays):
    assert np.allclose(arrays["window"], [CENTER - WIDTH / 2, CENTER + WIDTH / 2])
    assert arrays["histogram"].sum() == pytest.approx(1)
    assert 0.5 < arrays["inside"] <= 1


def test_pictures_have_the_values_that_their_bits_allow(arrays):
    for k, kept in enumerate(KNOBS["bits_kept"]):
        steps = 2**kept - 1
        for name in ("whole", "first"):
            scaled = arrays[name][k] * steps
            assert np.allclose(scaled, np.rint(scaled), atol=1e-3)
        spread = (arrays["whole"][k] - (CENTER - WIDTH / 2)) / WIDTH
        assert np.allclose(arrays["stretched"][k], spread.clip(0, 1), atol=1e-5)


def test_levels_left_of_the_window(arrays):
    low, high = arrays["window"]
    late, early = arrays["levels"]
    for k, kept in enumerate(KNOBS["bits_kept"]):
        steps = 2**kept - 1
        inside = math.floor(high * steps) - math.ceil(low * steps) + 1
        assert late[k] <= inside + 2  # and what is clipped to 0 and to 1
        assert early[k] <= min(2**kept, late[0])
    assert late[3] < early[3]


def test_errors_are_within_half_a_step(arrays):
    late, early = arrays["errors"]
    for k, kept in enumerate(KNOBS["bits_kept"]):
        half = 0.5 / (2**kept - 1)
        assert early[k] <= half + 1e-6
        assert late[k] <= min(half / WIDTH, 1) + 1e-6
    assert late[0] < 1e-5  # 12 bits of 12
    assert (late[1:] > early[1:]).all()


def test_images_of_one_channel_are_drawn_in_grey(arrays):
    one = {**arrays, **{name: arrays[name][..., :1] for name in ("whole", "stretched", "first")}}
    drawn = [image for ax in figure.draw(one).axes for image in ax.get_images()]
    assert len(drawn) == 12
    assert {image.get_cmap().name for image in drawn} == {"gray"}


def test_picture_and_caption(arrays):
    assert len(figure.draw(arrays).axes) == 3 * 4 + 3
    caption = figure.caption(arrays)
    assert f"{arrays['levels'][0, 1]} and {arrays['levels'][1, 1]} at 8 bits" in caption
    assert "at 12 bits" not in caption


@pytest.mark.parametrize("wrong", [{"shown": [20]}, {"shown": []}, {"bits_kept": []}, {"num_images": 0}])
def test_refusals(lab, wrong):
    with pytest.raises(ValueError, match="figure"):
        figure.compute(lab, **{**KNOBS, **wrong})

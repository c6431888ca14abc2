"""The data set of the last run is kept for the next one, and only where that changes nothing."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from ablate.data.preprocessing import Center, Chain, Standardize
from ablate.data.shapes import Shapes
from ablate.data.steps import Function
from ablate.training import kept_data
from ablate.training.kept_data import fitted, load, on_device
from ablate.training.start import start
from builders.runs import TinyData, make_run

SIZES = {"num_train": 120, "num_test": 40, "train_size": 60, "val_size": 20, "test_size": 20}
LOOKS = {"contrast": 0.4, "noise": 0.05, "min_radius": 0.5, "max_radius": 0.8, "bits": 8}
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch):
    monkeypatch.setattr(kept_data, "_last", None)


@pytest.fixture
def data(tmp_path):
    return Shapes(**SIZES, **LOOKS, seed=0, window_center=0.3, window_width=0.0625, cache_dir=str(tmp_path / "cache"))


def test_equal_data_is_loaded_once(data):
    assert load(data) is load(replace(data))


@pytest.mark.parametrize("changes", [{"train_size": 50}, {"split_seed": 1}, {"num_train": 130}])
def test_other_data_is_loaded_anew(changes, data):
    first, other = load(data), load(replace(data, **changes))
    assert other is not first
    fresh = replace(data, **changes).load()
    assert torch.equal(other.train.images, fresh.train.images)


def test_data_with_other_content_under_the_same_description_is_loaded_anew(monkeypatch, data):
    first = load(data)
    monkeypatch.setattr(Shapes, "fingerprint", lambda self: "changed")
    assert load(data) is not first


@pytest.mark.parametrize("name", ["train", "val", "test"])
def test_images_that_were_changed_in_place_are_loaded_anew(name, data):
    first = load(data)
    view = getattr(first, name).images[1:3]
    view += 1
    again = load(data)
    assert again is not first
    assert torch.equal(getattr(again, name).images, getattr(data.load(), name).images)


def test_a_change_in_place_on_another_device_is_found_too(data):
    first = load(data)
    there = on_device(first, torch.device("meta"))
    assert on_device(first, torch.device("meta")) is there
    assert load(data) is first
    there.test.images.add_(1)
    assert load(data) is not first


def test_what_is_not_of_this_package_is_always_loaded():
    assert load(TinyData()) is not load(TinyData())
    other = TinyData().load()
    assert on_device(other, CPU) is not on_device(other, CPU)


@pytest.mark.parametrize("names", [["standardize"], ["center", "standardize"]])
def test_preprocessing_is_fitted_once_for_each_description(names, monkeypatch, data):
    calls = []
    own = Chain.fit
    monkeypatch.setattr(Chain, "fit", lambda self, images: calls.append(1) or own(self, images))
    makers = {"standardize": Standardize, "center": lambda: Center(per="channel")}
    dataset = load(data)
    unfitted = [Chain({name: makers[name]() for name in names}) for _ in range(2)]
    first, second = (fitted(chain, dataset) for chain in unfitted)
    assert len(calls) == 1 and first is not second
    expected = Chain({name: makers[name]() for name in names}).fit(dataset.train.images).state_dict()
    for found in (first, second):
        assert all(torch.equal(found.state_dict()[name], value) for name, value in expected.items())
    for buffer in first.buffers():
        buffer.fill_(7)
    assert all(torch.equal(fitted(unfitted[0], dataset).state_dict()[n], v) for n, v in expected.items())
    fitted(Chain({"center": Center(per="pixel")}), dataset)
    assert len(calls) == 3  # with that of `expected`


class Drawing(nn.Module):
    """Learns a random number."""

    def fit(self, images):
        self.register_buffer("shift_", torch.rand(()))

    def forward(self, images):
        return images + self.shift_


@pytest.mark.parametrize("step", [Drawing(), Function(torch.sqrt)])
def test_steps_of_another_package_are_fitted_every_time(step, monkeypatch, data):
    dataset = load(data)
    fitted(Chain({"own": step}), dataset)
    assert not kept_data._last.fitted


def test_a_run_with_kept_data_has_the_record_of_the_first(tmp_path, data):
    numbers = []
    for name in ("a", "b"):
        record, _ = start(make_run(data=data), tmp_path / "runs" / name / "seed-0")
        history = [{k: v for k, v in row.items() if k != "images_per_second"} for row in record.history]
        numbers.append((record.metrics, history, record.predictions))
    assert kept_data._last.fitted
    assert numbers[0] == numbers[1]

"""Validation images in a folder of their own are used, and no image of train/ is spent on them."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ablate.data import image_folder
from ablate.data.image_folder import ImageFolder
from ablate.errors import Notice, UserError

VALUES = {"train": range(0, 20), "val": range(100, 106), "test": range(200, 204)}


def write_split(folder: Path, values: range) -> None:
    for number, value in enumerate(values):
        file = folder / "ab"[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 4), value, np.uint8)).save(file)


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(image_folder, "user_cache_folder", lambda: tmp_path / "user-cache")
    for split, values in VALUES.items():
        write_split(tmp_path / "d" / split, values)
    return tmp_path / "d"


def values_of(split):
    return sorted(split.images[:, 0, 0, 0].tolist())


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_the_folder_holds_the_validation_images(root, name):
    (root / "val").rename(root / name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = ImageFolder(root=str(root)).load()
    for split, expected in VALUES.items():
        part = getattr(data, split)
        assert values_of(part) == list(expected)
        assert [int(x) % 2 for x in part.images[:, 0, 0, 0]] == part.labels.tolist()


def test_a_size_takes_a_stratified_sample_of_the_folder(root):
    parts = {size: ImageFolder(root=str(root), val_size=size).load() for size in (0, 2, 4)}
    for size, data in parts.items():
        assert values_of(data.train) == list(VALUES["train"])
        assert len(data.val) == size
        assert set(values_of(data.val)) <= set(VALUES["val"])
    assert parts[2].val.labels.bincount().tolist() == [1, 1]
    assert set(values_of(parts[2].val)) < set(values_of(parts[4].val))
    ImageFolder(root=str(root), val_size=6, train_size=20).load()
    with pytest.raises(UserError, match=r"`data.val_size` .* validation images of the source \(6\), got 7"):
        ImageFolder(root=str(root), val_size=7).load()


def test_the_identity_depends_on_the_validation_images(root):
    before = ImageFolder(root=str(root)).fingerprint()
    Image.fromarray(np.full((4, 4), 99, np.uint8)).save(root / "val" / "a" / "0.png")
    assert ImageFolder(root=str(root)).fingerprint() != before


def test_without_the_folder_the_identity_and_the_split_are_as_ever(root):
    (root / "val").rename(root.parent / "elsewhere")
    data = ImageFolder(root=str(root)).load()
    # As computed before validation folders were read.
    assert ImageFolder(root=str(root)).fingerprint()[:16] == "02895e172df4593b"
    assert values_of(data.val) == [9, 16]


def test_classes_must_be_those_of_the_training_images(root):
    write_split(root / "val" / "c", range(1))
    with pytest.raises(UserError, match=r"train and .*val must hold the same classes.*only val has \['c'\]"):
        ImageFolder(root=str(root)).load()


def test_two_folders_of_validation_images_are_refused(root):
    write_split(root / "valid", range(2))
    with pytest.raises(UserError, match=r"one folder of validation images, got \['val', 'valid'\]"):
        ImageFolder(root=str(root)).load()


def test_folders_that_are_not_used_are_named(root):
    (root / "val").rename(root / "dev")
    with pytest.warns(Notice, match=r"folders that are not used: \['dev'\]; validation images lie in val/<class>/"):
        data = ImageFolder(root=str(root)).load()
    assert set(values_of(data.val)) <= set(VALUES["train"])

"""Patches of CT with and without a disc, from made slices; where pydicom-data is installed, from the real ones."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ablate.data import ct_lesions, dicom
from ablate.data.ct_lesions import SLICES, CtLesions, read_slice, soft_tissue
from ablate.data.dataset import Dataset
from ablate.data.preprocessing import Quantize, Scale, Window
from ablate.errors import UserError

HU = {"head_1": 20, "head_2": 50, "abdomen": 80}  # constant, so that every patch shows its patient


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function (settings) -> data of slices that are constant but for a corner of air."""

    def read(name: str) -> np.ndarray:
        values = np.full((80, 80), HU[name], np.int32)
        values[:30, :30] = -3024
        return values

    def load(**changes: Any) -> Dataset:
        return of(cache_dir=str(tmp_path / "cache"), **changes).load()

    monkeypatch.setattr(ct_lesions, "read_slice", read)
    return load


def of(**changes: Any) -> CtLesions:
    settings: dict[str, Any] = {"num_train": 120, "num_test": 60, "seed": 0, "val_size": 20, "contrast": 12}
    return CtLesions(**{**settings, "min_radius": 4, "max_radius": 6, "test_patient": "head_2", **changes})


def tissue(images: torch.Tensor) -> torch.Tensor:
    """HU of the patches' corner that is farthest from the air."""
    return images[:, 0, -1, -1] - 1024


@pytest.mark.parametrize("test_patient", list(HU))
def test_the_patients_of_training_and_test_differ(made: Any, test_patient: str) -> None:
    data = made(test_patient=test_patient)
    assert set(tissue(data.test.images).tolist()) == {HU[test_patient]}
    both = torch.cat([tissue(data.train.images), tissue(data.val.images)])
    values, counts = both.unique(return_counts=True)
    assert values.tolist() == sorted(value for name, value in HU.items() if name != test_patient)
    assert counts.tolist() == [60, 60]


def test_a_disc_is_what_tells_the_classes_apart(made: Any) -> None:
    data = made()
    assert data.class_names == ("without", "with")
    assert (data.image_shape, data.bits) == ((1, 32, 32), 12)
    assert data.test.labels.bincount().tolist() == [30, 30]
    base = HU["head_2"] + 1024
    whole = [pair for pair in zip(data.test.images, data.test.labels.tolist(), strict=True) if pair[0].min() > 0]
    assert {label for _, label in whole} == {0, 1}  # without air, over which a disc may lie
    for image, label in whole:
        added = image[0][image[0] > base] - base
        assert (len(added) > 0) == label
        if label:
            assert added.max() == 12
            # Of radius 4 to 6 it covers 50 to 113 pixels; its edge fades over two.
            assert 50 <= (image[0] == base + 12).sum() + len(added[added < 12]) <= 160
            assert (image[0, 0] <= base).all() and (image[0, :, -1] <= base).all()


def test_values_are_cut_off_at_the_ends_of_the_range(made: Any) -> None:
    patches = soft_tissue(ct_lesions.read_slice("head_1"))
    assert (patches == -3024).any()
    data = made(test_patient="abdomen", zero=3000)
    assert data.train.images.min() == 0
    assert made(zero=4090).train.images.max() == 4095
    assert made(zero=4090, bits=16).train.images.max() > 4095


def test_the_first_patches_do_not_depend_on_their_number(made: Any) -> None:
    few, many = made(num_train=40, num_test=40, val_size=0), made(num_train=900, num_test=600, val_size=0)
    key = lambda split: {image.numpy().tobytes() for image in split.images}  # noqa: E731
    assert key(few.train) <= key(many.train) and key(few.test) <= key(many.test)
    assert key(made(seed=1).test) != key(made().test)


def test_window_and_split_are_no_part_of_the_content() -> None:
    first = of().fingerprint()
    same = {"window_center": 50, "window_width": 400, "val_size": 30, "split_seed": 2, "cache_dir": "/x"}
    assert {of(**{key: value}).fingerprint() for key, value in same.items()} == {first}
    other = {"contrast": 11, "bits": 16, "zero": 1000, "test_patient": "abdomen", "seed": 1, "num_train": 200}
    assert len({first, *(of(**{key: value}).fingerprint() for key, value in other.items())}) == 7


def test_patches_are_chosen_by_their_median() -> None:
    values = np.full((32, 40), 50, np.int32)
    values[:, 36:] = 1000
    assert len(soft_tissue(values)) == 3
    for outside in (9, 91):
        assert len(soft_tissue(np.full((32, 32), outside, np.int32))) == 0
    for inside in (10, 90):
        assert len(soft_tissue(np.full((32, 32), inside, np.int32))) == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"contrast": 0}, "`data.contrast` must be above 0"),
        ({"max_radius": 15}, r"must lie in \[1, 14\], in this order, got 4 and 15"),
        ({"min_radius": 7}, "in this order"),
        ({"test_patient": "head_3"}, "one of head_1, head_2, abdomen, got 'head_3'"),
        ({"bits": 8}, r"`data.bits` must lie in \[12, 16\]"),
        ({"num_test": 1}, "`data.num_test` must be at least 2"),
        ({"seed": -1}, "`data.seed` must be at least 0"),
    ],
)
def test_what_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        of(**changes)


def test_missing_packages_are_named_with_the_line_that_installs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    line = r"pip install 'pydicom>=3,<4' pydicom-data==1.0.0"
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pydicom", None)
        with pytest.raises(UserError, match=f"needs pydicom and pydicom-data .*{line}"):
            read_slice("head_1")
    monkeypatch.setitem(sys.modules, "pydicom", sys)  # any module: it is only looked for
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=f"needs the files of pydicom-data .*{line}"):
        read_slice("head_1")


def test_a_file_that_is_not_the_known_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Spec:
        submodule_search_locations = (str(tmp_path),)

    monkeypatch.setitem(sys.modules, "pydicom", sys)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: Spec)
    with pytest.raises(UserError, match=r"693_UNCR.dcm is missing, .*pip install"):
        read_slice("head_1")
    file = tmp_path / SLICES["head_1"].place
    file.parent.mkdir()
    file.write_bytes(b"other")
    with pytest.raises(UserError, match=rf"must have the SHA-256 {SLICES['head_1'].sha256}, got .*pip install"):
        read_slice("head_1")
    monkeypatch.setattr(ct_lesions, "SLICES", {"head_1": ct_lesions._Slice("x", "data/693_UNCR.dcm", SHA_OTHER, "0")})
    decoded = dicom.DicomImage(values=np.zeros((2, 2), np.int32), window=None, is_inverted=False)
    monkeypatch.setattr(ct_lesions, "read_dicom", lambda *_: decoded)
    with pytest.raises(UserError, match=r"the decoded values of .* must have the SHA-256 0, got"):
        read_slice("head_1")


SHA_OTHER = "d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa"  # of b"other"


@pytest.fixture
def slices() -> dict[str, np.ndarray]:
    for package in ("pydicom", "data_store"):
        if importlib.util.find_spec(package) is None:
            pytest.skip("pydicom and pydicom-data are not installed (extra `medical`)")
    return {name: read_slice(name) for name in SLICES}


def test_the_window_of_the_conf_is_that_of_the_headers(slices: Any, compose: Any) -> None:
    cfg, _ = compose(["data=ct_lesions"])
    windows = {}
    for name, known in SLICES.items():
        spec = importlib.util.find_spec(known.package)
        assert spec is not None and spec.submodule_search_locations
        file = Path(spec.submodule_search_locations[0]) / known.place
        windows[name] = dicom.read_dicom(file, file.read_bytes()).window
    stated = (cfg.data.window_center, cfg.data.window_width)
    assert windows == {"head_1": stated, "head_2": stated, "abdomen": None}


@pytest.mark.parametrize(("bits", "most"), [(12, 7), (16, 1)])
def test_levels_that_squashing_leaves_in_the_window(slices: Any, bits: int, most: int) -> None:
    """Of 96 to 101 whole Hounsfield units in -10 .. 90."""
    for values in slices.values():
        inside = torch.from_numpy(values[(values >= -10) & (values <= 90)] + 1024)
        assert 96 <= len(inside.unique()) <= 101
        assert len(Quantize(8)(Scale(bits)(inside)).unique()) == most
        window = Window(center=40, width=100, bits=bits, zero=1024)
        assert len(Quantize(8)(window(inside)).unique()) == len(inside.unique())

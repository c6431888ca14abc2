"""DICOM files, made by pydicom: values, windows, what is refused, and folders of them."""

import re
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ablate.cli import composition, planning
from ablate.data import dicom, image_folder
from ablate.data.dicom import read_dicom
from ablate.data.image_folder import ImageFolder
from ablate.errors import Notice, UserError
from ablate.training.identity import scientific

REASON = "pydicom is not installed (extra `medical`)"
STORED = np.arange(-5, 31, dtype=np.int16).reshape(6, 6)


def dicom_file(stored: np.ndarray = STORED, **tags: Any) -> bytes:
    """A CT image of one frame; `tags` replace or, as None, remove what is in its header."""
    pydicom = pytest.importorskip("pydicom", reason=REASON)
    header = pydicom.Dataset()
    header.file_meta = pydicom.dataset.FileMetaDataset()
    header.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    header.SOPClassUID, header.SOPInstanceUID = pydicom.uid.CTImageStorage, "1.2.3"
    values: dict[str, Any] = {
        "Modality": "CT",
        "PhotometricInterpretation": "MONOCHROME2",
        "SamplesPerPixel": 1,
        "Rows": stored.shape[-2],
        "Columns": stored.shape[-1],
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": int(stored.dtype == np.int16),
        "RescaleSlope": 1,
        "RescaleIntercept": -10,
        "WindowCenter": [40, 300],
        "WindowWidth": [100, 2000],
        "PixelData": stored.tobytes(),
        **tags,
    }
    for name, value in values.items():
        if value is not None:
            setattr(header, name, value)
    stream = BytesIO()
    pydicom.dcmwrite(stream, header, enforce_file_format=True)
    return stream.getvalue()


def read(**tags: Any) -> dicom.DicomImage:
    return read_dicom(Path("a.dcm"), dicom_file(**tags))


def test_values_are_rescaled_and_the_first_window_is_taken() -> None:
    found = read()
    assert np.array_equal(found.values, STORED.astype(int) - 10)
    assert (found.window, found.is_inverted) == ((40, 100), False)
    assert np.array_equal(read(RescaleSlope=2.5).values, np.rint(STORED * 2.5 - 10))
    assert np.array_equal(read(RescaleSlope=None, RescaleIntercept=None).values, STORED)


@pytest.mark.parametrize("tags", [{"WindowCenter": None, "WindowWidth": None}, {"WindowWidth": None}])
def test_a_window_may_be_missing(tags: dict[str, Any]) -> None:
    assert read(**tags).window is None


def test_inverted_images_keep_their_values() -> None:
    found = read(PhotometricInterpretation="MONOCHROME1")
    assert found.is_inverted
    assert np.array_equal(found.values, STORED.astype(int) - 10)


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"NumberOfFrames": 2, "PixelData": STORED.tobytes() * 2}, "a.dcm holds 2 frames"),
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, "must be grey .*got RGB"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "got PALETTE COLOR"),
        ({"RescaleSlope": 0.01}, "RescaleSlope 0.01, which must be at least 1"),
        ({"PixelData": None}, r"holds no image \(CT\)"),
        ({"PixelData": STORED.tobytes()[:20]}, "pixels of a.dcm cannot be decoded"),
    ],
)
def test_what_is_refused(tags: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        read(**tags)
    assert "\n" not in str(caught.value)


def test_a_lookup_table_is_refused() -> None:
    pydicom = pytest.importorskip("pydicom", reason=REASON)
    table = pydicom.Dataset()
    table.LUTDescriptor, table.LUTData = [2, 0, 16], b"\1\0\2\0"
    with pytest.raises(UserError, match="lookup table"):
        read(ModalityLUTSequence=[table])


@pytest.mark.parametrize("content", [b"", b"hello", b"\0" * 128 + b"DICM" + b"\xff" * 40])
def test_other_content_is_named(content: bytes) -> None:
    pytest.importorskip("pydicom", reason=REASON)
    with pytest.raises(UserError, match=r"a.dcm (cannot be read as DICOM|holds no image)"):
        read_dicom(Path("a.dcm"), content)


def test_without_pydicom_the_install_line_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(UserError, match=r"a.dcm .* needs the package pydicom; install it: pip install 'pydicom>=3,<4'"):
        read_dicom(Path("a.dcm"), b"")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function (tags by file, such as {"train/a/1": {...}}) -> a folder of two classes."""
    monkeypatch.setattr(image_folder, "user_cache_folder", lambda: tmp_path / "user-cache")

    def go(**changes: dict[str, Any]) -> Path:
        for split in ("train", "test"):
            for k, name in enumerate("ab"):
                (tmp_path / "d" / split / name).mkdir(parents=True, exist_ok=True)
                for number in range(2):
                    key = f"{split}_{name}_{number}"
                    suffix = (".dcm", ".IMA")[number] if split == "train" else ""
                    content = dicom_file(STORED + np.int16(100 * k + number), **changes.get(key, {}))
                    (tmp_path / "d" / split / name / f"{number}{suffix}").write_bytes(content)
        (tmp_path / "d" / "train" / "a" / "DICOMDIR").write_bytes(b"index")
        (tmp_path / "d" / "train" / "a" / "thumb.png").write_bytes(b"other")
        return tmp_path / "d"

    return go


def of(root: Path, **changes: Any) -> ImageFolder:
    return ImageFolder(**{"root": str(root), "format": "dicom", "bits": 12, "zero": 1024, "val_size": 0, **changes})


@pytest.mark.filterwarnings("ignore::ablate.errors.Notice")
def test_a_folder_of_dicom_files(folder: Any) -> None:
    data = of(folder()).load()
    assert (data.image_shape, data.bits, len(data.train), len(data.test)) == ((1, 6, 6), 12, 4, 4)
    for split in (data.train, data.test):
        found = sorted((int(y), int(x[0, 0, 0])) for x, y in zip(split.images, split.labels, strict=True))
        assert found == [(k, -5 + 100 * k + number - 10 + 1024) for k in range(2) for number in range(2)]


@pytest.mark.filterwarnings("ignore::ablate.errors.Notice")
def test_zero_is_part_of_the_content_and_low_values_become_0(folder: Any) -> None:
    root = folder()
    assert int(of(root, zero=12).load().train.images.min()) == 0
    assert of(root, zero=12).fingerprint() != of(root).fingerprint()


@pytest.mark.parametrize(
    ("changes", "settings", "words"),
    [
        ({}, {"zero": None}, "holds the value -15, which is below 0; .*data.zero=1024"),
        ({}, {"bits": 8}, r"holds the value 20, .*intensity 1044 is above 255.*data.bits=16"),
        (
            {"test_a_0": {"PhotometricInterpretation": "MONOCHROME1"}},
            {},
            r"train/a/0.dcm is MONOCHROME2 .*test/a/0 MONO",
        ),
        ({"train_b_0": {"NumberOfFrames": 2, "PixelData": STORED.tobytes() * 2}}, {}, "train/b/0.dcm holds 2 frames"),
    ],
)
def test_what_a_folder_may_not_hold(folder: Any, changes: Any, settings: Any, words: str) -> None:
    with pytest.raises(UserError, match=words), pytest.warns(Notice):
        of(folder(**changes), **settings).load()


@pytest.mark.parametrize(
    ("windows", "words"),
    [
        ({}, "8 of 8 files state the window 40/100.*data.zero=1024 data.window_center=40 data.window_width=100$"),
        ({"WindowCenter": None}, "none of the 8 headers states a window"),
    ],
)
def test_windows_of_the_headers_are_named(folder: Any, windows: dict[str, Any], words: str) -> None:
    keys = [f"{split}_{name}_{number}" for split in ("train", "test") for name in "ab" for number in range(2)]
    with pytest.warns(Notice) as shown:
        of(folder(**dict.fromkeys(keys, windows))).load()
    texts = [str(one.message) for one in shown]
    assert any(re.search(words, text) for text in texts), texts
    assert any(text.endswith("2 files are left out: 1 hidden, 1 .png") for text in texts), texts


def test_windows_that_differ_and_inversion_are_named(folder: Any) -> None:
    keys = [f"{split}_{name}_{number}" for split in ("train", "test") for name in "ab" for number in range(2)]
    changes = {key: {"PhotometricInterpretation": "MONOCHROME1"} for key in keys}
    changes["train_a_0"] |= {"WindowCenter": 50}
    changes["train_a_1"] |= {"WindowCenter": None}
    with pytest.warns(Notice) as shown:
        of(folder(**changes)).load()
    text = " ".join(str(one.message) for one in shown)
    assert "6 of 8 files state the window 40/100 (centre/width), 1 other windows occur, 1 files state none" in text
    assert "MONOCHROME1: small values are shown white" in text


def test_a_window_of_ones_own(compose: Any) -> None:
    """Without `data.zero` fractions of the range, with it values; other data sets and earlier runs are as before."""

    def window(*words: str) -> Any:
        cfg, _ = compose(["data=image_folder", "data.root=/d", "preprocessing=window", "data.bits=12", *words])
        return planning.make("preprocessing", composition.resolved(cfg)["preprocessing"]).steps["window"]

    assert (window().lower, window().width) == (0, 4095)
    half = window("data.window_center=0.25", "data.window_width=0.5")
    assert (half.lower, half.width) == (0, 2047.5)
    values = window("data.zero=1024", "data.window_center=40", "data.window_width=400")
    assert (values.lower, values.width) == (1024 + 40 - 200, 400)
    for words in (["data.window_center=40"], ["data.zero=1024", "data.window_center=9000", "data.window_width=10"]):
        with pytest.raises(UserError, match=r"data.zero"):
            window(*words)


def test_the_new_keys_orphan_no_run_of_image_folder(compose: Any) -> None:
    cfg, _ = compose(["data=image_folder", "data.root=/d", "preprocessing=window"])
    keys = set(scientific(composition.resolved(cfg)))
    assert not {"data.format", "data.zero", "data.window_center", "preprocessing.steps.window.zero"} & keys
    assert "preprocessing.steps.window.center" in keys
    cfg, _ = compose(["data=shapes_magnitude"])
    assert "data.window_center" in set(scientific(composition.resolved(cfg)))  # of another class: as before
    cfg, _ = compose(["data=image_folder", "data.root=/d", "data.format=dicom", "data.zero=0"])
    assert {"data.format", "data.zero"} <= set(scientific(composition.resolved(cfg)))

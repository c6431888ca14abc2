import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ablate.data import image_folder
from ablate.data.dataset import Dataset
from ablate.data.image_file import decode_image
from ablate.data.image_folder import ImageFolder

SIZE = 6


def read_image(file: Path) -> np.ndarray:
    return decode_image(file, file.read_bytes())


def write_png16(file: Path, image: np.ndarray) -> None:
    """A 16-bit png, grey (H, W) or RGB (H, W, 3), by hand: Pillow writes no 16-bit RGB."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    colour_type = 2 if image.ndim == 3 else 0
    header = struct.pack(">IIBBBBB", image.shape[1], image.shape[0], 16, colour_type, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in image)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)


def pixel(split: str, label: int, number: int) -> int:
    """Every image has one value of its own."""
    return 100 * (split == "test") + 40 * label + number


def make_folder(root: Path, *, bits: int = 8, rgb: bool = True, classes: tuple[str, ...] = ("cat", "ant")) -> Path:
    shape = (SIZE, SIZE, 3) if rgb else (SIZE, SIZE)
    for split, num_images in (("train", 8), ("test", 4)):
        for label, name in enumerate(sorted(classes)):
            (root / split / name).mkdir(parents=True)
            for number in range(num_images):
                file = root / split / name / f"{number}.png"
                value = pixel(split, label, number)
                if bits == 8:
                    Image.fromarray(np.full(shape, value, np.uint8)).save(file)
                else:
                    write_png16(file, np.full(shape, 256 * value + 1, np.uint16))
    return root


def load(root: Path, **changes: Any) -> Dataset:
    return ImageFolder(**({"root": str(root), "val_size": 4} | changes)).load()


@pytest.fixture(autouse=True)
def _own_user_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_folder, "user_cache_folder", lambda: tmp_path / "user-cache")


@pytest.mark.parametrize("rgb", [False, True])
@pytest.mark.parametrize("bits", [8, 16])
def test_images_and_labels_arrive(tmp_path: Path, bits: int, rgb: bool) -> None:
    data = load(make_folder(tmp_path / "d", bits=bits, rgb=rgb), bits=bits)
    assert data.class_names == ("ant", "cat")
    assert (data.image_shape, data.bits) == ((3 if rgb else 1, SIZE, SIZE), bits)
    assert data.train.images.dtype == (torch.uint8 if bits == 8 else torch.int32)
    value = {8: lambda v: v, 16: lambda v: 256 * v + 1}[bits]
    for split, parts, num_images in (("train", (data.train, data.val), 8), ("test", (data.test,), 4)):
        found = sorted(
            (int(y), int(x[0, 0, 0])) for part in parts for x, y in zip(part.images, part.labels, strict=True)
        )
        assert found == [(k, value(pixel(split, k, n))) for k in range(2) for n in range(num_images)]
    assert data.val.labels.bincount().tolist() == [2, 2]


def test_wide_rgb_keeps_every_bit(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 65536, (5, 5, 3), dtype=np.uint16)
    write_png16(tmp_path / "wide.png", image)
    np.testing.assert_array_equal(read_image(tmp_path / "wide.png"), image)
    write_png16(tmp_path / "grey.png", image[..., 0])
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png"), image[..., :1])


def test_jpg_is_read(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8, 3), 90, np.uint8)).save(tmp_path / "a.JPG")
    assert np.abs(read_image(tmp_path / "a.JPG").astype(int) - 90).max() <= 2


def test_cache_is_read_until_a_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_folder(tmp_path / "d")
    first, fingerprint = load(root), ImageFolder(root=str(root), val_size=4).fingerprint()
    with monkeypatch.context() as patch:
        patch.setattr(image_folder, "decode_image", lambda *_: pytest.fail("decoded again"))
        assert torch.equal(load(root).train.images, first.train.images)
        assert ImageFolder(root=str(root), val_size=6, split_seed=2).fingerprint() == fingerprint
    Image.fromarray(np.full((SIZE, SIZE, 3), 255, np.uint8)).save(root / "test" / "ant" / "0.png")
    assert load(root).test.images.max() == 255
    assert ImageFolder(root=str(root), val_size=4).fingerprint() != fingerprint


def test_fingerprint_is_of_the_content_and_not_of_the_place(tmp_path: Path) -> None:
    one = ImageFolder(root=str(make_folder(tmp_path / "a")), val_size=4)
    two = ImageFolder(root=str(make_folder(tmp_path / "b")), val_size=4)
    assert one.fingerprint() == two.fingerprint()
    os.rename(tmp_path / "b" / "train" / "ant" / "0.png", tmp_path / "b" / "train" / "cat" / "z.png")
    assert one.fingerprint() != two.fingerprint()


def test_read_only_root(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "d")
    root.chmod(0o555)
    try:
        load(root)
    finally:
        root.chmod(0o755)
    assert not (root / "ablate-cache").exists()
    assert list((tmp_path / "user-cache").glob("image_folder-*/index.json"))


def odd_file(root: Path, array: np.ndarray) -> Path:
    file = root / "train" / "cat" / "odd.png"
    Image.fromarray(array).save(file)
    return file


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((SIZE, SIZE), r"odd.png is grey and .*ant/0.png is RGB; convert"),
        ((7, 7, 3), r"odd.png is 7x7 and .*ant/0.png is 6x6 .* resize"),
        ((SIZE, 7, 3), r"odd.png is 6x7"),
        ((SIZE, SIZE, 4), r"odd.png must be grey or RGB, but has transparent pixels; .*flatten"),
    ],
)
def test_odd_image_is_named(tmp_path: Path, shape: tuple[int, ...], words: str) -> None:
    root = make_folder(tmp_path / "d")
    odd_file(root, np.zeros(shape, np.uint8))
    with pytest.raises(ValueError, match=words):
        load(root)


def test_images_that_are_all_oblong_are_refused(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "d")
    for file in root.rglob("*.png"):
        Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(file)
    with pytest.raises(ValueError, match=r"must be square .*ant/0.png is 4x6 \(height x width\)"):
        load(root)


def test_depth_must_be_the_declared_one(tmp_path: Path) -> None:
    deep, flat = make_folder(tmp_path / "deep", bits=16), make_folder(tmp_path / "flat")
    with pytest.raises(ValueError, match=r"0.png holds 16 bits, more than .*data.bits=8`; declare `data.bits=16`"):
        load(deep)
    with pytest.raises(ValueError, match=r"0.png holds 8 bits, not .*data.bits=16`; declare `data.bits=8`"):
        load(flat, bits=16)
    with pytest.raises(ValueError, match=r"holds the intensity \d+, above 4095.*declare `data.bits=16`"):
        load(deep, bits=12)


def test_unreadable_file_is_named(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "d")
    (root / "train" / "cat" / "broken.jpg").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"broken.jpg cannot be read as an image"):
        load(root)


def test_truncated_wide_rgb_is_named(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "d", bits=16)
    file = root / "train" / "cat" / "0.png"
    os.truncate(file, 50)
    with pytest.raises(ValueError, match=r"cat/0.png cannot be read as an image"):
        load(root, bits=16)


def test_folders_must_be_there_and_agree(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"`data.root={tmp_path}/none`; {tmp_path}/none/train is no folder"):
        load(tmp_path / "none")
    root = make_folder(tmp_path / "d")
    (root / "test" / "dog").mkdir()
    with pytest.raises(ValueError, match=r"same classes.* only test has \['dog'\]"):
        load(root)
    (root / "train" / "dog").mkdir()
    with pytest.raises(ValueError, match=r"dog must hold at least one image"):
        load(root)
    with pytest.raises(ValueError, match="at least 2 classes"):
        load(make_folder(tmp_path / "one", classes=("a",)))


def test_bits_are_checked() -> None:
    with pytest.raises(ValueError, match=r"\[1, 16\], got 17"):
        ImageFolder(root="d", val_size=4, bits=17)

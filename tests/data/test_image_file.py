"""Every format that is read gives the pixels that were written; whatever would be changed is refused by name."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ablate.data import image_file
from ablate.data.image_file import decode_image
from ablate.errors import UserError

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (7, 9, 3), dtype=np.uint8)
GREY = RGB[..., 0]
WIDE = RNG.integers(0, 65536, (7, 9), dtype=np.uint16)
WIDE_RGB = RNG.integers(0, 65536, (7, 9, 3), dtype=np.uint16)
OPAQUE = np.full((7, 9, 1), 255, np.uint8)
PALETTE = Image.fromarray(RGB).quantize(32)
BILEVEL = Image.fromarray(GREY > 128)


def saved(image: Any, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(stream, kind, **options)
    return stream.getvalue()


def read(content: bytes) -> np.ndarray:
    return decode_image(Path("folder/odd.png"), content)


def png(array: np.ndarray, *, interlaced: bool = False, key: tuple[int, ...] = ()) -> bytes:
    """A 16-bit png by hand: Pillow writes no colour of 16 bits and no interlaced file."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    def rows(part: np.ndarray) -> bytes:
        return b"".join(b"\0" + row.astype(">u2").tobytes() for row in part) if part.size else b""

    adam7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    parts = [array[r::dr, c::dc] for r, c, dr, dc in adam7] if interlaced else [array]
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[1 if array.ndim == 2 else array.shape[2]]
    header = struct.pack(">IIBBBBB", array.shape[1], array.shape[0], 16, colour_type, 0, 0, interlaced)
    transparent = chunk(b"tRNS", struct.pack(f">{len(key)}H", *key)) if key else b""
    body = chunk(b"IHDR", header) + transparent + chunk(b"IDAT", zlib.compress(b"".join(map(rows, parts))))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


def absent_key(array: np.ndarray) -> tuple[int, ...]:
    """An intensity that no pixel has."""
    return (next(v for v in range(65536) if v not in array),) * (1 if array.ndim == 2 else 3)


READ = {
    **{f"{kind} RGB": (saved(RGB, kind), RGB) for kind in ("PNG", "BMP", "TIFF", "PPM")},
    **{f"{kind} grey": (saved(GREY, kind), GREY) for kind in ("PNG", "BMP", "TIFF", "PPM")},
    "webp": (saved(RGB, "WEBP", lossless=True), RGB),
    "webp with opaque alpha": (saved(np.dstack([RGB, OPAQUE]), "WEBP", lossless=True), RGB),
    **{f"palette {kind}": (saved(PALETTE, kind), np.asarray(PALETTE.convert("RGB"))) for kind in ("PNG", "BMP", "GIF")},
    "palette tif": (saved(PALETTE, "TIFF"), np.asarray(PALETTE.convert("RGB"))),
    "palette with unused transparency": (saved(PALETTE, "PNG", transparency=99), np.asarray(PALETTE.convert("RGB"))),
    "grey gif": (saved(GREY, "GIF"), np.repeat(GREY[..., None], 3, 2)),
    "gif whose palette is all greys in order": (
        saved(np.arange(256, dtype=np.uint8).reshape(16, 16), "GIF"),
        np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, 2),
    ),
    **{f"1 bit {kind}": (saved(BILEVEL, kind), np.where(GREY > 128, 255, 0)) for kind in ("PNG", "BMP", "TIFF", "PPM")},
    **{f"16 bits {kind}": (saved(WIDE, kind), WIDE) for kind in ("PNG", "TIFF", "PPM")},
    "16 bits big-endian tif": (saved(WIDE.astype(">u2"), "TIFF"), WIDE),
    "16 bits lzw tif": (saved(WIDE, "TIFF", compression="tiff_lzw"), WIDE),
    "16 bits grey interlaced": (png(WIDE, interlaced=True), WIDE),
    "16 bits RGB": (png(WIDE_RGB), WIDE_RGB),
    "16 bits RGB interlaced": (png(WIDE_RGB, interlaced=True), WIDE_RGB),
    "16 bits RGBA opaque": (png(np.dstack([WIDE_RGB, np.full((7, 9), 65535, np.uint16)])), WIDE_RGB),
    "16 bits RGB, no pixel of the transparent colour": (png(WIDE_RGB, key=absent_key(WIDE_RGB)), WIDE_RGB),
    "LA opaque": (saved(Image.fromarray(np.dstack([GREY, OPAQUE]), "LA"), "PNG"), GREY),
    "RGBA opaque": (saved(np.dstack([RGB, OPAQUE]), "PNG"), RGB),
    "jpg with a second picture": (saved(RGB, "MPO", save_all=True, append_images=[BILEVEL.convert("RGB")]), None),
}


@pytest.mark.parametrize("name", READ)
def test_pixels_are_those_that_were_written(name: str) -> None:
    content, expected = READ[name]
    image = read(content)
    if expected is None:  # lossy: the first picture and not the second
        assert np.abs(image.astype(int) - read(saved(RGB, "JPEG"))).max() == 0
        return
    assert image.dtype == (np.uint16 if "16 bits" in name else np.uint8)
    np.testing.assert_array_equal(image, expected if expected.ndim == 3 else expected[..., None])


def test_16_bit_rgb_needs_no_deprecated_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision.io

    monkeypatch.setattr(torchvision.io, "decode_png", lambda *_: pytest.fail("torchvision decodes"))
    np.testing.assert_array_equal(read(png(WIDE_RGB)), WIDE_RGB)


def shown(array: np.ndarray, orientation: int) -> np.ndarray:
    """The image as EXIF's table says it is to be shown."""
    return {
        1: array,
        2: array[:, ::-1],
        3: array[::-1, ::-1],
        4: array[::-1],
        5: array.swapaxes(0, 1),
        6: np.rot90(array, -1),
        7: array.swapaxes(0, 1)[::-1, ::-1],
        8: np.rot90(array, 1),
    }[orientation]


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_cameras_is_applied(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    blocks = np.repeat(np.repeat(RGB[:2, :3], 8, 0), 8, 1)  # whole JPEG blocks of one colour stay as they are
    options = {"quality": 100, "subsampling": 0} if kind == "JPEG" else options
    image = read(saved(blocks, kind, exif=exif, **options))
    assert image.shape == shown(blocks, orientation).shape
    assert np.abs(image.astype(int) - shown(blocks, orientation)).max() <= (3 if kind == "JPEG" else 0)
    if kind in ("PNG", "TIFF"):
        np.testing.assert_array_equal(read(saved(WIDE, kind, exif=exif))[..., 0], shown(WIDE, orientation))


def bomb() -> bytes:
    content = bytearray(saved(RGB, "PNG"))
    content[16:24] = struct.pack(">II", 60000, 60000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


def flipped(content: bytes, place: float) -> bytes:
    at = int(len(content) * place)
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


JPG = saved(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8), "JPEG")
WHITE_IS_ZERO = saved(WIDE, "TIFF", tiffinfo={262: 0})

REFUSED = {
    "empty": (b"", r"is empty \(0 bytes\)"),
    "git-lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "`git lfs pull`"),
    "git-annex": (b"/annex/objects/SHA256E-s1--ab.png\n", "`git annex get"),
    "web page": (b"<!DOCTYPE html><html>", "is text"),
    "heic": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIF, AVIF"),
    "garbage": (b"no image at all", "cannot be read as an image: its content is no image; replace or remove it"),
    "half a jpg": (JPG[: len(JPG) // 2], "cannot be read as an image: .*truncated"),
    "half a png": (saved(RGB, "PNG")[:150], "cannot be read as an image"),
    "a flipped bit in a png": (flipped(saved(RGB, "PNG"), 0.5), "cannot be read as an image: .*checksum"),
    "a flipped bit in a 16-bit png": (flipped(png(WIDE_RGB), 0.5), "cannot be read as an image: .*checksum"),
    "half a 16-bit png": (png(WIDE_RGB)[:150], "cannot be read as an image"),
    "60,000 x 60,000": (bomb(), r"cannot be read as an image: .*3600000000 pixels"),
    "transparent": (saved(np.dstack([RGB, GREY]), "PNG"), "transparent pixels; .*-flatten"),
    "transparent grey": (saved(Image.fromarray(np.dstack([GREY, GREY]), "LA"), "PNG"), "transparent pixels"),
    "transparent palette": (saved(PALETTE, "PNG", transparency=int(np.asarray(PALETTE)[0, 0])), "transparent pixels"),
    "transparent grey value": (saved(GREY, "PNG", transparency=int(GREY[0, 0])), "transparent pixels"),
    "transparent colour": (saved(RGB, "PNG", transparency=tuple(map(int, RGB[0, 0]))), "transparent pixels"),
    "transparent 16-bit value": (saved(WIDE, "PNG", transparency=int(WIDE[0, 0])), "transparent pixels"),
    "transparent 16-bit colour": (png(WIDE_RGB, key=tuple(map(int, WIDE_RGB[0, 0]))), "transparent pixels"),
    "transparent 16-bit RGBA": (png(np.dstack([WIDE_RGB, WIDE])), "transparent pixels"),
    "16-bit grey with alpha": (png(np.dstack([WIDE, WIDE])), "without alpha"),
    "moving gif": (saved(RGB, "GIF", save_all=True, append_images=[BILEVEL.convert("RGB")]), "2 frames or pages"),
    "moving png": (saved(RGB, "PNG", save_all=True, append_images=[BILEVEL.convert("RGB")]), "2 frames or pages"),
    "tif of two pages": (saved(RGB, "TIFF", save_all=True, append_images=[Image.fromarray(RGB)]), "2 frames or pages"),
    "cmyk": (saved(Image.fromarray(RGB).convert("CMYK"), "JPEG"), "'CMYK'; convert it to RGB"),
    "lab": (saved(Image.fromarray(RGB).convert("LAB"), "TIFF"), "'LAB'"),
    "floats": (saved(GREY.astype(np.float32), "TIFF"), "32 bits.*convert it to a png"),
    "32 bits": (saved(GREY.astype(np.int32), "TIFF"), "32 bits.*convert it to a png"),
    "16-bit tif whose zero is white": (WHITE_IS_ZERO, "zero is black"),
    "pixmap of 10 bits": (b"P5\n# by hand\n2 1\n1023\n\x03\xff\0\0", "largest intensity 1023"),
    "pixmap of 16-bit colour": (b"P6 1 1 65535\n\1\2\3\4\5\6", "largest intensity 65535 in RGB"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_be_changed_is_refused_by_name(name: str) -> None:
    content, words = REFUSED[name]
    with pytest.raises(UserError, match=f"^folder/odd.png .*{words}") as caught:
        read(content)
    assert "\n" not in str(caught.value)


def test_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "closed.png"
    file.write_bytes(saved(RGB, "PNG"))

    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(UserError, match=r"closed.png: Permission denied; change its permissions"):
        image_file.read_content(file)


def test_link_to_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to("../.git/annex/objects/x.png")
    with pytest.raises(UserError, match=r"a.png is a link to ../.git/annex/objects/x.png, which does not exist"):
        image_file.read_content(tmp_path / "a.png")


@pytest.mark.parametrize("name", ["a.PNG", "a.jpe", "a.tiff", "a.JPEG", "a.gif", "a.webp", "a.bmp", "a.pgm"])
def test_suffixes(name: str) -> None:
    assert Path(name).suffix.lower() in image_file.SUFFIXES

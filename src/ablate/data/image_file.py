"""Reads one image file as an array of the intensities that it holds; an error names the file and the cure."""

import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ablate.errors import UserError, explain

SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".webp", ".gif", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm"),
)
"""Suffixes of the files that are read as images, in lower case; the format is decided by the content."""

FORMATS = ("PNG", "JPEG", "BMP", "DIB", "WEBP", "GIF", "TIFF", "PPM")

_PNG = b"\x89PNG\r\n\x1a\n"
_GREY_MODES = ("L", "I;16", "I;16B", "I;16L", "I;16N")
_PALETTES = ("P", "PA")
_ALPHA_MODES = ("LA", "RGBA", "La", "RGBa")

# Beginnings of files that are often saved under the name of an image.
_DISGUISED = (
    (b"version https://git-lfs", "is a pointer of git-lfs, not the image; fetch the images with `git lfs pull`"),
    (b"/annex/objects/", "is a pointer of git-annex, not the image; fetch the images with `git annex get .`"),
    (b"<", "is text (a web page or an SVG), no image; download or convert it again"),
)


def read_content(file: Path) -> bytes:
    """Return the bytes of an image file; raise UserError where the system refuses them."""
    try:
        return file.read_bytes()
    except OSError as error:
        if file.is_symlink() and not file.exists():
            raise UserError(
                f"{file} is a link to {file.readlink()}, which does not exist; restore the target (with git-annex: "
                "`git annex get .`) or remove the link"
            ) from error
        raise UserError(f"the image {explain(error)}") from error


def decode_image(file: Path, content: bytes) -> NDArray[np.integer]:
    """Return the intensities of an image as shown: rotated by its EXIF orientation, palettes replaced by colours.

    Nothing else is changed: colour profiles and gamma are not applied, and no depth is reduced. An alpha channel
    that is opaque everywhere is left out. What Pillow would change silently is refused: transparent pixels,
    several frames or pages (but for the secondary pictures of a JPEG), CMYK, floats, and depths that it halves.

    Args:
        file: named in errors.
        content: of the file: PNG, JPEG, BMP, WebP, GIF, TIFF, or a portable pixmap, whatever its suffix.

    Returns:
        (H, W, C) with C = 1 or 3, uint8, or uint16 where the file holds more than 8 bits an intensity.

    Raises:
        UserError: if the content is damaged or none of these.

    Example:
        >>> from PIL import Image
        >>> file = BytesIO()
        >>> Image.new("L", (4, 3), color=7).save(file, "PNG")
        >>> decode_image(Path("grey.png"), file.getvalue()).shape
        (3, 4, 1)
    """
    from PIL import Image, UnidentifiedImageError

    if not content:
        raise UserError(f"{file} is empty (0 bytes); replace or remove it")
    for beginning, what in _DISGUISED:
        if content.startswith(beginning):
            raise UserError(f"{file} {what}")
    if content[4:8] == b"ftyp":
        raise UserError(f"{file} is HEIF, AVIF or a film, which is not read; convert it to png or jpg")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            warnings.filterwarnings("ignore", module="PIL")  # about metadata, which is not used
            if content.startswith(_PNG):
                with Image.open(BytesIO(content), formats=FORMATS) as image:
                    image.verify()  # the checksums, which loading does not check
            with Image.open(BytesIO(content), formats=FORMATS) as image:
                _refuse_frames(file, image)
                wide = _wide_mode(file, image, content)
                if wide:
                    return _opaque(file, _load_wide(content, wide))
                return _narrow(file, image)
    except UserError:
        raise
    except UnidentifiedImageError as error:
        raise UserError(f"{file} cannot be read as an image: its content is no image; replace or remove it") from error
    except Exception as error:  # a damaged file may raise anything within Pillow
        reason = " ".join(str(error).split()).replace(f"{file}", "it") or type(error).__name__
        raise UserError(f"{file} cannot be read as an image: {reason}; replace or remove it") from error


def _refuse_frames(file: Path, image: Any) -> None:
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # a camera's jpg: the first picture is the photograph
        raise UserError(f"{file} holds {frames} frames or pages; save the one that is meant as a file of its own")


def _wide_mode(file: Path, image: Any, content: bytes) -> str:
    """Return Pillow's mode where it would halve the depth of a png that can be read; refuse what else it would change.

    Depth and colour type stand in a png's header, which is its first chunk.
    """
    if image.format == "PNG" and content[24] == 16 and content[25] != 0:
        if content[25] == 4:
            raise UserError(f"{file} is grey of 16 bits with an alpha channel; save it without alpha")
        return {2: "RGB", 6: "RGBA"}[content[25]]
    if image.format == "TIFF":
        bits, photometric = image.tag_v2.get(258, (1,)), image.tag_v2.get(262)
        if max(bits) > 8 and not (image.mode in _GREY_MODES and photometric == 1):
            kind = f"{'x'.join(map(str, bits))} bits, Pillow's mode {image.mode!r}, photometric {photometric}"
            raise UserError(
                f"{file} is a tif of a kind that is not read ({kind}); of more than 8 bits, only grey images whose "
                "zero is black are; convert it to a png of 16 bits"
            )
    if image.format == "PPM" and image.mode not in ("1", "F"):
        largest = int(_ppm_tokens(content)[3])
        if largest not in (255, 65535) or (largest == 65535 and image.mode != "I"):
            raise UserError(
                f"{file} is a pixmap with the largest intensity {largest} in {image.mode}; convert it to a png"
            )
    return ""


def _ppm_tokens(content: bytes) -> list[bytes]:
    """Return magic number, width, height and the largest intensity."""
    lines = [line.partition(b"#")[0] for line in content[:4096].split(b"\n")]
    return b" ".join(lines).split()[:4]


def _load_wide(content: bytes, mode: str) -> NDArray[np.uint16]:
    """Read a colour png of 16 bits as its high bytes and, as if the bytes of each intensity were swapped, its low ones.

    Pillow decodes these files but keeps one byte of an intensity: `;16B` the first, `;16L` the second.
    """
    from PIL import Image, ImageOps

    halves = []
    for raw in (f"{mode};16B", f"{mode};16L"):
        with Image.open(BytesIO(content), formats=FORMATS) as image:
            image.tile = [(*tile[:3], raw) for tile in image.tile]  # type: ignore[misc]
            key = image.info.pop("transparency", None)
            image.load()
            halves.append(np.asarray(ImageOps.exif_transpose(image), np.uint16))
    wide: NDArray[np.uint16] = halves[0] << np.uint16(8) | halves[1]
    if key is None:
        return wide
    opaque = (wide != np.array(key, np.uint16)).any(2, keepdims=True)
    return np.concatenate([wide, np.where(opaque, 65535, 0).astype(np.uint16)], axis=2)


def _narrow(file: Path, image: Any) -> NDArray[np.integer]:
    from PIL import ImageOps

    image.load()
    is_gif, is_tif = image.format == "GIF", image.format == "TIFF"
    image = ImageOps.exif_transpose(image)
    mode, key = image.mode, image.info.get("transparency")
    if mode in _PALETTES or is_gif:  # which has palettes only; Pillow calls some of them grey
        return _opaque(file, np.asarray(image.convert("RGB" if key is None and mode == "P" else "RGBA")))
    if mode in ("La", "RGBa"):
        raise UserError(f"{file} has intensities multiplied by an alpha channel; save it without alpha")
    if mode in _ALPHA_MODES:
        return _opaque(file, np.asarray(image))
    if mode == "1":
        return _with_channels(np.asarray(image.convert("L")))
    if mode == "I" and not is_tif:  # older versions of Pillow open grey pngs of 16 bits so
        array = np.asarray(image)
        assert array.min() >= 0 and array.max() < 2**16
        array = array.astype(np.uint16)
    elif mode in _GREY_MODES or mode == "RGB":
        array = np.asarray(image)
        array = array.astype(np.uint16) if array.dtype.itemsize == 2 else array
    else:
        hint = "; convert it to RGB with its colour profile" if mode in ("CMYK", "LAB", "YCbCr") else "; convert it"
        raise UserError(f"{file} must be grey or RGB, got Pillow's mode {mode!r}{hint}")
    array = _with_channels(array)
    if isinstance(key, int | tuple) and (array == np.array(key)).all(2).any():
        raise _transparent(file)
    return array


def _opaque(file: Path, array: NDArray[Any]) -> NDArray[Any]:
    """Leave out an alpha channel that hides nothing."""
    if array.shape[2] in (1, 3):
        return array
    if array[..., -1].min() < np.iinfo(array.dtype).max:
        raise _transparent(file)
    return array[..., :-1]


def _transparent(file: Path) -> UserError:
    return UserError(
        f"{file} must be grey or RGB, but has transparent pixels; put it on a background, e.g. with ImageMagick: "
        f"`magick mogrify -background white -flatten {file.name}`"
    )


def _with_channels(array: NDArray[Any]) -> NDArray[Any]:
    return array[..., None] if array.ndim == 2 else array

"""The user's own data set: image files in one folder per class."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ablate.data import dicom, image_file
from ablate.data.cache import BESIDE, Arrays, cached_arrays, user_cache_folder
from ablate.data.dataset import Dataset, Source, check_depth, split_source
from ablate.data.image_file import decode_image, read_content
from ablate.data.image_tree import Found, find_images
from ablate.errors import UserError
from ablate.storage.paths import local

FORMATS = {
    "images": (image_file.SUFFIXES, "png, jpg, bmp, webp, gif, tif, ppm"),
    "dicom": (dicom.SUFFIXES, "dcm, dicom, ima or no suffix"),
}
"""Suffixes of the files that are read, and the same in words."""

VERSION = 2
"""Raised whenever the same files give other arrays."""


@dataclass(frozen=True, kw_only=True)
class ImageFolder:
    """Square images, grey or RGB, in `root/train/<class>/` and `root/test/<class>/` and the folders below these.

    Where there is `root/val/<class>/` (or `valid`, `validation`), it holds the validation images, and all images of
    `train` are training images. Other folders are not used, which a notice says.

    Classes are numbered in the order of their sorted names, in Unicode's composed form (NFC). All images have one size,
    one depth and one number of channels. `image_file` states what is read and what is refused. Hidden files, files
    of operating systems and files with other suffixes are left out and counted in a notice; links are followed.
    Decoded once into a cache, which remembers the files' names, sizes and modification times: in `cache_dir`, or else
    in `root`, or else in the user's cache folder.

    With `format="dicom"` the files are grey DICOM images (see `dicom`), which need pydicom. An intensity is the value
    (Hounsfield units for CT) plus `zero`, cut off at 0.

    Args:
        root: folder that holds `train` and `test`, and perhaps `val`.
        val_size: number of validation images: of those in `val`, None for all; where there is no `val`, taken from the
            training images, None for a tenth of them, at most 1000. 0 for none.
        train_size: number of training images; None takes all that `val_size` leaves.
        test_size: number of test images; None takes all.
        split_seed: seed of the split, at least 0.
        cache_dir: folder of the cache, or None.
        bits: intensities lie in 0 .. 2**bits - 1; 1 to 8 for files of 8 bits, 9 to 16 for files of 16;
            1 to 16 for DICOM.
        format: "images" or "dicom".
        zero: the intensity that stands for the value 0, in [0, 65535], such as 1024 for CT; None for 0.
        window_center, window_width: for `preprocessing=window`, as fractions of the range; in units of the values
            where `zero` is given. The images do not depend on them.

    Raises:
        UserError: if `bits`, `format` or `zero` is out of range; in `load` and `fingerprint`, if the files are not as
            described.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for name in ("train/cat", "train/dog", "test/cat", "test/dog"):
        ...         Path(root, name).mkdir(parents=True)
        ...         Image.new("RGB", (8, 8)).save(Path(root, name, "1.png"))
        ...     ImageFolder(root=root, val_size=0).load().class_names
        ('cat', 'dog')
    """

    root: str
    val_size: int | None = None
    train_size: int | None = None
    test_size: int | None = None
    split_seed: int = 0
    cache_dir: str | None = None
    bits: int = 8
    format: str = "images"
    zero: int | None = None
    window_center: float = 0.5
    window_width: float = 1.0

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 16:
            raise UserError(f"`data.bits` must lie in [1, 16], got {self.bits}")
        if self.format not in FORMATS:
            raise UserError(f"`data.format` must be {' or '.join(FORMATS)}, got {self.format!r}")
        if self.zero is not None and not 0 <= self.zero <= 65535:
            raise UserError(f"`data.zero` must lie in [0, 65535] or be null, got {self.zero}")

    def fingerprint(self) -> str:
        """Hash of every file's content and of its name below `root`; read from the cache where no file has changed."""
        return bytes(self._arrays(self._find())["digest"]).hex()

    def load(self) -> Dataset:
        """Decode the images, or open those decoded before, and split them."""
        found = self._find()
        arrays = self._arrays(found)
        del arrays["digest"]
        return split_source(
            Source(**arrays),
            class_names=found.class_names,
            bits=self.bits,
            train_size=self.train_size,
            val_size=self.val_size,
            test_size=self.test_size,
            split_seed=self.split_seed,
        )

    def _find(self) -> Found:
        return find_images(self._root(), *FORMATS[self.format])

    def _root(self) -> Path:
        return local("data.root", self.root)

    def _arrays(self, found: Found) -> Arrays:
        root = self._root()
        stats = {name: _stat(file) for images in found.images.values() for name, file, _ in images}
        stamp: dict[str, Any] = {
            "version": VERSION,
            "bits": self.bits,
            "files": {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()},
        }
        if self.format == "dicom":
            stamp["dicom"] = [dicom.VERSION, self.zero]
        key = f"image_folder-{hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:8]}"
        folders = [local("data.cache_dir", self.cache_dir)] if self.cache_dir else [root / BESIDE, user_cache_folder()]
        return dict(cached_arrays(key, stamp, lambda: self._decode_all(found), folders))

    def _decode_all(self, found: Found) -> Arrays:
        read = dicom.DicomReader(self.bits, self.zero) if self.format == "dicom" else None
        digest = hashlib.sha256(f"bits {self.bits}{f' dicom {dicom.VERSION} {self.zero}' if read else ''}".encode())
        arrays: dict[str, NDArray[Any]] = {}
        first, expected = None, None
        for split, labelled in found.images.items():
            for number, (name, file, _) in enumerate(labelled):
                content = read_content(file)
                image = read(file, content) if read else decode_image(file, content)
                if first is None or expected is None:
                    first, expected = file, image
                if number == 0:
                    images = np.empty((len(labelled), *expected.shape), expected.dtype)
                _check(file, image, first, expected, self.bits)
                images[number] = image
                digest.update(os.fsencode(name) + b"\0")
                digest.update(hashlib.sha256(content).digest())
            arrays[f"{split}_images"] = images
            arrays[f"{split}_labels"] = np.array([label for _, _, label in labelled], np.int64)
        if read:
            read.report()
        arrays["digest"] = np.frombuffer(digest.digest(), np.uint8).copy()
        return arrays


def _stat(file: Path) -> os.stat_result:
    try:
        return file.stat()
    except OSError:
        read_content(file)  # names what is wrong with it
        raise


def _check(file: Path, image: NDArray[np.integer], first: Path, expected: NDArray[np.integer], bits: int) -> None:
    """Refuse an image that is not square, or not like the first one, or not of the declared depth."""
    if image.dtype != expected.dtype:
        raise UserError(
            f"all images must have one depth, but {file} holds {8 * image.dtype.itemsize} bits and {first} "
            f"{8 * expected.dtype.itemsize}; convert them"
        )
    check_depth(str(file), image, bits)
    if image.shape[2] != expected.shape[2]:
        kinds = {1: "grey", 3: "RGB"}
        raise UserError(
            f"all images must be grey or all RGB, but {file} is {kinds[image.shape[2]]} and {first} is "
            f"{kinds[expected.shape[2]]}; convert them"
        )
    if image.shape != expected.shape or image.shape[0] != image.shape[1]:
        side = min(expected.shape[:2])
        other = "" if file == first else f" and {first} is {_size(expected)}"
        raise UserError(
            f"all images must be square and of one size, but {file} is {_size(image)}{other} (height x width); "
            "resize or crop them, e.g. with ImageMagick: "
            f"`magick mogrify -resize {side}x{side}^ -gravity center -extent {side}x{side} FILES`"
        )


def _size(image: NDArray[np.integer]) -> str:
    height, width = image.shape[:2]
    return f"{height}x{width}"

"""A data set of one's own: image files in one folder per class."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ablate.data.cache import Arrays, cached_arrays, user_cache_folder
from ablate.data.dataset import Dataset, Source, split_source
from ablate.errors import UserError

SUFFIXES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True, kw_only=True)
class ImageFolder:
    """Square png or jpg images, grey or RGB, in `root/train/<class>/` and `root/test/<class>/`.

    Classes are numbered in the order of their sorted names. All images have one size, one depth and one number of
    channels. Decoded once into a cache, which remembers the files' names, sizes and modification times: in `cache_dir`,
    or else in `root`, or else in the user's cache folder.

    Args:
        root: folder that holds `train` and `test`.
        val_size: number of validation images, taken from the training images; 0 for none.
        train_size: number of training images; None takes all that `val_size` leaves.
        test_size: number of test images; None takes all.
        split_seed: seed of the split, at least 0.
        cache_dir: folder of the cache, or None.
        bits: intensities lie in 0 .. 2**bits - 1; 1 to 8 for files of 8 bits, 9 to 16 for files of 16.

    Raises:
        UserError: if `bits` is out of range; in `load` and `fingerprint`, if the files are not as described.
    """

    root: str
    val_size: int
    train_size: int | None = None
    test_size: int | None = None
    split_seed: int = 0
    cache_dir: str | None = None
    bits: int = 8

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 16:
            raise UserError(f"`data.bits` must lie in [1, 16], got {self.bits}")

    def fingerprint(self) -> str:
        """Hash of every file's content and of its name below `root`; read from the cache where no file has changed."""
        return bytes(self._arrays()["digest"]).hex()

    def load(self) -> Dataset:
        """Decode the images, or open those decoded before, and split them."""
        arrays = self._arrays()
        del arrays["digest"]
        return split_source(
            Source(**arrays),
            class_names=_class_names(Path(self.root)),
            bits=self.bits,
            train_size=self.train_size,
            val_size=self.val_size,
            test_size=self.test_size,
            split_seed=self.split_seed,
        )

    def _arrays(self) -> Arrays:
        root = Path(self.root)
        files = {split: _list_files(root, split) for split in ("train", "test")}
        stats = {str(file.relative_to(root)): file.stat() for split in files for file, _ in files[split]}
        stamp = {
            "bits": self.bits,
            "files": {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()},
        }
        key = f"image_folder-{hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:8]}"
        folders = [Path(self.cache_dir)] if self.cache_dir else [root / "ablate-cache", user_cache_folder()]
        return cached_arrays(key, stamp, lambda: _decode_all(root, files, self.bits), folders)


def read_image(file: Path) -> NDArray[np.integer]:
    """Read one image without changing its depth.

    Args:
        file: png or jpg.

    Returns:
        (H, W, C) with C = 1 or 3, uint8 or uint16.

    Raises:
        UserError: if the file cannot be read, or is neither grey nor RGB.
    """
    from PIL import Image

    content = file.read_bytes()
    # Depth and colour type stand in a png's header. Pillow would halve the depth of 16-bit RGB without a word.
    if content[:8] == b"\x89PNG\r\n\x1a\n" and content[24:26] == b"\x10\x02":
        return _read_wide_rgb(file, content)
    try:
        with Image.open(file) as image:
            mode, array = image.mode, np.asarray(image)
    except OSError as error:
        raise UserError(f"{file} cannot be read as an image: {error}; replace or remove it") from error
    if mode not in ("L", "RGB", "I;16", "I"):
        raise UserError(f"{file} must be grey or RGB, got Pillow's mode {mode!r}; convert it")
    array = array.astype(np.uint16) if mode == "I" else array
    return array[..., None] if array.ndim == 2 else array


def _read_wide_rgb(file: Path, content: bytes) -> NDArray[np.integer]:
    import torch
    from torchvision.io import ImageReadMode, decode_png

    try:
        image = decode_png(torch.frombuffer(bytearray(content), dtype=torch.uint8), ImageReadMode.UNCHANGED)
    except RuntimeError as error:
        raise UserError(f"{file} cannot be read as an image: {error}; replace or remove it") from error
    return image.permute(1, 2, 0).numpy()


def _class_names(root: Path) -> tuple[str, ...]:
    return tuple(sorted(folder.name for folder in (root / "train").iterdir() if _is_class(folder)))


def _is_class(folder: Path) -> bool:
    return folder.is_dir() and not folder.name.startswith(".")


def _list_files(root: Path, split: str) -> list[tuple[Path, int]]:
    """Files of a split with their labels, sorted by class and name."""
    folder = root / split
    if not folder.is_dir():
        raise UserError(
            f"an image folder needs `train/<class>/` and `test/<class>/` under `data.root={root}`; "
            f"{folder.absolute()} is no folder"
        )
    names = sorted(entry.name for entry in folder.iterdir() if _is_class(entry))
    if names != list(_class_names(root)):
        odd = sorted(set(names) ^ set(_class_names(root)))
        raise UserError(f"{root / 'train'} and {folder} must hold the same classes; only one of them has {odd}")
    if len(names) < 2:
        raise UserError(f"{folder} must hold at least 2 classes, one folder each, got {names}")
    files = []
    for label, name in enumerate(names):
        found = sorted(file for file in (folder / name).iterdir() if file.suffix.lower() in SUFFIXES)
        if not found:
            raise UserError(f"{folder / name} must hold at least one image ({', '.join(SUFFIXES)}), got none")
        files += [(file, label) for file in found]
    return files


def _decode_all(root: Path, files: dict[str, list[tuple[Path, int]]], bits: int) -> Arrays:
    digest = hashlib.sha256(f"bits {bits}".encode())
    arrays: dict[str, NDArray[Any]] = {}
    first = files["train"][0][0]
    expected = read_image(first)
    for split, labelled in files.items():
        images = np.empty((len(labelled), *expected.shape), expected.dtype)
        for row, (file, _) in zip(images, labelled, strict=True):
            image = read_image(file)
            _check(file, image, first, expected, bits)
            row[:] = image
            digest.update(file.relative_to(root).as_posix().encode() + b"\0")
            digest.update(hashlib.sha256(file.read_bytes()).digest())
        arrays[f"{split}_images"] = images
        arrays[f"{split}_labels"] = np.array([label for _, label in labelled], np.int64)
    arrays["digest"] = np.frombuffer(digest.digest(), np.uint8)
    return arrays


def _check(file: Path, image: NDArray[np.integer], first: Path, expected: NDArray[np.integer], bits: int) -> None:
    """Refuse an image that is not square, or not like the first one, or not of the declared depth."""
    depth = 8 * image.dtype.itemsize
    if depth == 16 and bits <= 8:
        raise UserError(f"{file} holds 16 bits, more than the declared `data.bits={bits}`; declare `data.bits=16`")
    if depth == 8 and bits > 8:
        raise UserError(f"{file} holds 8 bits, not the declared `data.bits={bits}`; declare `data.bits=8`")
    if image.max() >= 2**bits:
        raise UserError(
            f"{file} holds the intensity {image.max()}, above {2**bits - 1}, the largest of the declared "
            f"`data.bits={bits}`; declare `data.bits={depth}`"
        )
    if image.shape[2] != expected.shape[2]:
        kinds = {1: "grey", 3: "RGB"}
        raise UserError(
            f"all images must be grey or all RGB, but {file} is {kinds[image.shape[2]]} and {first} is "
            f"{kinds[expected.shape[2]]}; convert them"
        )
    if image.shape != expected.shape or image.shape[0] != image.shape[1]:
        raise UserError(
            f"all images must be square and of one size, but {file} is {_size(image)} and {first} is "
            f"{_size(expected)} (height x width); resize or crop them"
        )


def _size(image: NDArray[np.integer]) -> str:
    height, width = image.shape[:2]
    return f"{height}x{width}"

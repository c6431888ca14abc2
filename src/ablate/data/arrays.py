"""The user's own images as numpy saves them: one .npz, or two .npy."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ablate.data.cache import BESIDE, Arrays, cached_arrays, user_cache_folder
from ablate.data.dataset import Dataset, Source, check_depth, content_hash, split_source, stratified_order
from ablate.data.numpy_files import load_array, load_arrays
from ablate.errors import UserError, explain, notice
from ablate.storage.paths import local

VERSION = 1
"""Raised whenever the same files give other arrays."""

TRAIN_NAMES = (("train_images", "train_labels"), ("x_train", "y_train"), ("images", "labels"), ("x", "y"))
TEST_NAMES = (("test_images", "test_labels"), ("x_test", "y_test"))
CLASS_NAMES = "class_names"

_SAVE = "np.savez('x.npz', train_images=..., train_labels=..., test_images=..., test_labels=...)"


@dataclass(frozen=True, kw_only=True)
class ArrayFile:
    """Square images and their labels from a file of numpy's.

    An .npz holds `train_images` and `train_labels` (or `x_train` and `y_train`, `images` and `labels`, `x` and `y`). It
    may also hold `test_images` and `test_labels` (or `x_test` and `y_test`), and `class_names`, text. Other arrays are
    left out, with a notice. An .npy holds images, and `labels_path` is the file of their labels. Where there are no
    test images, `test_share` of the images are taken, stratified, by `split_seed` alone. No file is unpickled.

    Images are uint8, or uint16 with more than 8 bits: (N, H, W), (N, H, W, C) or (N, C, H, W). Labels are whole numbers
    0 .. k - 1, (N,) or (N, 1), and every class has a training image. Kept in a cache, which remembers the files' sizes
    and modification times: in `cache_dir`, or else beside the file, or else in the user's cache folder.

    Args:
        path: an .npz, or an .npy with images.
        labels_path: an .npy with labels, where `path` is an .npy.
        layout: "NHWC", "NCHW", or "auto", which takes the axis that is 1 or 3 for the channels.
        test_share: share of the images, in (0, 1); unused where the file has test images.
        train_size: number of training images; None takes all that `val_size` leaves.
        val_size: number of validation images, taken from the training images; 0 for none; None as in `ImageFolder`.
        test_size: number of test images; None takes all.
        split_seed: seed of the split, at least 0.
        cache_dir: folder of the cache, or None.
        bits: intensities lie in 0 .. 2**bits - 1; 1 to 8 for uint8, 9 to 16 for uint16.

    Raises:
        UserError: if a value is out of its range; in `load` and `fingerprint`, if the arrays are not as described.

    Example:
        >>> import tempfile
        >>> images, labels = np.zeros((20, 8, 8), np.uint8), np.arange(20) % 2
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.savez(f"{folder}/x.npz", images=images, labels=labels)
        ...     data = ArrayFile(path=f"{folder}/x.npz", val_size=4, test_share=0.2).load()
        >>> len(data.train), len(data.val), len(data.test), data.image_shape
        (12, 4, 4, (1, 8, 8))
    """

    path: str
    labels_path: str | None = None
    layout: str = "auto"
    test_share: float = 0.2
    train_size: int | None = None
    val_size: int | None = None
    test_size: int | None = None
    split_seed: int = 0
    cache_dir: str | None = None
    bits: int = 8

    def __post_init__(self) -> None:
        if self.layout not in ("auto", "NHWC", "NCHW"):
            raise UserError(f"`data.layout` must be auto, NHWC or NCHW, got {self.layout!r}")
        if not 0 < self.test_share < 1:
            raise UserError(f"`data.test_share` must lie in (0, 1), got {self.test_share}")
        if not 1 <= self.bits <= 16:
            raise UserError(f"`data.bits` must lie in [1, 16], got {self.bits}")

    def fingerprint(self) -> str:
        """Hash of images, labels and class names; read from the cache where no file has changed."""
        return bytes(self._arrays()["digest"]).hex()

    def load(self) -> Dataset:
        """Read the arrays, or open those read before, and split them."""
        arrays = self._arrays()
        names = [bytes(row).rstrip(b"\0").decode() for row in arrays["class_names"]]
        parts = {name: arrays[name] for name in ("train_images", "train_labels", "test_images", "test_labels")}
        if not len(parts["test_labels"]):
            parts = self._with_test(parts["train_images"], parts["train_labels"])
        return split_source(
            Source(**parts),
            class_names=tuple(names),
            bits=self.bits,
            train_size=self.train_size,
            val_size=self.val_size,
            test_size=self.test_size,
            split_seed=self.split_seed,
        )

    def _with_test(self, images: NDArray[Any], labels: NDArray[Any]) -> Arrays:
        """Return the four arrays of a source, the test images taken from the training images."""
        order = stratified_order(labels, np.random.default_rng([self.split_seed, 3]))  # 0 to 2 are `split_source`'s
        num = min(max(round(self.test_share * len(labels)), int(labels.max()) + 1), len(labels) - 1)
        test, train = np.sort(order[:num]), np.sort(order[num:])
        return {
            "train_images": images[train],
            "train_labels": labels[train],
            "test_images": images[test],
            "test_labels": labels[test],
        }

    def _arrays(self) -> Arrays:
        path = local("data.path", self.path)
        files = [path] if self.labels_path is None else [path, local("data.labels_path", self.labels_path)]
        suffixes = [file.suffix.lower() for file in files]
        if suffixes not in ([".npz"], [".npy", ".npy"]):
            raise UserError(
                "`data.path` must be an .npz, or an .npy with images beside `data.labels_path`, an .npy with labels, "
                f"got {' and '.join(map(str, files))}; save one with {_SAVE}"
            )
        try:
            stats = [file.stat() for file in files]
        except OSError as error:
            raise UserError(f"the arrays {explain(error)}") from error
        stamp = {
            "version": VERSION,
            "bits": self.bits,
            "layout": self.layout,
            "files": [
                [str(file.resolve()), stat.st_size, stat.st_mtime_ns] for file, stat in zip(files, stats, strict=True)
            ],
        }
        key = f"arrays-{hashlib.sha256(str([str(file.resolve()) for file in files]).encode()).hexdigest()[:8]}"
        beside = path.parent / BESIDE
        folders = [local("data.cache_dir", self.cache_dir)] if self.cache_dir else [beside, user_cache_folder()]
        return cached_arrays(key, stamp, lambda: read(files, self.layout, self.bits), folders)


def read(files: list[Path], layout: str, bits: int) -> Arrays:
    """Return checked images (N, H, W, C) and labels, none for the test where there are none, names and a digest.

    Args:
        files: one .npz, or an .npy with images and one with labels.
        layout, bits: see `ArrayFile`.

    Raises:
        UserError: if the arrays are not as `ArrayFile` describes them.
    """
    content = (
        {"images": load_array(files[0], _SAVE), "labels": load_array(files[1], _SAVE)}
        if len(files) == 2
        else load_arrays(files[0], _SAVE)
    )
    train, test = _pair(files[0], content, TRAIN_NAMES), _pair(files[0], content, TEST_NAMES)
    if train is None:
        raise UserError(
            f"{files[0]} must hold {' or '.join(' and '.join(names) for names in TRAIN_NAMES)}, got "
            f"{', '.join(content) or 'nothing'}; save it with {_SAVE}"
        )
    used = {*train, *(test or ()), CLASS_NAMES}
    if unused := [name for name in content if name not in used]:
        notice(f"{files[0]}: arrays that are not used: {', '.join(unused)}")
    images = _images(_named(files, train[0]), content[train[0]], layout, bits)
    labels = _labels(_named(files, train[1]), content[train[1]], len(images))
    present = np.unique(labels)
    num_classes = len(present)
    if not np.array_equal(present, np.arange(num_classes)) or num_classes < 2:
        raise UserError(
            f"{_named(files, train[1])} must hold the labels 0 .. k - 1 of at least 2 classes, each at least once, got "
            f"{_few(present)}; number them: labels = np.unique(labels, return_inverse=True)[1]"
        )
    arrays = {"train_images": images, "train_labels": labels, "test_images": images[:0], "test_labels": labels[:0]}
    if test is not None:
        arrays["test_images"] = _images(_named(files, test[0]), content[test[0]], layout, bits)
        arrays["test_labels"] = _labels(_named(files, test[1]), content[test[1]], len(arrays["test_images"]))
        if arrays["test_images"].shape[1:] != images.shape[1:]:
            raise UserError(
                f"{files[0]}: {train[0]} and {test[0]} must be of one size, got {images.shape[1:]} and "
                f"{arrays['test_images'].shape[1:]} (height, width, channels)"
            )
        if len(unknown := np.setdiff1d(arrays["test_labels"], present)):
            raise UserError(
                f"{_named(files, test[1])} must hold labels that {train[1]} holds, 0 .. {num_classes - 1}, got "
                f"{_few(unknown)}"
            )
    names = _class_names(files[0], content.get(CLASS_NAMES), num_classes)
    encoded = [name.encode() for name in names]
    digest = content_hash(Source(**arrays), b"\0".join([*encoded, b"bits %d" % bits]))
    width = max(1, *map(len, encoded))
    arrays["class_names"] = np.array([list(name.ljust(width, b"\0")) for name in encoded], np.uint8)
    arrays["digest"] = np.frombuffer(bytes.fromhex(digest), np.uint8)
    return arrays


def _pair(
    file: Path, content: dict[str, NDArray[Any]], candidates: tuple[tuple[str, str], ...]
) -> tuple[str, str] | None:
    """Return the names of images and labels; refuse one without the other."""
    for images, labels in candidates:
        there = [name in content for name in (images, labels)]
        if all(there):
            return images, labels
        if any(there):
            has, lacks = (images, labels) if there[0] else (labels, images)
            raise UserError(f"{file} holds {has} but no {lacks}; save both: {_SAVE}")
    return None


def _named(files: list[Path], name: str) -> str:
    return f"{files[name == 'labels']}" if len(files) == 2 else f"{name} of {files[0]}"


def _images(where: str, images: NDArray[Any], layout: str, bits: int) -> NDArray[np.integer]:
    images = images.astype(images.dtype.newbyteorder("="), copy=False)
    if images.dtype not in (np.uint8, np.uint16):
        floats = np.issubdtype(images.dtype, np.floating)
        cure = (
            "scale them to whole numbers, for images in [0, 1]: np.rint(255 * images).astype(np.uint8)"
            if floats
            else "where they lie in 0 .. 255: images.astype(np.uint8)"
        )
        raise UserError(f"{where} must be uint8 or uint16, got {images.dtype}; {cure}")
    if images.ndim not in (3, 4) or not images.size:
        raise UserError(
            f"{where} must have the shape (N, H, W), (N, H, W, C) or (N, C, H, W), got {images.shape}; for one channel "
            "leave C out"
        )
    if images.ndim == 3:
        images = images[..., None]
    else:
        first, last = images.shape[1] in (1, 3), images.shape[3] in (1, 3)
        if layout == "auto" and first == last:
            raise UserError(
                f"{where} must have channels on its second or last axis, 1 or 3, got the shape {images.shape}, where "
                f"{'both axes' if first else 'neither axis'} may be it; say which: data.layout=NCHW or data.layout=NHWC"
            )
        if layout == "NCHW" or (layout == "auto" and first):
            images = images.transpose(0, 2, 3, 1)
    height, width = images.shape[1:3]
    if height != width:
        raise UserError(
            f"{where} must hold square images, got {height}x{width} (height x width); crop or pad them, or set "
            "data.layout where the axes were taken wrongly"
        )
    images = np.ascontiguousarray(images)
    check_depth(where, images, bits)
    return images


def _labels(where: str, labels: NDArray[Any], num: int) -> NDArray[np.int64]:
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        hint = "; for one-hot labels: labels.argmax(1)" if labels.ndim == 2 else ""
        raise UserError(f"{where} must have the shape (N,) or (N, 1), got {labels.shape}{hint}")
    if len(labels) != num:
        raise UserError(f"{where} must hold one label an image, got {len(labels):,} for {num:,} images")
    if not np.issubdtype(labels.dtype, np.integer):
        cure = (
            "number them: names, labels = np.unique(labels, return_inverse=True); class_names=names"
            if labels.dtype.kind in "US"
            else "labels.astype(np.int64), if they are whole"
        )
        raise UserError(f"{where} must be whole numbers, got {labels.dtype}; {cure}")
    return labels.astype(np.int64)


def _class_names(file: Path, names: NDArray[Any] | None, num_classes: int) -> list[str]:
    if names is None:
        return [str(k) for k in range(num_classes)]
    listed = [str(name) for name in names.ravel()]
    if names.dtype.kind != "U" or len(listed) != num_classes or len(set(listed)) != num_classes or "" in listed:
        raise UserError(
            f"{CLASS_NAMES} of {file} must be {num_classes} different texts, one a class, got {names.dtype} "
            f"{listed[:5]} ({len(listed)})"
        )
    return listed


def _few(numbers: NDArray[Any]) -> str:
    shown = ", ".join(str(number) for number in numbers[:6])
    return shown + (f", ... ({len(numbers)} values)" if len(numbers) > 6 else "")

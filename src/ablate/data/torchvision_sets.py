"""Small data sets of square images that torchvision reads: MNIST and its relatives, SVHN, CIFAR-100, STL-10, USPS."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from ablate.data.cache import BESIDE, Arrays, cached_arrays, user_cache_folder
from ablate.data.dataset import Dataset, Source, content_hash, split_source
from ablate.errors import UserError
from ablate.storage.paths import local

VERSION = 1
"""Raised whenever the same files give other arrays."""


@dataclass(frozen=True)
class Known:
    """How torchvision reads a data set.

    Args:
        reader: the class in `torchvision.datasets`.
        files: that it reads, below `data.root`.
        train, test: its arguments for the two splits.
    """

    reader: str
    files: tuple[str, ...]
    train: Mapping[str, Any]
    test: Mapping[str, Any]


_BY_FLAG: tuple[Mapping[str, Any], Mapping[str, Any]] = ({"train": True}, {"train": False})
_BY_NAME: tuple[Mapping[str, Any], Mapping[str, Any]] = ({"split": "train"}, {"split": "test"})
_IDX = ("images-idx3-ubyte", "labels-idx1-ubyte")


def _idx(name: str) -> Known:
    return Known(name, tuple(f"{name}/raw/{split}-{kind}" for split in ("train", "t10k") for kind in _IDX), *_BY_FLAG)


KNOWN: Mapping[str, Known] = MappingProxyType(
    {
        "MNIST": _idx("MNIST"),
        "FashionMNIST": _idx("FashionMNIST"),
        "KMNIST": _idx("KMNIST"),
        "EMNIST_balanced": Known(
            "EMNIST",
            tuple(f"EMNIST/raw/emnist-balanced-{split}-{kind}" for split in ("train", "test") for kind in _IDX),
            {"split": "balanced", "train": True},
            {"split": "balanced", "train": False},
        ),
        "USPS": Known("USPS", ("usps.bz2", "usps.t.bz2"), *_BY_FLAG),
        "SVHN": Known("SVHN", ("train_32x32.mat", "test_32x32.mat"), *_BY_NAME),
        "CIFAR10": Known(
            "CIFAR10",
            tuple(f"cifar-10-batches-py/{name}" for name in (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch")),
            *_BY_FLAG,
        ),
        "CIFAR100": Known(
            "CIFAR100", tuple(f"cifar-100-python/{name}" for name in ("train", "test", "meta")), *_BY_FLAG
        ),
        "STL10": Known(
            "STL10",
            tuple(f"stl10_binary/{split}_{part}.bin" for split in ("train", "test") for part in "Xy"),
            *_BY_NAME,
        ),
    }
)
"""By name; the names are those of torchvision's classes, but for EMNIST, of which the balanced split is read."""


@dataclass(frozen=True, kw_only=True)
class TorchvisionSet:
    """A data set that torchvision reads: 8 bits, one channel or three, the official training and test images.

    Sizes: 16x16x1 (USPS), 28x28x1 (MNIST, FashionMNIST, KMNIST, EMNIST_balanced), 32x32x3 (SVHN, CIFAR10, CIFAR100) and
    96x96x3 (STL10, without its unlabelled images). torchvision checks the MD5s of SVHN, CIFAR and STL10, which include
    that of STL10's unlabelled images. Decoded once into a cache: in `cache_dir`, or else in `root`, or else in the
    user's cache folder. The cache remembers the sizes and modification times of the files.

    Args:
        name: a key of `KNOWN`.
        root: the folder that torchvision calls so.
        download: download into `root` where a file is absent.
        train_size: number of training images; None takes all that `val_size` leaves.
        val_size: number of validation images, taken from the training images; 0 for none; None as in `ImageFolder`.
        test_size: number of test images; None takes all.
        split_seed: seed of the split, at least 0.
        cache_dir: folder of the cache, or None.
        bits: 8.

    Raises:
        UserError: if `name` is not known or `bits` is not 8; in `load` and `fingerprint`, if files are missing or
            damaged, or a size does not fit.

    Example:
        >>> TorchvisionSet(name="FashionMNIST", root="data").bits
        8
    """

    name: str
    root: str
    download: bool = True
    train_size: int | None = None
    val_size: int | None = None
    test_size: int | None = None
    split_seed: int = 0
    cache_dir: str | None = None
    bits: int = 8

    def __post_init__(self) -> None:
        if self.name not in KNOWN:
            raise UserError(
                f"`data.name` must be one of {', '.join(KNOWN)}, got {self.name!r}; for another data set save its "
                "images as arrays (data=arrays) or as files (data=image_folder)"
            )
        if self.bits != 8:
            raise UserError(f"`data.bits` must be 8 for {self.name}, got {self.bits}; wider images: `data=arrays`")

    def fingerprint(self) -> str:
        """Hash of images, labels and class names; they are read, and downloaded where they are absent."""
        return bytes(self._arrays()["digest"]).hex()

    def load(self) -> Dataset:
        """Find or download the files and split their images."""
        arrays = self._arrays()
        class_names = tuple(json.loads(bytes(arrays.pop("class_names"))))
        del arrays["digest"]
        return split_source(
            Source(**arrays),
            class_names=class_names,
            bits=self.bits,
            train_size=self.train_size,
            val_size=self.val_size,
            test_size=self.test_size,
            split_seed=self.split_seed,
        )

    def _arrays(self) -> Arrays:
        root = local("data.root", self.root)
        files = KNOWN[self.name].files
        if absent := [name for name in files if not (root / name).is_file()]:
            if not self.download:
                raise UserError(
                    f"{self.name} is not in {root.absolute()}, where {absent[0]} is missing, and `data.download` is "
                    f"false; {_CURES}"
                )
            _download(self.name, root)
        stats = {name: (root / name).stat() for name in files}
        stamp = {
            "version": VERSION,
            "files": {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()},
        }
        key = f"torchvision-{self.name}-{hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:8]}"
        folders = [local("data.cache_dir", self.cache_dir)] if self.cache_dir else [root / BESIDE, user_cache_folder()]
        return dict(cached_arrays(key, stamp, lambda: read(self.name, root), folders))


def read(name: str, root: Path) -> Arrays:
    """Return images (N, H, W, C) and labels of both splits, and the digest and class names as bytes.

    Args:
        name: a key of `KNOWN`.
        root: holds its files.

    Raises:
        UserError: if torchvision does not read them.
    """
    from torchvision import datasets

    known = KNOWN[name]
    arrays: Arrays = {}
    class_names: list[str] = []
    for split, arguments in (("train", known.train), ("test", known.test)):
        try:
            found = getattr(datasets, known.reader)(str(root), download=False, **arguments)
            images, labels = _images(found.data), np.asarray(getattr(found, "targets", getattr(found, "labels", None)))
            class_names = [str(one) for one in getattr(found, "classes", range(10))]
        except Exception as error:  # torchvision passes on whatever a damaged file raises
            reason = " ".join(str(error).split()).removesuffix(" You can use download=True to download it")
            what = f"torchvision does not read its {split} images ({type(error).__name__}: {reason.rstrip('.')})"
            raise _damaged(name, root, what) from error
        if len(images) != len(labels) or not len(images) or labels.min() < 0 or labels.max() >= len(class_names):
            what = f"its {split} set has {len(images):,} images and {len(labels):,} labels"
            raise _damaged(name, root, f"{what}, which must lie in 0 .. {len(class_names) - 1}")
        arrays[f"{split}_images"], arrays[f"{split}_labels"] = images, labels.astype(np.int64)
    names = json.dumps(class_names).encode()
    arrays["digest"] = np.frombuffer(bytes.fromhex(content_hash(Source(**arrays), names)), np.uint8)
    arrays["class_names"] = np.frombuffer(names, np.uint8)
    return arrays


def _damaged(name: str, root: Path, what: str) -> UserError:
    folders = sorted({file.partition("/")[0] for file in KNOWN[name].files})
    remove = " and ".join(str(root.absolute() / folder) for folder in folders)
    return UserError(f"{name} in {root.absolute()} is damaged: {what}; remove {remove} to download it again")


def _images(data: Any) -> NDArray[np.uint8]:
    """Return what torchvision holds, (N, H, W), (N, H, W, C) or (N, C, H, W), as (N, H, W, C)."""
    images: NDArray[np.uint8] = np.asarray(data)
    if images.ndim == 3:
        return np.ascontiguousarray(images[..., None])
    return np.ascontiguousarray(images if images.shape[3] == 3 else images.transpose(0, 2, 3, 1))


def _download(name: str, root: Path) -> None:
    known = KNOWN[name]
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f".{name}-download.lock"):
            from torchvision import datasets

            for arguments in (known.train, known.test):
                getattr(datasets, known.reader)(str(root), download=True, **arguments)
        absent = [file for file in known.files if not (root / file).is_file()]
        if absent:
            raise FileNotFoundError(f"{absent[0]} is missing afterwards")
    except Exception as error:  # torchvision passes on whatever the network, the archive or the disk raised
        reason = " ".join(str(error).split())
        raise UserError(
            f"{name} is not in {root.absolute()} and could not be downloaded: {reason}; {_CURES}"
        ) from error


_CURES = (
    "give the folder that torchvision calls root as `data.root=...` (or in the environment variable ABLATE_DATA), "
    "or use the synthetic images of `data=shapes`"
)

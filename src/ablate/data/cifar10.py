"""CIFAR-10 from its official python batches."""

import hashlib
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO

import numpy as np
from filelock import FileLock

from ablate.data.cache import BESIDE, Arrays, cached_arrays, user_cache_folder
from ablate.data.dataset import Dataset, Source, split_source
from ablate.data.sizes import check_sizes
from ablate.errors import UserError
from ablate.storage.paths import local

FOLDER = "cifar-10-batches-py"
CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
TRAIN_FILES = tuple(f"data_batch_{k}" for k in range(1, 6))
TEST_FILES = ("test_batch",)
NUM_TRAIN, NUM_TEST = 50_000, 10_000

MD5S: Mapping[str, str] = MappingProxyType(
    {
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
        "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
    }
)
"""Official MD5 of every file."""


@dataclass(frozen=True, kw_only=True)
class Cifar10:
    """CIFAR-10: 50,000 training and 10,000 test images of 32x32x3 in 10 classes (Krizhevsky 2009).

    Decoded once into a cache: in `cache_dir`, or else beside the data, or else in the user's cache folder. The cache
    remembers the sizes and modification times of the batches; where these differ the MD5s are checked again.

    Args:
        root: folder that holds `cifar-10-batches-py`, or that folder itself.
        download: download into `root` where it is absent.
        train_size: number of training images; None takes all that `val_size` leaves.
        val_size: number of validation images, taken from the training images; 0 for none; None as in `ImageFolder`.
        test_size: number of test images; None takes all.
        split_seed: seed of the split, at least 0.
        cache_dir: folder of the cache, or None.
        bits: 8.

    Raises:
        UserError: if `bits` is not 8 or a size does not fit; in `load`, if files are missing or damaged.

    Example:
        >>> data = Cifar10(root="data", val_size=1000)
        >>> len(data.fingerprint())
        64
    """

    root: str
    download: bool = True
    train_size: int | None = None
    val_size: int | None = 5000
    test_size: int | None = None
    split_seed: int = 0
    cache_dir: str | None = None
    bits: int = 8

    def __post_init__(self) -> None:
        if self.bits != 8:
            raise UserError(f"`data.bits` must be 8 for CIFAR-10, got {self.bits}; wider images: `data=shapes`")
        check_sizes(self, NUM_TRAIN, NUM_TEST, len(CLASS_NAMES))

    def fingerprint(self) -> str:
        """Hash of the content, from the official MD5s alone: no file is opened."""
        return hashlib.sha256(repr(sorted(MD5S.items())).encode()).hexdigest()

    def load(self) -> Dataset:
        """Find or download the batches, check them, and split them."""
        root = local("data.root", self.root)
        folder = find_batches(root)
        if folder is None:
            folder = _download(root) if self.download else _absent(root)
        files = {name: folder / name for name in MD5S}
        for file in files.values():
            if not file.is_file():
                raise UserError(f"CIFAR-10 is incomplete: {file} is missing; {_cure(folder)}")
        stats = {name: file.stat() for name, file in files.items()}
        # The MD5s are in the stamp too: it shows which content was found valid.
        stamp = {name: [MD5S[name], stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()}
        key = f"cifar10-{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:8]}"
        beside = folder.parent / BESIDE
        folders = [local("data.cache_dir", self.cache_dir)] if self.cache_dir else [beside, user_cache_folder()]
        arrays = cached_arrays(key, stamp, lambda: decode(folder), folders)
        return split_source(
            Source(**arrays),
            class_names=CLASS_NAMES,
            bits=self.bits,
            train_size=self.train_size,
            val_size=self.val_size,
            test_size=self.test_size,
            split_seed=self.split_seed,
        )


def find_batches(root: str | Path) -> Path | None:
    """Return the folder of the batches: `root/cifar-10-batches-py`, or `root` if a batch lies there, or None.

    Example:
        >>> find_batches("/nowhere") is None
        True
    """
    inner = Path(root) / FOLDER
    if inner.is_dir():
        return inner
    return Path(root) if any((Path(root) / name).is_file() for name in MD5S) else None


def decode(folder: Path) -> Arrays:
    """Check the MD5 of every file, then read the images.

    Args:
        folder: holds the official files.

    Returns:
        `train_images` (50000, 32, 32, 3) and `test_images` (10000, 32, 32, 3), uint8; their labels, int64.

    Raises:
        UserError: if a file is not the official one.
    """
    for name, md5 in MD5S.items():
        _check(folder / name, md5)
    arrays = {}
    for split, names in (("train", TRAIN_FILES), ("test", TEST_FILES)):
        batches = [_read_batch(folder / name) for name in names]
        # A row of `data` is (C, H, W), flattened.
        images = np.concatenate([np.reshape(batch["data"], (-1, 3, 32, 32)) for batch in batches])
        arrays[f"{split}_images"] = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
        arrays[f"{split}_labels"] = np.concatenate([np.asarray(batch["labels"], np.int64) for batch in batches])
    return arrays


def _check(file: Path, md5: str) -> None:
    with file.open("rb") as stream:
        actual = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if actual != md5:
        raise UserError(
            f"{file} is damaged: its MD5 must be {md5}, got {actual} ({file.stat().st_size:,} bytes); "
            f"{_cure(file.parent)}"
        )


class _BatchUnpickler(pickle.Unpickler):
    """Builds what a batch consists of, arrays in containers, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"a CIFAR-10 batch holds no {module}.{name}")
        return _ALLOWED[module, name]


def _dtype(spec: str, align: int, copy: int) -> np.dtype[Any]:
    return np.dtype(spec, align=bool(align), copy=bool(copy))  # the pickles' 0 and 1 are deprecated here


_ALLOWED = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): _dtype,
    # The batches name the module by its old path; an array knows the function under every version of numpy.
    ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
}


def _read_batch(file: Path) -> dict[str, Any]:
    stream: BinaryIO
    with file.open("rb") as stream:
        batch: dict[str, Any] = _BatchUnpickler(stream, encoding="latin1").load()
    return batch


def _download(root: Path) -> Path:
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / ".cifar-10-download.lock"):
            if (folder := find_batches(root)) is None:
                from torchvision.datasets import CIFAR10

                CIFAR10(str(root), download=True)
                folder = root / FOLDER
            return folder
    except Exception as error:  # torchvision passes on whatever the network, the archive or the disk raised
        raise UserError(
            f"CIFAR-10 is not in {root.absolute()} and could not be downloaded: {error}; {_CURES}"
        ) from error


def _absent(root: Path) -> Path:
    raise UserError(f"CIFAR-10 is not in {root.absolute()} and `data.download` is false; {_CURES}")


_CURES = (
    f"give the folder that holds {FOLDER} as `data.root=...` (or in the environment variable ABLATE_DATA), "
    "or use the synthetic images of `data=shapes`"
)


def _cure(folder: Path) -> str:
    return f"remove {folder} to download it again, or {_CURES}"

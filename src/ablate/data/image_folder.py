"""The user's own data set: image files in one folder per class."""

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ablate.data.cache import BESIDE, Arrays, cached_arrays, user_cache_folder
from ablate.data.dataset import Dataset, Source, split_source
from ablate.data.image_file import SUFFIXES, decode_image, read_content
from ablate.errors import UserError, explain, notice
from ablate.storage.paths import local

READ = "png, jpg, bmp, webp, gif, tif, ppm"

SPLITS = ("train", "test")
SYNONYMS = {
    "train": ("training", "Train", "Training", "TRAIN"),
    "test": ("val", "valid", "validation", "testing", "eval", "Test", "Testing", "TEST", "Val"),
}
"""Other usual names of the folders `train` and `test`."""

SYSTEM_FOLDERS = ("__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found", BESIDE)
SYSTEM_FILES = ("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "zbthumbnail.info", "picasa.ini")

VERSION = 2
"""Raised whenever the same files give other arrays."""


@dataclass(frozen=True, kw_only=True)
class ImageFolder:
    """Square images, grey or RGB, in `root/train/<class>/` and `root/test/<class>/` and the folders below these.

    Classes are numbered in the order of their sorted names, in Unicode's composed form (NFC). All images have one size,
    one depth and one number of channels. `image_file` states what is read and what is refused. Hidden files, files
    of operating systems and files with other suffixes are left out and counted in a notice; links are followed.
    Decoded once into a cache, which remembers the files' names, sizes and modification times: in `cache_dir`, or else
    in `root`, or else in the user's cache folder.

    Args:
        root: folder that holds `train` and `test`.
        val_size: number of validation images, taken from the training images; 0 for none; None for a tenth of them, at
            most 1000.
        train_size: number of training images; None takes all that `val_size` leaves.
        test_size: number of test images; None takes all.
        split_seed: seed of the split, at least 0.
        cache_dir: folder of the cache, or None.
        bits: intensities lie in 0 .. 2**bits - 1; 1 to 8 for files of 8 bits, 9 to 16 for files of 16.

    Raises:
        UserError: if `bits` is out of range; in `load` and `fingerprint`, if the files are not as described.

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

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 16:
            raise UserError(f"`data.bits` must lie in [1, 16], got {self.bits}")

    def fingerprint(self) -> str:
        """Hash of every file's content and of its name below `root`; read from the cache where no file has changed."""
        return bytes(self._arrays(_find(self._root()))["digest"]).hex()

    def load(self) -> Dataset:
        """Decode the images, or open those decoded before, and split them."""
        found = _find(self._root())
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

    def _root(self) -> Path:
        return local("data.root", self.root)

    def _arrays(self, found: "_Found") -> Arrays:
        root = self._root()
        stats = {name: _stat(file) for images in found.images.values() for name, file, _ in images}
        stamp = {
            "version": VERSION,
            "bits": self.bits,
            "files": {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()},
        }
        key = f"image_folder-{hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:8]}"
        folders = [local("data.cache_dir", self.cache_dir)] if self.cache_dir else [root / BESIDE, user_cache_folder()]
        return dict(cached_arrays(key, stamp, lambda: _decode_all(found, self.bits), folders))


@dataclass(frozen=True)
class _Found:
    """Classes by number, and by split each image's name below the root (in NFC, with /), its file and its label."""

    class_names: tuple[str, ...]
    images: dict[str, list[tuple[str, Path, int]]]


def _find(root: Path) -> _Found:
    """Return the images below a root; give a notice of what is left out.

    Raises:
        UserError: if the folders are not as `ImageFolder` describes them.
    """
    left_out: Counter[str] = Counter()
    classes = {split: _classes(root, split, left_out) for split in SPLITS}
    names = tuple(sorted(classes["train"]))
    if names != tuple(sorted(classes["test"])):
        only = {s: sorted(set(classes[s]) - set(classes[o])) for s, o in (SPLITS, SPLITS[::-1])}
        alike = {name.casefold() for name in only["train"]} & {name.casefold() for name in only["test"]}
        hint = f"; {sorted(alike)} differ in upper and lower case" if alike else ""
        surplus = ", and ".join(f"only {split} has {few(odd)}" for split, odd in only.items() if odd)
        raise UserError(
            f"{root / 'train'} and {root / 'test'} must hold the same classes, one folder each, but {surplus}{hint}; "
            "rename the folders, or move images of these classes to where they are missing"
        )
    if len(names) < 2:
        raise UserError(f"{root / 'train'} must hold at least 2 classes, one folder each, got {list(names)}")
    images: dict[str, list[tuple[str, Path, int]]] = {}
    for split in SPLITS:
        images[split] = []
        for label, name in enumerate(names):
            before = left_out.copy()
            folder = classes[split][name]
            files = _walk(folder, left_out, ())
            named = sorted((_composed(file.relative_to(root).as_posix()), file) for file in files)
            if not named:
                there = _count(left_out - before)
                raise UserError(
                    f"{folder} must hold at least one image ({READ}), got "
                    f"{f'only what is not read: {there}; convert these' if there else 'none'}; or remove this class "
                    "from train and test"
                )
            images[split] += [(below, file, label) for below, file in named]
    if left_out.total():
        notice(f"{root}: {left_out.total():,} files are left out: {_count(left_out)}")
    return _Found(names, images)


def _classes(root: Path, split: str, left_out: Counter[str]) -> dict[str, Path]:
    """Return the folders of a split's classes by name."""
    folder = root / split
    if not folder.is_dir():
        raise UserError(
            f"an image folder needs `train/<class>/` and `test/<class>/` under `data.root={root}`; "
            f"{folder.absolute()} is no folder{_instead(root, split)}"
        )
    classes: dict[str, Path] = {}
    for entry in _entries(folder):
        name = _composed(entry.name)
        if not os.path.isdir(entry):
            left_out["outside the folders of the classes" if not _is_hidden(entry.name) else "hidden"] += 1
        elif not _is_hidden(entry.name):
            if name in classes:
                raise UserError(
                    f"{folder} has two folders for the class {name!r}, whose names differ only in how Unicode "
                    "composes them (macOS writes accents apart); move their images into one"
                )
            try:
                name.encode()
            except UnicodeEncodeError as error:
                raise UserError(f"the folder {entry} must have a name in UTF-8, got {os.fsencode(name)!r}") from error
            classes[name] = Path(entry.path)
    return classes


def _instead(root: Path, split: str) -> str:
    """Return a hint of what may serve as `train` or `test` where it is missing, "" for none."""
    if not root.is_dir():
        return ""
    there = sorted(entry.name for entry in _entries(root) if os.path.isdir(entry) and not _is_hidden(entry.name))
    for name in SYNONYMS[split]:
        if name in there:
            return f", but there is {name}; rename it, or link it: ln -s {name} '{root / split}'"
    return f", but there are the folders {few(there)}; move the images below train/ and test/" if there else ""


def _walk(folder: Path, left_out: Counter[str], above: tuple[str, ...]) -> Iterator[Path]:
    """Yield the images in a folder and in those below it; count the other files.

    Args:
        folder: to search.
        left_out: is added to.
        above: the folders that led here, resolved, for links that lead back.
    """
    here = os.path.realpath(folder)
    if here in above:
        return
    for entry in _entries(folder):
        suffix = os.path.splitext(entry.name)[1].lower()
        if _is_hidden(entry.name):
            left_out["hidden"] += not os.path.isdir(entry)
        elif os.path.isdir(entry):
            if suffix in SUFFIXES and not _entries(Path(entry.path)):
                left_out[f"empty folder named {suffix}"] += 1
            yield from _walk(Path(entry.path), left_out, (*above, here))
        elif suffix in SUFFIXES and (
            os.path.isfile(entry) or os.path.islink(entry)
        ):  # a dangling link is named when it is read
            yield Path(entry.path)
        elif suffix in SUFFIXES:
            left_out["pipe, socket or device"] += 1
        else:
            left_out[suffix if suffix.isascii() and suffix else "without suffix"] += 1


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"the image folder {explain(error)}") from error


def _is_hidden(name: str) -> bool:
    """Return whether an entry is hidden or made by an operating system: ._1.png, .DS_Store, Thumbs.db, __MACOSX."""
    return name.startswith(".") or name in SYSTEM_FOLDERS or name.lower() in SYSTEM_FILES


def _composed(name: str) -> str:
    """Return a name in NFC: macOS stores é as two characters, other systems as one."""
    return unicodedata.normalize("NFC", name)


def _count(kinds: Counter[str]) -> str:
    return ", ".join(f"{number:,} {kind}" for kind, number in kinds.most_common() if number)


def few(names: list[str]) -> str:
    """Return the first names of a list and how many more there are."""
    return f"{names[:5]}" + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _stat(file: Path) -> os.stat_result:
    try:
        return file.stat()
    except OSError:
        read_content(file)  # names what is wrong with it
        raise


def _decode_all(found: _Found, bits: int) -> Arrays:
    digest = hashlib.sha256(f"bits {bits}".encode())
    arrays: dict[str, NDArray[Any]] = {}
    first, expected = None, None
    for split, labelled in found.images.items():
        for number, (name, file, _) in enumerate(labelled):
            content = read_content(file)
            image = decode_image(file, content)
            if first is None or expected is None:
                first, expected = file, image
            if number == 0:
                images = np.empty((len(labelled), *expected.shape), expected.dtype)
            _check(file, image, first, expected, bits)
            images[number] = image
            digest.update(os.fsencode(name) + b"\0")
            digest.update(hashlib.sha256(content).digest())
        arrays[f"{split}_images"] = images
        arrays[f"{split}_labels"] = np.array([label for _, _, label in labelled], np.int64)
    arrays["digest"] = np.frombuffer(digest.digest(), np.uint8).copy()
    return arrays


def _check(file: Path, image: NDArray[np.integer], first: Path, expected: NDArray[np.integer], bits: int) -> None:
    """Refuse an image that is not square, or not like the first one, or not of the declared depth."""
    depth = 8 * image.dtype.itemsize
    if image.dtype != expected.dtype:
        raise UserError(
            f"all images must have one depth, but {file} holds {depth} bits and {first} {8 * expected.dtype.itemsize}; "
            "convert them"
        )
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
        side = min(expected.shape[:2])
        raise UserError(
            f"all images must be square and of one size, but {file} is {_size(image)} and {first} is "
            f"{_size(expected)} (height x width); resize or crop them, e.g. with ImageMagick: "
            f"`magick mogrify -resize {side}x{side}^ -gravity center -extent {side}x{side} FILES`"
        )


def _size(image: NDArray[np.integer]) -> str:
    height, width = image.shape[:2]
    return f"{height}x{width}"

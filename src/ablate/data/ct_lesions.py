"""Patches of real CT of three patients, half of them with a faint disc put in; the files come with pydicom-data."""

import hashlib
import importlib.util
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ablate.data.cache import Arrays, cached_arrays, user_cache_folder
from ablate.data.dataset import Dataset, Source, split_source
from ablate.data.dicom import import_pydicom, read_dicom
from ablate.data.drawing import coverage
from ablate.data.sizes import check_sizes
from ablate.errors import UserError
from ablate.storage.paths import local

VERSION = 1
"""Raised whenever the same fields give other images."""

SIZE = 32
CLASS_NAMES = ("without", "with")
SOFT_TISSUE = (10, 90)
"""The median of a patch lies between these, both included, in Hounsfield units: neither air nor bone."""

INSTALL = "pip install 'pydicom>=3,<4' pydicom-data==1.0.0"

_STRIDE = 4  # pixels between two patches that may be drawn
_EDGE = 2.0  # pixels over which the disc fades
_CHUNK_IMAGES = 500


@dataclass(frozen=True)
class _Slice:
    """A file of one patient: the package that holds it, its place there, and the SHA-256 of its bytes and its values.

    The hash of the values, (H, W) as little-endian int32, shows that a decoder reads the file as it was read here.
    """

    package: str
    place: str
    sha256: str
    sha256_of_values: str


SLICES = {
    "head_1": _Slice(
        "data_store",
        "data/693_UNCR.dcm",
        "cc4cdd599231922ecf63de2ddacf03d51c4588805c9154c2eef1ff49c23b32be",
        "c1bd4d101ef2920e49ae6094f533856efcd0e803c32532767a3b27a34071c6e8",
    ),
    "head_2": _Slice(
        "pydicom",
        "data/test_files/J2K_pixelrep_mismatch.dcm",
        "2df92c523d36639e4d88f892f47e4f6616c48ab017a445a6241ffe38b2d07bbf",
        "22e412dd68b03a321ae228724c7d785d9142459e4166e2a42a6ef8025c886b90",
    ),
    "abdomen": _Slice(
        "data_store",
        "data/explicit_VR-UN.dcm",
        "28c4a61022d7dbebec97e2f1bbdad0ed097bee2c62727c26a3f3720248c9c6e7",
        "3607beee2c77c36bae9dd9507a54cbdbe63b3339f7fca2764a180f75f9fc65d5",
    ),
}
"""One slice of 512x512 pixels a patient, in the order of generation."""


@dataclass(frozen=True, kw_only=True)
class CtLesions:
    """32x32 patches of soft tissue in CT, one channel, without (0) or with (1) a disc that is slightly brighter.

    The patches of one patient are the test images, those of the other two the training and validation images, half
    from each. Patches overlap, and validation images are from the patients of the training images. An intensity is the
    value in Hounsfield units (HU) plus `zero`, cut off at 0 and 2**bits - 1. The disc adds `contrast` HU, fades over
    2 pixels at its edge, and lies within the patch at a random place, which may be bone or air.

    Args:
        num_train, num_test: patches made, at least 2; the first ones do not depend on the number.
        seed: of the patches and discs, at least 0.
        contrast: HU that the disc adds, above 0; 0.5 or less adds nothing, since values are whole numbers.
        min_radius, max_radius: of the disc in pixels, in [1, 14].
        test_patient: "head_1", "head_2" or "abdomen".
        window_center, window_width: in HU, for `preprocessing=window`; the images do not depend on them. The headers
            of both heads state 40 and 100; that of the abdomen states none.
        zero: the intensity of 0 HU.
        train_size: number of training images; None takes all that `val_size` leaves.
        val_size: number of validation images, taken from the training images; 0 for none; None as in `ImageFolder`.
        test_size: number of test images; None takes all.
        split_seed: seed of the split, at least 0.
        cache_dir: folder of the cache; None takes the user's cache folder.
        bits: 12 to 16; the range 0 .. 2**bits - 1 in which the intensities are stored.

    Raises:
        UserError: if a value is out of its range; in `load`, if pydicom or pydicom-data is missing, or a file is not
            the known one.

    Example:
        >>> sizes = {"num_train": 100, "num_test": 50, "seed": 0, "val_size": 20}
        >>> disc = {"contrast": 12, "min_radius": 4, "max_radius": 6}
        >>> len(CtLesions(**sizes, **disc, test_patient="head_2").fingerprint())
        64
    """

    num_train: int
    num_test: int
    seed: int
    contrast: float
    min_radius: float
    max_radius: float
    test_patient: str
    window_center: float = 40
    window_width: float = 100
    zero: int = 1024
    train_size: int | None = None
    val_size: int | None = 500
    test_size: int | None = None
    split_seed: int = 0
    cache_dir: str | None = None
    bits: int = 12

    def __post_init__(self) -> None:
        for name, least in (("num_train", 2), ("num_test", 2), ("seed", 0)):
            if getattr(self, name) < least:
                raise UserError(f"`data.{name}` must be at least {least}, got {getattr(self, name)}")
        check_sizes(self, self.num_train, self.num_test, len(CLASS_NAMES))
        if not self.contrast > 0:
            raise UserError(f"`data.contrast` must be above 0, got {self.contrast}")
        if not 1 <= self.min_radius <= self.max_radius <= 14:
            raise UserError(
                "`data.min_radius` and `data.max_radius` must lie in [1, 14], in this order, "
                f"got {self.min_radius} and {self.max_radius}"
            )
        if self.test_patient not in SLICES:
            raise UserError(f"`data.test_patient` must be one of {', '.join(SLICES)}, got {self.test_patient!r}")
        if not 12 <= self.bits <= 16:
            raise UserError(f"`data.bits` must lie in [12, 16] for CT, got {self.bits}")

    def fingerprint(self) -> str:
        """Hash of the files' SHA-256, the generator's version and all settings of the images: no file is opened."""
        return hashlib.sha256(json.dumps([VERSION, self._content()], sort_keys=True).encode()).hexdigest()

    def load(self) -> Dataset:
        """Cut the patches out and put the discs in, or open those made before, and split them."""
        folders = [local("data.cache_dir", self.cache_dir) if self.cache_dir else user_cache_folder()]
        arrays = cached_arrays(f"ct_lesions-{self.fingerprint()[:12]}", self._content(), self._make, folders)
        return split_source(
            Source(**arrays),
            class_names=CLASS_NAMES,
            bits=self.bits,
            train_size=self.train_size,
            val_size=self.val_size,
            test_size=self.test_size,
            split_seed=self.split_seed,
        )

    def _content(self) -> dict[str, Any]:
        omitted = {"train_size", "val_size", "test_size", "split_seed", "cache_dir", "window_center", "window_width"}
        content = {name: value for name, value in asdict(self).items() if name not in omitted}
        return {**content, "files": {name: [known.sha256, known.sha256_of_values] for name, known in SLICES.items()}}

    def _make(self) -> Arrays:
        patches = {name: soft_tissue(read_slice(name)) for name in SLICES}
        others = [name for name in SLICES if name != self.test_patient]
        train = self._images([patches[name] for name in others], self.num_train, 0)
        test = self._images([patches[self.test_patient]], self.num_test, 1)
        return {
            "train_images": train[0],
            "train_labels": train[1],
            "test_images": test[0],
            "test_labels": test[1],
        }

    def _images(
        self, patients: list[NDArray[np.int32]], num: int, split: int
    ) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
        """Return (num, SIZE, SIZE, 1) and labels; the patients take turns."""
        images, labels = [], []
        for start in range(0, num, _CHUNK_IMAGES):
            # Each chunk has a generator of its own: the first images do not depend on how many follow.
            generator = np.random.default_rng([self.seed, split, start])
            chosen = [patients[k % len(patients)] for k in range(_CHUNK_IMAGES)]
            values = np.stack([patches[generator.integers(len(patches))] for patches in chosen])
            # Each patient's patches hold both classes in turn.
            label = (np.arange(_CHUNK_IMAGES) // len(patients)) % 2
            values = values + label[:, None, None] * np.rint(self.contrast * self._discs(generator)).astype(np.int32)
            images.append(np.clip(values + self.zero, 0, 2**self.bits - 1).astype(np.uint16)[..., None])
            labels.append(label.astype(np.int64))
        return np.concatenate(images)[:num], np.concatenate(labels)[:num]

    def _discs(self, generator: np.random.Generator) -> NDArray[np.float64]:
        """Return a chunk of discs, (N, SIZE, SIZE), in [0, 1]."""
        u = generator.random((3, _CHUNK_IMAGES, 1, 1))
        radius = self.min_radius + (self.max_radius - self.min_radius) * u[0]
        margin = radius + _EDGE / 2
        x, y = margin + (SIZE - 2 * margin) * u[1], margin + (SIZE - 2 * margin) * u[2]
        place = np.arange(SIZE) + 0.5
        inside = radius - np.hypot(place[None, None, :] - x, place[None, :, None] - y)
        return coverage(inside, _EDGE).astype(np.float64)


def read_slice(name: str) -> NDArray[np.int32]:
    """Return the slice of a patient in Hounsfield units, (512, 512).

    Args:
        name: a key of `SLICES`.

    Raises:
        UserError: if the packages are missing, or the file or its decoded values are not the known ones.
    """
    import_pydicom_data()
    known = SLICES[name]
    found = importlib.util.find_spec(known.package)
    assert found is not None and found.submodule_search_locations
    file = Path(found.submodule_search_locations[0]) / known.place
    if not file.is_file():
        raise UserError(f"{file} is missing, which `data=ct_lesions` reads; install the known packages: {INSTALL}")
    content = file.read_bytes()
    if (actual := hashlib.sha256(content).hexdigest()) != known.sha256:
        raise UserError(f"{file} must have the SHA-256 {known.sha256}, got {actual}; install the known file: {INSTALL}")
    values = read_dicom(file, content).values
    if (actual := hashlib.sha256(values.astype("<i4").tobytes()).hexdigest()) != known.sha256_of_values:
        raise UserError(
            f"the decoded values of {file} must have the SHA-256 {known.sha256_of_values}, got {actual}; install "
            f"another version of pydicom or Pillow, which decode it: {INSTALL}"
        )
    return values


def import_pydicom_data() -> None:
    """Raise UserError where pydicom or pydicom-data is not installed."""
    try:
        import_pydicom("`data=ct_lesions` reads CT")
    except UserError as error:
        raise UserError(f"`data=ct_lesions` needs pydicom and pydicom-data (34 MB); install them: {INSTALL}") from error
    if importlib.util.find_spec("data_store") is None:
        raise UserError(f"`data=ct_lesions` needs the files of pydicom-data (34 MB); install it: {INSTALL}")


def soft_tissue(values: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the patches, on a grid of 4 pixels, whose median lies in `SOFT_TISSUE`: (N, SIZE, SIZE).

    Example:
        >>> soft_tissue(np.full((40, 36), 30, np.int32)).shape
        (6, 32, 32)
    """
    windows = np.lib.stride_tricks.sliding_window_view(values, (SIZE, SIZE))[::_STRIDE, ::_STRIDE]
    patches = windows.reshape(-1, SIZE, SIZE)
    median = np.median(patches.reshape(len(patches), -1), axis=1)
    return patches[(median >= SOFT_TISSUE[0]) & (median <= SOFT_TISSUE[1])]

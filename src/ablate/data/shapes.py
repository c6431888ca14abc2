"""A generated data set: coloured figures and textures on coloured noise, without a file or a download."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ablate.data.cache import Arrays, cached_arrays, user_cache_folder
from ablate.data.dataset import Dataset, Source, split_source
from ablate.data.drawing import FIGURES, TEXTURES, Array, coverage, disk, pink_noise
from ablate.data.sizes import check_sizes
from ablate.errors import UserError
from ablate.storage.paths import local

VERSION = 1
"""Raised whenever the same fields give other images."""

SIZE = 32
CLASS_NAMES = tuple(pattern.__name__ for pattern in (*FIGURES, *TEXTURES))

_CHUNK_IMAGES = 500


@dataclass(frozen=True, kw_only=True)
class Shapes:
    """10 classes of 32x32x3 images: a figure or a textured disk at a random place, size and rotation.

    The background is 1/f noise about a random colour; the foreground differs from it by `contrast` in a random
    direction of colour, so that neither colour nor brightness depends on the class. A texture alternates between that
    direction and its opposite.

    With more than 8 bits, all of this lies in a narrow window of the range, u = window_center + (v - 1/2) window_width
    for v in [0, 1], and large bright or dark disks lie beside the figure: what depends on the class is a small part of
    what varies, until `preprocessing=window` selects it.

    With `min_contrast`, all images show a disk on mid-grey, and the class is its contrast: class k has the contrast
    c_k = min_contrast (contrast / min_contrast)^(k/9). The noise is `noise` times c_k, so that the deviations
    from grey are those of any other class, multiplied: a normalization of each image by its own mean and standard
    deviation removes what depends on the class, except for the rounding to integers. Instance norm is one; layer norm
    and group norm are if the net has no biases (`net.bias=false`), with which it could compare the contrast.

    Args:
        num_train, num_test: images made; the first ones do not depend on the number.
        seed: of the images, at least 0.
        contrast: Euclidean length of the foreground's colour difference, as a fraction of the range, above 0.
        noise: standard deviation of the background, as a fraction of the range, at least 0; with `min_contrast` as a
            fraction of the contrast.
        min_radius, max_radius: of a figure, as fractions of half the image's side, above 0 and at most 1.
        window_center, window_width: the narrow window, as fractions of the range; unused up to 8 bits.
        train_size: number of training images; None takes all that `val_size` leaves.
        val_size: number of validation images, taken from the training images; 0 for none; None as in `ImageFolder`.
        test_size: number of test images; None takes all.
        split_seed: seed of the split, at least 0.
        cache_dir: folder of the cache; None takes the user's cache folder.
        bits: 8 to 16.
        min_contrast: contrast of the first class, above 0 and below `contrast`; None: the class is the pattern.

    Raises:
        UserError: if a value is out of its range.

    Example:
        >>> figures = {"contrast": 0.4, "noise": 0.045, "min_radius": 0.5, "max_radius": 0.8, "val_size": 20}
        >>> data = Shapes(num_train=100, num_test=10, seed=0, window_center=0.3, window_width=0.0625, **figures)
        >>> data.class_names[:5]
        ('disk', 'square', 'triangle', 'cross', 'star')
    """

    num_train: int
    num_test: int
    seed: int
    contrast: float
    noise: float
    min_radius: float
    max_radius: float
    window_center: float
    window_width: float
    train_size: int | None = None
    val_size: int | None = 1000
    test_size: int | None = None
    split_seed: int = 0
    cache_dir: str | None = None
    bits: int = 8
    min_contrast: float | None = None

    def __post_init__(self) -> None:
        for name in ("num_train", "num_test"):
            if getattr(self, name) < len(CLASS_NAMES):
                raise UserError(f"`data.{name}` must be at least {len(CLASS_NAMES)}, got {getattr(self, name)}")
        check_sizes(self, self.num_train, self.num_test, len(CLASS_NAMES))
        if self.seed < 0:
            raise UserError(f"`data.seed` must be at least 0, got {self.seed}")
        if not self.contrast > 0:
            raise UserError(f"`data.contrast` must be above 0, got {self.contrast}")
        if self.noise < 0:
            raise UserError(f"`data.noise` must be at least 0, got {self.noise}")
        if not 0 < self.min_radius <= self.max_radius <= 1:
            raise UserError(
                "`data.min_radius` and `data.max_radius` must lie in (0, 1], in this order, "
                f"got {self.min_radius} and {self.max_radius}"
            )
        low, high = self.window_center - self.window_width / 2, self.window_center + self.window_width / 2
        if not 0 <= low < high <= 1:
            raise UserError(
                "the window of `data.window_center` and `data.window_width` must be within [0, 1], "
                f"got [{low:g}, {high:g}]"
            )
        if not 8 <= self.bits <= 16:
            raise UserError(f"`data.bits` must lie in [8, 16] for shapes, got {self.bits}")
        if self.min_contrast is not None and not 0 < self.min_contrast < self.contrast:
            raise UserError(
                f"`data.min_contrast` must be above 0 and below `data.contrast`, got {self.min_contrast} for "
                f"{self.contrast}"
            )

    @property
    def class_names(self) -> tuple[str, ...]:
        """The patterns, or the contrasts where the class is the contrast."""
        return CLASS_NAMES if self.min_contrast is None else tuple(f"contrast {c:.3f}" for c in self._contrasts())

    def fingerprint(self) -> str:
        """Hash of the generator's version and of all settings that the images depend on."""
        return hashlib.sha256(json.dumps([VERSION, self._content()], sort_keys=True).encode()).hexdigest()

    def load(self) -> Dataset:
        """Make the images, or open those made before, and split them."""
        folders = [local("data.cache_dir", self.cache_dir) if self.cache_dir else user_cache_folder()]
        arrays = cached_arrays(f"shapes-{self.fingerprint()[:12]}", self._content(), self._make, folders)
        return split_source(
            Source(**arrays),
            class_names=self.class_names,
            bits=self.bits,
            train_size=self.train_size,
            val_size=self.val_size,
            test_size=self.test_size,
            split_seed=self.split_seed,
        )

    def _content(self) -> dict[str, Any]:
        omitted = {"train_size", "val_size", "test_size", "split_seed", "cache_dir"}
        if self.bits <= 8:
            omitted |= {"window_center", "window_width"}
        if self.min_contrast is None:
            omitted |= {"min_contrast"}
        return {name: value for name, value in asdict(self).items() if name not in omitted}

    def _make(self) -> Arrays:
        arrays = {}
        for k, (split, num_images) in enumerate((("train", self.num_train), ("test", self.num_test))):
            # Each chunk has a generator of its own: the first images do not depend on how many follow.
            chunks = [
                self._chunk(np.random.default_rng([self.seed, k, start]))
                for start in range(0, num_images, _CHUNK_IMAGES)
            ]
            arrays[f"{split}_images"] = np.concatenate([images for images, _ in chunks])[:num_images]
            arrays[f"{split}_labels"] = np.concatenate([labels for _, labels in chunks])[:num_images]
        return arrays

    def _contrasts(self) -> Array:
        assert self.min_contrast is not None
        return np.geomspace(self.min_contrast, self.contrast, len(CLASS_NAMES), dtype=np.float32)

    def _chunk(self, generator: np.random.Generator) -> tuple[NDArray[np.integer], NDArray[np.int64]]:
        # Ten images in a row hold each class once, so that any number of images is balanced.
        rounds = np.tile(np.arange(len(CLASS_NAMES)), (_CHUNK_IMAGES // len(CLASS_NAMES), 1))
        labels = generator.permuted(rounds, axis=1).ravel()
        place = _Place.draw(generator, _CHUNK_IMAGES, self.min_radius, self.max_radius)
        if self.min_contrast is None:
            images = _background(generator, _CHUNK_IMAGES, self.noise)
            contrast, pattern = np.float32(self.contrast), _patterns(place, labels)
            images += _directions(generator, _CHUNK_IMAGES) * contrast * pattern[..., None]
        else:
            noise = np.float32(self.noise) * _noise(generator, _CHUNK_IMAGES)
            pattern = coverage(disk(*place.local()), place.pixel())
            deviations = noise + _directions(generator, _CHUNK_IMAGES) * pattern[..., None]
            images = np.float32(0.5) + self._contrasts()[labels, None, None, None] * deviations
        if self.bits > 8:
            images = np.float32(self.window_center) + (images - np.float32(0.5)) * np.float32(self.window_width)
            for blob, intensity in _structures(generator, place):
                images += blob[..., None] * (intensity - images)
        maximum = 2**self.bits - 1
        dtype = np.uint8 if self.bits <= 8 else np.uint16
        return np.rint(np.clip(images, 0, 1) * maximum).astype(dtype), labels


@dataclass(frozen=True)
class _Place:
    """Where each figure lies: centre and radius in halves of the image's side, rotation as a cosine and a sine."""

    x: Array
    y: Array
    radius: Array
    cosine: Array
    sine: Array

    @classmethod
    def draw(cls, generator: np.random.Generator, num_images: int, min_radius: float, max_radius: float) -> "_Place":
        u = generator.random((4, num_images, 1, 1), dtype=np.float32)
        radius = min_radius + (max_radius - min_radius) * u[0]
        # A figure's corners may leave the image by a quarter of its radius.
        reach = np.maximum(0, 1 - 0.75 * radius)
        angle = 2 * np.pi * u[3]
        values = ((2 * u[1] - 1) * reach, (2 * u[2] - 1) * reach, radius, np.cos(angle), np.sin(angle))
        return cls(*(value.astype(np.float32) for value in values))

    def local(self) -> tuple[Array, Array]:
        """Coordinates of the pixels' centres in the figure's own frame, (N, SIZE, SIZE) each."""
        column, row = _grid()
        dx, dy = (column - self.x) / self.radius, (row - self.y) / self.radius
        return self.cosine * dx + self.sine * dy, self.cosine * dy - self.sine * dx

    def pixel(self) -> Array:
        """Side of a pixel in the figure's own frame, (N, 1, 1)."""
        return np.float32(2 / SIZE) / self.radius


def _grid() -> tuple[Array, Array]:
    centers = ((np.arange(SIZE) + 0.5) * 2 / SIZE - 1).astype(np.float32)
    return centers[None, None, :], centers[None, :, None]


def _patterns(place: _Place, labels: NDArray[np.int64]) -> Array:
    """Each label's figure, in [0, 1], or texture, in [-1, 1]: (N, SIZE, SIZE)."""
    x, y = place.local()
    pixel = place.pixel()
    mask, sign = np.empty_like(x), np.empty_like(x)
    for label, pattern in enumerate((*FIGURES, *TEXTURES)):
        chosen = labels == label
        inside = coverage(pattern(x[chosen], y[chosen]), pixel[chosen])
        if pattern in FIGURES:
            mask[chosen], sign[chosen] = inside, 1
        else:
            # The disk that a texture fills has radius 1: its area is above a figure's, to show some periods.
            mask[chosen] = coverage(1 - np.hypot(x[chosen], y[chosen]), pixel[chosen])
            sign[chosen] = 2 * inside - 1
    return mask * sign


def _background(generator: np.random.Generator, num_images: int, noise: float) -> Array:
    colors = 0.4 + 0.2 * generator.random((num_images, 1, 1, 3), dtype=np.float32)
    return colors + np.float32(noise) * _noise(generator, num_images)


def _noise(generator: np.random.Generator, num_images: int) -> Array:
    return pink_noise(num_images, 3, SIZE, generator).transpose(0, 2, 3, 1)


def _directions(generator: np.random.Generator, num_images: int) -> Array:
    directions = generator.standard_normal((num_images, 1, 1, 3), dtype=np.float32)
    return directions / np.linalg.norm(directions, axis=-1, keepdims=True)


def _structures(generator: np.random.Generator, place: _Place) -> Iterator[tuple[Array, Array]]:
    """Yield the coverage (N, SIZE, SIZE) of disks that leave the figures free, and their intensity (N, 1, 1, 1)."""
    column, row = _grid()
    for _ in range(3):
        u = generator.random((4, *place.radius.shape), dtype=np.float32)
        radius, angle = 0.3 + 0.4 * u[0], 2 * np.pi * u[1]
        distance = 1.3 * place.radius + radius
        x, y = place.x + distance * np.cos(angle), place.y + distance * np.sin(angle)
        intensity = np.where(u[2] < 0.5, 0.15 * u[3], 0.6 + 0.4 * u[3])
        inside = (radius - np.hypot(column - x, row - y)).astype(np.float32)
        blob = coverage(inside, 2 / SIZE)
        yield blob, intensity[..., None].astype(np.float32)

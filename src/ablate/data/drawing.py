"""Figures and textures as signed-distance functions, on many images at once.

A pattern is a function of local coordinates x, y, arrays of equal shape, in which the figure is centred, upright and
about 1 in radius. It returns the distance to the pattern's edge, positive inside: exact near the edges for figures, and
to first order for textures.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Pattern = Callable[[Array, Array], Array]

_AREA = 2.0
"""Every figure has this area, so that no class has more of the foreground's colour than another."""


def disk(x: Array, y: Array) -> Array:
    return (_AREA / np.pi) ** 0.5 - np.hypot(x, y)


def square(x: Array, y: Array) -> Array:
    return _box(x, y, _AREA**0.5 / 2, _AREA**0.5 / 2)


def triangle(x: Array, y: Array) -> Array:
    inradius = (_AREA / (3 * 3**0.5)) ** 0.5
    return inradius - np.maximum(3**0.5 / 2 * np.abs(x) + y / 2, -y)


def cross(x: Array, y: Array) -> Array:
    long = (_AREA * 9 / 20) ** 0.5  # arms of a third of their length: area 8 long**2 / 3 - 4 long**2 / 9
    return np.maximum(_box(x, y, long, long / 3), _box(x, y, long / 3, long))


def star(x: Array, y: Array) -> Array:
    ratio = 0.4  # of the radii of the inner and outer corners
    outer = math.sqrt(_AREA / (5 * ratio * math.sin(math.pi / 5)))
    # By symmetry, every point is folded into the half wedge between an outer corner, at angle 0, and an inner one.
    wedge = 2 * math.pi / 5
    angle = np.abs((np.arctan2(x, y) + wedge / 2) % wedge - wedge / 2)
    radius = np.hypot(x, y)
    u, v = radius * np.cos(angle), radius * np.sin(angle)
    edge_u, edge_v = outer * (ratio * math.cos(wedge / 2) - 1), outer * ratio * math.sin(wedge / 2)
    length = math.hypot(edge_u, edge_v)
    return (outer - u) * (edge_v / length) + v * (edge_u / length)


def stripes(x: Array, y: Array) -> Array:
    return np.sin(_FREQUENCY * x) / _FREQUENCY


def checkers(x: Array, y: Array) -> Array:
    a, b = stripes(x, y), stripes(y, x)
    return np.sign(a * b) * np.minimum(np.abs(a), np.abs(b))


def dots(x: Array, y: Array) -> Array:
    period = 2 * math.pi / _FREQUENCY
    return 0.36 * period - np.hypot(x % period - period / 2, y % period - period / 2)


def rings(x: Array, y: Array) -> Array:
    return np.sin(_FREQUENCY * np.hypot(x, y)) / _FREQUENCY


def rays(x: Array, y: Array) -> Array:
    return np.sin(_NUM_RAYS * np.arctan2(y, x)) * np.hypot(x, y) / _NUM_RAYS


_FREQUENCY = 8.0  # radians per unit
_NUM_RAYS = 5

FIGURES: tuple[Pattern, ...] = (disk, square, triangle, cross, star)
TEXTURES: tuple[Pattern, ...] = (stripes, checkers, dots, rings, rays)


def coverage(distance: Array, pixel: Array | float) -> Array:
    """Share of each pixel that lies inside, in [0, 1], for an edge that is straight across the pixel.

    Args:
        distance: to the edge, positive inside.
        pixel: its side, in the same unit; broadcast against `distance`.

    Example:
        >>> coverage(np.array([-1.0, 0.0, 0.25]), 1.0).tolist()
        [0.0, 0.5, 0.75]
    """
    return np.clip(distance / pixel + 0.5, 0, 1)


def pink_noise(num_images: int, num_channels: int, size: int, generator: np.random.Generator) -> Array:
    """Gaussian noise whose amplitude falls as 1 / spatial frequency, as that of photographs does.

    Args:
        num_images, num_channels, size: of the result.
        generator: drawn from once.

    Returns:
        (num_images, num_channels, size, size), each channel of mean 0 and standard deviation 1.

    Example:
        >>> noise = pink_noise(1, 3, 16, np.random.default_rng(0))
        >>> noise.shape, round(float(noise[0, 0].std()), 3)
        ((1, 3, 16, 16), 1.0)
    """
    shape = (num_images, num_channels, size, size)
    spectrum = np.fft.rfft2(generator.standard_normal(shape, dtype=np.float32))
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :])
    frequency[0, 0] = np.inf  # no mean
    noise = np.fft.irfft2(spectrum / frequency, s=(size, size)).astype(np.float32)
    return noise / noise.std((2, 3), keepdims=True)


def _box(x: Array, y: Array, half_width: float, half_height: float) -> Array:
    return np.minimum(half_width - np.abs(x), half_height - np.abs(y))

"""The lecture's toy decision region as a data set: points of the plane, inside and outside a regular polygon."""

import hashlib
import json
import math
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ablate.data.dataset import Dataset, Source, split_source
from ablate.errors import UserError

VERSION = 1
"""Raised whenever the same fields give other points."""

BITS = 16
CLASS_NAMES = ("outside", "inside")


def corners(num_edges: int) -> Tensor:
    """Return the corners (E, 2), float64, of the regular polygon on the unit circle, the first one on top.

    Example:
        >>> corners(5).shape
        torch.Size([5, 2])
    """
    angle = math.pi / 2 + 2 * math.pi * torch.arange(num_edges, dtype=torch.float64) / num_edges
    return torch.stack([angle.cos(), angle.sin()], dim=1)


def inside(points: Tensor, num_edges: int) -> Tensor:
    """Return which of the points (..., 2) lie in the polygon: n.x < cos(π / E) for every edge's normal n.

    Example:
        >>> inside(torch.tensor([[0.0, 0.0], [0.9, 0.9]]), num_edges=5)
        tensor([ True, False])
    """
    corner = corners(num_edges).to(points.dtype)
    normals = F.normalize(corner + corner.roll(-1, 0), dim=1)
    return (points @ normals.T < math.cos(math.pi / num_edges)).all(-1)


@dataclass(frozen=True, kw_only=True)
class Polygon:
    """Points drawn uniformly from the square [-1, 1]^2, of class 1 inside a regular polygon and of class 0 outside.

    A point is an image of one pixel and two channels, x and y, which are integers v = 0 .. 2**16 - 1 for the
    coordinates 2 v / (2**16 - 1) - 1. One hidden unit an edge is enough to tell the classes (see `figures.capacity`).
    The share of class 1 is that of the area: E sin(2π / E) radius² / 8 for E edges.

    Args:
        num_train, num_test: points made, at least 2; the first ones do not depend on the number.
        seed: of the points, at least 0.
        num_edges: E, at least 3.
        radius: of the circle through the corners, in (0, 1].
        train_size: number of training points; None takes all that `val_size` leaves.
        val_size: number of validation points, taken from the training points; 0 for none; None as in `ImageFolder`.
        test_size: number of test points; None takes all.
        split_seed: seed of the split, at least 0.
        bits: of a coordinate; 16.

    Raises:
        UserError: if a value is out of its range.

    Example:
        >>> data = Polygon(num_train=100, num_test=50, seed=0, num_edges=5, radius=0.92, val_size=20)
        >>> data.load().train.images.shape
        torch.Size([80, 2, 1, 1])
    """

    num_train: int
    num_test: int
    seed: int
    num_edges: int
    radius: float
    train_size: int | None = None
    val_size: int | None = 1000
    test_size: int | None = None
    split_seed: int = 0
    bits: int = BITS

    def __post_init__(self) -> None:
        for name, least in (("num_train", 2), ("num_test", 2), ("seed", 0), ("num_edges", 3)):
            if getattr(self, name) < least:
                raise UserError(f"`data.{name}` must be at least {least}, got {getattr(self, name)}")
        if not 0 < self.radius <= 1:
            raise UserError(f"`data.radius` must lie in (0, 1], got {self.radius}")
        if self.bits != BITS:
            raise UserError(f"`data.bits` must be {BITS} for polygon, got {self.bits}")

    def fingerprint(self) -> str:
        """Hash of the generator's version and of all settings that the points depend on."""
        omitted = {"train_size", "val_size", "test_size", "split_seed"}
        content = {name: value for name, value in asdict(self).items() if name not in omitted}
        return hashlib.sha256(json.dumps([VERSION, content], sort_keys=True).encode()).hexdigest()

    def load(self) -> Dataset:
        """Make the points, in milliseconds and hence without a cache, and split them."""
        train, test = self._make(0, self.num_train), self._make(1, self.num_test)
        return split_source(
            Source(train_images=train[0], train_labels=train[1], test_images=test[0], test_labels=test[1]),
            class_names=CLASS_NAMES,
            bits=self.bits,
            train_size=self.train_size,
            val_size=self.val_size,
            test_size=self.test_size,
            split_seed=self.split_seed,
        )

    def _make(self, split: int, num: int) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
        maximum = 2**BITS - 1
        points = np.random.default_rng([self.seed, split]).integers(0, maximum, (num, 2), np.uint16, endpoint=True)
        places = 2 * torch.from_numpy(points.astype(np.float64)) / maximum - 1
        return points[:, None, None, :], inside(places / self.radius, self.num_edges).long().numpy()

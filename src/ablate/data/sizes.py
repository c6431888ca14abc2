"""Checks of the sizes of a split, and of the classes that it leaves to each part."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ablate.errors import UserError, notice


class Sizes(NamedTuple):
    """Numbers of images, see `ablate.data.dataset.split_source`."""

    train_size: int | None
    val_size: int | None
    test_size: int | None


class HasSizes(Protocol):
    """A data set with these fields, or `Sizes`."""

    @property
    def train_size(self) -> int | None: ...
    @property
    def val_size(self) -> int | None: ...
    @property
    def test_size(self) -> int | None: ...


def check_sizes(sizes: HasSizes, num_train: int, num_test: int, num_classes: int, num_val: int | None = None) -> None:
    """Check the sizes of a split, for a source with so many images; it needs no image.

    Args:
        sizes: of the split.
        num_train, num_test: images of the source.
        num_classes: of the source.
        num_val: validation images of the source; None where they are taken from its training images.

    Raises:
        UserError: a size is smaller than the number of classes or larger than the number of images.

    Example:
        >>> check_sizes(Sizes(None, 0, 40), num_train=90, num_test=20, num_classes=10)
        Traceback (most recent call last):
        ablate.errors.UserError: `data.test_size` must lie between the number of classes (10) and the number of test \
images of the source (20), got 40
    """
    val_size = sizes.val_size or 0
    if val_size:
        what, available = ("training", num_train) if num_val is None else ("validation", num_val)
        _check_size("val_size", val_size, available, num_classes, f"{what} images of the source")
    taken = val_size if num_val is None else 0
    check_train_size(num_train - taken if sizes.train_size is None else sizes.train_size, taken, num_train, num_classes)
    test_size = num_test if sizes.test_size is None else sizes.test_size
    _check_size("test_size", test_size, num_test, num_classes, "test images of the source")


def check_train_size(train_size: int, val_size: int, num_train: int, num_classes: int) -> None:
    """Check the number of training images where `val_size` of the source's are validation images.

    Raises:
        UserError: see `check_sizes`.
    """
    what = f"training images left after `data.val_size={val_size}`"
    _check_size("train_size", train_size, num_train - val_size, num_classes, what)


def _check_size(name: str, size: int, available: int, num_classes: int, what: str) -> None:
    if not num_classes <= size <= available:
        raise UserError(
            f"`data.{name}` must lie between the number of classes ({num_classes}) and the number of {what} "
            f"({available}), got {size}"
        )


def check_classes(
    class_names: tuple[str, ...], labels: Sequence[NDArray[np.integer]], parts: Sequence[NDArray[np.intp]]
) -> None:
    """Refuse training images that lack a class; give a notice where the validation or test images lack one.

    Args:
        class_names: of the source.
        labels: of the images that the training, validation and test images are taken from.
        parts: the positions of these.
    """
    for name, of_source, part in zip(("train", "val", "test"), labels, parts, strict=True):
        present = np.bincount(of_source[part], minlength=len(class_names)) > 0
        lacking = [class_names[label] for label in np.flatnonzero(~present)]
        if not lacking or not len(part):
            continue
        counts = np.bincount(of_source, minlength=len(class_names))
        shown = ", ".join(f"{c!r} ({counts[class_names.index(c)]})" for c in lacking[:5])
        more = f" and {len(lacking) - 5} more" if len(lacking) > 5 else ""
        if name == "train":
            raise UserError(
                f"every class must have a training image, but of {shown}{more}, with the number of images before the "
                f"split, none of {len(part)} is left; give these classes more images, lower `data.val_size`, or "
                "choose another `data.train_size` or `data.split_seed`"
            )
        which = {"val": "validation", "test": "test"}[name]
        notice(f"the {len(part)} {which} images hold none of class {shown}{more}; `data.{name}_size` sets their number")

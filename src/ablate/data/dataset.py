"""Images with labels, and the split into training, validation and test images, the same for every arm and seed."""

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ablate.data.sizes import Sizes, check_classes, check_sizes, check_train_size
from ablate.errors import UserError

MOST_VALIDATION = 1000
"""The largest number of validation images where none is given."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """Images and their labels.

    Args:
        images: (N, C, H, W), a channels_last view; uint8 up to 8 bits, int32 above (torch's uint16 lacks operators).
        labels: (N,), int64, in [0, num_classes).
    """

    images: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        assert len(self.images) == len(self.labels)
        assert len(self.images) == 0 or self.images.is_contiguous(memory_format=torch.channels_last)

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Training, validation and test images of one classification problem.

    Args:
        train, val, test: disjoint; `val` is taken from the source's training images where the source has no validation
            images of its own, and may be empty.
        class_names: the name of label k at position k.
        bits: intensities lie in 0 .. 2**bits - 1.
    """

    train: Split
    val: Split
    test: Split
    class_names: tuple[str, ...]
    bits: int

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width


@dataclass(frozen=True, kw_only=True)
class Source:
    """All images of a data set as its cache holds them, before the split.

    Args:
        train_images, test_images: (N, H, W, C), uint8 or uint16.
        train_labels, test_labels: (N,), integer.
        val_images, val_labels: validation images of its own; None where they are taken from the training images.
    """

    train_images: NDArray[np.integer]
    train_labels: NDArray[np.integer]
    test_images: NDArray[np.integer]
    test_labels: NDArray[np.integer]
    val_images: NDArray[np.integer] | None = None
    val_labels: NDArray[np.integer] | None = None


def content_hash(source: Source, rest: bytes = b"") -> str:
    """Return the SHA-256, in hexadecimal digits, of all images and labels of a source.

    Args:
        source: its arrays count with their shapes and types.
        rest: what else belongs to the content, such as the names of the classes.

    Example:
        >>> images, labels = np.zeros((2, 4, 4, 1), np.uint8), np.arange(2)
        >>> source = Source(train_images=images, train_labels=labels, test_images=images, test_labels=labels)
        >>> content_hash(source) == content_hash(source), content_hash(source) == content_hash(source, b"names")
        (True, False)
    """
    digest = hashlib.sha256()
    own = (source.val_images, source.val_labels)
    for array in (source.train_images, source.train_labels, source.test_images, source.test_labels, *own):
        if array is None:
            continue
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        digest.update(f"{little.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(little).data)
    digest.update(rest)
    return digest.hexdigest()


def check_depth(where: str, images: NDArray[np.integer], bits: int) -> None:
    """Refuse images that are not of the declared depth.

    Args:
        where: the file that holds them, for the error.
        images: uint8 or uint16.
        bits: `data.bits`: 1 to 8 for uint8, 9 to 16 for uint16.

    Raises:
        UserError: the depth is another, or an intensity is above 2**bits - 1.

    Example:
        >>> check_depth("a.png", np.array([300], np.uint16), 8)
        Traceback (most recent call last):
        ablate.errors.UserError: a.png holds 16 bits, more than the declared `data.bits=8`; declare `data.bits=16`
    """
    depth = 8 * images.dtype.itemsize
    if depth == 16 and bits <= 8:
        raise UserError(f"{where} holds 16 bits, more than the declared `data.bits={bits}`; declare `data.bits=16`")
    if depth == 8 and bits > 8:
        raise UserError(f"{where} holds 8 bits, not the declared `data.bits={bits}`; declare `data.bits=8`")
    if images.max() >= 2**bits:
        raise UserError(
            f"{where} holds the intensity {images.max()}, above {2**bits - 1}, the largest of the declared "
            f"`data.bits={bits}`; declare `data.bits={depth}`"
        )


def stratified_order(labels: NDArray[np.integer], generator: np.random.Generator) -> NDArray[np.intp]:
    """Shuffle indices so that every prefix holds the classes in proportion.

    The j-th image drawn of a class with n images gets the key (j + 1/2) / n, j = 0 .. n - 1, and the order is that of
    the keys, ties at random. A prefix then divides its places among the classes by Webster's rule: exactly even where
    the classes are and its length divides by their number, and off by less than one image where only the latter fails.
    Largest remainders would not do: they are not monotone in the number of places, so smaller sets would not nest.

    Args:
        labels: (N,), integer.
        generator: drawn from twice.

    Returns:
        (N,) permutation of the indices.

    Example:
        >>> labels = np.array([0, 0, 0, 1, 1, 1])
        >>> sorted(labels[stratified_order(labels, np.random.default_rng(0))[:2]].tolist())
        [0, 1]
    """
    shuffled = generator.permutation(len(labels))
    keys = np.empty(len(labels))
    for label in np.unique(labels):
        members = shuffled[labels[shuffled] == label]
        keys[members] = (np.arange(len(members)) + 0.5) / len(members)
    return np.lexsort((generator.permutation(len(labels)), keys))


def split_source(
    source: Source,
    *,
    class_names: tuple[str, ...],
    bits: int,
    train_size: int | None,
    val_size: int | None,
    test_size: int | None,
    split_seed: int,
) -> Dataset:
    """Split a source into stratified, disjoint sets that depend on `split_seed` and the sizes alone.

    The validation images do not depend on `train_size`; a smaller `train_size` or `test_size` gives the first images of
    a larger one.

    Args:
        source: all images.
        class_names: the name of label k at position k.
        bits: intensities lie in 0 .. 2**bits - 1.
        train_size: number of images, or None for all that the validation set leaves.
        val_size: number of images, taken from the source's training images; 0 for none; None for a tenth of them, at
            least one a class and at most `MOST_VALIDATION`, but never the last training image of a class. Where the
            source has validation images, it is the number of these; None takes all.
        test_size: number of images, or None for all.
        split_seed: at least 0.

    Raises:
        UserError: if a size is smaller than the number of classes (`val_size=0` is allowed) or larger than the number
            of images, or if the training images have none of a class.

    Example:
        >>> images, labels = np.zeros((20, 4, 4, 1), np.uint8), np.arange(20) % 2
        >>> source = Source(train_images=images, train_labels=labels, test_images=images, test_labels=labels)
        >>> sizes = {"train_size": None, "val_size": 4, "test_size": 10}
        >>> data = split_source(source, class_names=("even", "odd"), bits=8, split_seed=0, **sizes)
        >>> len(data.train), len(data.val), len(data.test), data.image_shape
        (16, 4, 10, (1, 4, 4))
    """
    if split_seed < 0:
        raise UserError(f"`data.split_seed` must be at least 0, got {split_seed}")
    num_train, num_test = len(source.train_labels), len(source.test_labels)
    own_val = source.val_labels
    sizes = Sizes(train_size, val_size, test_size)
    check_sizes(sizes, num_train, num_test, len(class_names), None if own_val is None else len(own_val))
    # One generator for each set: no size shifts the draws of another set.
    val_generator, train_generator, test_generator = (np.random.default_rng([split_seed, k]) for k in range(3))
    if source.val_images is not None and own_val is not None:
        val_images, val_labels = source.val_images, own_val
        val = stratified_order(val_labels, val_generator)[:val_size]
        from_train, rest = 0, np.arange(num_train)
    else:
        val_images, val_labels = source.train_images, source.train_labels
        order = stratified_order(val_labels, val_generator)
        if val_size is None:
            target = min(MOST_VALIDATION, max(len(class_names), num_train // 10))
            last = {int(label): place for place, label in enumerate(val_labels[order])}  # of each class, in order
            val_size = min(target, *last.values())
        from_train, val, rest = val_size, order[:val_size], np.sort(order[val_size:])
    train_size = num_train - from_train if train_size is None else train_size
    test_size = num_test if test_size is None else test_size
    check_train_size(train_size, from_train, num_train, len(class_names))

    train = rest[stratified_order(source.train_labels[rest], train_generator)][:train_size]
    test = stratified_order(source.test_labels, test_generator)[:test_size]
    check_classes(class_names, (source.train_labels, val_labels, source.test_labels), (train, val, test))
    return Dataset(
        train=_take(source.train_images, source.train_labels, train),
        val=_take(val_images, val_labels, val),
        test=_take(source.test_images, source.test_labels, test),
        class_names=class_names,
        bits=bits,
    )


def _take(images: NDArray[np.integer], labels: NDArray[np.integer], indices: NDArray[np.intp]) -> Split:
    chosen = np.ascontiguousarray(images[indices])  # indexing keeps the order of axes in which the source lies
    chosen = chosen.astype(np.int32) if chosen.dtype == np.uint16 else chosen
    return Split(
        images=torch.from_numpy(chosen).permute(0, 3, 1, 2),
        labels=torch.from_numpy(labels[indices].astype(np.int64)),
    )

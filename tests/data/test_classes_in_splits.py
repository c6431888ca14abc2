"""No class vanishes from the training images; a notice names those that validation or test images lack."""

import warnings
from typing import Any

import numpy as np
import pytest

from ablate.data.dataset import Dataset, Source, split_source
from ablate.errors import Notice, UserError


def split(train: tuple[int, ...], test: tuple[int, ...] | None = None, **sizes: Any) -> Dataset:
    def make(counts: tuple[int, ...]) -> tuple[Any, Any]:
        return np.zeros((sum(counts), 2, 2, 3), np.uint8), np.repeat(np.arange(len(counts)), counts)

    (x, y), (u, v) = make(train), make(test or train)
    source = Source(train_images=x, train_labels=y, test_images=u, test_labels=v)
    names = tuple("abcdefgh"[: len(train)])
    given = {"train_size": None, "val_size": None, "test_size": None, "split_seed": 0} | sizes
    return split_source(source, class_names=names, bits=8, **given)


def test_class_that_vanishes_from_training_is_refused_by_name() -> None:
    with pytest.raises(UserError, match=r"every class must have a training image.*'b' \(1\).*lower `data.val_size`"):
        split((43, 1), val_size=22)
    with pytest.raises(UserError, match=r"'b' \(2\)"):
        split((90, 2), val_size=0, train_size=5)


def test_class_that_validation_or_test_lacks_is_said() -> None:
    with pytest.warns(Notice, match=r"the 10 validation images hold none of class 'b' \(1\)"):
        split((43, 1), val_size=10)
    with pytest.warns(Notice, match=r"the 3 test images hold none of class 'b' \(2\); `data.test_size` sets"):
        split((40, 40), (90, 2), val_size=8, test_size=3)


def test_balanced_classes_say_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        split((40, 40, 40), val_size=12, train_size=3, test_size=3)
        split((40, 40, 40), val_size=0)


@pytest.mark.parametrize(
    ("counts", "num_val"),
    [
        ((90, 90), 18),
        ((9000, 9000), 1000),  # at most
        ((5, 5), 2),  # one a class
        ((1, 1), 0),  # never the last
        ((1000, 1), 100),
        ((3, 1), 1),
    ],
)
@pytest.mark.filterwarnings("ignore::ablate.errors.Notice")
def test_size_of_validation_where_none_is_given(counts: tuple[int, ...], num_val: int) -> None:
    for seed in range(20):
        data = split(counts, split_seed=seed)
        assert len(data.train) + len(data.val) == sum(counts)
        assert data.train.labels.bincount(minlength=2).min() >= 1
        if counts == (3, 1):
            assert len(data.val) in (1, 2)  # of images in the middle of the order, ties at random
        else:
            assert len(data.val) == num_val

"""Sizes of a split are checked when a source is described, before an image is read or made."""

import pytest

from ablate.data.cifar10 import Cifar10
from ablate.data.ct_lesions import CtLesions
from ablate.data.shapes import Shapes
from ablate.errors import UserError

SHAPES = {
    "num_train": 100,
    "num_test": 20,
    "seed": 0,
    "contrast": 0.4,
    "noise": 0.045,
    "min_radius": 0.5,
    "max_radius": 0.8,
    "window_center": 0.3,
    "window_width": 0.0625,
}
LESIONS = {"num_train": 100, "num_test": 20, "seed": 0, "contrast": 40, "min_radius": 3, "max_radius": 6}


def shapes(**sizes):
    return Shapes(**SHAPES, **sizes)


def lesions(**sizes):
    return CtLesions(**LESIONS, test_patient="head_2", **sizes)


def cifar10(**sizes):
    return Cifar10(root="no/such/folder", **sizes)


@pytest.mark.parametrize(
    ("source", "num_train", "num_test", "least"),
    [(shapes, 100, 20, 10), (lesions, 100, 20, 2), (cifar10, 50000, 10000, 10)],
)
def test_the_largest_and_smallest_sizes(source, num_train, num_test, least):
    source(train_size=num_train - least, val_size=least, test_size=num_test)
    source(train_size=num_train, val_size=0, test_size=least)
    source(train_size=num_train, val_size=None)
    for sizes, named in (
        ({"train_size": num_train - least + 1, "val_size": least}, rf"`data\.train_size` .*\({num_train - least}\)"),
        ({"train_size": least - 1, "val_size": 0}, r"`data\.train_size` "),
        ({"val_size": num_train - least + 1}, rf"`data\.train_size` .* got {least - 1}"),
        ({"val_size": least - 1}, r"`data\.val_size` "),
        ({"val_size": num_train + 1}, r"`data\.val_size` "),
        ({"val_size": least, "test_size": num_test + 1}, rf"`data\.test_size` .* \({num_test}\), got {num_test + 1}"),
        ({"val_size": least, "test_size": least - 1}, r"`data\.test_size` "),
    ):
        with pytest.raises(UserError, match=named):
            source(**sizes)


def test_a_sweep_with_such_an_arm_is_refused_before_a_run_begins(ablate, tmp_path):
    done = ablate("-m data=shapes net=micro trainer.epochs=1 data.test_size=1000,4000 output_dir=o")
    assert done.returncode == 2
    assert "`data.test_size` must lie between the number of classes (10) and the number of test images" in done.stderr
    assert not list(tmp_path.rglob("record.json"))

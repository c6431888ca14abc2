"""Metrics that are computed from what a record holds."""

import math

import pytest

from ablate.errors import UserError
from ablate.study.metrics import metric_value
from builders.records import make_record

HISTORY = [
    {"epoch": 1, "train/cross_entropy": 2.2, "val/accuracy": 0.2, "val/loss": 2.0},
    {"epoch": 2, "train/cross_entropy": 1.9, "val/accuracy": 0.3, "val/loss": 1.8},
    {"epoch": 3, "train/cross_entropy": 1.7, "val/accuracy": 0.4, "val/loss": 1.6},
]


def test_the_gap_is_training_minus_test_accuracy():
    record = make_record(metrics={"train_eval/accuracy": 0.9, "test/accuracy": 0.6})
    assert metric_value(record, "gap/accuracy") == pytest.approx(0.3)


@pytest.mark.parametrize(("accuracy", "expected"), [(0.985, 1.0), (0.9849, 0.0), (1.0, 1.0), (None, 0.0)])
def test_a_run_reaches_a_number_or_not(accuracy, expected):
    record = make_record(metrics={"test/accuracy": accuracy})
    assert metric_value(record, "reaches/test/accuracy/0.985") == expected


def test_at_equal_training_loss_validation_is_interpolated():
    record = make_record(history=HISTORY)
    # 1.8 lies half way between 1.9 and 1.7.
    assert metric_value(record, "at/train/cross_entropy/1.8/val/accuracy") == pytest.approx(0.35)
    assert metric_value(record, "at/train/cross_entropy/1.8/val/loss") == pytest.approx(1.7)
    assert metric_value(record, "at/train/cross_entropy/1.9/val/accuracy") == pytest.approx(0.3)


@pytest.mark.parametrize("level", ["1.6", "2.2", "2.5"])
def test_there_is_no_value_where_no_epoch_passes_the_loss_or_the_first_already_has(level):
    assert metric_value(make_record(history=HISTORY), f"at/train/cross_entropy/{level}/val/accuracy") == math.inf


def test_a_loss_that_is_not_there_gives_no_value():
    record = make_record(history=[HISTORY[0], {**HISTORY[1], "train/cross_entropy": None}, HISTORY[2]])
    assert metric_value(record, "at/train/cross_entropy/1.8/val/accuracy") == math.inf


def test_a_missing_run_has_none_of_them():
    assert math.isnan(metric_value(None, "reaches/test/accuracy/0.985"))
    assert math.isnan(metric_value(None, "gap/accuracy"))


def test_a_run_without_any_metric_is_described():
    with pytest.raises(UserError, match=r"no metric 'acc' .*; it has no metric at all$"):
        metric_value(make_record(metrics={}), "acc")

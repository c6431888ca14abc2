"""No answer, shared answers, and counts that are whole numbers."""

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from ablate.cli.jobs import conclusion
from ablate.data.dataset import Dataset, Split
from ablate.diagnostics.batch_mates import spread_over_batches
from ablate.diagnostics.calibration import calibration
from ablate.diagnostics.probe import Probe
from ablate.diagnostics.shift import shift
from ablate.layers.dropout import Dropout, Positions
from ablate.layers.normalization import NoNormalization
from ablate.optimization import Constant, Geometric
from ablate.regularization import Regularizer
from ablate.training.evaluation import best, epochs_to
from ablate.training.loop import loss_and_accuracy
from ablate.training.record import PREDICTIONS_NAME
from ablate.training.scoring import HitCounter, accuracy_of, answers, hits, shared_by
from ablate.training.start import start

NAN, INF = math.nan, math.inf


@dataclass(frozen=True)
class Unbalanced:
    """Two classes, nine images of the first for each of the second; 90 training, 40 validation and test images."""

    def load(self) -> Dataset:
        rng = np.random.default_rng(0)

        def split(num):
            labels = (np.arange(num) % 10 == 9).astype(np.int64)
            images = rng.integers(0, 120, (num, 8, 8, 3)) + 100 * labels[:, None, None, None]
            images = torch.from_numpy(images.astype(np.uint8)).permute(0, 3, 1, 2)
            return Split(images=images, labels=torch.from_numpy(labels))

        return Dataset(train=split(90), val=split(40), test=split(40), class_names=("a", "b"), bits=8)


@pytest.fixture
def plain_run(make_run):
    """A function (changed fields) -> Run on `Unbalanced` without batch norm and dropout."""
    return partial(
        make_run,
        data=Unbalanced(),
        normalization=NoNormalization(),
        dropout=Positions(layer=Dropout),
        schedule=Constant(),
        regularizer=Regularizer(),
    )


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "runs" / "arm-00000000" / "seed-0"


def test_what_an_output_is_worth():
    outputs = torch.tensor(
        [[2.0, 1, 0], [1, 2, 0], [2, 2, 0], [2, 2, 2], [0, 1, 1], [NAN, 1, 0], [INF, 1, 0], [0, 1, -INF], [NAN] * 3]
    )
    labels = torch.tensor([0, 0, 0, 2, 0, 1, 0, 1, 0])
    assert shared_by(outputs, labels).tolist() == [1, 0, 2, 3, 0, 0, 0, 0, 0]
    assert hits(outputs, labels).tolist() == [1, 0, 0.5, 1 / 3, 0, 0, 0, 0, 0]
    assert answers(outputs).tolist() == [0, 1, 0, 0, 1, -1, -1, -1, -1]


def test_an_accuracy_is_the_float_nearest_to_the_fraction():
    assert accuracy_of([30, 270]) == 0.9
    # Ten classes that are equal throughout: a tenth, where a sum of 300 times 0.1 is 0.09999999999999977.
    assert accuracy_of([0] * 10 + [300]) == 0.1


@pytest.mark.parametrize("decimal", ["0.25", "0.5", "0.75", "0.9", "0.07", "0.999", "0.333"])
def test_a_threshold_is_reached_exactly_where_the_fraction_reaches_it(decimal):
    for num_images in range(1, 400):
        least = math.ceil(Fraction(decimal) * num_images)
        for right in (least - 1, least):
            rows = [{"epoch": 1, "train/accuracy": accuracy_of([num_images - right, right])}]
            found = epochs_to(rows, [float(decimal)])[f"epochs_to/train/accuracy/{float(decimal):g}"]
            assert (found == 1) == (Fraction(right, num_images) >= Fraction(decimal))


def test_the_counter_counts_batches_as_one(make_run):
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randint(0, 3, (60, 4), generator=generator).float()
    outputs[5, 2] = NAN
    labels = torch.randint(0, 4, (60,), generator=generator)
    counter = HitCounter()
    for part in range(0, 60, 20):
        counter.add(outputs[part : part + 20], labels[part : part + 20])
    expected = sum(
        Fraction(1, row.count(max(row))) if row[label] == max(row) else 0
        for i, (row, label) in enumerate(zip(outputs.tolist(), labels.tolist(), strict=True))
        if i != 5
    )
    assert counter.accuracy() == float(expected / 60)


def test_the_training_accuracy_of_an_epoch_is_a_fraction_of_its_images(plain_run, folder):
    record, _ = start(plain_run(batch_size=30, optimizer=partial(torch.optim.SGD, lr=0.01)), folder)
    for row in record.history:
        assert row["train/accuracy"] == round(90 * row["train/accuracy"]) / 90


def test_a_score_without_finite_outputs_has_no_loss_and_no_hit():
    log_probs = torch.tensor([[0.9, 0.1], [NAN, NAN], [0.2, 0.8], [0.5, 0.5]]).log()
    found = loss_and_accuracy(log_probs, torch.tensor([0, 0, 0, 0]), "test")
    assert math.isnan(found["test/loss"])
    assert (found["test/accuracy"], found["test/non_finite"]) == (1.5 / 4, 1 / 4)


def test_a_net_without_finite_outputs_has_no_hits_and_is_marked(plain_run, folder):
    """One step of rate 1e15 leaves finite weights and no finite output; a constant answer would be right in 90 %."""
    run = plain_run(epochs=1, batch_size=90, optimizer=partial(torch.optim.SGD, lr=1e15))
    record, _ = start(run, folder)
    assert record.status == "finished"
    for split in ("train_eval", "val", "test"):
        assert record.metrics[f"{split}/accuracy"] == 0
        assert record.metrics[f"{split}/loss"] is None
        assert record.metrics[f"{split}/non_finite"] == 1
    assert record.non_finite == 1 and not record.is_sound
    assert record.history[0]["val/non_finite"] == 1
    assert record.metrics["best/val/accuracy"] == 0
    assert record.metrics["epochs_to/val/accuracy/0.5"] is None
    with np.load(folder / PREDICTIONS_NAME) as saved:
        assert set(saved["predictions"]) == {-1} and set(saved["hits"]) == {0.0}
    assert "not finite at inference: 100.00 % of the images" in conclusion(record, folder, fresh=True)


def test_a_sound_run_is_marked_as_such(plain_run, folder):
    record, _ = start(plain_run(optimizer=partial(torch.optim.SGD, lr=0.01)), folder)
    assert [record.metrics[f"{split}/non_finite"] for split in ("train_eval", "val", "test")] == [0, 0, 0]
    assert record.is_sound and "val/non_finite" not in record.history[0]
    assert "not finite" not in conclusion(record, folder, fresh=True)
    with np.load(folder / PREDICTIONS_NAME) as saved:
        assert saved["hits"].mean() == pytest.approx(record.metrics["test/accuracy"], abs=1e-12)


def test_a_net_with_constant_outputs_is_guessing(plain_run, folder):
    """Weights of 0 and a rate that changes next to nothing: both classes share every answer."""

    def zeros(net, images, generators):
        for parameter in net.parameters():
            nn.init.zeros_(parameter)

    run = plain_run(epochs=1, batch_size=90, initializer=zeros, optimizer=partial(torch.optim.SGD, lr=1e-30))
    record, _ = start(run, folder)
    assert record.metrics["train/accuracy"] == 0.5
    assert record.metrics["train/loss"] == pytest.approx(math.log(2))
    with np.load(folder / PREDICTIONS_NAME) as saved:
        assert saved["hits"].mean() == record.metrics["test/accuracy"]


def test_all_scores_of_a_diverged_run_are_those_of_guessing(plain_run, folder):
    """The rate grows until training breaks; before, most images of the larger class were answered rightly."""
    run = plain_run(
        epochs=12, batch_size=30, optimizer=partial(torch.optim.SGD, lr=0.01), schedule=Geometric(growth=1000.0)
    )
    record, _ = start(run, folder)
    assert record.status == "diverged" and len(record.history) > 1
    assert max(row["train/accuracy"] for row in record.history) > 0.6
    metrics = record.metrics
    accuracies = {key for key in metrics if key.endswith("/accuracy") and not key.startswith("epochs_to")}
    assert {"train/accuracy", "test/accuracy", "best/train/accuracy", "best/val/accuracy"} <= accuracies
    assert {metrics[key] for key in accuracies} == {0.5}
    assert {metrics[key] for key in metrics if key.startswith("epochs_to/")} == {None}
    assert {metrics[f"{split}/loss"] for split in ("train", "train_eval", "val", "test")} == {None}
    assert metrics["train/cross_entropy"] is None
    last = record.history[-1]
    assert (last["train/accuracy"], last["train/loss"], last["train/cross_entropy"]) == (0.5, None, None)
    assert not record.is_sound


def test_best_is_the_best_epoch_not_the_last():
    rows = [{"train/accuracy": 0.2, "val/accuracy": 0.5}, {"train/accuracy": 0.6, "val/accuracy": 0.7}]
    rows.append({"train/accuracy": 0.4, "val/accuracy": 0.1})
    assert best(rows) == {"best/train/accuracy": 0.6, "best/val/accuracy": 0.7}


def test_cross_entropy_is_without_penalty_and_smoothing(plain_run, tmp_path):
    small = {"epochs": 1, "batch_size": 90, "optimizer": partial(torch.optim.SGD, lr=1e-3)}
    found = {}
    for name, regularizer in (
        ("none", Regularizer()),
        ("l2", Regularizer(l2=0.1)),
        ("l1", Regularizer(l1_activation=0.1)),
        ("smooth", Regularizer(label_smoothing=0.2)),
    ):
        found[name], _ = start(plain_run(regularizer=regularizer, **small), tmp_path / "runs" / name / "seed-0")
    losses = {name: record.metrics["train/loss"] for name, record in found.items()}
    plain = {name: record.metrics["train/cross_entropy"] for name, record in found.items()}
    # The first step's loss is that of the initial weights, which all share.
    assert set(plain.values()) == {losses["none"]}
    assert losses["l2"] == losses["none"]
    assert losses["l1"] > losses["none"] and losses["smooth"] != losses["none"]


class Broken(nn.Module):
    """Says nan for images brighter than 100 in the first pixel, and the class of the rest by the same pixel."""

    def forward(self, x):
        first = x[:, 0, 0, 0].float()
        outputs = torch.stack([50 - first, first - 50], dim=1)
        return torch.where(first[:, None] > 100, NAN, outputs)


def probe_of_broken(pixels, labels):
    images = (
        torch.tensor(pixels, dtype=torch.uint8)[:, None, None, None]
        .expand(-1, 3, 8, 8)
        .contiguous(memory_format=torch.channels_last)
    )
    split = Split(images=images, labels=torch.tensor(labels))
    return Probe(net=nn.Sequential(Broken()), images=images, labels=split.labels, held_out=split)


def test_shift_counts_no_answer_as_wrong():
    found = shift(probe_of_broken([0, 100, 200, 200], [0, 1, 0, 0]), shifts=(1,))
    assert found["accuracy/0"].item() == 0.5
    assert found["accuracy/1"].item() == 0.5
    assert found["agreement/1"].item() == 0.5


def test_calibration_of_no_answer_is_none():
    found = calibration(probe_of_broken([0, 200], [0, 0]))
    assert all(value.isnan() for value in found.values())


def test_no_answer_is_not_the_same_answer_in_every_batch():
    log_probs = torch.zeros(2, 3, 4)
    log_probs[:, 0] = NAN
    assert spread_over_batches(log_probs)[1].item() == pytest.approx(1 / 3)

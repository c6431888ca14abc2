"""The interval over test images, from the predictions that runs wrote."""

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ablate.judging import judge
from ablate.statistics import accuracy_difference
from ablate.training.record import PREDICTIONS_NAME

NUM_IMAGES = 60
SEEDS = 4
CLAIM = {
    "text": "",
    "form": "greater",
    "smallest_effect": 0.05,
    "treatment": {"activation": "relu"},
    "control": {"activation": "tanh"},
}
GRIDS = [{"product": {"activation": ["relu", "tanh"], "normalization": ["none", "batch"]}}]


@pytest.fixture
def made(make_results, tmp_path) -> Any:
    """A function (claim) -> (its results, predictions by arm's label, true classes) with files of predictions."""

    def make(**claim: Any) -> Any:
        definition = {"grids": GRIDS, "seeds": SEEDS, "claims": {"it": {**CLAIM, **claim}}}

        def metrics(axes: dict[str, str], seed: int, value: Any) -> dict[str, float | None]:
            accuracy = 0.5 + 0.01 * seed * len(axes["activation"])
            return {"test/accuracy": accuracy, "val/accuracy": accuracy}

        results = make_results(definition, metrics, output_dir=tmp_path)
        rng = np.random.default_rng(0)
        labels = rng.integers(0, 10, NUM_IMAGES).astype(np.int16)
        predictions = {}
        for arm in results.arms:
            right = rng.random((SEEDS, NUM_IMAGES)) < (0.8 if arm.axes["activation"] == "relu" else 0.5)
            predictions[arm.label] = np.where(right, labels, (labels + 1) % 10).astype(np.int16)
            for seed in range(SEEDS):
                write(tmp_path / arm.chosen.folder / f"seed-{seed}", predictions[arm.label][seed], labels)
        return results, predictions, labels

    return make


def write(folder: Path, predictions: Any, labels: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    hits = (predictions == labels).astype(np.float64)
    np.savez_compressed(folder / PREDICTIONS_NAME, predictions=predictions, labels=labels, hits=hits)


def run(results: Any, label: str, seed: int) -> Path:
    (arm,) = (arm for arm in results.arms if arm.label == label)
    return results.output_dir / arm.chosen.folder / f"seed-{seed}"


BATCH = {f"{side}": {**CLAIM[side], "normalization": "batch"} for side in ("treatment", "control")}
RELU, TANH = "activation=relu normalization=batch", "activation=tanh normalization=batch"


def test_it_is_that_of_the_paired_predictions(made) -> None:
    results, predictions, labels = made(**BATCH)
    (found,) = judge(results)
    expected = accuracy_difference(predictions[RELU], predictions[TANH], labels).image_interval
    assert found.item_interval == (expected.lower, expected.upper)


def test_matched_arms_are_averaged(made) -> None:
    results, predictions, labels = made()
    (found,) = judge(results)
    right = {label: (rows == labels).mean(axis=0) for label, rows in predictions.items()}
    e = sum(right[label] * (1 if "relu" in label else -1) for label in right) / 2
    middle = (found.item_interval[0] + found.item_interval[1]) / 2
    half_width = (found.item_interval[1] - found.item_interval[0]) / 2
    assert middle == pytest.approx(e.mean())
    # Student's t of 59 degrees at 97.5 %.
    assert half_width == pytest.approx(2.0009953781 * e.std(ddof=1) / NUM_IMAGES**0.5)


@pytest.mark.parametrize(
    "claim",
    [
        {"metric": "val/accuracy"},
        {"form": "identity", "tolerance": 1.0},
        {"form": "ratio", "direction": "greater", "smallest_effect": 1.1},
    ],
)
def test_other_metrics_and_forms_have_none(made, claim: dict[str, Any]) -> None:
    (found,) = judge(made(**BATCH, **claim)[0])
    assert found.item_interval is None
    assert found.outcome != "incomplete"


def test_a_diverged_run_leaves_none(made) -> None:
    results, _, _ = made(**BATCH)
    (arm,) = (arm for arm in results.arms if arm.label == TANH)
    arm.records[2] = replace(arm.records[2], status="diverged")
    assert judge(results)[0].item_interval is None


def test_outputs_that_are_not_finite_are_wrong_and_shared_ones_are_parts_of_a_hit(made) -> None:
    results, predictions, labels = made(**BATCH)
    hits = {label: (rows == labels).astype(float) for label, rows in predictions.items()}
    hits[TANH][2] = 0.0
    hits[RELU][1] = 0.5
    for label, seed in ((TANH, 2), (RELU, 1)):
        np.savez_compressed(
            run(results, label, seed) / PREDICTIONS_NAME,
            predictions=np.full(NUM_IMAGES, -1),
            labels=labels,
            hits=hits[label][seed],
        )
    (found,) = judge(results)
    e = (hits[RELU] - hits[TANH]).mean(axis=0)
    assert sum(found.item_interval) / 2 == pytest.approx(e.mean())
    half_width = 2.0009953781 * e.std(ddof=1) / NUM_IMAGES**0.5
    assert found.item_interval[1] - found.item_interval[0] == pytest.approx(2 * half_width)


def test_other_test_images_leave_none(made) -> None:
    results, predictions, labels = made(**BATCH)
    write(run(results, TANH, 2), predictions[TANH][2], labels[::-1])
    assert judge(results)[0].item_interval is None


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 half a file"])
def test_a_file_that_cannot_be_read_leaves_none(made, content: bytes | None) -> None:
    results, _, _ = made(**BATCH)
    path = run(results, RELU, 0) / PREDICTIONS_NAME
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    (found,) = judge(results)
    assert found.item_interval is None
    assert found.p is not None
    (why,) = found.unread
    assert str(path) in why
    assert f"{path} is {'missing' if content is None else 'damaged'}" in why
    assert "rerun=true for this run makes them again" in why


def test_predictions_that_can_be_read_leave_nothing_to_say(made) -> None:
    assert judge(made(**BATCH)[0])[0].unread == []


def test_predictions_of_another_run_are_noticed_by_the_checksum_in_the_record(made) -> None:
    results, _, _ = made(**BATCH)
    (arm,) = (arm for arm in results.arms if arm.label == RELU)
    for seed in range(SEEDS):
        data = (run(results, RELU, seed) / PREDICTIONS_NAME).read_bytes()
        arm.records[seed] = replace(arm.records[seed], predictions=hashlib.sha256(data).hexdigest())
    assert judge(results)[0].item_interval is not None
    shutil.copy(run(results, RELU, 1) / PREDICTIONS_NAME, run(results, RELU, 0) / PREDICTIONS_NAME)
    (found,) = judge(results)
    assert found.item_interval is None
    assert "is damaged or of another run" in found.unread[0]

"""Test images as replicates: what their draw adds to an accuracy difference, and nets that are only evaluated anew."""

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ablate.claim import DIFFERENCE_FORMS, Claim
from ablate.record import PREDICTIONS_NAME
from ablate.results import ArmResult
from ablate.statistics import Effect, accuracy_difference, guarded_effect, image_differences, mean_effect
from ablate.statistics.description import MAX_EXACT_SEEDS

IntArray = NDArray[np.int_]
Reader = Callable[[Path], tuple[IntArray, IntArray] | None]


def item_interval(
    claim: Claim, cells: Sequence[Sequence[ArmResult]], seeds: Sequence[int], output_dir: Path, read: Reader
) -> tuple[float, float] | None:
    """Return the 95 % interval of a test accuracy difference for these nets and other test images.

    Args:
        claim: any; only differences of test/accuracy have such an interval.
        cells: treatment and control, matched.
        seeds: of the runs.
        output_dir: folder that the runs' homes are relative to.
        read: folder of a run -> predicted and true classes, see `read_predictions`.

    Returns:
        (low, high) as fractions; None where a file is missing, a run diverged, or the test images are not the same.
    """
    found = paired_predictions(claim, cells, seeds, output_dir, read)
    if found is None:
        return None
    interval = accuracy_difference(*found).item_interval
    return interval.lower, interval.upper


def paired_predictions(
    claim: Claim, cells: Sequence[Sequence[ArmResult]], seeds: Sequence[int], output_dir: Path, read: Reader
) -> tuple[IntArray, IntArray, IntArray] | None:
    """Return the predictions of treatment and control, shape (num_nets, num_images) each, and the true classes.

    Matched arms count as further nets. None where a file is missing, a run diverged, the test images are not the same,
    or the claim is not about a difference of test accuracies.
    """
    if claim.form not in DIFFERENCE_FORMS or claim.metric != "test/accuracy" or claim.value is not None:
        return None
    predictions: list[IntArray] = []
    all_labels: list[IntArray] = []
    for arm in (arm for cell in cells for arm in cell):
        for seed in seeds:
            found = read(output_dir / arm.chosen.home / f"seed-{seed}") if arm.chosen else None
            if found is None or (found[0] < 0).any():
                return None
            predictions.append(found[0])
            all_labels.append(found[1])
    if not all(np.array_equal(labels, all_labels[0]) for labels in all_labels):
        return None
    half = len(predictions) // 2
    return np.array(predictions[:half]), np.array(predictions[half:]), all_labels[0]


def labels_of(arms: Sequence[ArmResult], output_dir: Path, read: Reader) -> IntArray | None:
    """Return the true classes of the test images, shape (num_images,); None where no run's can be read."""
    for arm in arms:
        for seed in arm.records if arm.chosen else ():
            assert arm.chosen is not None
            found = read(output_dir / arm.chosen.home / f"seed-{seed}")
            if found is not None:
                return found[1]
    return None


def num_images(claim: Claim, cells: Sequence[Sequence[ArmResult]], labels: IntArray | None) -> int | None:
    """Return how many images the claim's metric is measured on, the least of all arms; None where it is not known."""
    split = claim.metric.removeprefix("best/").partition("/")[0]
    if split == "test" and labels is not None:
        return len(labels)
    settings = [(arm.chosen or arm.planned.variants[0]).settings.get("data", {}) for cell in cells for arm in cell]
    sizes = [data.get(f"{split.removesuffix('_eval')}_size") for data in settings]
    return min(sizes) if sizes and all(sizes) else None


def are_same_nets(cells: Sequence[Sequence[ArmResult]], seeds: Sequence[int]) -> bool:
    """Return whether two cells hold the same trained nets, evaluated in two ways.

    They are the same if the training loss of every epoch agrees to the last bit in every pair of runs, none of which
    diverged. On a device whose sums are not repeatable they may not be told to be the same; then seeds decide.
    """
    if len(cells) != 2:
        return False
    for mine, other in zip(*cells, strict=True):
        for seed in seeds:
            pair = [arm.records.get(seed) for arm in (mine, other)]
            losses = [[row.get("train/loss") for row in record.history] for record in pair if record is not None]
            known = len(losses) == 2 and all(loss is not None for loss in losses[0]) and len(losses[0]) > 0
            if not known or losses[0] != losses[1]:
                return False
    return True


def image_effect(found: tuple[IntArray, IntArray, IntArray], null: float) -> Effect:
    """Return the effect of which test images are the replicates.

    Where few images are answered differently, the exact sign-flip test over these has to agree with t.

    Args:
        found: see `paired_predictions`.
        null: what the effect is tested against.
    """
    d = image_differences(*found)
    few = np.count_nonzero(d) <= MAX_EXACT_SEEDS
    return guarded_effect(d, 1 / d.size, null, is_mixture=False) if few else mean_effect(d, 1 / d.size)


def read_predictions(folder: Path) -> tuple[IntArray, IntArray] | None:
    """Return predicted and true class of every test image, shape (num_images,) each; None where they cannot be read.

    A diverged run predicts -1.
    """
    try:
        with (folder / PREDICTIONS_NAME).open("rb") as stream, np.load(stream) as arrays:
            return arrays["predictions"], arrays["labels"]
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile):
        return None

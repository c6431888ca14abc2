"""What the draw of test images adds to the uncertainty of an accuracy difference."""

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ablate.claim import DIFFERENCE_FORMS, Claim
from ablate.record import PREDICTIONS_NAME
from ablate.results import ArmResult
from ablate.statistics import accuracy_difference

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
    # Matched arms count as further nets: the interval over images takes the mean over all of them.
    half = len(predictions) // 2
    interval = accuracy_difference(predictions[:half], predictions[half:], all_labels[0]).item_interval
    return interval.lower, interval.upper


def read_predictions(folder: Path) -> tuple[IntArray, IntArray] | None:
    """Return predicted and true class of every test image, shape (num_images,) each; None where they cannot be read.

    A diverged run predicts -1.
    """
    try:
        with (folder / PREDICTIONS_NAME).open("rb") as stream, np.load(stream) as arrays:
            return arrays["predictions"], arrays["labels"]
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile):
        return None

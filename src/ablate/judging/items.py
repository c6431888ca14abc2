"""What the draw of test images adds to the uncertainty of an accuracy difference."""

import hashlib
import io
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ablate.claim import DIFFERENCE_FORMS, Claim
from ablate.errors import Unusable, UserError
from ablate.integrity import read_bytes
from ablate.record import PREDICTIONS_NAME
from ablate.results import ArmResult
from ablate.statistics import accuracy_difference

IntArray = NDArray[np.int_]
Reader = Callable[[Path, str], tuple[IntArray, IntArray]]


def item_interval(
    claim: Claim, cells: Sequence[Sequence[ArmResult]], seeds: Sequence[int], output_dir: Path, read: Reader
) -> tuple[float, float] | None:
    """Return the 95 % interval of a test accuracy difference for these nets and other test images.

    Args:
        claim: any; only differences of test/accuracy have such an interval.
        cells: treatment and control, matched.
        seeds: of the runs.
        output_dir: folder that the runs' homes are relative to.
        read: (folder of a run, checksum) -> predicted and true classes, see `read_predictions`.

    Returns:
        (low, high) as fractions; None where a run diverged, or the test images are not the same.

    Raises:
        Unusable: predictions are missing or damaged; the file is named.
    """
    if claim.form not in DIFFERENCE_FORMS or claim.metric != "test/accuracy" or claim.value is not None:
        return None
    predictions: list[IntArray] = []
    all_labels: list[IntArray] = []
    for arm in (arm for cell in cells for arm in cell):
        for seed in seeds:
            assert arm.chosen is not None, "a claim that can be decided has all its runs"
            found = read(output_dir / arm.chosen.home / f"seed-{seed}", arm.records[seed].predictions)
            if (found[0] < 0).any():
                return None
            predictions.append(found[0])
            all_labels.append(found[1])
    if not all(np.array_equal(labels, all_labels[0]) for labels in all_labels):
        return None
    # Matched arms count as further nets: the interval over images takes the mean over all of them.
    half = len(predictions) // 2
    interval = accuracy_difference(predictions[:half], predictions[half:], all_labels[0]).item_interval
    return interval.lower, interval.upper


def read_predictions(folder: Path, checksum: str) -> tuple[IntArray, IntArray]:
    """Return predicted and true class of every test image, shape (num_images,) each.

    A diverged run predicts -1.

    Args:
        folder: of the run.
        checksum: SHA-256 of the file, from the run's record; "" where it is not known, and the check sums of the npz
            format alone are verified.

    Raises:
        Unusable: the file is missing, or is not the one that the run wrote.
    """
    path = folder / PREDICTIONS_NAME
    cure = "rerun=true for this run makes them again"
    try:
        data = read_bytes(path)
    except UserError as error:
        raise Unusable(f"no interval over test images: {error}; {cure}") from error
    if data is None:
        raise Unusable(f"no interval over test images: {path} is missing; {cure}")
    if checksum and hashlib.sha256(data).hexdigest() != checksum:
        raise Unusable(
            f"no interval over test images: {path} is damaged or of another run: its content does not agree with the "
            f"checksum in the run's record; {cure}"
        )
    try:
        with np.load(io.BytesIO(data)) as arrays:
            return arrays["predictions"], arrays["labels"]
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise Unusable(f"no interval over test images: {path} is damaged ({error}); {cure}") from error

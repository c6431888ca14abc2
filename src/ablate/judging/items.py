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
from ablate.statistics import hit_difference

HitArray = NDArray[np.float64]
IntArray = NDArray[np.int_]
Reader = Callable[[Path, str], tuple[HitArray, IntArray]]


def item_interval(
    claim: Claim, cells: Sequence[Sequence[ArmResult]], seeds: Sequence[int], output_dir: Path, read: Reader
) -> tuple[float, float] | None:
    """Return the 95 % interval of a test accuracy difference for these nets and other test images.

    Args:
        claim: any; only differences of test/accuracy have such an interval.
        cells: treatment and control, matched.
        seeds: of the runs.
        output_dir: folder that the runs' homes are relative to.
        read: (folder of a run, checksum) -> what its answers count and the true classes, see `read_predictions`.

    Returns:
        (low, high) as fractions; None where a run diverged, or the test images are not the same.

    Raises:
        Unusable: predictions are missing or damaged; the file is named.
    """
    if claim.form not in DIFFERENCE_FORMS or claim.metric != "test/accuracy" or claim.value is not None:
        return None
    all_hits: list[HitArray] = []
    all_labels: list[IntArray] = []
    for arm in (arm for cell in cells for arm in cell):
        for seed in seeds:
            assert arm.chosen is not None, "a claim that can be decided has all its runs"
            found = read(output_dir / arm.chosen.home / f"seed-{seed}", arm.records[seed].predictions)
            if arm.records[seed].status == "diverged":
                return None
            all_hits.append(found[0])
            all_labels.append(found[1])
    if not all(np.array_equal(labels, all_labels[0]) for labels in all_labels):
        return None
    # Matched arms count as further nets: the interval over images takes the mean over all of them.
    half = len(all_hits) // 2
    interval = hit_difference(all_hits[:half], all_hits[half:]).item_interval
    return interval.lower, interval.upper


def read_predictions(folder: Path, checksum: str) -> tuple[HitArray, IntArray]:
    """Return what the answer for every test image counts, in [0, 1], and its true class, shape (num_images,) each.

    An output that is not finite is no hit, and where m classes share the largest output it is 1/m of one, as in the
    test accuracy.

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
            return arrays["hits"], arrays["labels"]
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise Unusable(f"no interval over test images: {path} is damaged ({error}); {cure}") from error

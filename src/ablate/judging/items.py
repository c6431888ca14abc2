"""What the draw of test images adds to the uncertainty of an accuracy difference."""

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ablate.claim import DIFFERENCE_FORMS, Claim
from ablate.record import PREDICTIONS_NAME
from ablate.results import ArmResult
from ablate.statistics import hit_difference

HitArray = NDArray[np.float64]
IntArray = NDArray[np.int_]
Reader = Callable[[Path], tuple[HitArray, IntArray] | None]


def item_interval(
    claim: Claim, cells: Sequence[Sequence[ArmResult]], seeds: Sequence[int], output_dir: Path, read: Reader
) -> tuple[float, float] | None:
    """Return the 95 % interval of a test accuracy difference for these nets and other test images.

    Args:
        claim: any; only differences of test/accuracy have such an interval.
        cells: treatment and control, matched.
        seeds: of the runs.
        output_dir: folder that the runs' homes are relative to.
        read: folder of a run -> what its answers count and the true classes, see `read_predictions`.

    Returns:
        (low, high) as fractions; None where a file is missing, a run diverged, or the test images are not the same.
    """
    if claim.form not in DIFFERENCE_FORMS or claim.metric != "test/accuracy" or claim.value is not None:
        return None
    all_hits: list[HitArray] = []
    all_labels: list[IntArray] = []
    for arm in (arm for cell in cells for arm in cell):
        for seed in seeds:
            found = read(output_dir / arm.chosen.home / f"seed-{seed}") if arm.chosen else None
            if found is None or arm.records[seed].status == "diverged":
                return None
            all_hits.append(found[0])
            all_labels.append(found[1])
    if not all(np.array_equal(labels, all_labels[0]) for labels in all_labels):
        return None
    # Matched arms count as further nets: the interval over images takes the mean over all of them.
    half = len(all_hits) // 2
    interval = hit_difference(all_hits[:half], all_hits[half:]).item_interval
    return interval.lower, interval.upper


def read_predictions(folder: Path) -> tuple[HitArray, IntArray] | None:
    """Return what the answer for every test image counts, in [0, 1], and its true class, shape (num_images,) each.

    An output that is not finite is no hit, and where m classes share the largest output it is 1/m of one, as in the
    test accuracy. None where the file cannot be read.
    """
    try:
        with (folder / PREDICTIONS_NAME).open("rb") as stream, np.load(stream) as arrays:
            if "hits" in arrays:
                return arrays["hits"], arrays["labels"]
            # Version 1 of the numerics wrote none: every answer was one class, and -1 meant a run that diverged.
            predictions, labels = arrays["predictions"], arrays["labels"]
            return None if (predictions < 0).any() else ((predictions == labels).astype(np.float64), labels)
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile):
        return None

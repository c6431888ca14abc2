"""Test images as replicates: uncertainty over images of a difference, and the same nets evaluated in two ways."""

import hashlib
import io
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ablate.errors import Unusable, UserError
from ablate.statistics import Effect, guarded_effect, hit_difference, image_differences, mean_effect
from ablate.statistics.description import MAX_EXACT_SEEDS
from ablate.storage.integrity import read_bytes
from ablate.study.claim import DIFFERENCE_FORMS, Claim
from ablate.study.metrics import GAP
from ablate.study.program import Program
from ablate.study.results import ArmResult
from ablate.training.identity import differences
from ablate.training.record import PREDICTIONS_NAME, Record

HitArray = NDArray[np.float64]
IntArray = NDArray[np.int_]
Reader = Callable[[Path, str], tuple[HitArray, IntArray]]

# Settings that act at inference alone: arms that differ in these have the same trained weights.
AT_INFERENCE = (
    "dropout.num_samples",  # Monte-Carlo dropout
    "normalization.inference",
    "normalization.momentum",  # of the running statistics, which no training step uses
    "preprocessing.fit",  # "test" fits a copy on the images that are evaluated
    "trainer.test_views",
)


def interval_over_images(
    claim: Claim, cells: Sequence[Sequence[ArmResult]], seeds: Sequence[int], output_dir: Path, read: Reader
) -> tuple[float, float] | None:
    """Return the 95 % interval of a test accuracy difference for these nets and other test images.

    Args:
        claim: any; only differences of test/accuracy have such an interval.
        cells: treatment and control, matched.
        seeds: of the runs.
        output_dir: folder that the folders of the runs are relative to.
        read: (folder of a run, checksum) -> its hits and the true classes, see `read_predictions`.

    Returns:
        (low, high) as fractions; None where a run diverged or is of another program, or the test images are not
        the same.

    Raises:
        Unusable: predictions are missing or damaged; the file is named.
    """
    found = paired_hits(claim, cells, seeds, output_dir, read)
    if found is None:
        return None
    interval = hit_difference(*found).image_interval
    return interval.lower, interval.upper


def paired_hits(
    claim: Claim, cells: Sequence[Sequence[ArmResult]], seeds: Sequence[int], output_dir: Path, read: Reader
) -> tuple[HitArray, HitArray] | None:
    """Return the hits of treatment and control, in [0, 1], shape (num_nets, num_images) each.

    Every run of every matched arm is one net. None where a run diverged, the test images are not the same, or the claim
    is not about a difference of test accuracies.

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
            if arm.records[seed].program:
                return None  # another program's predictions are not known
            found = read(output_dir / arm.chosen.folder / f"seed-{seed}", arm.records[seed].predictions)
            if arm.records[seed].status == "diverged":
                return None
            all_hits.append(found[0])
            all_labels.append(found[1])
    if not all(np.array_equal(labels, all_labels[0]) for labels in all_labels):
        return None
    half = len(all_hits) // 2
    return np.array(all_hits[:half]), np.array(all_hits[half:])


def labels_of(arms: Sequence[ArmResult], output_dir: Path, read: Reader) -> IntArray | None:
    """Return the true classes of the test images, shape (num_images,); None where no record names predictions.

    Records of another program and of early versions name none.

    Raises:
        Unusable: records name predictions, and none of these can be read; the first file is named.
    """
    unread: Unusable | None = None
    for arm in arms:
        for seed, record in arm.records.items() if arm.chosen else ():
            assert arm.chosen is not None
            try:
                return read(output_dir / arm.chosen.folder / f"seed-{seed}", record.predictions)[1]
            except Unusable as error:
                unread = unread or (error if record.predictions and not record.program else None)
    if unread is not None:
        raise unread
    return None


def num_images(
    claim: Claim, cells: Sequence[Sequence[ArmResult]], labels: IntArray | None, program: Program | None = None
) -> int | None:
    """Return how many images the claim's metric is measured on, the least over the arms; None where not known."""
    split = "test" if claim.metric == GAP else claim.metric.removeprefix("best/").partition("/")[0]
    if program is not None:
        return program.test_images if split == "test" else None
    if split == "test" and labels is not None:
        return len(labels)
    settings = [(arm.chosen or arm.planned.variants[0]).settings.get("data", {}) for cell in cells for arm in cell]
    sizes = [data.get(f"{split.removesuffix('_eval')}_size") for data in settings]
    return min(sizes) if sizes and all(sizes) else None


def are_same_nets(cells: Sequence[Sequence[ArmResult]], seeds: Sequence[int]) -> bool:
    """Return whether two cells hold the same trained nets, evaluated in two ways.

    They are the same if in every pair of runs the settings differ in nothing but what acts at inference alone
    (`AT_INFERENCE`), and the training loss of every epoch agrees to the last bit. The loss alone does not tell: that
    of a batch is measured before its own update, so it cannot show the last one. On a device whose sums are not
    repeatable the same nets may not be recognized; then seeds decide.
    """
    if len(cells) != 2:
        return False
    for mine, other in zip(*cells, strict=True):
        for seed in seeds:
            a, b = mine.records.get(seed), other.records.get(seed)
            if a is None or b is None or not trained_alike(a, b):
                return False
    return True


def trained_alike(mine: Record, other: Record) -> bool:
    """Return whether two runs of one seed have the same weights, see `are_same_nets`."""
    losses = [[row.get("train/loss") for row in record.history] for record in (mine, other)]
    if not losses[0] or None in losses[0] or losses[0] != losses[1]:
        return False
    differing = differences(mine.settings, other.settings)
    if not differing.keys() <= set(AT_INFERENCE):
        return False
    # In a class of the user's own, a key of such a name may act in training.
    groups = [record.settings.get(key.partition(".")[0], {}) for record in (mine, other) for key in differing]
    return all(str(group.get("_target_", "ablate.")).startswith("ablate.") for group in groups)


def image_effect(hits: tuple[HitArray, HitArray], null: float) -> Effect:
    """Return the difference of accuracies as an effect whose replicates are test images.

    Where at most MAX_EXACT_SEEDS images differ in their hits, the exact sign-flip test over these has to agree with t.

    Args:
        hits: see `paired_hits`.
        null: value that the effect is tested against, in [-1, 1].

    Example: of 100 images, one net has 90 right and the other 70.

        >>> effect = image_effect((np.arange(100)[None] < 90, np.arange(100)[None] < 70), null=0.0)
        >>> effect.estimate, effect.p_value() < 0.001
        (0.2, True)
    """
    d = image_differences(*hits)
    few = np.count_nonzero(d) <= MAX_EXACT_SEEDS
    return guarded_effect(d, 1 / d.size, null, is_mixture=False) if few else mean_effect(d, 1 / d.size)


def read_predictions(folder: Path, checksum: str) -> tuple[HitArray, IntArray]:
    """Return the hit in [0, 1] and the true class of every test image, shape (num_images,) each.

    A hit is 1 if the prediction is right and 0 if it is wrong or not finite; where m classes share the largest output
    it is 1/m, as in the test accuracy.

    Args:
        folder: of the run.
        checksum: SHA-256 of the file, from the run's record; "" where it is not known: only the checksums of the
            npz format are verified then.

    Raises:
        Unusable: the file is missing, or is not the one that the run wrote.
    """
    path = folder / PREDICTIONS_NAME
    cure = "rerun=true for this run makes them again"
    try:
        data = read_bytes(path)
    except UserError as error:
        raise Unusable(f"{error}; {cure}") from error
    if data is None:
        raise Unusable(f"{path} is missing; {cure}")
    if checksum and hashlib.sha256(data).hexdigest() != checksum:
        raise Unusable(
            f"{path} is damaged or of another run: its content does not agree with the checksum in the run's record; "
            f"{cure}"
        )
    try:
        with np.load(io.BytesIO(data)) as arrays:
            return arrays["hits"], arrays["labels"]
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise Unusable(f"{path} is damaged ({error}); {cure}") from error

"""Which runs trained, and how far an effect would move if more of them failed.

A run trained if it finished and its test accuracy

1. exceeds that of guessing (always naming the most frequent class) by more than three standard deviations of guessing
   on these test images: it is not chance;
2. exceeds it by more than a twentieth of 1 - guessing: the net has not just begun to learn;
3. exceeds it by at least half as much as the median run of its arm, among the runs with 1 and 2: it is not stuck. A net
   of 25 % among nets of 60 % has failed, although guessing is 10 %.
"""

import math
import statistics
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ablate.judging.effects import Scores, is_accuracy, weights
from ablate.statistics import Exposure, Failures
from ablate.study.claim import Claim, depends_on_training
from ablate.study.metrics import GAP
from ablate.study.program import Program
from ablate.training.record import Record

IntArray = NDArray[np.int_]

NUM_DEVIATIONS = 3.0  # condition 1
SHARE_OF_RANGE = 0.05  # condition 2
SHARE_OF_MEDIAN = 0.5  # condition 3
SCORES = ("train/", "train_eval/", "val/", "test/", "best/", "epochs_to/")


def guessing(labels: IntArray | None, program: Program | None = None) -> float:
    """Return the accuracy of always naming the most frequent class, in (0, 1].

    Args:
        labels: true classes of the test images, shape (num_images,); None where they cannot be read: then it is 0.1,
            that of ten equally frequent classes, as in CIFAR-10 and the synthetic images.
        program: that made the runs, if it was another one: then it is what the study says, or nan.

    Example:
        >>> guessing(np.array([0, 0, 0, 1]))
        0.75
    """
    if program is not None:
        return math.nan if program.guessing is None else program.guessing
    if labels is None or not labels.size:
        return 0.1
    return float(np.unique(labels, return_counts=True)[1].max()) / len(labels)


def which_trained(
    records: Mapping[int, Record], labels: IntArray | None, program: Program | None = None
) -> dict[int, bool]:
    """Return for each seed of an arm whether its run trained, by the rule at the top of this module.

    Args:
        records: of one arm, by seed. A finished run without a test accuracy counts as trained.
        labels, program: see `guessing`; without labels condition 1 is left out. Where guessing is not known, a run
            failed only if it diverged.

    Example: a net stuck at 25 % among nets of 60 %.

        >>> from types import SimpleNamespace
        >>> runs = [SimpleNamespace(status="finished", metrics={"test/accuracy": a}) for a in (0.60, 0.25, 0.61)]
        >>> which_trained(dict(enumerate(runs)), np.arange(1000) % 10)
        {0: True, 1: False, 2: True}
    """
    guess = guessing(labels, program)
    if math.isnan(guess):
        return {seed: record.status == "finished" for seed, record in records.items()}
    deviation = 0.0 if labels is None or not labels.size else math.sqrt(guess * (1 - guess) / len(labels))
    least = max(NUM_DEVIATIONS * deviation, SHARE_OF_RANGE * (1 - guess))
    above: dict[int, float] = {}
    for seed, record in records.items():
        accuracy = record.metrics.get("test/accuracy", math.inf)
        above[seed] = (accuracy if accuracy is not None else 0.0) - guess if record.status == "finished" else 0.0
    clear = [value for value in above.values() if least < value < math.inf]
    least = max(least, SHARE_OF_MEDIAN * statistics.median(clear)) if clear else least
    return {seed: value >= least if clear else value > least for seed, value in above.items()}


def failures_of(trained: Sequence[Mapping[int, bool]]) -> Failures:
    """Return in how many seeds a run of a cell failed, among the seeds that all its arms have.

    Args:
        trained: one mapping per arm of the cell: seed -> whether its run trained.

    Example:
        >>> failures_of([{0: True, 1: False}, {0: True, 1: True}])
        Failures(failed=1, total=2)
    """
    seeds = set.intersection(*(set(arm) for arm in trained))
    return Failures(sum(not all(arm[seed] for arm in trained) for seed in seeds), len(seeds))


def neither_trains(claim: Claim, failures: Sequence[Failures]) -> bool:
    """Return whether a claim compares scores of arms and no run of any of them trained."""
    compares = claim.value is None and claim.metric.startswith(SCORES)
    return compares and all(f.total and f.failed == f.total for f in failures)


def exposure(claim: Claim, scores: Scores, failures: Sequence[Failures], guess: float, share: float) -> Exposure:
    """Return how far the claim's effect would move if `share` of the runs failed in the cells that do not exclude it.

    A cell excludes it if `Failures.excludes(share)`. A run that fails falls from the mean of its cell to guessing: in
    the treatment this lowers the effect, in the control it raises it. For metrics other than accuracies, and for
    ratios, the value of a failed run is not known.

    Args:
        claim: any but an identity.
        scores: complete.
        failures: of each cell.
        guess: accuracy of guessing, in (0, 1]; nan where it is not known.
        share: share of runs that fail, in (0, 1).

    Returns:
        Both moves in the unit of the effect, a difference of accuracies in [0, 1].
    """
    open_cells = [not f.excludes(share) for f in failures]
    if not depends_on_training(claim.metric) or not any(open_cells):
        return Exposure()
    if not is_accuracy(claim.metric) or claim.form == "ratio" or math.isnan(guess):
        return Exposure(is_known=False)
    failed = 0.0 if claim.metric == GAP else guess  # a net that guesses does so on training images too
    losses = np.maximum(scores.values.mean(axis=(1, 2)) - failed, 0.0)
    moves = share * losses * weights(claim, len(losses)) * np.array(open_cells)
    return Exposure(down=float(moves[moves > 0].sum()), up=float(-moves[moves < 0].sum()))

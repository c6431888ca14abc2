"""Which runs trained, and how far an effect would move if more of them failed.

A run trains if it finished, its test accuracy is clearly above guessing, and it gets at least half as far above
guessing as the median run of its arm that is clearly above. Guessing is naming the most frequent class. "Clearly" is
more than three standard deviations of guessing on these test images, and more than a twentieth of the way from guessing
to no error, so that neither chance nor a net that has hardly begun to learn counts. The last condition is for runs that
get stuck on the way: a net of 25 % among nets of 60 % has failed, though 10 % is guessing.
"""

import math
import statistics
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ablate.judging.effects import Scores, is_accuracy, weights
from ablate.statistics import Exposure, Failures
from ablate.study.claim import Claim
from ablate.training.record import Record

IntArray = NDArray[np.int_]

NUM_DEVIATIONS = 3.0
SHARE_OF_THE_WAY = 0.05
SHARE_OF_THE_MEDIAN = 0.5
# What is measured before training or without it: no run can fail at it.
UNTRAINED = ("initial/", "algebra/", "activation_cost/", "autoencoder/")
SCORES = ("train/", "train_eval/", "val/", "test/", "best/", "epochs_to/")


def depends_on_training(metric: str) -> bool:
    """Return whether a metric is of nets that have been trained."""
    return not metric.startswith(UNTRAINED)


def guessing(labels: IntArray | None) -> float:
    """Return the accuracy of naming the most frequent class.

    Args:
        labels: true classes of the test images, shape (num_images,); None where they cannot be read: the 0.1 of ten
            equally frequent classes is taken then, as in CIFAR-10 and the made images.
    """
    return (
        0.1
        if labels is None or not labels.size
        else float(np.unique(labels, return_counts=True)[1].max()) / len(labels)
    )


def which_trained(records: Mapping[int, Record], labels: IntArray | None) -> dict[int, bool]:
    """Return for each seed of an arm whether its run trained, see the module.

    Args:
        records: of one arm, by seed. A run that finished and has no test accuracy trained: nothing says otherwise.
        labels: see `guessing`.
    """
    guess = guessing(labels)
    deviation = 0.0 if labels is None or not labels.size else math.sqrt(guess * (1 - guess) / len(labels))
    least = max(NUM_DEVIATIONS * deviation, SHARE_OF_THE_WAY * (1 - guess))
    above: dict[int, float] = {}
    for seed, record in records.items():
        accuracy = record.metrics.get("test/accuracy", math.inf)
        above[seed] = (accuracy if accuracy is not None else 0.0) - guess if record.status == "finished" else 0.0
    clear = [value for value in above.values() if least < value < math.inf]
    least = max(least, SHARE_OF_THE_MEDIAN * statistics.median(clear)) if clear else least
    return {seed: value >= least if clear else value > least for seed, value in above.items()}


def failures_of(trained: Sequence[Mapping[int, bool]]) -> Failures:
    """Return in how many seeds a run of a cell failed.

    Args:
        trained: of each arm of the cell, by seed, whether its run trained.
    """
    seeds = set.intersection(*(set(arm) for arm in trained))
    return Failures(sum(not all(arm[seed] for arm in trained) for seed in seeds), len(seeds))


def neither_trains(claim: Claim, failures: Sequence[Failures]) -> bool:
    """Return whether a claim compares scores of arms of which no run trained."""
    compares = claim.value is None and claim.metric.startswith(SCORES)
    return compares and all(f.total and f.failed == f.total for f in failures)


def exposure(claim: Claim, scores: Scores, failures: Sequence[Failures], guess: float, share: float) -> Exposure:
    """Return how far the claim's effect would move if `share` of the runs failed in the cells that do not exclude it.

    A run that fails falls from the mean of its cell to guessing: in the treatment that lowers the effect, in the
    control it raises it. Of metrics other than accuracies it is not known what a run that failed would have.

    Args:
        claim: any but an identity.
        scores: complete.
        failures: of each cell.
        guess: accuracy of guessing.
        share: of runs that fail, in (0, 1).
    """
    open_cells = [not f.excludes(share) for f in failures]
    if not depends_on_training(claim.metric) or not any(open_cells):
        return Exposure()
    if not is_accuracy(claim.metric) or claim.form == "ratio":
        return Exposure(is_known=False)
    levels = np.maximum(scores.values.mean(axis=(1, 2)) - guess, 0.0)
    moves = share * levels * weights(claim, len(levels)) * np.array(open_cells)
    return Exposure(down=float(moves[moves > 0].sum()), up=float(-moves[moves < 0].sum()))

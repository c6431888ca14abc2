"""Scoring of outputs: the predicted class, and how much it counts as a hit.

One rule for training batches, validation, the final scores and the diagnostics:

- an output with a non-finite number is no answer: its class is -1, and it is never a hit;
- if m classes share the largest output, the answer is one of them with equal probability: it counts 1/m of a hit if
  the true class is among them, which is the expectation. As a single class, the lowest of them is recorded.

Hits are counted as integers for each m and divided once, so that an accuracy is the float nearest to the exact
fraction: 270 of 300 are 0.9, not 0.89999992.
"""

from collections.abc import Sequence
from fractions import Fraction

import torch
from torch import Tensor


def answers(outputs: Tensor) -> Tensor:
    """Return the class (...,) int64 of the largest of `outputs` (..., num_classes), -1 if one is not finite.

    Example:
        >>> answers(torch.tensor([[0.1, 0.9], [float("inf"), 0.0]])).tolist()
        [1, -1]
    """
    return torch.where(outputs.isfinite().all(-1), outputs.argmax(-1), -1)


def shared_by(outputs: Tensor, labels: Tensor) -> Tensor:
    """Return how many classes share a right answer, (N,) int64: 0 for a wrong one or none, 1 for a plain hit.

    Args:
        outputs: (N, num_classes), logits or log-probabilities.
        labels: (N,) true classes.

    Example:
        >>> shared_by(torch.tensor([[0.5, 0.5], [0.1, 0.9]]), torch.tensor([0, 0])).tolist()
        [2, 0]
    """
    top = outputs.amax(1, keepdim=True)
    right = (outputs.gather(1, labels[:, None]) == top).squeeze(1) & outputs.isfinite().all(1)
    return (outputs == top).sum(1) * right


def hits(outputs: Tensor, labels: Tensor) -> Tensor:
    """Return the score of each answer, (N,) float64 in [0, 1]: 0, or 1/m; arguments as of `shared_by`.

    Example:
        >>> hits(torch.tensor([[0.5, 0.5], [0.1, 0.9]]), torch.tensor([0, 1])).tolist()
        [0.5, 1.0]
    """
    shared = shared_by(outputs, labels)
    return torch.where(shared > 0, 1 / shared.clamp(min=1).double(), 0.0)


class HitCounter:
    """Counts hits on the device, batch by batch; nothing is read back before `accuracy` is called.

    Example:
        >>> counter = HitCounter()
        >>> counter.add(torch.tensor([[0.1, 0.9], [0.8, 0.2]]), torch.tensor([1, 1]))
        >>> counter.accuracy()
        0.5
    """

    def __init__(self) -> None:
        self.counts: Tensor | None = None

    def reset(self, counts: Tensor | None = None) -> None:
        """Begin again, from `counts` if they are given; the tensor of counts stays the same object."""
        if self.counts is None:
            self.counts = counts
        elif counts is None:
            self.counts.zero_()
        else:
            self.counts.copy_(counts)

    def add(self, outputs: Tensor, labels: Tensor) -> None:
        """Count a batch; arguments as of `shared_by`."""
        shared = shared_by(outputs, labels)
        if self.counts is None:
            self.counts = shared.new_zeros(outputs.shape[1] + 1)
        self.counts.scatter_add_(0, shared, torch.ones_like(shared))

    def accuracy(self) -> float:
        """Return the fraction of hits among all counted images, at least one batch."""
        assert self.counts is not None
        return accuracy_of(self.counts.tolist())


def accuracy_of(counts: Sequence[int]) -> float:
    """Return the float nearest to (sum over m >= 1 of counts[m] / m) / sum of counts.

    Example:
        >>> accuracy_of([30, 270])
        0.9
    """
    return float(sum((Fraction(count, m) for m, count in enumerate(counts[1:], start=1)), Fraction(0)) / sum(counts))

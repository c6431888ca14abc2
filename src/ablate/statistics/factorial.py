"""Main effects and interactions of a full factorial design, each a contrast per seed and so a paired difference."""

import functools
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ablate.statistics.effects import FloatArray, MeanEffect, mean_effect


@dataclass(frozen=True)
class Change:
    """One factor going from its reference level to another.

    Args:
        factor: e.g. "normalization".
        reference: the factor's first level, e.g. "none".
        level: the other one, e.g. "batch".
    """

    factor: str
    reference: str
    level: str

    def __str__(self) -> str:
        return f"{self.factor}: {self.reference} -> {self.level}"


@dataclass(frozen=True, eq=False)
class Contrast:
    """A main effect (one change) or an interaction (several).

    Args:
        changes: the factors involved; all others are averaged over their levels.
        differences: the contrast of each seed, shape (num_seeds,), in the unit of the scores.
    """

    changes: tuple[Change, ...]
    differences: FloatArray

    @property
    def name(self) -> str:
        """Readable name, e.g. "normalization: none -> batch x initializer: normal -> he_normal"."""
        return " x ".join(map(str, self.changes))

    @property
    def effect(self) -> MeanEffect:
        """The contrast's mean over seeds, to be decided like any other difference."""
        return mean_effect(self.differences)


def factorial_contrasts(
    scores: ArrayLike, factors: Mapping[str, Sequence[str]], max_order: int = 2
) -> tuple[Contrast, ...]:
    """Return all main effects and interactions up to `max_order` factors, of a design in which every cell was run.

    A main effect is the mean score at a level minus that at the reference level, all other factors averaged. An
    interaction of two factors is a difference of differences, (y_11 - y_01) - (y_10 - y_00): by how much the effect of
    one changes when the other is changed; textbooks on 2^k designs often halve it. Higher orders continue likewise.
    A factor of L levels gives L - 1 changes against its reference.

    Args:
        scores: shape (num_seeds, num_levels of the 1st factor, of the 2nd, ...); nan marks a missing run.
        factors: names of the factors in the order of the axes, each with its levels, the reference first.
        max_order: largest number of factors in an interaction, at least 1.

    Raises:
        ValueError: axes that do not fit the factors, a factor with one level, or repeated levels.
    """
    y = np.asarray(scores, dtype=np.float64)
    for factor, levels in factors.items():
        if len(levels) < 2 or len(set(levels)) != len(levels):
            raise ValueError(f"factor {factor!r} must have at least 2 different levels, got {list(levels)}")
    shape = tuple(len(levels) for levels in factors.values())
    if not factors or y.shape[1:] != shape:
        raise ValueError(f"`scores` must have shape (num_seeds, {', '.join(map(str, shape))}), got {y.shape}")
    if max_order < 1:
        raise ValueError(f"`max_order` must be at least 1, got {max_order}; 1 asks for main effects only")
    contrasts = []
    for order in range(1, min(max_order, len(factors)) + 1):
        for chosen in itertools.combinations(factors, order):
            for levels_chosen in itertools.product(*(range(1, len(factors[factor])) for factor in chosen)):
                weights = [_weights(factors[f], dict(zip(chosen, levels_chosen, strict=True)).get(f)) for f in factors]
                cells = functools.reduce(np.multiply.outer, weights)
                changes = tuple(
                    Change(f, factors[f][0], factors[f][k]) for f, k in zip(chosen, levels_chosen, strict=True)
                )
                contrasts.append(Contrast(changes, (y * cells).reshape(len(y), -1).sum(axis=1)))
    return tuple(contrasts)


def _weights(levels: Sequence[str], changed_to: int | None) -> FloatArray:
    """Return the weights of a factor's levels: +1 and -1 where it changes, the mean where it does not take part."""
    if changed_to is None:
        return np.full(len(levels), 1 / len(levels))
    weights = np.zeros(len(levels))
    weights[0], weights[changed_to] = -1.0, 1.0
    return weights

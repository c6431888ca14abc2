"""Looks at growing data whose numbers of seeds are declared: the error level of each look, and Holm's test over them.

Of an error level a, each of K looks may spend a / K: the level of look k is the one at which "p of look k is at most
it, and no earlier look's p was at most its own" has the probability a / K under the null. The p values of nested
samples are dependent, so that this level is a / K at the first look and larger at every later one. It is computed
exactly for paired t tests of normal differences whose spread is not known.

Holm's test over looks tests a claim at level a / (m - r), where r of the m claims of its family are rejected so far: by
Ye et al. 2013 the probability of any false rejection is at most a, however the claims depend. A claim that gets no
further seeds, for whatever reason, can only be rejected less often. So claims may rest once they are decided, and a
budget may end any of them after any look.

Source: Jennison & Turnbull 2000, chapters 4 and 7; Maurer & Bretz 2013 and Ye et al. 2013 for Holm's test.
"""

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from ablate.statistics.effects import FloatArray, check_alpha
from ablate.statistics.families import Holm

# Grids: of p values under the null, and of error levels over all looks. Between the latter, log level is linear.
LOG_P = np.linspace(np.log(1e-13), 0.0, 261)
ALPHAS = np.geomspace(1e-6, 1.0, 25)
# Midpoints of equally likely intervals, for the two random parts of an earlier p value given a later one.
NUM_MEANS, NUM_SPREADS = 64, 24


def look_levels(alpha: ArrayLike, looks: Sequence[int]) -> FloatArray:
    """Return the two-sided error level of every look, shape (num_looks, *shape of alpha).

    Args:
        alpha: error level over all looks, in (0, 1).
        looks: number of seeds at each look, increasing, the first at least 2.

    Raises:
        ValueError: looks that do not increase, or begin below 2.

    Example:
        >>> look_levels(0.05, [4, 8, 12, 16]).round(4).tolist()
        [0.0125, 0.0142, 0.0178, 0.0219]
    """
    levels = _table(_checked(looks))
    return np.exp([np.interp(np.log(alpha), np.log(ALPHAS), own) for own in levels]) * _below(np.asarray(alpha))


def over_looks(p: ArrayLike, look: int, looks: Sequence[int]) -> FloatArray:
    """Return the least error level over all looks at which a look rejects: the inverse of `look_levels`, at most 1.

    Args:
        p: two-sided p values of the look, in [0, 1].
        look: from 1.
        looks: see `look_levels`.

    Example:
        >>> float(over_looks(0.0125, 1, [4, 8, 12, 16]).round(4)), float(over_looks(0.0125, 4, [4, 8, 12, 16]).round(3))
        (0.05, 0.03)
    """
    own = _table(_checked(looks))[_index(look, looks)]
    values = np.asarray(p, dtype=np.float64)
    inside = np.exp(np.interp(np.log(np.maximum(values, 1e-300)), own, np.log(ALPHAS)))
    return np.where(values < np.exp(own[0]), values * ALPHAS[0] / np.exp(own[0]), inside)


def holm_at_look(
    p_values: ArrayLike, alpha: float, look: int, looks: Sequence[int], num_left: int, *, one_sided: bool = False
) -> Holm:
    """Test the claims of a family that are at one look, see the module.

    Args:
        p_values: of these claims, in [0, 1], shape (num_claims,).
        alpha: error level of the family over all looks, in (0, 1); of one-sided tests below 0.5.
        look: from 1.
        looks: see `look_levels`.
        num_left: number of claims of the family that no look has rejected, with those that are not tested now.
        one_sided: whether the p values are one-sided.

    Returns:
        Holm's test; its adjusted p values are adjusted for the looks too.

    Raises:
        ValueError: fewer claims left than p values, or a p value outside [0, 1].

    Example: of three claims, the second look tests two.

        >>> found = holm_at_look([0.001, 0.02], 0.05, look=2, looks=[5, 10], num_left=3)
        >>> found.rejected.tolist(), found.alphas.round(4).tolist(), found.adjusted.round(3).tolist()
        ([True, False], [0.0094, 0.0145], [0.006, 0.067])
    """
    check_alpha(alpha)
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"`p_values` must be in [0, 1] and have shape (num_claims,), got {p}")
    if num_left < p.size:
        raise ValueError(f"`num_left` must be at least the number of p values, {p.size}, got {num_left}")
    sides = 2 if one_sided else 1
    left = num_left - np.arange(p.size)
    steps = look_levels(np.minimum(sides * alpha / left, 1.0), looks)[_index(look, looks)] / sides
    order = np.argsort(p, kind="stable")
    ordered = p[order]
    passed = np.logical_and.accumulate(ordered <= steps)
    stop = min(int(passed.sum()), max(p.size - 1, 0))
    alone = over_looks(np.minimum(sides * ordered, 1.0), look, looks) / sides
    adjusted = np.minimum(np.maximum.accumulate(alone * left), 1.0)
    rank = np.argsort(order, kind="stable")
    alphas = np.where(passed, steps, steps[stop] if p.size else 1.0)
    return Holm(adjusted=adjusted[rank], alphas=alphas[rank], rejected=passed[rank])


@dataclass(frozen=True)
class Looks:
    """The declared looks of a family, and what earlier looks have rejected.

    Args:
        seeds: number of seeds at each look, see `look_levels`.
        num_different: claims of the family whose null an earlier look rejected; they are not tested again.
        num_equivalent: the same of the equivalence tests.
        num_claims: number of claims of the family, decided, tested and not tested.
    """

    seeds: tuple[int, ...]
    num_claims: int
    num_different: int = 0
    num_equivalent: int = 0


def _checked(looks: Sequence[int]) -> tuple[int, ...]:
    found = tuple(int(n) for n in looks)
    if not found or found[0] < 2 or any(b <= a for a, b in itertools.pairwise(found)):
        raise ValueError(f"`looks` must be increasing numbers of seeds, the first at least 2, got {list(looks)}")
    return found


def _index(look: int, looks: Sequence[int]) -> int:
    if not 1 <= look <= len(looks):
        raise ValueError(f"`look` must lie in [1, {len(looks)}], got {look}; other looks have no error level left")
    return look - 1


def _below(alpha: FloatArray) -> FloatArray:
    """Return the factor for error levels below the grid, where the levels of the looks are proportional to them."""
    return np.minimum(alpha / ALPHAS[0], 1.0)


@functools.lru_cache(maxsize=64)
def _table(looks: tuple[int, ...]) -> FloatArray:
    """Return the logarithm of the levels of all looks, shape (num_looks, num_alphas).

    Under the null, p of a look is uniform. `clear` is the probability that no earlier look has rejected, given p of the
    present look; it follows from that of the look before by the distribution of an earlier p given a later one.
    """
    p = np.exp(LOG_P)
    clear = np.ones((ALPHAS.size, p.size))
    share = ALPHAS / len(looks)
    levels = [share]
    for earlier, later in itertools.pairwise(looks):
        before = _earlier_p(p, earlier, later)
        log_before = np.log(np.maximum(before, 1e-300))
        clear = np.array(
            [
                (np.interp(log_before, LOG_P, own) * (before > level)).mean(axis=1)
                for own, level in zip(clear, levels[-1], strict=True)
            ]
        )
        mass = clear * p
        step = (mass[:, 1:] + mass[:, :-1]) / 2 * (LOG_P[1] - LOG_P[0])
        spent = np.cumsum(np.concatenate([mass[:, :1], step], axis=1), axis=1)
        found = [
            np.exp(np.interp(np.log(s), np.log(np.maximum(own, 1e-300)), LOG_P))
            for s, own in zip(share, spent, strict=True)
        ]
        levels.append(np.maximum(found, share))
    return np.log(np.array(levels))


def _earlier_p(p: FloatArray, earlier: int, later: int) -> FloatArray:
    """Return equally likely p values of the first `earlier` seeds, given p of all `later`, shape (p.size, num).

    Given p, the direction of the vector of differences has a known angle to (1, ..., 1) and is uniform otherwise. It
    is split into the contrast of earlier and further seeds, and the residuals of both: the squares of the parts follow
    beta distributions, whatever the spread.
    """
    added = later - earlier
    rest = special.betaincinv((later - 1) / 2, 0.5, p)  # of a unit vector: the square of all but the mean
    middle = (np.arange(NUM_MEANS) + 0.5) / NUM_MEANS
    contrast = 2 * special.betaincinv((later - 2) / 2, (later - 2) / 2, middle) - 1
    of_earlier = np.ones(1)
    if added > 1:
        of_earlier = special.betaincinv(
            (earlier - 1) / 2, (added - 1) / 2, (np.arange(NUM_SPREADS) + 0.5) / NUM_SPREADS
        )
    mean = np.sqrt((1 - rest) / later)[:, None] + np.sqrt(added / (earlier * later) * rest)[:, None] * contrast
    squares = (rest[:, None] * (1 - contrast**2))[..., None] * of_earlier
    found = special.betainc((earlier - 1) / 2, 0.5, squares / (squares + earlier * mean[..., None] ** 2))
    return np.asarray(found).reshape(p.size, -1)

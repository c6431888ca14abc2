"""Statistics that a report shows beside a verdict: bootstrap, sign flips, probability of improvement."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from ablate.statistics.effects import FloatArray, Interval, check_alpha, check_vector, has_no_spread, mean_effect
from ablate.statistics.failures import clopper_pearson

# 2^20 sign patterns are summed in about ten milliseconds; with more seeds, patterns are drawn at random.
MAX_EXACT_SEEDS = 20
NUM_SIGN_DRAWS = 99_999


@dataclass(frozen=True)
class SignFlip:
    """A test of "the differences are symmetric about 0" that assumes no distribution.

    Args:
        p: two-sided p value.
        smallest_p: least value that p could have reached with this many seeds.
        exact: whether all sign patterns were counted; otherwise they were drawn at random.
    """

    p: float
    smallest_p: float
    exact: bool


@dataclass(frozen=True)
class Improvement:
    """How often the treatment is above its control at equal seed, a tie counting half.

    Args:
        probability: fraction of pairs in [0, 1].
        interval: of the probability (Clopper-Pearson).
    """

    probability: float
    interval: Interval


@dataclass(frozen=True)
class Description:
    """Summary of paired differences, not adjusted for other claims.

    Args:
        mean: mean difference.
        sd: standard deviation of the differences, ddof = 1; nan with one seed.
        num_seeds: number of pairs.
        t_interval: paired t interval.
        bca_interval: bias-corrected and accelerated bootstrap interval.
        sign_flip: exact sign-flip test.
        improvement: probability of a difference above 0.
    """

    mean: float
    sd: float
    num_seeds: int
    t_interval: Interval
    bca_interval: Interval
    sign_flip: SignFlip
    improvement: Improvement


def describe(differences: ArrayLike, generator: np.random.Generator, alpha: float = 0.05) -> Description:
    """Return the summary of paired differences.

    Args:
        differences: finite, shape (num_seeds,), at least one.
        generator: drives the bootstrap, and the sign flips beyond MAX_EXACT_SEEDS.
        alpha: error level of each interval, in (0, 1).

    Example:
        >>> summary = describe([1.0, 2.0, 3.0], np.random.default_rng(0))
        >>> summary.mean, summary.sd, summary.sign_flip.p
        (2.0, 1.0, 0.25)
    """
    effect = mean_effect(_complete(differences))
    return Description(
        mean=effect.estimate,
        sd=effect.sd,
        num_seeds=effect.num_seeds,
        t_interval=effect.interval(alpha),
        bca_interval=bca_interval(differences, generator, alpha),
        sign_flip=sign_flip(differences, generator),
        improvement=improvement(differences, alpha),
    )


def bca_interval(
    differences: ArrayLike, generator: np.random.Generator, alpha: float = 0.05, num_resamples: int = 9_999
) -> Interval:
    """Return the bias-corrected and accelerated bootstrap interval of the mean difference.

    With few seeds it is too short, as every bootstrap is: docs/calibration.md shows by how much. One seed, or
    differences that are all equal, give no bootstrap distribution; `MeanEffect.interval` is returned then.

    Args:
        differences: finite, shape (num_seeds,), at least one.
        generator: draws the resamples.
        alpha: error level in (0, 1).
        num_resamples: number of bootstrap samples.

    Source: Efron 1987.

    Example:
        >>> interval = bca_interval([1.0, 2.0, 3.0, 4.0], np.random.default_rng(0))
        >>> interval.excludes(0.0), interval.excludes(2.5)
        (True, False)
    """
    check_alpha(alpha)
    d = _complete(differences)
    if d.size == 1 or has_no_spread(d):
        return mean_effect(d).interval(alpha)
    result = stats.bootstrap(
        (d,), np.mean, n_resamples=num_resamples, confidence_level=1 - alpha, method="BCa", rng=generator
    )
    limits = result.confidence_interval
    return Interval(float(limits.low), float(limits.high), 1 - alpha)


def sign_flip(differences: ArrayLike, generator: np.random.Generator, num_draws: int = NUM_SIGN_DRAWS) -> SignFlip:
    """Return the two-sided sign-flip p value of the mean difference.

    p is the fraction of the 2^n sign patterns e for which |sum e_s d_s| >= |sum d_s|. Beyond MAX_EXACT_SEEDS seeds it
    is (1 + hits) / (1 + num_draws) over drawn patterns, which is a valid p value too.

    Args:
        differences: finite, shape (num_seeds,), at least one.
        generator: draws the patterns; not used where all are counted.
        num_draws: number of patterns to draw.

    Example:
        >>> sign_flip([1.0, 2.0, 3.0, 4.0], np.random.default_rng(0))
        SignFlip(p=0.125, smallest_p=0.125, exact=True)
    """
    d = _complete(differences)
    smallest = 2.0 ** (1 - d.size)
    # Patterns that tie up to rounding must count.
    observed = abs(d.sum()) - 1e-12 * np.abs(d).sum()
    if d.size <= MAX_EXACT_SEEDS:
        # Flipping all signs keeps |sum|, so the first sign can stay.
        sums = d[:1]
        for value in d[1:]:
            sums = np.concatenate([sums + value, sums - value])
        return SignFlip(float(np.mean(np.abs(sums) >= observed)), smallest, exact=True)
    hits = 0
    for start in range(0, num_draws, 10_000):
        signs = generator.integers(0, 2, size=(min(10_000, num_draws - start), d.size)) * 2 - 1
        hits += int(np.sum(np.abs(signs @ d) >= observed))
    return SignFlip((1 + hits) / (1 + num_draws), max(smallest, 1 / (1 + num_draws)), exact=False)


def improvement(differences: ArrayLike, alpha: float = 0.05) -> Improvement:
    """Return P(treatment > control) + P(tie) / 2 at equal seed, with its Clopper-Pearson interval.

    The interval's limits are quantiles of Beta(k, n - k + 1) and Beta(k + 1, n - k), where k counts the wins and half
    of the ties. A pair's chance of winning depends on seed noise alone, unlike the comparison of all runs with all
    runs.

    Args:
        differences: finite, shape (num_seeds,), at least one; above 0 where the treatment is better.
        alpha: error level in (0, 1).

    Source: Bouthillier et al. 2021 (arXiv:2103.03098) for the paired form; Agarwal et al. 2021 (arXiv:2108.13264) for
    the form over all pairs of runs.

    Example:
        >>> improvement([0.1, 0.2, 0.0, -0.1]).probability
        0.625
    """
    check_alpha(alpha)
    d = _complete(differences)
    n, k = d.size, float(np.sum(d > 0) + np.sum(d == 0) / 2)
    return Improvement(k / n, clopper_pearson(k, n, alpha))


def _complete(differences: ArrayLike) -> FloatArray:
    d = check_vector("differences", differences)
    if d.size == 0 or not np.isfinite(d).all():
        raise ValueError(f"`differences` must be finite and at least one, got {d}; leave out seeds with a missing run")
    return d

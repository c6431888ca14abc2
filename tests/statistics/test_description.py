"""Statistics shown beside a verdict: sign flips, bootstrap, probability of improvement."""

import itertools

import numpy as np
import pytest
from scipy import stats

from ablate.statistics import bca_interval, describe, improvement, mean_effect, sign_flip
from ablate.statistics.effects import Interval


def generator() -> np.random.Generator:
    return np.random.default_rng(4)


@pytest.mark.parametrize("n", [1, 2, 6, 10])
def test_sign_flip_by_enumeration(n: int) -> None:
    d = generator().normal(0.4, 1, n)
    sums = np.array([np.dot(signs, d) for signs in itertools.product((-1, 1), repeat=n)])
    result = sign_flip(d, generator())
    assert result.p == np.mean(np.abs(sums) >= abs(d.sum()) - 1e-12)
    assert (result.smallest_p, result.exact) == (2 / 2**n, True)


def test_sign_flip_extremes() -> None:
    assert sign_flip([0.1, 0.2, 0.3, 0.4, 0.5], generator()).p == 2 / 2**5
    assert sign_flip(np.zeros(5), generator()).p == 1
    # 0.1 + 0.2 - 0.3 is not 0 in floating point, and its mirror images must all count.
    assert sign_flip([0.1, 0.2, -0.3], generator()).p == 1


def test_sign_flip_draws_beyond_twenty_seeds() -> None:
    d = generator().normal(0.3, 1, 21)
    exact = stats.permutation_test(
        (d,), np.sum, permutation_type="samples", n_resamples=200_000, vectorized=True, rng=generator()
    ).pvalue
    result = sign_flip(d, generator())
    assert not result.exact
    assert result.p == pytest.approx(exact, abs=4 * (exact * (1 - exact) / 1e5) ** 0.5 * 1.3)
    assert result == sign_flip(d, generator())
    assert sign_flip(np.ones(30), generator(), num_draws=99).p == 0.01
    assert sign_flip(np.ones(30), generator(), num_draws=99).smallest_p == 0.01


def test_sign_flip_counts_twenty_seeds() -> None:
    result = sign_flip(np.arange(1, 21), generator())
    assert (result.p, result.exact) == (2 / 2**20, True)


def test_bca_by_its_formula() -> None:
    d = generator().exponential(1, 12)
    interval = bca_interval(d, generator(), 0.1, num_resamples=2_000)
    means = np.sort(d[generator().integers(0, 12, (20_000, 12))].mean(axis=1))
    z0 = stats.norm.ppf(np.mean(means < d.mean()))
    jackknife = (d.sum() - d) / 11
    centred = jackknife.mean() - jackknife
    a = (centred**3).sum() / (6 * (centred**2).sum() ** 1.5)
    z = z0 + stats.norm.ppf([0.05, 0.95])
    reference = np.quantile(means, stats.norm.cdf(z0 + z / (1 - a * z)))
    # The quantiles of 2,000 resamples have a standard error of about 2 % of the sd of a mean.
    assert (interval.lower, interval.upper) == pytest.approx(reference, abs=0.12 * means.std())
    assert interval.confidence == 0.9


def test_bca_is_driven_by_its_generator() -> None:
    d = generator().normal(size=8)
    assert bca_interval(d, generator()) == bca_interval(d, generator())
    assert bca_interval(d, generator()) != bca_interval(d, np.random.default_rng(5))


@pytest.mark.parametrize("d", [[2.0], [2.0, 2.0], [2.0] * 8])
def test_bca_without_spread_is_the_t_interval(d: list[float]) -> None:
    assert bca_interval(d, generator()) == mean_effect(d).interval(0.05)


def test_improvement() -> None:
    result = improvement([1.0, 2.0, 0.0, -1.0, 3.0])
    assert result.probability == 0.7
    whole = improvement([1.0, 2.0, 4.0, -1.0, 3.0])
    reference = stats.binomtest(4, 5).proportion_ci(0.95)
    assert (whole.interval.lower, whole.interval.upper) == pytest.approx((reference.low, reference.high))
    assert reference.low > result.interval.lower
    assert result.interval.upper < reference.high


def test_improvement_at_the_ends_and_mirrored() -> None:
    assert improvement([1.0] * 4).interval == Interval(pytest.approx(0.025**0.25), 1.0, 0.95)
    assert improvement([-1.0] * 4).interval == Interval(0.0, pytest.approx(1 - 0.025**0.25), 0.95)
    one, other = improvement([1.0, 0.0, 3.0, -2.0]), improvement([-1.0, 0.0, -3.0, 2.0])
    assert one.probability == 1 - other.probability
    assert one.interval.lower == pytest.approx(1 - other.interval.upper)


def test_describe_gathers_it_all() -> None:
    d = generator().normal(1, 1, 7)
    result = describe(d, generator(), alpha=0.1)
    assert (result.mean, result.sd, result.num_seeds) == (d.mean(), pytest.approx(d.std(ddof=1)), 7)
    assert result.t_interval == mean_effect(d).interval(0.1)
    assert result.bca_interval == bca_interval(d, generator(), 0.1)
    assert result.sign_flip == sign_flip(d, generator())
    assert result.improvement == improvement(d, 0.1)


def test_one_seed_can_be_described() -> None:
    result = describe([1.0], generator())
    assert np.isnan(result.sd)
    assert result.t_interval == result.bca_interval == Interval(-np.inf, np.inf, 0.95)
    assert result.sign_flip.p == 1


@pytest.mark.parametrize("d", [[], [1.0, np.nan], [np.inf]])
def test_refuses_missing_differences(d: list[float]) -> None:
    with pytest.raises(ValueError, match=r"`differences` must be finite and at least one.*missing run"):
        describe(d, generator())

"""Power against statsmodels, quadrature and simulation."""

import numpy as np
import pytest
from scipy import integrate, special, stats
from statsmodels.stats.power import TTestPower

from ablate.statistics import (
    SeedsNeeded,
    difference_power,
    equivalence_power,
    seeds_needed,
    verdict_probabilities,
)


@pytest.mark.parametrize("n", [2, 3, 5, 10, 40, 500])
@pytest.mark.parametrize("effect", [0.0, 0.1, 0.3, -0.6])
@pytest.mark.parametrize("alpha", [0.05, 0.0005])
def test_difference_power_is_noncentral_t(n: int, effect: float, alpha: float) -> None:
    shift, critical = effect / 0.5 * n**0.5, stats.t(n - 1).ppf(1 - alpha / 2)
    reference = stats.nct(n - 1, shift).sf(critical) + stats.nct(n - 1, -shift).sf(critical)
    assert difference_power(effect, 0.5, n, alpha) == pytest.approx(reference, abs=1e-9)
    verdict = verdict_probabilities(effect, 0.5, n, 0.0, alpha)
    assert verdict.greater + verdict.smaller == pytest.approx(difference_power(effect, 0.5, n, alpha), abs=1e-12)


@pytest.mark.parametrize(("effect", "n"), [(0.3, 10), (0.5, 20), (1.0, 4)])
def test_difference_power_agrees_with_statsmodels(effect: float, n: int) -> None:
    assert difference_power(effect, 1.0, n) == pytest.approx(TTestPower().power(effect, n, 0.05), abs=1e-9)


def test_power_stays_a_probability_where_scipy_has_none() -> None:
    assert difference_power(8, 1, 2) == pytest.approx(stats.nct(1, 8 * 2**0.5).sf(stats.t(1).ppf(0.975)), abs=1e-9)
    for n in (2, 5, 50, 10_000):
        for effect in (0.0, 1.0, 40.0):
            assert 0 <= difference_power(effect, 1, n) <= 1
        powers = [difference_power(effect, 1, n, 0.001) for effect in np.linspace(0, 40, 60)]
        assert (np.diff(powers) > -1e-12).all()
    assert difference_power(0, 1, 7, alpha=0.03) == pytest.approx(0.03, abs=1e-12)


@pytest.mark.parametrize("n", [2, 5, 20])
@pytest.mark.parametrize("effect", [0.0, 0.7, 1.5])
def test_equivalence_power_by_adaptive_quadrature(n: int, effect: float) -> None:
    margin, alpha = 1.2, 0.05
    se, critical = 1 / n**0.5, stats.t(n - 1).ppf(1 - alpha)

    def integrand(s: float) -> float:
        room = margin / se - critical * s
        return (special.ndtr(room - effect / se) - special.ndtr(-room - effect / se)) * stats.chi(n - 1).pdf(
            s * (n - 1) ** 0.5
        ) * (n - 1) ** 0.5  # fmt: skip

    reference, _ = integrate.quad(integrand, 0, min(margin / se / critical, 10), epsabs=1e-12, limit=200)
    assert equivalence_power(margin, 1.0, n, alpha, effect) == pytest.approx(reference, abs=1e-9)


def test_equivalence_is_an_alpha_test_at_its_margin() -> None:
    assert equivalence_power(1.0, 0.2, 20, 0.05, effect=1.0) == pytest.approx(0.05, abs=1e-9)


@pytest.mark.parametrize(("effect", "n", "smallest"), [(0.0, 8, 1.0), (0.8, 5, 0.5), (-1.2, 6, 1.0)])
def test_verdict_probabilities_by_simulation(effect: float, n: int, smallest: float) -> None:
    d = np.random.default_rng(3).normal(effect, 1, (100_000, n))
    mean, se = d.mean(axis=1), d.std(axis=1, ddof=1) / n**0.5
    different = np.abs(mean) > np.maximum(smallest, stats.t(n - 1).ppf(0.975) * se)
    equal = np.abs(mean) + stats.t(n - 1).ppf(0.95) * se < smallest
    predicted = verdict_probabilities(effect, 1.0, n, smallest)
    simulated = (
        (different & (mean > 0)).mean(),
        (different & (mean < 0)).mean(),
        equal.mean(),
        (~different & ~equal).mean(),
    )
    found = (predicted.greater, predicted.smaller, predicted.no_difference, predicted.inconclusive)
    # Four standard errors of a rate of one half.
    assert found == pytest.approx(simulated, abs=4 * 0.5 / 100_000**0.5)
    assert sum(found) == pytest.approx(1, abs=1e-12)


def test_verdict_probabilities_mirror() -> None:
    one, other = verdict_probabilities(0.7, 1, 9, 0.5), verdict_probabilities(-0.7, 1, 9, 0.5)
    assert (one.greater, one.smaller) == pytest.approx((other.smaller, other.greater))
    assert one.inconclusive == pytest.approx(other.inconclusive)


def test_an_effect_of_just_the_smallest_size_is_never_decided() -> None:
    for n in (50, 5000):
        assert verdict_probabilities(1.0, 1.0, n, 1.0).greater == pytest.approx(0.5, abs=1e-4)


@pytest.mark.parametrize("sd", [0.3, 1.0, 4.0])
def test_seeds_needed_is_the_least_number(sd: float) -> None:
    needed = seeds_needed(sd, 1.0, alpha=0.02, alpha_equivalence=0.04, power=0.9)
    assert needed.difference is not None
    assert needed.equivalence is not None
    reference = TTestPower().solve_power(1 / sd, alpha=0.02, power=0.9)
    assert needed.difference == max(2, np.ceil(reference))
    assert equivalence_power(1.0, sd, needed.equivalence, 0.04) >= 0.9
    assert equivalence_power(1.0, sd, needed.equivalence - 1, 0.04) < 0.9
    assert needed.either_way == max(needed.difference, needed.equivalence)


def test_seeds_needed_is_free_of_units_and_knows_its_bounds() -> None:
    assert seeds_needed(3.0, 2.0) == seeds_needed(0.03, 0.02)
    assert seeds_needed(1e-6, 1.0).difference == 2
    assert seeds_needed(1.0, 1e-4) == SeedsNeeded(None, None)
    assert SeedsNeeded(None, 5).either_way is None


def test_refuses_designs_without_spread_or_target() -> None:
    with pytest.raises(ValueError, match=r"`sd` must be finite and above 0, got 0\.0"):
        difference_power(1.0, 0.0, 5)
    with pytest.raises(ValueError, match="`num_seeds` must be at least 2, got 1"):
        equivalence_power(1.0, 1.0, 1)
    with pytest.raises(ValueError, match=r"one-sided test must lie in \(0, 0\.5\), got 0\.5"):
        equivalence_power(1.0, 1.0, 5, alpha=0.5)
    with pytest.raises(ValueError, match="`smallest_effect` must be above 0, got 0"):
        seeds_needed(1.0, 0)
    with pytest.raises(ValueError, match=r"`power` must lie in \(0, 1\), got 80"):
        seeds_needed(1.0, 1.0, power=80)

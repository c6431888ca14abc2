"""The t test and the exact sign-flip test have to agree."""

import numpy as np
import pytest
from scipy import stats

from ablate.statistics import Comparison, decide, guarded_effect, mean_effect

RNG = np.random.default_rng(0)


def test_the_larger_p_value_counts() -> None:
    for _ in range(20):
        d = RNG.normal(0.5, 0.5, 7)
        flips = stats.permutation_test(
            (d,), np.mean, permutation_type="samples", alternative="two-sided", n_resamples=np.inf
        )
        assert guarded_effect(d).p_value() == pytest.approx(max(mean_effect(d).p_value(), flips.pvalue))


def test_the_interval_excludes_the_null_with_p() -> None:
    for _ in range(50):
        effect = guarded_effect(RNG.normal(0.5, 0.4, int(RNG.integers(3, 9))))
        for alpha in (0.2, 0.05, 0.01):
            assert effect.interval(alpha).excludes(0) == (effect.p_value() <= alpha)


def test_zeros_change_no_flip() -> None:
    few = guarded_effect([0.0] * 1000 + [0.5] * 3, is_mixture=False)
    assert few.p_value() == pytest.approx(max(2 / 2**3, few.mean.p_value()))
    assert guarded_effect([0.0] * 5).p_value() == 1.0


def test_missing_pairs_decide_nothing() -> None:
    effect = guarded_effect([1.0, np.nan])
    assert not effect.is_complete
    assert (effect.p_value(), effect.equivalence_p_value(100)) == (1.0, 1.0)


def test_equal_differences_of_a_mixture_need_the_seeds_that_sign_flips_need():
    """A spread of 0 plans nothing; 2 / 2^6 is the first least p value below 0.05."""
    comparison = Comparison(effect=guarded_effect([0.3, 0.3, 0.3]), direction="greater", smallest_effect=0.02)
    (verdict,) = decide([comparison])
    assert (verdict.outcome, verdict.seeds_needed) == ("inconclusive", 6)

"""Holm against statsmodels, and the error levels at which intervals show its decisions; q values against scipy."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from ablate.statistics import false_discovery, holm, look_alpha, mean_effect

RNG = np.random.default_rng(2)


def test_by_hand() -> None:
    result = holm([0.04, 0.01, 0.03, 0.005], 0.05)
    # 0.005 <= 0.05/4, 0.01 <= 0.05/3, 0.03 > 0.05/2: stop; 0.04 stays at the step that failed.
    np.testing.assert_array_equal(result.rejected, [False, True, False, True])
    np.testing.assert_allclose(result.alphas, [0.05 / 2, 0.05 / 3, 0.05 / 2, 0.05 / 4])
    np.testing.assert_allclose(result.adjusted, [0.06, 0.03, 0.06, 0.02])


@pytest.mark.parametrize("m", [1, 2, 5, 12])
def test_agrees_with_statsmodels(m: int) -> None:
    for _ in range(10):
        p = RNG.random(m) ** 4
        result = holm(p, 0.05)
        rejected, adjusted, *_ = multipletests(p, 0.05, method="holm")
        np.testing.assert_array_equal(result.rejected, rejected)
        np.testing.assert_allclose(result.adjusted, adjusted, rtol=1e-12)
        np.testing.assert_array_equal(result.rejected, p <= result.alphas)


def test_intervals_at_the_levels_show_the_decisions() -> None:
    num_rejected = 0
    for _ in range(300):
        m, n = RNG.integers(1, 8), RNG.integers(2, 10)
        effects = [mean_effect(d) for d in RNG.normal(RNG.choice([0.0, 2.0], m)[:, None], 1, (m, n))]
        result = holm([e.p_value() for e in effects], 0.05)
        excluded = [e.interval(alpha).excludes(0) for e, alpha in zip(effects, result.alphas, strict=True)]
        np.testing.assert_array_equal(excluded, result.rejected)
        num_rejected += result.rejected.sum()
    assert 100 < num_rejected < 1000


def test_stops_at_the_first_failure() -> None:
    # The largest is below alpha, but the smallest fails at alpha / 3.
    result = holm([0.045, 0.02, 0.03], 0.05)
    assert not result.rejected.any()
    np.testing.assert_allclose(result.alphas, 0.05 / 3)


def test_all_rejected_and_ties() -> None:
    result = holm([0.01, 0.01, 0.01], 0.05)
    assert result.rejected.all()
    np.testing.assert_allclose(sorted(result.alphas), [0.05 / 3, 0.05 / 2, 0.05])
    np.testing.assert_allclose(result.adjusted, 0.03)


def test_leading_axes_are_families_and_order_does_not_matter() -> None:
    p = RNG.random((4, 3, 6)) ** 3
    whole, order = holm(p, 0.05), RNG.permutation(6)
    permuted = holm(p[..., order], 0.05)
    for name in ("adjusted", "alphas", "rejected"):
        np.testing.assert_array_equal(getattr(whole, name)[1, 2], getattr(holm(p[1, 2], 0.05), name))
        np.testing.assert_array_equal(getattr(whole, name)[..., order], getattr(permuted, name))


@pytest.mark.parametrize("p", [[], 0.5, [0.5, 1.1], [np.nan], [-0.1]])
def test_refuses_what_is_no_family(p: object) -> None:
    with pytest.raises(ValueError, match="`p_values` must"):
        holm(p, 0.05)  # type: ignore[arg-type]


def test_looks_share_the_level() -> None:
    assert sum(look_alpha(0.05, look, 4) for look in range(1, 5)) == pytest.approx(0.05)
    for look in (0, 3):
        with pytest.raises(ValueError, match=rf"`look` must lie in \[1, num_looks = 2\], got {look}"):
            look_alpha(0.05, look, 2)


@pytest.mark.parametrize("num_tests", [1, 2, 7, 40])
def test_q_values_agree_with_scipy(num_tests: int) -> None:
    p = RNG.random((3, num_tests)) ** 2
    assert false_discovery(p) == pytest.approx(np.stack([stats.false_discovery_control(row) for row in p]))


def test_q_of_nothing_and_of_no_p_value() -> None:
    assert false_discovery([]).size == 0
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
        false_discovery([0.5, np.nan])

"""Levels of declared looks against simulation and closed forms, and Holm's test over looks."""

import numpy as np
import pytest
from scipy import special

from ablate.statistics import Comparison, Looks, decide, holm, holm_at_look, look_levels, mean_effect, over_looks

LOOKS = (4, 8, 12, 16)


@pytest.mark.parametrize("looks", [LOOKS, (2, 3), (3, 5, 20)])
@pytest.mark.parametrize("alpha", [0.05, 0.3])
def test_the_looks_together_spend_the_error_level_in_equal_parts(looks: tuple[int, ...], alpha: float) -> None:
    """Simulated t tests of normal differences, 60,000 studies."""
    levels, num = look_levels(alpha, looks), 60_000
    d = np.random.default_rng(1).standard_normal((num, looks[-1]))
    rejected = np.zeros(num, bool)
    for n, level in zip(looks, levels, strict=True):
        seen = d[:, :n]
        t = np.abs(seen.mean(axis=1)) / (seen.std(axis=1, ddof=1) / n**0.5)
        now = (2 * special.stdtr(n - 1, -t) <= level) & ~rejected
        share = alpha / len(looks)
        assert now.mean() == pytest.approx(share, abs=4 * (share / num) ** 0.5)
        rejected |= now


def test_levels_begin_at_an_equal_part_and_are_never_below_it() -> None:
    alphas = np.array([1e-9, 1e-5, 0.01, 0.05, 0.5])
    levels = look_levels(alphas, LOOKS)
    assert levels[0] == pytest.approx(alphas / 4)
    assert (levels >= alphas / 4 * (1 - 1e-12)).all() and (np.diff(levels, axis=0)[:, 2:] > 0).all()
    assert (np.diff(levels, axis=1) > 0).all()
    assert look_levels(0.05, [7]) == pytest.approx([0.05])
    # Nearly all seeds are there at the first look: the second spends an equal part, too, of nearly the same data.
    assert look_levels(0.05, [100, 101])[1] > look_levels(0.05, [100, 400])[1] > 0.025


def test_the_level_over_all_looks_is_the_inverse() -> None:
    for alpha in (1e-9, 1e-4, 0.05, 0.4):
        for look, level in enumerate(look_levels(alpha, LOOKS), start=1):
            assert float(over_looks(level, look, LOOKS)) == pytest.approx(alpha, rel=1e-9)
    assert over_looks([0.0, 1.0], 1, LOOKS).tolist() == [0.0, 1.0]


@pytest.mark.parametrize("looks", [[1, 2], [4, 4], [5, 4], []])
def test_looks_that_do_not_grow_are_refused(looks: list[int]) -> None:
    with pytest.raises(ValueError, match="increasing numbers of seeds"):
        look_levels(0.05, looks)


def test_one_look_is_holm() -> None:
    p = [0.001, 0.02, 0.02, 0.3]
    found, known = holm_at_look(p, 0.05, 1, [9], num_left=4), holm(p, 0.05)
    assert found.rejected.tolist() == known.rejected.tolist()
    assert found.alphas == pytest.approx(known.alphas) and found.adjusted == pytest.approx(known.adjusted)


def test_claims_that_are_not_tested_now_count_until_they_are_rejected() -> None:
    two, four = (holm_at_look([0.02, 0.5], 0.05, 2, [5, 10], num_left=left) for left in (2, 4))
    assert two.alphas[0] == pytest.approx(look_levels(0.025, [5, 10])[1])
    assert four.alphas[0] == pytest.approx(look_levels(0.0125, [5, 10])[1])
    assert four.adjusted[0] > two.adjusted[0]
    with pytest.raises(ValueError, match="`num_left` must be at least"):
        holm_at_look([0.02, 0.5], 0.05, 1, [5, 10], num_left=1)
    with pytest.raises(ValueError, match=r"`look` must lie in \[1, 2\]"):
        holm_at_look([0.02], 0.05, 3, [5, 10], num_left=1)


@pytest.mark.parametrize("look", [1, 2, 3, 4])
def test_interval_p_and_rejection_agree_at_every_look(look: int) -> None:
    generator = np.random.default_rng(look)
    declared = Looks(seeds=LOOKS, num_claims=5)
    for _ in range(40):
        d = generator.standard_normal((3, LOOKS[look - 1])) + generator.uniform(-2, 2, (3, 1))
        claims = [Comparison(effect=mean_effect(x), direction="greater", smallest_effect=1.0) for x in d]
        for verdict in decide(claims, look=look, declared=declared, plan=False):
            assert verdict.differs == verdict.interval.excludes(0.0) == (verdict.p_adjusted <= 0.05)
            assert verdict.agrees == verdict.equivalence_interval.within(1.0)
            assert verdict.agrees == (verdict.equivalence_p_adjusted <= 0.05)


def test_rejected_claims_pass_their_level_on() -> None:
    claim = Comparison(effect=mean_effect([0.3, 0.5, 0.4, 0.55, 0.2, 0.6]), direction="greater", smallest_effect=0.1)
    first, later = (
        decide([claim], look=1, declared=Looks(seeds=(6, 12), num_claims=3, num_different=done))[0] for done in (0, 2)
    )
    assert 1 - first.interval.confidence == pytest.approx(0.05 / 3 / 2)
    assert 1 - later.interval.confidence == pytest.approx(0.05 / 2)
    assert (1 - later.equivalence_interval.confidence) / 2 == pytest.approx(0.05 / 3 / 2)

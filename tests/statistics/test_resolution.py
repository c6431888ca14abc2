"""The resolution of a metric, one image or one epoch, is the least standard error of a mean."""

import numpy as np
import pytest
from scipy import stats

from ablate.statistics import Comparison, MeanEffect, decide, mean_effect

IMAGE = 1 / 2000


def judge(effect, direction="greater", smallest=0.02, **changes):
    return decide([Comparison(effect=effect, direction=direction, smallest_effect=smallest, **changes)])[0]


@pytest.mark.parametrize("num_seeds", [2, 3, 6])
@pytest.mark.parametrize("one_image", [0.0, IMAGE])
def test_thirty_points_in_every_seed_are_decided(num_seeds: int, one_image: float) -> None:
    d = [0.3] * (num_seeds - 1) + [0.3 + one_image]
    found = judge(mean_effect(d, IMAGE))
    assert found.outcome == "supported"
    assert 0 < found.interval.upper - found.interval.lower < 0.015


def test_the_interval_is_that_of_t() -> None:
    effect = mean_effect([0.3] * 4, IMAGE)
    half_width = stats.t.ppf(0.975, 3) * IMAGE
    interval = effect.interval(0.05)
    assert (interval.lower, interval.upper) == pytest.approx((0.3 - half_width, 0.3 + half_width))
    assert effect.p_value() == pytest.approx(2 * stats.t.sf(0.3 / IMAGE, 3))
    assert effect.equivalence_p_value(0.301) == pytest.approx(stats.t.sf(0.001 / IMAGE, 3))


@pytest.mark.parametrize("num_seeds", [2, 3, 6, 30, 1000])
def test_one_image_makes_no_verdict_with_any_number_of_seeds(num_seeds: int) -> None:
    for smallest in (1e-6, IMAGE):
        assert judge(mean_effect([IMAGE] * num_seeds, IMAGE), smallest=smallest).outcome == "inconclusive"
    assert judge(mean_effect([0.0] * (num_seeds - 1) + [IMAGE], IMAGE), smallest=1e-6).outcome == "inconclusive"


def test_spread_above_the_resolution_decides_as_before() -> None:
    d = np.random.default_rng(0).normal(0.01, 0.02, 6)
    plain, floored = mean_effect(d), mean_effect(d, IMAGE)
    assert plain.interval(0.05) == floored.interval(0.05)
    assert plain.p_value() == floored.p_value()


def test_equivalence_needs_three_seeds() -> None:
    two, three = ([0.0, IMAGE], [0.0, IMAGE, 0.0])
    assert judge(mean_effect(two, IMAGE), "equivalent").outcome == "inconclusive"
    assert judge(mean_effect(two, IMAGE)).equivalence_p == 1.0
    assert judge(mean_effect(three, IMAGE), "equivalent").outcome == "supported"
    # The same where the resolution is not known: two seeds may agree by chance.
    assert judge(MeanEffect(0.0, 0.0, 2), "equivalent", smallest=100).outcome == "inconclusive"


def test_seeds_are_planned_with_the_resolution() -> None:
    found = judge(mean_effect([0.0199, 0.0199], 0.006))
    assert found.outcome == "inconclusive"
    assert found.seeds_needed is None or found.seeds_needed > 2
    assert judge(mean_effect([IMAGE] * 6, IMAGE), smallest=IMAGE / 2).seeds_needed is None

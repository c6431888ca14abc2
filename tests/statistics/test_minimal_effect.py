"""Claims that name a number are tested against that number."""

import numpy as np
import pytest

from ablate.statistics import Comparison, MeanEffect, decide, mean_effect, rank_effect, ratio

LOG4 = float(np.log(4))


def judge(effect, direction="greater", smallest=1.0, at_least=True):
    return decide([Comparison(effect=effect, direction=direction, smallest_effect=smallest, at_least=at_least)])[0]


@pytest.mark.parametrize(
    ("estimate", "sd", "direction", "outcome"),
    [
        (2.0, 0.5, "greater", "supported"),
        (-2.0, 0.5, "smaller", "supported"),
        # Clearly not 0, perhaps below the number.
        (1.1, 0.5, "greater", "inconclusive"),
        (0.9, 0.5, "greater", "inconclusive"),
        # Clearly less than the number.
        (0.9, 0.05, "greater", "contradicted"),
        (-0.9, 0.05, "smaller", "contradicted"),
        (0.0, 0.05, "greater", "contradicted"),
        (2.0, 0.05, "smaller", "contradicted"),
    ],
)
def test_outcomes(estimate: float, sd: float, direction: str, outcome: str) -> None:
    found = judge(MeanEffect(estimate, sd, 10), direction)
    assert found.outcome == outcome
    null = 1.0 if direction == "greater" else -1.0
    assert found.interval.excludes(null) == (found.p_adjusted <= 0.05) == (outcome != "inconclusive")
    assert found.equivalence_p == 1.0


def test_an_interval_from_339_does_not_say_at_least_four_times() -> None:
    d = np.log([3.6, 4.8, 5.2, 4.1, 4.9])
    effect = mean_effect(d)
    assert 3.3 < np.exp(effect.interval(0.05).lower) < 4 < np.exp(effect.estimate)
    assert judge(effect, smallest=LOG4, at_least=False).outcome == "supported"
    assert judge(effect, smallest=LOG4).outcome == "inconclusive"


@pytest.mark.parametrize("share", [0.9, 0.95, 1.0])
def test_a_smaller_effect_is_seldom_supported(share: float) -> None:
    rng = np.random.default_rng(0)
    num, n, sd = 2_000, 5, 0.1
    d = share + sd * rng.standard_normal((num, n))
    supported = sum(judge(mean_effect(x)).outcome == "supported" for x in d) / num
    assert supported <= 0.025 + 3 * (0.025 / num) ** 0.5
    named_only = sum(judge(mean_effect(x), at_least=False).outcome == "supported" for x in d) / num
    assert named_only > 0.025 + 3 * (0.025 / num) ** 0.5 or share == 0.9


def test_censored_ratios_too() -> None:
    never = ratio([4, 5, 6, 4, 5, 6, 5], [np.inf] * 7, budget=20)
    # All that is known is "more than 20 / 6 to 20 / 4 times".
    assert judge(never, "smaller", float(np.log(2))).outcome == "supported"
    assert judge(never, "smaller", float(np.log(4))).outcome == "inconclusive"
    effect = rank_effect([1.0] * 8, [1.2] * 8)
    assert (effect.p_value(0.9), effect.p_value(1.1)) == (2 / 2**8, 1.0)


def test_seeds_are_extrapolated_to_the_number() -> None:
    found = judge(MeanEffect(1.1, 0.5, 10))
    n = found.seeds_needed
    assert judge(MeanEffect(1.1, 0.5, n)).outcome == "supported"
    assert judge(MeanEffect(1.1, 0.5, n - 1)).outcome == "inconclusive"


def test_refuses_equivalence() -> None:
    with pytest.raises(ValueError, match="`at_least` is for a claim that one side is greater or smaller"):
        judge(MeanEffect(0, 1, 5), "equivalent")

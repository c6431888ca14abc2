"""Which value of a tuned setting is chosen, by hand."""

import pytest

from ablate.errors import UserError
from ablate.study.choice import choose_place
from ablate.study.tuned import Tuning

SCORES = [[0.2, 0.2, 0.2], [0.38, 0.38, 0.38], [0.36, 0.40, 0.44], [0.1, 0.1, 0.1]]
# The best mean is 0.40; its standard error 0.04 / sqrt(3) = 0.0231, so 0.3769 is the least mean that is within.


def test_the_best_mean_or_the_smallest_value_within_one_standard_error_of_it():
    sound = [0] * 4
    assert choose_place(SCORES, sound, "best") == (2, False)
    assert choose_place(SCORES, sound, "one_standard_error") == (1, False)
    narrower = [SCORES[0], [0.3768] * 3, *SCORES[2:]]
    assert choose_place(narrower, sound, "one_standard_error") == (2, False)
    wider = [SCORES[0], [0.3770] * 3, *SCORES[2:]]
    assert choose_place(wider, sound, "one_standard_error") == (1, False)


def test_the_error_is_that_of_the_best_value():
    noisy = [[0.1, 0.38, 0.66], [0.40, 0.40, 0.40], [0.3, 0.3, 0.3]]
    assert choose_place(noisy, [0] * 3, "one_standard_error") == (1, False)


def test_values_with_fewer_unsound_runs_come_first():
    assert choose_place(SCORES, [0, 0, 1, 0], "one_standard_error") == (1, False)
    assert choose_place(SCORES, [1, 1, 1, 0], "best") == (3, True)


def test_a_tie_goes_to_the_smaller_value():
    assert choose_place([[0.4, 0.4], [0.4, 0.4], [0.4, 0.4]], [0] * 3, "best") == (0, True)


@pytest.mark.parametrize(
    ("scores", "edge"),
    [
        ([[0.10, 0.10], [0.50, 0.52], [0.10, 0.10]], False),
        ([[0.50, 0.50], [0.49, 0.53], [0.10, 0.10]], True),  # the first is within one standard error
        ([[0.10, 0.10], [0.49, 0.53], [0.50, 0.50]], True),  # so is the last, though the middle one is chosen
    ],
)
def test_an_end_of_the_grid_within_one_standard_error_is_an_edge(scores, edge):
    assert choose_place(scores, [0] * 3, "one_standard_error").is_edge == edge


def test_an_unknown_rule_is_refused():
    with pytest.raises(UserError, match=r"`tuning.rule` must be one of best, one_standard_error, got 'median'"):
        Tuning(key="optimizer.lr", values=[0.1, 0.2], rule="median")

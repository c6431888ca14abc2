"""Which value of a tuned setting an arm is judged at: numbers only."""

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

RULES = ("best", "one_standard_error")
ROUNDING = 1e-9


class Choice(NamedTuple):
    """The place of the chosen value in the grid, and whether a better one may be outside the grid."""

    place: int
    is_edge: bool


def choose_place(scores: Sequence[Sequence[float]], num_unsound: Sequence[int], rule: str) -> Choice:
    """Return the place of the value that an arm is judged at.

    Only values with the fewest unsound runs are candidates. `best`: the highest mean score, the smaller value at a tie.
    `one_standard_error`: the smallest value whose mean is at most one standard error below the highest mean. The
    standard error is that of the highest mean, over its tuning seeds, so that how much a value may be worse is decided
    by the spread of the tuning runs and not by a person who has seen other runs. The smallest value is the cautious
    end: a learning rate that is too small costs a little, one that is too large makes a run fail, and tuning seeds are
    too few to see a failure that is rare. (Hastie et al. take the simplest model within one standard error for the same
    reason.)

    A better value may be outside if the first or the last value of the grid is chosen, or, under `one_standard_error`,
    is within one standard error of the best, as all values are where none trains.

    Args:
        scores: of each value, in increasing order of values, the validation scores over tuning seeds, at least two.
        num_unsound: of each value, how many of its runs diverged or gave outputs that are not finite.
        rule: one of `RULES`.

    Source: Hastie, Tibshirani & Friedman 2009, The Elements of Statistical Learning, section 7.10.

    >>> choose_place([[0.50, 0.54], [0.52, 0.55], [0.3, 0.3]], [0, 0, 0], "one_standard_error")
    Choice(place=0, is_edge=True)
    >>> choose_place([[0.50, 0.51], [0.52, 0.53], [0.3, 0.3]], [0, 0, 0], "one_standard_error")
    Choice(place=1, is_edge=False)
    """
    means = [statistics.fmean(own) for own in scores]
    sound = [place for place, num in enumerate(num_unsound) if num == min(num_unsound)]
    best = max(sound, key=lambda place: (means[place], -place))
    within = [best]
    if rule == "one_standard_error" and all(map(math.isfinite, scores[best])):
        error = statistics.stdev(scores[best]) / math.sqrt(len(scores[best]))
        within = [place for place in sound if means[place] >= means[best] - error - ROUNDING]
    return Choice(place=within[0], is_edge=bool({0, len(scores) - 1} & set(within)))

import math

import pytest

from ablate.report.phrases import (
    OUTCOME_STYLES,
    Unit,
    mean_score,
    percent,
    plural,
    probability,
    short_names,
    signed,
    unit_of,
)
from ablate.study.claim import Claim


def claim(**changes):
    fields = {"name": "c", "text": "c", "form": "greater", "treatment": {"a": 1}, "control": {"a": 2}}
    return Claim(**{**fields, "smallest_effect": 0.01, **changes})


@pytest.mark.parametrize(
    ("changes", "name", "shown"),
    [
        ({}, "points", "+2.30 points"),
        ({"metric": "val/loss"}, "", "+0.023"),
        ({"metric": "epochs_to/val/accuracy/0.5"}, "epochs", "+0.023 epochs"),
        ({"form": "ratio", "direction": "smaller", "smallest_effect": 1.5}, "factor", "×0.023"),
    ],
)
def test_the_unit_follows_from_form_and_metric(changes, name, shown):
    unit = unit_of(claim(**changes))
    assert unit.name == name
    assert unit.effect(0.023) == shown


def test_an_interval_may_be_open_or_unknown():
    points = Unit("points", 100.0)
    assert points.interval(-0.011, 0.0) == "[−1.10, +0.00]"
    assert points.interval(-math.inf, math.inf) == "[−∞, ∞]"
    assert points.interval(None, None) == ""
    assert points.effect(None) == points.effect(math.nan) == "–"


def test_a_small_number_is_not_rounded_to_nothing():
    assert signed(-0.00042, 2) == "−0.00042"
    assert signed(-0.42, 2) == "−0.42"
    assert signed(0.0, 2) == "+0.00"
    assert signed(1234.5) == "+1.23e+03"


def test_scores_levels_and_counts():
    assert mean_score(0.61234, "test/accuracy") == "61.23 %"
    assert mean_score(3.5, "epochs_to/val/accuracy/0.5") == "3.5 epochs"
    assert mean_score(math.inf, "epochs_to/val/accuracy/0.5") == "never reached"
    assert mean_score(-1.5, "test/loss") == "−1.5"
    assert mean_score(None, "test/loss") == "–"
    assert [probability(p) for p in (None, 0.0004, 0.0312)] == ["–", "< 0.001", "0.031"]
    assert percent(0.9875) == "98.75 %"
    assert percent(0.95) == "95 %"
    assert [plural(1, "run"), plural(1000, "run")] == ["1 run", "1,000 runs"]


def luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_outcomes_differ_without_colour_and_read_on_white():
    assert (
        len({look.symbol for look in OUTCOME_STYLES.values()})
        == len({look.marker for look in OUTCOME_STYLES.values()})
        == len(OUTCOME_STYLES)
    )
    for look in OUTCOME_STYLES.values():
        assert 1.05 / (luminance(look.colour) + 0.05) >= 4.5


def test_names_leave_out_what_all_would_repeat(grid_study, tmp_path):
    arms = grid_study(tmp_path).arms
    title, names = short_names(arms)
    assert title == "activation · normalization"
    assert names[:2] == ["relu · none", "relu · batch"]
    object.__setattr__(arms[0].planned, "axes", {"activation": "relu"})
    assert short_names(arms) == ("", [arm.label for arm in arms])


def test_the_rounding_error_of_a_sum_is_shown_as_no_effect():
    points = Unit("points", 100)
    assert points.effect(9.25e-18) == points.effect(-1.11e-17) == points.effect(9e-13) == "+0.00 points"
    assert points.effect(2e-12) == "+2e−10 points"

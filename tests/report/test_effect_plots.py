import math
from dataclasses import replace

import pytest

from ablate.report.effect_plots import axis_title, forest, margin, shown, strip
from ablate.report.verdicts import verdict_table


@pytest.fixture
def verdicts(tuned_study, tmp_path):
    return verdict_table(*tuned_study(tmp_path))


def test_accuracies_are_in_points_and_factors_logarithmic(verdicts):
    accuracy, ratio = verdicts[0], verdicts[4]
    assert shown(accuracy, 0.02) == pytest.approx(2.0)
    assert margin(accuracy) == pytest.approx(1.0)
    assert shown(ratio, 2.0) == pytest.approx(math.log(2))
    assert margin(ratio) == pytest.approx(math.log(1.2))
    assert shown(ratio, 0.0) == -math.inf
    assert shown(accuracy, None) is None and shown(accuracy, math.nan) is None
    assert axis_title(accuracy) == "effect on test/accuracy, points"
    assert axis_title(ratio).startswith("treatment / control, epochs_to/")


def test_a_strip_describes_itself(verdicts):
    svg = strip(verdicts[0])
    assert f"Claim 1, paired differences: 6 seeds, mean {verdicts[0].effect}" in svg


def test_the_forest_has_every_effect_and_none_without(verdicts):
    svg = forest(verdicts)
    assert all(verdict.marked in svg for verdict in verdicts)
    assert forest([replace(v, judgement=replace(v.judgement, estimate=None)) for v in verdicts]) == ""

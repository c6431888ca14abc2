"""Slides of a report."""

from dataclasses import replace

import pytest

from ablate.report.slides import effect_line, slides
from ablate.report.verdicts import verdict_table


def test_each_claim_is_a_slide_with_its_effect_on_a_line(tuned_study, tmp_path):
    results, judgements = tuned_study(tmp_path)
    found = slides("Study", verdict_table(results, judgements))
    assert [slide.verdict.number for slide in found] == [1, 2, 3, 4, 5]
    line = found[0].line
    assert line.interval[0] <= line.mean <= sum(line.interval)
    assert all(0 <= place <= 100 for place in [line.zero, line.mean, *line.seeds, *line.zone])
    assert line.zone[0] + line.zone[1] / 2 == pytest.approx(line.zero, abs=0.02)


def test_an_exact_statement_has_no_line(tuned_study, tmp_path):
    results, judgements = tuned_study(tmp_path)
    exact = replace(judgements[0], claim=replace(judgements[0].claim, form="identity"))
    assert effect_line(verdict_table(results, [exact])[0]) is None


def test_an_interval_of_points_ends_at_a_hundred(tuned_study, tmp_path):
    results, judgements = tuned_study(tmp_path)
    wide = replace(judgements[0], low=-0.4, high=1.4)
    row = verdict_table(results, [wide])[0]
    assert row.interval == "[−40.00, +100.00]"
    assert sum(effect_line(row).interval) < 100

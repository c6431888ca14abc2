from dataclasses import replace

from ablate.judging.judgement import Mechanism
from ablate.report.terminal import summary, verdict_line
from ablate.report.verdicts import verdict_table


def test_a_line_has_outcome_sentence_and_effect(tuned_study, tmp_path):
    results, judgements = tuned_study(tmp_path)
    (verdict, *_) = verdict_table(results, judgements)
    claim = judgements[0].claim
    assert verdict_line(verdict) == f"✓ supported: {claim.text}  {verdict.effect} {verdict.interval}"
    (bare,) = verdict_table(results, [replace(judgements[0], estimate=None, low=None, high=None, reason="no runs")])
    assert verdict_line(bare) == f"✓ supported: {claim.text}  (no runs)"


def test_a_summary_without_runs_says_so(tuned_study, undone, tmp_path):
    results, _ = tuned_study(tmp_path)
    assert summary(undone(results), []).startswith("no run has finished yet")


def test_the_measurements_that_explain_a_verdict_stand_below_it(tuned_study, tmp_path):
    results, judgements = tuned_study(tmp_path)
    found = Mechanism(metric="saturation/mean", treatment=0.125, control=0.5)
    text = summary(results, [replace(judgements[0], mechanisms=[found])])
    (line,) = (line for line in text.splitlines() if "measured: " in line)
    assert "saturation/mean" in line and "0.125" in line and "0.5" in line

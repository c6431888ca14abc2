from dataclasses import replace

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

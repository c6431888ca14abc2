"""Paired differences of a sweep, against numbers computed here."""

from dataclasses import replace

import pytest
from scipy import stats

from ablate.judging import judge
from ablate.report import summary, write_report
from ablate.report.contrasts import baseline_arm, contrasts, note
from ablate.study.manifest import write_manifest
from ablate.study.results import collect, missing_runs
from builders.studies import finish, manifest

SCORES = {("activation=relu", 0): 0.50, ("activation=relu", 1): 0.56, ("activation=relu", 2): 0.52}
SCORES |= {("activation=tanh", 0): 0.40, ("activation=tanh", 1): 0.43, ("activation=tanh", 2): 0.44}


def swept(tmp_path, skip=(), seeds=3, **definition):
    found = manifest(looks=(seeds,), seeds=seeds, **definition)
    folder = tmp_path / "studies" / "s"
    write_manifest(found, folder)
    for job in list(missing_runs(collect(found, folder))):
        if (job.label, job.seed) not in skip:
            finish(folder, job, SCORES[job.label, job.seed])
    return collect(found, folder)


def test_the_difference_to_the_first_arm_has_the_paired_t_interval(tmp_path):
    head, row = contrasts(swept(tmp_path))
    differences = [-10.0, -13.0, -8.0]
    low, high = stats.t.interval(0.95, 2, loc=sum(differences) / 3, scale=stats.sem(differences))
    assert head == ["arm minus activation=relu", "test accuracy, points", "95 % interval", "seeds"]
    assert row == ["activation=tanh", "−10.33", f"[−{-low:.2f}, −{-high:.2f}]", "3"]


def test_a_baseline_turns_the_sign(tmp_path):
    results = swept(tmp_path, baseline={"activation": "tanh"})
    assert baseline_arm(results).label == "activation=tanh"
    head, row = contrasts(results)
    assert (head[0], row[0], row[1]) == ("arm minus activation=tanh", "activation=relu", "+10.33")


def test_only_seeds_of_both_arms_are_paired(tmp_path):
    (_, row) = contrasts(swept(tmp_path, skip=[("activation=relu", 2)]))
    assert (row[1], row[3]) == ("−11.50", "2")


def test_one_seed_has_a_difference_and_no_interval_and_the_cure_is_named(tmp_path):
    rows = contrasts(swept(tmp_path, seeds=1))
    assert rows[1] == ["activation=tanh", "−10.00", "", "1"]
    assert "seed=range(5)" in note(rows)


def test_a_study_with_claims_has_verdicts_instead(tmp_path):
    claim = {"text": "t", "form": "greater", "smallest_effect": 0.01}
    claim |= {"treatment": {"activation": "relu"}, "control": {"activation": "tanh"}}
    assert contrasts(swept(tmp_path, claims={"c": claim})) == []


@pytest.mark.parametrize("name", ["report.html", "report.md", "terminal"])
def test_every_output_shows_the_differences_as_exploratory(tmp_path, name):
    results = swept(tmp_path)
    judgements = judge(results)
    write_report(results, judgements)
    text = summary(results, judgements) if name == "terminal" else (results.folder / name).read_text()
    assert "−10.33" in text
    assert "xploratory" in text


def test_the_terminal_summary_fits_80_columns(tmp_path):
    results = swept(tmp_path)
    text = summary(results, judge(results))
    assert max(map(len, text.splitlines())) < 80
    bad = replace(results.arms[0].records[0], status="diverged")
    results.arms[0].records[0] = bad
    assert "diverged" in summary(results, judge(results))

"""What is said beside a verdict."""

from dataclasses import replace

from ablate.judging import Mechanism
from ablate.report.verdicts import verdict_table


def texts(verdict):
    return [f"{note.kind}: {note.text} {note.command}".strip() for note in verdict.notes]


def test_notes_say_what_weakens_a_verdict_and_what_to_do(tuned_study, tmp_path):
    results, judgements = tuned_study(tmp_path)
    first, second, _, fourth, _ = verdict_table(results, judgements)
    assert texts(first) == [
        "warning: best optimizer.lr on the edge of the grid: activation=sigmoid; widen study.tuning.values"
    ]
    assert texts(second) == ["warning: lr-sensitive: another answer with one arm at a neighbouring optimizer.lr"]
    assert texts(fourth)[0] == ("step: about 7 further seeds would decide it: ablate study=activation extra_seeds=7")
    assert texts(fourth)[1].startswith("remark: At this budget")


def test_a_sensitive_verdict_names_another_tuned_setting(tuned_study, tmp_path):
    results, judgements = tuned_study(tmp_path)
    tuning = replace(results.study.tuning, key="optimizer.momentum")
    results = replace(results, study=replace(results.study, tuning=tuning))
    assert texts(verdict_table(results, judgements)[1])[0].startswith("warning: sensitive to optimizer.momentum:")


def test_no_seeds_are_offered_when_the_looks_are_used_up(tuned_study, tmp_path):
    results, judgements = tuned_study(tmp_path)
    results = replace(results, manifest=replace(results.manifest, looks=[6, 9]))
    note = texts(verdict_table(results, judgements)[3])[0]
    assert "the 2 declared looks at the data are used up" in note and "extra_seeds" not in note
    assert "a new study with 13 other seeds" in note and note.endswith(
        "study.seeds=[6,7,8,9,10,11,12,13,14,15,16,17,18]'"
    )
    undecidable = replace(judgements[3], further_seeds=None)
    assert "no number of further seeds" in texts(verdict_table(results, [undecidable])[0])[0]


def test_a_claim_about_a_value_shows_one_side(tuned_study, tmp_path):
    results, judgements = tuned_study(tmp_path)
    measured = Mechanism(metric="saturation/mean", treatment=0.914, control=None)
    claim = replace(judgements[0].claim, control={}, value=0.5)
    alone = replace(judgements[0], claim=claim, mechanisms=[measured])
    beside = replace(judgements[0], mechanisms=[replace(measured, control=0.02)])
    assert [texts(found)[-1] for found in verdict_table(results, [alone, beside])] == [
        "remark: measured: saturation/mean 0.914",
        "remark: measured: saturation/mean 0.914 against 0.02",
    ]


def test_hundreds_of_further_seeds_are_not_recommended(tuned_study, tmp_path):
    results, judgements = tuned_study(tmp_path)
    many = replace(judgements[3], further_seeds=418)
    note = texts(verdict_table(results, [many])[0])[0]
    assert "418 further seeds" in note and "larger budget" in note and "extra_seeds" not in note


def test_an_exact_statement_says_in_how_many_seeds_it_holds(tuned_study, tmp_path):
    results, judgements = tuned_study(tmp_path)
    claim = replace(judgements[0].claim, form="identity", metric="algebra/identity_error", tolerance=1e-12)
    held = replace(judgements[0], claim=claim, estimate=1.52e-16, low=None, high=None, differences=[0.0, 1.52e-16])
    row, broken = verdict_table(results, [held, replace(held, estimate=0.25, differences=[0.0, 0.25])])
    assert row.effect == "exact, 2 of 2 seeds" and row.interval == ""
    assert broken.effect == "exact, 1 of 2 seeds; largest difference +0.25"
    loose = verdict_table(results, [replace(held, claim=replace(claim, tolerance=0.05))])[0]
    assert loose.effect == "within 0.05, 2 of 2 seeds"

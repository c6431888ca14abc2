"""What is said beside a verdict."""

from dataclasses import replace

from ablate.judging import Mechanism
from ablate.judging.judgement import Trained
from ablate.report.terminal import verdict_line
from ablate.report.verdicts import verdict_table


def texts(verdict):
    return [f"{note.kind}: {note.text} {note.command}".strip() for note in verdict.notes]


def test_notes_say_what_weakens_a_verdict_and_what_to_do(tuned_study, tmp_path):
    results, judgements = tuned_study(tmp_path)
    first, second, _, fourth, _ = verdict_table(results, judgements)
    assert texts(first) == [
        "warning: best optimizer.lr on the edge of the grid: activation=sigmoid; widen study.tuning.values"
    ]
    assert texts(second) == ["warning: lr-sensitive: the verdict changes at an adjacent learning rate"]
    assert texts(fourth)[0].startswith("remark: open: the ")
    assert texts(fourth)[1] == ("step: about 7 further seeds would decide it: ablate study=activation extra_seeds=7")
    assert texts(fourth)[2].startswith("remark: At this budget")


def test_a_sensitive_verdict_names_another_tuned_setting(tuned_study, tmp_path):
    results, judgements = tuned_study(tmp_path)
    tuning = replace(results.study.tuning, key="optimizer.momentum")
    results = replace(results, study=replace(results.study, tuning=tuning))
    assert texts(verdict_table(results, judgements)[1])[0].startswith("warning: sensitive to optimizer.momentum:")


def test_no_seeds_are_offered_when_the_looks_are_used_up(tuned_study, tmp_path):
    results, judgements = tuned_study(tmp_path)
    results = replace(results, manifest=replace(results.manifest, looks=[6, 9]))
    note = texts(verdict_table(results, judgements)[3])[1]
    assert "the 2 declared looks at the data are used up" in note and "extra_seeds" not in note
    assert "a new study with 13 other seeds" in note and note.endswith(
        "study.seeds=[6,7,8,9,10,11,12,13,14,15,16,17,18]'"
    )
    undecidable = replace(judgements[3], further_seeds=None)
    assert "no number of further seeds" in texts(verdict_table(results, [undecidable])[0])[1]


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
    note = texts(verdict_table(results, [many])[0])[1]
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


def test_an_inconclusive_claim_says_why_on_the_page_and_on_the_terminal(tuned_study, tmp_path):
    results, judgements = tuned_study(tmp_path)
    claim = replace(judgements[3].claim, smallest_effect=0.011)
    near = replace(judgements[3], claim=claim, estimate=0.0105, low=0.0096, high=0.0114, further_seeds=None)
    (row,) = verdict_table(results, [near])
    why = "the true difference may be larger or smaller than the smallest effect of interest, 1.10 points: its interval"
    assert texts(row)[0] == f"remark: open: {why} is [+0.96, +1.14]"
    assert f"({why} is [+0.96, +1.14])" in verdict_line(row)
    assert not any(note.text.startswith("open:") for note in verdict_table(results, [judgements[0]])[0].notes)


def test_a_verdict_of_no_difference_shows_the_interval_that_it_rests_on(tuned_study, tmp_path):
    results, judgements = tuned_study(tmp_path)
    shown = {"equivalence_low": -0.004, "equivalence_high": 0.012, "equivalence_level": 0.9}
    same, better, supported = verdict_table(
        results,
        [
            replace(judgements[2], **shown),
            replace(judgements[0], **shown),
            replace(judgements[2], outcome="supported", **shown),
        ],
    )
    note = (
        "remark: decided by the equivalence test: its 90 % interval [−0.40, +1.20] lies within the smallest effect of "
        "interest, 2.00 points"
    )
    assert texts(same)[0] == texts(supported)[0] == note
    assert dict(same.numbers)["90 % interval of the equivalence test"] == "[−0.40, +1.20]"
    assert note not in texts(better) and "90 % interval of the equivalence test" not in dict(better.numbers)


def test_a_claim_about_the_tuned_score_says_so(tuned_study, tmp_path):
    results, judgements = tuned_study(tmp_path)
    claim = replace(judgements[0].claim, metric="val/accuracy")
    row, other = verdict_table(results, [replace(judgements[0], claim=claim), judgements[0]])
    assert "optimizer.lr was chosen by val/accuracy too" in " ".join(texts(row))
    assert "was chosen by" not in " ".join(texts(other))


def test_runs_that_did_not_train_are_not_called_failed(tuned_study, tmp_path):
    results, judgements = tuned_study(tmp_path)
    sides = [Trained(label=name, failed=k, total=5, at_most=p) for name, k, p in (("a", 0, 0.45), ("b", 5, 1.0))]
    (row,) = verdict_table(results, [replace(judgements[0], trained=sides)])
    counts = "0 of 5 against 5 of 5"
    limits = "95 % upper limit of the failure rate: 45 % against 100 %"
    assert f"({counts} did not train; {limits})" in verdict_line(row)
    assert dict(row.numbers)["runs that did not train"] == row.failed == f"{counts}; {limits}"

from dataclasses import replace

from ablate.judging import Judgement, Mechanism
from ablate.report.content import study_content
from ablate.report.effect_plots import strip
from ablate.report.markdown import to_markdown, verdict_rows
from ablate.report.provenance import command_with, environment, failures, progress, setting, undeclared
from ablate.report.table import cells, study_rows
from ablate.report.terminal import summary
from ablate.report.verdicts import answer, verdict_table


def test_the_answer_counts_outcomes(tuned_study, tmp_path):
    _, judgements = tuned_study(tmp_path)
    assert answer(judgements) == "2 supported, 1 contradicted, 1 no difference, 1 inconclusive"
    assert answer([]) == "nothing was claimed"


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
    undecidable = replace(judgements[3], further_seeds=None)
    assert "no number of further seeds" in texts(verdict_table(results, [undecidable])[0])[0]


def test_numbers_are_in_points_or_factors_and_what_is_unknown_is_left_out(tuned_study, tmp_path):
    results, judgements = tuned_study(tmp_path)
    first, fifth = verdict_table(results, judgements)[0], verdict_table(results, judgements)[4]
    numbers = dict(first.numbers)
    assert numbers["95 % interval over test images"] == "[+15.00, +22.00]"
    assert numbers["least effect that matters"] == "±1.00 points"
    assert numbers["pairs of seeds"] == "6"
    assert "p of a relevant effect, adjusted" not in numbers
    assert numbers["effect"] == f"+{100 * judgements[0].estimate:.2f} points" == first.effect
    assert first.ours.startswith(first.effect) and " against " in first.ours
    assert first.at_values[0][0] == "optimizer.lr"
    assert first.at_values[1] == ["0.01", "+5.00 points", "[+1.00, +9.00]", "3"]
    assert fifth.effect == f"×{judgements[4].estimate:.3g}"
    assert dict(fifth.numbers)["least effect that matters"] == "×1.2 or ×0.833"


def test_a_claim_without_numbers_has_its_reason(tuned_study, tmp_path):
    results, judgements = tuned_study(tmp_path)
    bare = Judgement(claim=judgements[0].claim, outcome="incomplete", reason="3 runs are missing")
    (found,) = verdict_table(results, [bare])
    assert (found.effect, found.interval, found.slug) == ("", "", "incomplete")
    assert texts(found) == ["warning: 3 runs are missing"]
    assert [what for what, _ in found.numbers] == ["least effect that matters", "pairs of seeds"]


def test_progress_counts_runs(tuned_study, undone, tmp_path):
    results, _ = tuned_study(tmp_path)
    state = progress(results)
    assert (state.done, state.planned, state.tuning_done, state.tuning_planned) == (36, 36, 90, 90)
    assert (state.failed, state.diverged, state.is_complete) == (1, 1, True)
    none = progress(undone(results))
    assert not none.is_complete
    assert none.sentence() == "0 of 36 report runs and 0 of 90 tuning runs done"


def test_failures_and_divergence_are_listed(tuned_study, tmp_path):
    results, _ = tuned_study(tmp_path)
    _, *rows = failures(results)
    assert rows[0] == ["activation=tanh", "1000002", "tuning run failed: RuntimeError: <out of memory>"]
    assert rows[1][:2] == ["activation=sigmoid", "4"] and rows[1][2].startswith("diverged")


def test_only_undeclared_differences_are_listed(tuned_study, tmp_path):
    results, _ = tuned_study(tmp_path)
    assert undeclared(results)[1:] == []
    results.arms[2].chosen.settings["trainer"]["epochs"] = 20
    assert undeclared(results)[1:] == [["activation=elu", "trainer.epochs", "20", "10"]]


def test_the_environment_names_what_differs(tuned_study, tmp_path):
    results, _ = tuned_study(tmp_path)
    record = results.arms[0].records[0]
    results.arms[0].records[0] = replace(record, environment={**record.environment, "host": "node2"})
    rows = {row[0]: row[1:] for row in environment(results)[1:]}
    assert rows["torch"] == ["2.6.0", ""]
    assert rows["host"] == ["node1 (35 runs); node2 (1 run)", "differs between runs"]


def test_the_command_goes_on_and_adds_seeds_once(tuned_study, tmp_path):
    results, _ = tuned_study(tmp_path)
    command = "ablate study=activation 'study.tuning.values=[0.1,1.0]' dry_run=true extra_seeds=2"
    results = replace(results, manifest=replace(results.manifest, command=command))
    assert command_with(results) == "ablate study=activation 'study.tuning.values=[0.1,1.0]'"
    assert command_with(results, "extra_seeds=3").endswith("]' extra_seeds=3")
    results = replace(results, manifest=replace(results.manifest, command="", overrides=["net=micro"]))
    assert command_with(results) == "ablate study=activation net=micro"


def test_the_setting_says_whether_anything_was_tuned(tuned_study, grid_study, tmp_path):
    facts = dict(setting(*tuned_study(tmp_path / "a")))
    assert facts["Budget"] == "micro, 2,000 images, 10 epochs"
    assert facts["Tuning"].startswith("optimizer.lr of every arm over 0.01, 0.03, 0.1, 0.3, 1.0")
    assert facts["Error level"].endswith("this is look 1 of 2")
    plain = dict(setting(grid_study(tmp_path / "b"), []))
    assert plain["Budget"] == "micro, cifar10, 10 epochs"
    assert plain["Tuning"].startswith("none") and "Error level" not in plain


def test_a_setting_that_was_tuned_before_is_declared_and_shown(fixed_study, tmp_path):
    results = fixed_study(tmp_path)
    facts = dict(setting(results, []))
    assert facts["Tuning"].startswith("optimizer.lr of ")
    assert "as tuned before (study tune)" in facts["Tuning"]
    assert undeclared(results)[1:] == []
    plain = replace(results, study=replace(results.study, fixed=None))
    assert undeclared(plain)[1:] == [["activation=tanh", "optimizer.lr", "0.01", "0.3"]]


def test_the_setting_says_which_claims_were_asked(tuned_study, tmp_path):
    results, judgements = tuned_study(tmp_path)
    assert "Claims" not in dict(setting(results, judgements))
    results = replace(results, study=replace(results.study, only=["elu_beats_relu"]))
    assert dict(setting(results, judgements[3:4]))["Claims"].startswith("only elu_beats_relu;")


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


def test_fewer_pairs_than_seeds_say_so(tuned_study, undone, tmp_path):
    results, judgements = tuned_study(tmp_path)
    judgement = replace(judgements[0], num_seeds=5)
    rows = verdict_table(results, [judgement, replace(judgement, num_seeds=6)])
    assert [f.seeds for f in rows] == ["5 of 6", "6"]
    assert [dict(f.numbers)["pairs of seeds"] for f in rows] == ["5 of 6", "6"]
    assert [row[6] for row in verdict_rows(rows)[1:]] == ["5 of 6", "6"]
    assert "(2 of 5)" in strip(verdict_table(results, [replace(judgement, differences=[0.1, 0.2])])[0])


def test_the_tables_say_how_many_seeds_of_those_asked_for(tuned_study, tmp_path):
    results, judgements = tuned_study(tmp_path)
    del results.arms[0].records[2]
    label = results.arms[0].label
    (row,) = (line for line in summary(results, []).splitlines() if line.startswith(label))
    assert "5 of 6" in row
    shown = to_markdown(study_content(results, judgements))
    (row,) = (line for line in shown.splitlines() if line.startswith(f"| {label} |"))
    assert row.startswith(f"| {label} | 5 of 6 |")
    assert [r[1] for r in study_rows(results) if r[0] == label] == ["5"]  # a number, for table.csv


def test_a_column_that_some_runs_lack_says_over_how_many_it_is(tuned_study, tmp_path):
    results, _ = tuned_study(tmp_path)
    runs = list(results.arms[0].records.values())
    del runs[1].metrics["val/accuracy"]
    assert cells(runs)[3].endswith(" (5 of 6 runs)")

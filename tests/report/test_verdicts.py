from dataclasses import replace

from ablate.judging import Judgement
from ablate.report.content import study_content
from ablate.report.effect_plots import strip
from ablate.report.markdown import to_markdown, verdict_rows
from ablate.report.table import cells, study_rows
from ablate.report.terminal import summary
from ablate.report.verdicts import answer, verdict_table


def test_the_answer_counts_outcomes(tuned_study, tmp_path):
    _, judgements = tuned_study(tmp_path)
    assert answer(judgements) == "2 supported, 1 contradicted, 1 no difference, 1 inconclusive"
    assert answer([]) == "nothing was claimed"


def texts(verdict):
    return [f"{note.kind}: {note.text} {note.command}".strip() for note in verdict.notes]


def test_numbers_are_in_points_or_factors_and_what_is_unknown_is_left_out(tuned_study, tmp_path):
    results, judgements = tuned_study(tmp_path)
    first, fifth = verdict_table(results, judgements)[0], verdict_table(results, judgements)[4]
    numbers = dict(first.numbers)
    assert numbers["95 % interval over test images"] == "[+15.00, +22.00]"
    assert numbers["smallest effect of interest"] == "±1.00 points"
    assert numbers["pairs of seeds"] == "6"
    assert "p value of the equivalence test (TOST; Holm)" not in numbers
    assert numbers["effect"] == f"+{100 * judgements[0].estimate:.2f} points" == first.effect
    assert first.ours.startswith(first.effect) and " against " in first.ours
    assert first.at_values[0][0] == "optimizer.lr"
    assert first.at_values[1] == ["0.01", "+5.00 points", "[+1.00, +9.00]", "3"]
    assert fifth.effect == f"×{judgements[4].estimate:.3g}"
    assert dict(fifth.numbers)["smallest effect of interest"] == "×1.2 or ×0.833"


def test_a_claim_without_numbers_has_its_reason(tuned_study, tmp_path):
    results, judgements = tuned_study(tmp_path)
    bare = Judgement(claim=judgements[0].claim, outcome="incomplete", reason="3 runs are missing")
    (found,) = verdict_table(results, [bare])
    assert (found.effect, found.interval, found.slug) == ("", "", "incomplete")
    assert texts(found) == ["warning: 3 runs are missing"]
    assert [what for what, _ in found.numbers] == ["smallest effect of interest", "pairs of seeds"]


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

from dataclasses import replace

from ablate.judging import Trained
from ablate.report.content import study_content
from ablate.report.markdown import plain_cell, to_markdown, verdict_notes, verdict_rows, without_empty_columns
from ablate.report.notes import Note
from ablate.report.verdicts import verdict_table


def test_a_cell_is_one_escaped_line():
    assert plain_cell("a <b>\n  & c") == "a &lt;b&gt; &amp; c"


def test_empty_columns_are_left_out():
    assert without_empty_columns([["a", "b", "c"], ["1", "", ""], ["", "", ""]]) == [["a"], ["1"], [""]]


def test_the_table_of_verdicts_is_narrow(tuned_study, tmp_path):
    head, first, *_ = verdict_rows(verdict_table(*tuned_study(tmp_path)))
    assert head == ["", "claim", "verdict", "effect", "interval", "p adjusted", "seeds"]
    assert first[:3] == ["1", "ReLU trains to a higher accuracy than sigmoid (slide 31)", "✓ supported"]
    assert first[4].endswith(" at 98.75 %")


def test_the_notes_of_each_claim_follow_the_table(tuned_study, tmp_path):
    content = study_content(*tuned_study(tmp_path))
    table, _, after = to_markdown(content).partition("### Notes")
    assert "seeds |\n" in table.partition("## Verdicts")[2]
    for verdict in content.verdicts:
        for note in verdict.notes:
            assert plain_cell(note.text) in after and plain_cell(note.text) not in table.partition("## Verdicts")[2]
    first = content.verdicts[0]
    claim = replace(first.judgement.claim, published="1 point")
    trained = [Trained(label="a", failed=1, total=6, at_most=0.582)] * 2
    judgement = replace(first.judgement, claim=claim, trained=trained)
    shown = verdict_notes(
        [replace(first, judgement=judgement, ours="2 points", notes=[Note("a line", command="ablate")])]
    )
    head, empty, *items = shown.splitlines()
    assert (head, empty) == (f"**1.** {claim.text}", "")
    assert items[:2] == ["- Published: 1 point", "- Ours: 2 points"]
    assert items[2].startswith("- Failed to train: 1 of 6") and items[3:] == ["- Note: a line `ablate`"]


def test_a_claim_without_notes_is_not_listed(tuned_study, tmp_path):
    first, *_ = verdict_table(*tuned_study(tmp_path))
    bare = replace(first.judgement, trained=[], claim=replace(first.judgement.claim, published=""))
    assert verdict_notes([replace(first, judgement=bare, notes=[])]) == ""


def test_a_note_of_a_study_begins_no_heading_and_no_link(tuned_study, tmp_path):
    first, *_ = verdict_table(*tuned_study(tmp_path))
    hostile = [Note("# big"), Note("[a]: http://example.org", "warning"), Note("two\n# lines", "step")]
    shown = verdict_notes([replace(first, notes=hostile)]).splitlines()
    assert shown[-3:] == ["- Note: # big", "- Warning: [a]: http://example.org", "- Next step: two # lines"]


def test_sections_without_rows_are_left_out(tuned_study, tmp_path):
    content = study_content(*tuned_study(tmp_path))
    text = to_markdown(content)
    assert "## Failures" in text and "## Undeclared" not in text and "## Own code" not in text
    assert "## Failures" not in to_markdown(replace(content, failures=content.failures[:1]))
    bare = to_markdown(replace(content, verdicts=[]))
    assert "## Verdicts" not in bare and content.answer not in bare

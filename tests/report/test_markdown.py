from dataclasses import replace

from ablate.report.content import study_content
from ablate.report.markdown import plain_cell, to_markdown, verdict_rows, without_empty_columns
from ablate.report.verdicts import verdict_table


def test_a_cell_is_one_escaped_line():
    assert plain_cell("a <b>\n  & c") == "a &lt;b&gt; &amp; c"


def test_empty_columns_are_left_out_unless_kept():
    rows = [["a", "b", "c"], ["1", "", ""], ["", "", ""]]
    assert without_empty_columns(rows) == [["a"], ["1"], [""]]
    assert without_empty_columns(rows, keep=["b"]) == [["a", "b"], ["1", ""], ["", ""]]


def test_verdict_rows_always_have_the_first_seven_columns_and_notes(tuned_study, tmp_path):
    results, judgements = tuned_study(tmp_path)
    bare = [replace(j, claim=replace(j.claim, published=""), trained=[]) for j in judgements]
    head, first, *_ = verdict_rows(verdict_table(results, bare))
    assert head == ["", "claim", "verdict", "effect", "interval", "p adjusted", "seeds", "notes"]
    assert first[:3] == ["1", "ReLU trains to a higher accuracy than sigmoid (slide 31)", "✓ supported"]
    assert first[4].endswith(" at 98.75 %")


def test_sections_without_rows_are_left_out(tuned_study, tmp_path):
    content = study_content(*tuned_study(tmp_path))
    text = to_markdown(content)
    assert "## Failures" in text and "## Undeclared" not in text and "## Own code" not in text
    assert "## Failures" not in to_markdown(replace(content, failures=content.failures[:1]))
    bare = to_markdown(replace(content, verdicts=[]))
    assert "## Verdicts" not in bare and content.answer not in bare

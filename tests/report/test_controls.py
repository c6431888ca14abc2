"""Where a control has not passed, every output says so in the same words, and no tally counts the claim."""

from dataclasses import fields, replace

import pytest

from ablate.report.controls import control_lines, control_rows
from ablate.report.overview import as_parts, collection_summary, write_overview
from ablate.report.page import write_report
from ablate.report.page_level import headline, page_level, summarize
from ablate.report.terminal import summary
from ablate.report.verdicts import answer, count_outcomes
from ablate.study.collection import Collection
from ablate.study.control import NOT_INTERPRETABLE, Control

WHY = 'the control linear_loses ("A net learns") has not passed: inconclusive'


def made_control(judgement, outcome):
    """A control with the numbers of a claim's judgement."""
    content = {field.name: getattr(judgement.claim, field.name) for field in fields(judgement.claim)}
    return replace(
        judgement, claim=Control(**{**content, "name": "linear_loses", "text": "A net learns."}), outcome=outcome
    )


@pytest.fixture
def gated(tuned_study, tmp_path):
    """A study of five claims, the first of which is not interpretable since its control is inconclusive."""
    results, judgements = tuned_study(tmp_path)
    control = made_control(judgements[0], "inconclusive")
    first = replace(judgements[0], outcome=NOT_INTERPRETABLE, reason=WHY, controls=[control], further_seeds=None)
    return results, [first, *judgements[1:]]


def test_no_tally_counts_the_claim_and_each_names_it(gated, tuned_study, tmp_path):
    results, judgements = gated
    before = count_outcomes(tuned_study(tmp_path)[1])
    after = count_outcomes(judgements)
    assert sum(after.values()) == sum(before.values()) - 1
    assert NOT_INTERPRETABLE not in after
    assert f"1 claim {NOT_INTERPRETABLE}, not counted" in answer(judgements)
    judged = [(results, judgements)]
    assert sum(headline(judged, page_level(judged), {}).values()) == len(judgements) - 1
    page = summarize(judged, {})
    assert page["measured"] == len(judgements) - 1
    assert f"1 claim {NOT_INTERPRETABLE}, not counted" in page["text"]


def test_the_claim_has_no_q_and_makes_no_other_claim_easier_to_decide(gated, tuned_study, tmp_path):
    results, judgements = gated
    name = results.study.name, judgements[0].claim.name
    found, free = page_level([gated]).q, page_level([tuned_study(tmp_path)]).q
    assert name not in found
    assert all(found[key] >= free[key] for key in found)
    (part,) = as_parts([gated], {})
    assert part.entries[0].q is None


def test_the_rows_and_lines_of_a_control(gated):
    _, judgements = gated
    head, row = control_rows(judgements)
    assert head == ["control", "result", "effect and interval", "claims that depend on it"]
    assert row[:2] == ["A net learns.", "? inconclusive: fails"]
    assert row[3] == judgements[0].claim.name
    (line,) = control_lines(judgements)
    assert line.startswith("control ? inconclusive: fails: A net learns.  ")
    assert control_rows(judgements[1:]) == [head]
    assert control_lines(judgements[1:]) == []


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        ("supported", "passes"),
        ("supported if trained", "passes"),
        ("contradicted", "fails"),
        ("neither trains", "fails"),
        ("incomplete", "runs are missing"),
    ],
)
def test_a_control_comes_out_only_where_it_is_supported(gated, outcome, said):
    _, (first, *_) = gated
    (line,) = control_lines([replace(first, controls=[replace(first.controls[0], outcome=outcome)])])
    assert f"{outcome}: {said}: A net learns." in line


def test_every_output_of_a_study_says_it(gated):
    results, judgements = gated
    write_report(results, judgements)
    for name in ("report.html", "report.md", "verdicts.csv"):
        content = (results.folder / name).read_text()
        assert NOT_INTERPRETABLE in content, name
        assert "has not passed: inconclusive" in content, name
    for name in ("report.html", "report.md"):
        content = (results.folder / name).read_text()
        assert "A net learns." in content, name
        assert "Each control is tested by itself" in content, name
    text = summary(results, judgements)
    assert f"⊘ {NOT_INTERPRETABLE}: {judgements[0].claim.text}" in text
    assert "control ? inconclusive: fails: A net learns." in text


def test_the_first_page_says_it(gated, tmp_path):
    results, _ = gated
    collection = Collection(name="l", title="", source="", profile="", command="ablate", folders=[results.folder.name])
    path = write_overview(collection, [gated], tmp_path / "studies" / "page")
    for content in (path.read_text(), path.with_name("report.md").read_text(), collection_summary([gated])):
        assert f"1 claim {NOT_INTERPRETABLE}, not counted" in content
        assert "fails: A net learns." in content


def test_a_study_without_controls_has_no_such_section(tuned_study, tmp_path):
    results, judgements = tuned_study(tmp_path)
    write_report(results, judgements)
    assert "Controls" not in (results.folder / "report.md").read_text()
    assert 'id="controls"' not in (results.folder / "report.html").read_text()

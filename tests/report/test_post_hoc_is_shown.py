"""A post hoc claim is marked in every output, with its reason, and counted apart."""

import csv
from dataclasses import replace

import pytest

from ablate.report import summary, write_overview, write_report
from ablate.report.page_level import headline, page_level
from ablate.report.verdicts import answer
from ablate.study.collection import Collection, write_collection
from ablate.study.manifest import write_manifest
from ablate.study.registration import registered
from builders.html import Page

REASON = "smallest_effect 0.05 in study small-1 of 2026-01-31, 0.02 here"
BEFORE = "10 of 12 runs were finished before the plan was registered"


@pytest.fixture
def judged(small_study, judgement_of, tmp_path):
    """A registered study, and two judgements of which the first is post hoc."""
    results = small_study(tmp_path, {"relu": 0.61, "tanh": 0.52})
    plan = results.manifest.plan()
    results = replace(results, manifest=replace(results.manifest, registration=registered(plan)))
    first, second = results.study.claims
    marked = judgement_of(results, first, "supported", post_hoc=REASON, finished_before=(10, 12))
    return results, [marked, judgement_of(results, second, "inconclusive")]


def test_the_reports_of_the_study_show_the_mark_the_reason_and_the_registration(judged):
    results, judgements = judged
    path = write_report(results, judgements)
    hash_of_plan = results.manifest.registration.sha256
    shown = [Page(path.read_text()).text, (results.folder / "report.md").read_text(), summary(results, judgements)]
    for output in shown:
        assert "✓ supported, post hoc" in output
        assert f"post hoc: {REASON}" in output
        assert BEFORE in output
        assert hash_of_plan in output
        assert "1 post hoc: 1 supported" in output
        assert "? inconclusive, post hoc" not in output
    rows = list(csv.DictReader((results.folder / "verdicts.csv").open()))
    assert [row["post_hoc"] for row in rows] == [REASON, ""]
    assert [row["finished_before"] for row in rows] == ["10 of 12", ""]
    assert REASON in (results.folder / "verdicts.json").read_text()
    events = b"".join(path.read_bytes() for path in results.folder.glob("tensorboard-arms/study/events*"))
    assert "✓ supported, post hoc".encode() in events
    assert REASON.encode() in events
    assert hash_of_plan.encode() in events


def test_the_page_of_a_collection_shows_them_too(judged):
    results, _ = judged
    write_manifest(results.manifest, results.folder)
    fields = {"name": "lecture", "title": "", "source": "", "profile": "", "command": ""}
    collection = Collection(**fields, folders=[results.folder.name])
    folder = collection.folder_in(results.output_dir)
    write_collection(collection, folder)
    path = write_overview(collection, [judged], folder)
    for output in (Page(path.read_text()).text, (folder / "report.md").read_text()):
        assert "✓ supported, post hoc" in output
        assert f"post hoc: {REASON}" in output
        assert BEFORE in output
        assert results.manifest.registration.sha256 in output
        assert "✓*" in output
        assert "* post hoc: chosen or changed after its runs had been judged" in output
        assert "1 post hoc: 1 supported" in output
    lines = (folder / "report.md").read_text().splitlines()
    assert not [
        line for line in lines if line.startswith(("+", "*")) and not line.startswith("**")
    ]  # no list by chance


def test_post_hoc_claims_are_counted_apart(judged):
    _, judgements = judged
    assert answer(judgements) == "1 inconclusive; 1 post hoc: 1 supported"
    assert headline([judged], page_level([judged]), {}) == {"inconclusive": 1}
    unmarked = [replace(judgements[0], post_hoc=""), judgements[1]]
    assert answer(unmarked) == "1 supported, 1 inconclusive"
    exact = replace(judgements[0], claim=replace(judgements[0].claim, form="identity", smallest_effect=0.0))
    assert answer([exact]) == "1 post hoc: 1 supported"
    assert answer([replace(exact, post_hoc="")]) == "1 exact: 1 holds, 0 do not"

import csv
import re
from dataclasses import replace

import pytest

from ablate.judging import Judgement, Mechanism, judge
from ablate.report import collection_summary, write_overview, write_report
from ablate.report.overview import as_parts
from ablate.report.phrases import OUTCOME_STYLES
from ablate.report.terminal import verdict_line
from ablate.report.verdicts import verdict_table
from ablate.study.collection import Collection, write_collection
from ablate.study.manifest import MANIFEST_NAME, write_manifest
from ablate.training.record import write_record
from builders.html import Page

WITH = {"relu": 0.61, "tanh": 0.52}  # a difference of about 0.09, as is claimed
AGAINST = {"relu": 0.52, "tanh": 0.61}


def tied(judged, profile="quick", **changes):
    """The collection of some studies, written beside them, and its folder."""
    fields = {"name": "lecture", "title": "Does the lecture hold?", "source": "Source: a lecture", "profile": profile}
    fields |= {"command": f"ablate study=lecture profile={profile}", "folders": [r.folder.name for r, _ in judged]}
    collection = Collection(**{**fields, **changes})
    folder = collection.folder_in(judged[0][0].output_dir)
    write_collection(collection, folder)
    return collection, folder


def store(results):
    """Put a made study where `collect` finds it."""
    write_manifest(results.manifest, results.folder)
    for arm in results.arms:
        for seed, record in arm.records.items():
            write_record(record, results.output_dir / arm.chosen.folder / f"seed-{seed}")
    return results


def lines(study):
    """The lines on the terminal of a study's verdicts."""
    return list(map(verdict_line, verdict_table(*study)))


def page_of(path):
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture
def lecture(tuned_study, small_study, judgement_of, tmp_path):
    """Collection, two studies with their judgements, and the collection's folder."""
    small = small_study(tmp_path, WITH)
    first, second = small.study.claims
    measured = [Mechanism(metric="saturation/mean", treatment=0.914, control=0.02)]
    judgements = [
        judgement_of(small, first, "supported", mechanisms=measured),
        judgement_of(small, second, "inconclusive"),
    ]
    judged = [tuned_study(tmp_path), (small, judgements)]
    collection, folder = tied(judged)
    return collection, judged, folder


def test_the_terminal_shows_each_study_and_the_counts(lecture):
    _, judged, _ = lecture
    first, second, last = collection_summary(judged).split("\n\n")
    title, registered, *verdicts = first.splitlines()
    assert title == "Which activation function trains best?"
    assert registered == "registered: no: an earlier version of ablate began this study"
    assert verdicts == lines(judged[0])
    assert second.splitlines()[2:] == lines(judged[1])
    assert last == "3 supported, 1 contradicted, 1 no difference, 2 inconclusive"


def test_the_page_shows_each_claim_once(lecture):
    path = write_overview(*lecture)
    assert path == lecture[2] / "report.html"
    shown = page_of(path).text
    for judgement in (judgement for _, judgements in lecture[1] for judgement in judgements):
        assert shown.count(judgement.claim.text) == 1
    for words in ("Does the lecture hold?", "Source: a lecture", "profile quick", "ablate study=lecture profile=quick"):
        assert words in shown
    for words in ("C05", "ablate figure activation_zoo", "saturation/ mean 0.914 against 0.02", "At tiny widths"):
        assert words in shown
    assert "! best optimizer.lr" not in shown and "best optimizer.lr on the edge of the grid" in shown
    assert shown.count("Published: a published number") == 1
    assert shown.count("micro, 2,000 images, 10 epochs") == 2, "a budget that all claims of a study share"
    assert "Unfinished" not in shown and "At other budgets" not in shown and "Not read" not in shown


def test_the_page_says_what_to_teach_and_why_a_claim_is_open(lecture):
    collection, judged, folder = lecture
    remarked = replace(collection, remark="The short version.")
    shown = page_of(write_overview(remarked, judged, folder)).text
    outcomes = [judgement.outcome for _, judgements in judged for judgement in judgements]
    assert shown.count("Teach: ") == len(outcomes)
    assert shown.count("Teach: Leave it open: ") == outcomes.count("inconclusive")
    assert shown.count("The short version.") == 1
    markdown = (folder / "report.md").read_text()
    assert "| teach |" in markdown and "The short version." in markdown
    assert markdown.count("Do not teach it: ") == outcomes.count("contradicted")


def test_counts_symbols_and_rows_agree(lecture):
    page = write_overview(*lecture).read_text()
    dots = re.findall(r'<a class="dot ([a-z-]+)" href="#([\w-]+)" title="([^"]+)"[^>]*>(.)</a>', page)
    outcomes = [judgement.outcome for _, judgements in lecture[1] for judgement in judgements]
    assert [slug for slug, *_ in dots] == [outcome.replace(" ", "-") for outcome in outcomes]
    assert [symbol for *_, symbol in dots] == [OUTCOME_STYLES[outcome].symbol for outcome in outcomes]
    chips = re.findall(r"<span class=\"badge [a-z-]+\">. (\d+) ([a-z ]+)</span>", page)
    counted = set(outcomes) - {"contradicted"}
    assert {name: int(count) for count, name in chips} == {name: outcomes.count(name) for name in counted}
    assert "1 contradicted at one budget only" in page
    rows = re.findall(r'<tr id="([\w-]+)">', page)
    assert rows == [anchor for _, anchor, *_ in dots] and len(set(rows)) == 7


def test_links_lead_to_rows_and_to_the_evidence(lecture):
    collection, judged, folder = lecture
    for one in judged:
        write_report(*one)
    page = page_of(write_overview(collection, judged, folder))
    assert len(set(page.ids)) == len(page.ids)
    links = [value for name, value in page.attributes if name == "href"]
    assert sum("claim-" in link for link in links) == 2 * 7
    ids = {}
    for link in links:
        target, _, anchor = link.partition("#")
        if link != "data:,":
            path = (folder / target).resolve() if target else folder / "report.html"
            ids.setdefault(path, page_of(path).ids)
            assert not anchor or anchor in ids[path], link
    for target in re.findall(r"\]\(([^)]+)\)", (folder / "report.md").read_text()):
        assert (folder / target).is_file()


def test_the_page_needs_nothing_else(lecture):
    path = write_overview(*lecture)
    page, text = page_of(path), path.read_text()
    assert not {"script", "img", "svg", "iframe", "link"} & (set(page.tags) - {"link"})
    assert [value for name, value in page.attributes if name in ("src", "xlink:href") or name.startswith("on")] == []
    assert "http:" not in text and "https:" not in text and "url(" not in text and "@import" not in text


@pytest.mark.parametrize("field", ["text", "published", "note", "figure", "file"])
def test_text_cannot_become_markup(field, lecture):
    collection, judged, folder = lecture
    evil = "<script>alert('x & \"y\"')</script>|**b**"
    results, (judgement, _) = judged[1]
    claim = replace(judgement.claim, **{field: evil})
    measured = [Mechanism(metric=f"a/{evil}", treatment=None, control=1.0)]
    judgement = replace(judgement, claim=claim, reason=evil, budget=evil, mechanisms=measured)
    results = replace(results, study=replace(results.study, title=evil))
    changed = replace(collection, title=evil, source=evil, profile=evil, command=evil)
    path = write_overview(changed, [(results, [judgement])], folder)
    assert "script" not in page_of(path).tags
    assert "<script" not in path.read_text()
    outside_code = re.sub(r"```.*?```", "", (folder / "report.md").read_text(), flags=re.DOTALL)
    assert "<script" not in outside_code
    widths = [len(re.findall(r"(?<!\\)\|", line)) for line in outside_code.splitlines() if line.startswith("|")]
    assert widths[:3] == [4] * 3 and len(set(widths[3:])) == 1, "a bar in a text ends no cell"


def test_markdown_and_csv_hold_the_same(lecture):
    _, judged, folder = lecture
    write_overview(*lecture)
    text = (folder / "report.md").read_text()
    assert "**7 measured: 3 supported, 1 no difference, 2 inconclusive, 1 contradicted at one budget only**" in text
    assert "| Which activation function trains best? | ✓ ? | 1 supported, 1 inconclusive |" in text
    assert (
        "| C05 | ReLU is better than tanh (`ablate figure activation_zoo`) | ✓ supported, at one budget only |" in text
    )
    assert (
        "saturation/mean 0.914 against 0.02" in text
        and " of test/loss, activation=relu against activation=tanh |" in text
    )
    assert "\n\nSymbols: ✓ it holds here; " in text
    with (folder / "verdicts.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["study"] for row in rows] == ["activation"] * 5 + ["small"] * 2
    assert [row["outcome"] for row in rows] == [j.outcome for _, judgements in judged for j in judgements]


def test_what_is_unfinished_is_said_first(lecture, undone):
    collection, judged, folder = lecture
    results, judgements = judged[0]
    bare = [Judgement(claim=j.claim, outcome="incomplete", reason="12 runs are missing") for j in judgements]
    judged = [(undone(results), bare), judged[1]]
    page = page_of(write_overview(collection, judged, folder)).text
    assert page.index("Unfinished.") < page.index("At a glance")
    assert page.count("0 of 36 report runs and 0 of 90 tuning runs done") == 1 and page.count("runs done") == 1
    assert page.count("12 runs are missing") == 5
    assert "> **Unfinished**: Which activation function trains best?: 0 of 36" in (folder / "report.md").read_text()
    assert "best? (0 of 36 report runs" in collection_summary(judged)


def test_a_study_without_claims_has_a_part(lecture):
    collection, judged, folder = lecture
    page = page_of(write_overview(collection, [(judged[1][0], [])], folder)).text
    assert "Nothing was claimed." in page


@pytest.fixture
def contradicted(small_study, tmp_path):
    """A collection whose first claim is contradicted, its results and judgements, and the collection's folder."""
    results = store(small_study(tmp_path, AGAINST))
    judged = [(results, judge(results))]
    assert judged[0][1][0].outcome == "contradicted"
    collection, folder = tied(judged)
    return collection, judged, folder


@pytest.mark.parametrize(
    ("means", "remark", "symbol"),
    [
        (AGAINST, "tested at 2 budgets: also at micro, 2000 images of cifar10, 30 epochs", "✗"),
        (WITH, "tested at 2 budgets: flips at micro, 2000 images of cifar10, 30 epochs: supported", "✓"),
    ],
)
def test_other_budgets_are_shown(contradicted, small_study, means, remark, symbol, tmp_path):
    collection, judged, folder = contradicted
    there = store(small_study(tmp_path, means, num_epochs=30, digest="87654321"))
    write_report(there, judge(there))
    tied([(there, [])], profile="full")
    path = write_overview(collection, judged, folder)
    page = page_of(path)
    assert page.text.count(f"✗ contradicted {remark}") == 1
    effect = 100 * judge(there)[0].estimate
    shown = f"{effect:+.2f} points".replace("-", "−")
    assert f"{symbol} {shown} micro, 2000 images of cifar10, 30 epochs" in page.text
    link = next(value for name, value in page.attributes if name == "href" and "87654321" in value)
    assert link == "../small-87654321/report.html#claim-1" and (folder / link.partition("#")[0]).resolve().is_file()
    text = (folder / "report.md").read_text()
    assert f"| ✗ contradicted, {remark} |" in text and f"| {symbol} micro, 2000 images of cifar10, 30 epochs: " in text


def test_what_is_incomplete_at_another_budget_is_not_shown(contradicted, small_study, tmp_path):
    collection, judged, folder = contradicted
    tied([(store(small_study(tmp_path, AGAINST, num_seeds=5, num_epochs=30, digest="87654321")), [])], profile="full")
    page = page_of(write_overview(collection, judged, folder)).text
    assert "✗ contradicted at one budget only" in page and "30 epochs" not in page


def test_the_own_budget_is_no_other(contradicted, small_study, tmp_path):
    collection, judged, folder = contradicted
    again = store(small_study(tmp_path, AGAINST, digest="87654321"))
    tied([(again, [])], profile="full")
    page = page_of(write_overview(collection, judged, folder)).text
    assert "✗ contradicted at one budget only" in page and "At other budgets" not in page


def test_nothing_is_judged_where_no_other_budget_is(contradicted, monkeypatch):
    collection, judged, folder = contradicted
    tied(judged, profile="same")  # shares its only study
    tied(judged, name="lecture-two", folders=["small-elsewhere"])  # has another name
    tied(judged, profile="gone", folders=["small-gone"])  # its study is no longer there
    monkeypatch.setattr("ablate.judging.judge", None)
    page = page_of(write_overview(collection, judged, folder)).text
    assert "✗ contradicted at one budget only" in page and "Not read" not in page


def test_an_unreadable_study_beside_is_listed_and_stops_nothing(contradicted):
    collection, judged, folder = contradicted
    newer = folder.parent / "small-newer"
    newer.mkdir()
    (newer / MANIFEST_NAME).write_text('{"schema": 99}')
    tied(judged, profile="newer", folders=["small-newer"])
    page = page_of(write_overview(collection, judged, folder)).text
    assert "small-newer: " in page and "has schema 99" in page
    assert "has schema 99" in (folder / "report.md").read_text()


def test_claims_of_several_budgets_each_have_their_own(lecture):
    collection, judged, folder = lecture
    results, (first, second) = judged[1]
    judged = [(results, [first, replace(second, budget="deep20, 2,000 images, 10 epochs")])]
    page = page_of(write_overview(collection, judged, folder)).text
    assert page.count("Budget: micro, 2,000 images, 10 epochs") == 1
    assert page.count("Budget: deep20, 2,000 images, 10 epochs") == 1


@pytest.mark.parametrize(("file", "number"), [("c05", "C05"), ("c24_identity", "C24"), ("arithmetic", ""), ("", "")])
def test_a_claim_is_called_by_the_number_of_its_file(file, number, lecture):
    _, judged, _ = lecture
    results, (judgement, *_) = judged[0]
    judgement = replace(judgement, claim=replace(judgement.claim, file=file))
    (part,) = as_parts([(results, [judgement])], {})
    assert part.entries[0].identifier == number

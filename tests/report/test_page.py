import csv
import math
import re
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import pytest

from ablate.judging import Judgement
from ablate.report import page as report_page
from ablate.report import write_report
from ablate.study.claim import Claim
from builders.html import Page


def render(results, judgements):
    path = write_report(results, judgements)
    assert path == results.folder / "report.html"
    return path.read_text(encoding="utf-8")


def test_a_finished_study_is_shown_completely(tuned_study, tmp_path):
    results, judgements = tuned_study(tmp_path)
    text = render(results, judgements)
    page = Page(text)
    assert text.lstrip().startswith("<!doctype html>")
    for judgement in judgements:
        assert judgement.claim.text in page.text
    for words in ("✓ 2 supported", "✗ 1 contradicted", "Published:", "lr-sensitive", "on the edge of the grid"):
        assert words in page.text
    assert "ablate study=activation extra_seeds=7" in page.text
    assert "Unfinished" not in page.text
    # Five strips, learning curves, forest and tuning curves; no heat map for one axis.
    assert page.tags.count("svg") == 8
    order = [
        text.index(f'id="{name}"')
        for name in ("verdicts", "evidence", "arms", "learning", "effects", "tuning", "reproduce")
    ]
    assert order == sorted(order)


def test_links_within_the_page_lead_somewhere_and_names_are_unique(tuned_study, tmp_path):
    page = Page(render(*tuned_study(tmp_path)))
    assert len(set(page.ids)) == len(page.ids)
    anchors = [value[1:] for name, value in page.attributes if name in ("href", "xlink:href") and value.startswith("#")]
    assert {f"claim-{i}" for i in range(1, 6)} <= set(anchors)
    assert set(anchors) <= set(page.ids)
    assert set(re.findall(r"url\(#([^)]+)\)", str(page.attributes))) <= set(page.ids)


def test_the_page_needs_nothing_else(tuned_study, tmp_path):
    text = render(*tuned_study(tmp_path))
    page = Page(text)
    assert not {"script", "img", "iframe", "object", "embed"} & set(page.tags)
    for name, value in page.attributes:
        if name in ("href", "src", "xlink:href"):
            assert value.startswith("#") or value == "data:,"
        assert not name.startswith("on")
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style and "@import" not in style
    outside = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text)
    assert "http:" not in outside and "https:" not in outside


def test_every_figure_has_a_text_and_is_well_formed(tuned_study, tmp_path):
    text = render(*tuned_study(tmp_path))
    for svg in re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL):
        root = ElementTree.fromstring(svg)
        assert root.get("role") == "img" and len(root.get("aria-label")) > 20


@pytest.mark.parametrize("field", ["text", "source", "published", "note"])
def test_text_cannot_become_markup(field, tuned_study, tmp_path):
    results, judgements = tuned_study(tmp_path)
    evil = "<script>alert('$x$ & \"y\"')</script>| **b**"
    claim = replace(judgements[0].claim, **{field: evil})
    study = replace(results.study, title=evil, source=evil)
    judgement = replace(judgements[0], claim=claim, treatment=evil, reason=evil, budget=evil)
    page = Page(render(replace(results, study=study), [judgement]))
    assert "script" not in page.tags
    assert evil in page.text
    assert "<script" not in (results.folder / "report.md").read_text()


def test_arms_named_like_markup_and_mathematics(grid_study, tmp_path):
    results = grid_study(tmp_path)
    for arm in results.arms:
        arm.axes["activation"] = f"<b>${arm.axes['activation']}_1$"
    text = render(results, [])
    assert "<b>$" not in text and "<b>$relu_1$" in Page(text).text


def test_an_unfinished_study_says_so_first(tuned_study, undone, tmp_path):
    results, judgements = tuned_study(tmp_path)
    bare = [
        Judgement(claim=judgement.claim, outcome="incomplete", reason="12 runs are missing") for judgement in judgements
    ]
    page = Page(render(undone(results), bare))
    text = page.text
    assert "0 of 36 report runs and 0 of 90 tuning runs done" in text
    assert text.index("Unfinished.") < text.index("Verdicts")
    assert text.count("12 runs are missing") == 10
    assert page.tags.count("svg") == 0
    markdown = (results.folder / "report.md").read_text()
    assert "**Unfinished**" in markdown and "5 incomplete" in markdown


def test_a_plain_sweep_has_arms_curves_and_interactions(grid_study, tmp_path):
    results = grid_study(tmp_path, 2)
    page = Page(render(results, []))
    assert "Verdicts" not in page.text and "Evidence" not in page.text
    assert "12 of 18 report runs done" in page.text
    assert page.text.count("2 of 3") == 6
    assert page.tags.count("svg") == 2
    assert "Mean test accuracy, %" in page.text


def test_one_seed_and_infinite_intervals_are_drawn(grid_study, tmp_path):
    results = grid_study(tmp_path, 1)
    claim = Claim(
        name="c", text="c", form="greater", smallest_effect=0.01,
        treatment={"activation": "relu"}, control={"activation": "tanh"},
    )  # fmt: skip
    wide = Judgement(
        claim=claim, outcome="inconclusive", estimate=0.05, low=-math.inf, high=math.inf, differences=[0.05]
    )
    none = Judgement(
        claim=replace(claim, form="identity", tolerance=0.0), outcome="supported", estimate=0.0, differences=[0.0]
    )
    times = replace(claim, form="ratio", direction="smaller", smallest_effect=2, metric="epochs_to/val/accuracy/0.5")
    ratio = Judgement(claim=times, outcome="inconclusive", estimate=0.5, low=0.0, high=math.inf, differences=[-0.69])
    page = Page(render(results, [wide, none, ratio]))
    assert "[−∞, ∞]" in page.text and "[×0, ∞]" in page.text
    assert page.tags.count("svg") == 6


def test_tables_hold_the_numbers(tuned_study, tmp_path):
    results, judgements = tuned_study(tmp_path)
    render(results, judgements)
    with (results.folder / "verdicts.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["outcome"] for row in rows] == [judgement.outcome for judgement in judgements]
    assert [float(row["estimate"]) for row in rows] == [judgement.estimate for judgement in judgements]
    assert rows[0]["equivalence_p_adjusted"] == ""
    with (results.folder / "table.csv").open(newline="") as file:
        arms = list(csv.DictReader(file))
    assert {row["arm"]: row["optimizer.lr"] for row in arms}["activation=sigmoid"] == "1.0"
    accuracies = [float(row["test accuracy %"]) for row in arms]
    assert accuracies == sorted(accuracies, reverse=True)
    assert [row["diverged"] for row in arms] == ["0", "0", "0", "0", "0", "1"]


def test_the_table_of_arms_has_the_values_that_were_tuned_before(fixed_study, tmp_path):
    results = fixed_study(tmp_path)
    page = Page(render(results, []))
    assert "Arms differ in nothing but the axes of the study and the tuned optimizer.lr." in page.text
    with (results.folder / "table.csv").open(newline="") as file:
        assert {row["arm"]: row["optimizer.lr"] for row in csv.DictReader(file)} == {
            "activation=relu": "0.3", "activation=tanh": "0.01",
        }  # fmt: skip


def test_the_figure_of_a_claim_is_named(tuned_study, tmp_path):
    results, judgements = tuned_study(tmp_path)
    claim = replace(judgements[0].claim, figure="activation_zoo")
    assert "ablate figure" not in Page(render(results, judgements)).text
    assert "ablate figure activation_zoo" in Page(render(results, [replace(judgements[0], claim=claim)])).text


def test_the_report_is_replaced_and_leaves_nothing_beside(tuned_study, tmp_path):
    results, judgements = tuned_study(tmp_path)
    first = render(results, judgements)
    assert render(results, judgements) == first
    assert {path.name for path in results.folder.iterdir()} == {
        "report.html", "report.md", "table.csv", "verdicts.csv", "verdicts.json", "tensorboard", "tensorboard-arms",
    }  # fmt: skip


def test_importing_the_report_loads_nothing_heavy_and_writing_it_no_torch(tmp_path):
    code = (
        "import sys, ablate.report; heavy = {'torch', 'hydra', 'tensorboard', 'numpy', 'matplotlib', 'jinja2'};"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules);"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r});"
        "import pathlib, conftest;"
        f"ablate.report.write_report(*conftest.make_tuned_study(pathlib.Path({str(tmp_path)!r})));"
        "assert not {'torch', 'matplotlib.pyplot', 'tensorflow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "error::UserWarning", "-c", code], check=True)


def test_one_process_at_a_time_writes_the_views_for_tensorboard(small_study, tmp_path, monkeypatch):
    """Each removes the event files of the others first: together they would remove a file twice."""
    results = small_study(tmp_path, {"relu": 0.6, "tanh": 0.5})
    inside, most = [], []
    own = report_page.write_arm_board

    def watched(*args):
        inside.append(1)
        time.sleep(0.2)
        most.append(len(inside))
        own(*args)
        inside.pop()

    monkeypatch.setattr(report_page, "write_arm_board", watched)
    threads = [threading.Thread(target=write_report, args=(results, [])) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1]
    assert len(list((results.folder / "tensorboard-arms").rglob("events.out.tfevents.*"))) == 3  # two arms, the study

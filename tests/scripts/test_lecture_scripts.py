"""The scripts around the lecture: which values tuning chose, and a report that can be committed."""

import csv
import importlib.util
from pathlib import Path

import pytest

from ablate.config import catalog
from ablate.config.overrides import from_yaml
from ablate.judging import judge
from ablate.report import write_overview, write_report
from ablate.study.collection import Collection, write_collection
from ablate.study.files import read_study, with_profile
from ablate.study.results import collect, missing_runs
from ablate.sweep.begin import begin
from ablate.sweep.request import named_studies
from builders.studies import BEST, TUNING, finish, manifest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def load():
    def go(name):
        spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return go


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "studies" / "s-00000000"


def do_all(plan, folder):
    while jobs := list(missing_runs(collect(plan, folder))):
        for job in jobs:
            finish(folder, job, BEST.get((job.variant.arm.partition("=")[2], job.variant.value), 0.5))


def test_tuned_values_are_printed_in_the_format_of_a_study_file(load, folder):
    script = load("fix_rates")
    plan = begin(manifest(TUNING), folder)
    with pytest.raises(SystemExit, match="no study whose tuning is complete"):
        script.tuned(folder)
    do_all(plan, folder)
    (results,) = script.tuned(folder)
    found = from_yaml(script.block(script.fixed([results], "tuning.csv"), "s"))["fixed"]
    assert found == {
        "key": "lr",
        "source": "tuning.csv",
        "values": {"activation=relu": 0.2, "activation=tanh": 0.1},
        "edges": ["activation=relu", "activation=tanh"],  # of a grid of two
    }
    rows = script.rows(results)
    assert len(rows) == 2 * 2 * 3
    assert rows[0] == ["s", "activation=relu", "lr", "0.1", "1000000", "0.5000", ""]
    assert sum(row[-1] == "yes" for row in rows) == 6


def fixed_here():
    """(study, profile, its `fixed`) of every committed study whose rates come from its own rows of the table."""
    files = catalog.levels(catalog.folders(), "study")
    for name, path in files.items():
        for profile in read_study(path).get("profiles") or {}:
            fixed = with_profile(name, read_study(path), profile, files).get("fixed") or {}
            if fixed.get("source") == "docs/lecture/tuning.csv" and not fixed.get("budget"):
                yield name, profile, fixed


@pytest.mark.parametrize(("name", "profile", "fixed"), list(fixed_here()))
def test_the_studies_have_what_the_table_of_tuning_runs_says(load, name, profile, fixed):
    script = load("fix_rates")
    (request,) = named_studies(name, profile, [], [], catalog.folders())
    said = script.fixed(script.read_table(ROOT / "docs/lecture/tuning.csv", request.study), "")
    labels = {arm.label for arm in request.study.arms()}
    assert fixed["values"] == {label: value for label, value in said["values"].items() if label in labels}
    assert set(fixed.get("edges", [])) == {label for label in said["edges"] if label in labels}
    assert set(fixed.get("sensitive", [])) == set(said.get("sensitive", []))


def test_three_studies_are_held_to_the_table():
    found = {(name, profile) for name, profile, _ in fixed_here()}
    assert found == {("initialization", "quick"), ("preprocessing", "quick"), ("activation_max_pool", "quick")}


def test_the_table_marks_what_the_rule_chooses(load):
    script = load("fix_rates")
    with (ROOT / "docs/lecture/tuning.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for name in ("initialization", "preprocessing", "activation_max_pool"):
        (request,) = named_studies(name, "quick", [], [], catalog.folders())
        said = script.fixed(script.read_table(ROOT / "docs/lecture/tuning.csv", request.study), "")["values"]
        marked = {(row["arm"], from_yaml(row["value"])) for row in rows if row["study"] == name and row["chosen"]}
        assert marked == set(said.items())


def test_a_report_that_is_kept_links_to_its_own_pages(load, folder, tmp_path):
    script = load("keep_report")
    plan = begin(manifest(), folder)
    fields = {
        "name": "all",
        "title": "All of it",
        "source": "",
        "profile": "quick",
        "command": "ablate study=all output_dir=/home/ann/out",
    }
    collection = Collection(folders=[folder.name], **fields)
    collection_folder = collection.folder_in(tmp_path)
    write_collection(collection, collection_folder)
    with pytest.raises(SystemExit, match="not finished: s"):
        script.keep(collection, collection_folder, tmp_path / "docs")
    do_all(plan, folder)
    results = collect(plan, folder)
    judgements = judge(results)
    write_report(results, judgements)
    write_overview(collection, [(results, judgements)], collection_folder)
    script.keep(collection, collection_folder, tmp_path / "docs")
    first = (tmp_path / "docs" / "README.md").read_text()
    assert "(s.md)" in first
    assert "../s-00000000" not in first
    assert "Made by `ablate study=all output_dir=out` at commit" in first
    assert "activation=relu" in (tmp_path / "docs" / "s.md").read_text()
    assert first.startswith("# ")
    (tmp_path / "docs" / "looked_into.md").touch()
    for target, link in ((tmp_path / "docs", "(looked_into.md)"), (tmp_path / "docs" / "quick", "(../looked_into.md)")):
        script.keep(collection, collection_folder, target)
        assert (target / "README.md").read_text().startswith(f"[What was contradicted or undecided, and why]{link}")

"""The scripts around the lecture: which values tuning chose, and a report that can be committed."""

import importlib.util
from pathlib import Path

import pytest

from ablate.config.overrides import from_yaml
from ablate.judging import judge
from ablate.report import write_overview, write_report
from ablate.study.collection import Collection, write_collection
from ablate.study.results import collect, missing_runs
from ablate.sweep.begin import begin
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
    found = from_yaml(script.block(results, "tuning.csv", within=0.0))["fixed"]
    assert found == {
        "key": "lr",
        "source": "tuning.csv",
        "values": {"activation=relu": 0.2, "activation=tanh": 0.1},
        "edges": ["activation=relu", "activation=tanh"],  # of a grid of two
    }
    # The best of relu is 0.2, by as much as BEST says; with so much to spare the smaller rate will do.
    spare = BEST["relu", 0.2] - 0.5
    near, nearer = (from_yaml(script.block(results, "", within=spare + by))["fixed"] for by in (-1e-6, 1e-6))
    assert near["values"]["activation=relu"] == 0.2
    assert nearer["values"]["activation=relu"] == 0.1
    assert [script.middle(list(range(n))) for n in (1, 2, 3, 4)] == [0, 0, 1, 1]
    rows = script.rows(results, within=0.0)
    assert len(rows) == 2 * 2 * 3
    assert rows[0] == ["s", "activation=relu", "lr", "0.1", "1000000", "0.5000", ""]
    assert sum(row[-1] == "yes" for row in rows) == 6


def test_a_report_that_is_kept_links_to_its_own_pages(load, folder, tmp_path):
    script = load("keep_report")
    plan = begin(manifest(), folder)
    fields = {"name": "all", "title": "All of it", "source": "", "profile": "quick", "command": "ablate study=all"}
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
    assert "Made by `ablate study=all` at commit" in first
    assert "activation=relu" in (tmp_path / "docs" / "s.md").read_text()

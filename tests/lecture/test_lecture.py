"""The lecture's studies at their smallest budget, from the command line to the first page."""

import json
import os
import re
import subprocess
import sys

import pytest

from ablate.config import catalog
from ablate.study.files import parts_of


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """Folder and output of `ablate study=lecture profile=smoke`, done once."""
    folder = tmp_path_factory.mktemp("lecture")
    words = [sys.executable, "-m", "ablate", "study=lecture", "profile=smoke", f"data.cache_dir={folder / 'cache'}"]
    # data.root is for arms whose data lie in a folder: there is none here, and it must do no harm.
    words += ["data.root=nowhere", "trainer.threads=1"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=1200, env=dict(os.environ))
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, done.stdout


def test_every_claim_of_the_lecture_is_judged(smoke):
    folder, output = smoke
    (collection,) = folder.glob("outputs/studies/lecture-smoke-*")
    files = catalog.levels(catalog.folders(), "study")
    assert len(json.loads((collection / "collection.json").read_text())["folders"]) == len(parts_of("lecture", files))
    rows = (collection / "verdicts.csv").read_text().splitlines()
    # With one epoch most nets have learned nothing: neither trains.
    words = "supported|contradicted|no difference|neither trains|inconclusive|incomplete|not comparable|measured"
    words += "|not interpretable at this budget"
    outcomes = re.findall(f"({words})", output)
    assert len(outcomes) > 100
    assert "not comparable" not in "\n".join(rows)
    # With one epoch some runs diverge or reach no threshold; what is missing otherwise would be a claim's mistake.
    for study in collection.parent.glob("*/verdicts.csv"):
        for line in study.read_text().splitlines():
            assert "have no metric" not in line, line
            assert "are missing" not in line, line


def test_what_is_exact_holds_and_the_slips_do_not(smoke):
    folder, _ = smoke
    (algebra,) = folder.glob("outputs/studies/algebra-*/report.md")
    page = algebra.read_text()
    assert page.count("✗ contradicted") == 4  # gamma = Var; averaged deviations; behind a ReLU; momentum moves them
    assert "inconclusive" not in page


def test_runs_and_time_are_shown_beforehand(smoke):
    _, output = smoke
    before, _, _ = output.partition("[1/")
    assert re.search(r"\d+ runs left: about \d+:\d\d, 1 at once", before)


def test_the_pages_link_to_evidence_that_is_there(smoke):
    folder, _ = smoke
    (collection,) = folder.glob("outputs/studies/lecture-smoke-*")
    links = re.findall(r'href="(\.\./[^"#]+)#([^"]+)"', (collection / "report.html").read_text())
    assert len({anchor for _, anchor in links}) > 10
    for page, anchor in set(links):
        assert f'id="{anchor}"' in (collection / page).resolve().read_text(), (page, anchor)

"""The page about a study that runs."""

import pytest
from filelock import FileLock

from ablate.judging import collect, judge
from ablate.study.manifest import write_manifest
from ablate.study.results import missing_runs
from ablate.sweep.live import live_page, state_of, watch
from builders.html import Page
from builders.studies import finish, manifest

CLAIMS = {
    "first": {
        "text": "ReLU is above tanh.",
        "form": "greater",
        "treatment": {"activation": "relu"},
        "control": {"activation": "tanh"},
        "smallest_effect": 0.01,
    }
}


@pytest.fixture
def begun(tmp_path):
    """Folder and jobs of a study of two arms with two seeds, of which one run is done."""
    folder = tmp_path / "studies" / "s"
    plan = manifest(claims=CLAIMS)
    write_manifest(plan, folder)
    jobs = list(missing_runs(collect(plan, folder)))
    finish(folder, jobs[0])
    return folder, jobs, plan


def test_it_says_what_is_trained_and_when_the_rest_ends(begun):
    folder, jobs, plan = begun
    home = folder.parent.parent / jobs[1].folder
    home.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(home.parent / f".{home.name}.lock"):
        results = collect(plan, folder)
        state = state_of([results])
        page = Page(live_page("A study", [(results, judge(results))], state, 15))
    assert (state.done, state.planned) == (1, 4)
    assert state.running == [f"{jobs[1].label} seed {jobs[1].seed}"] and state.seconds > 0
    assert "1 of 4 runs done" in page.text and "with 1 at once" in page.text
    assert "1 claim still without all runs" in page.text
    assert ("http-equiv", "refresh") in page.attributes and "script" not in page.tags


def test_an_interrupted_study_says_so(begun):
    folder, _, plan = begun
    results = collect(plan, folder)
    state = state_of([results])
    assert state.running == [] and state.seconds is None
    assert "Interrupted" in live_page("A study", [(results, judge(results))], state, 15)


def test_it_ends_with_the_study(begun, capsys):
    folder, jobs, _ = begun
    for job in jobs[1:]:
        finish(folder, job)
    watch("A study", [folder], folder, every_seconds=0)
    page = Page((folder / "live.html").read_text())
    assert "4 of 4 runs done" in page.text and "ReLU is above tanh." in page.text
    assert ("http-equiv", "refresh") not in page.attributes
    assert "[4/4] All runs are done." in capsys.readouterr().out

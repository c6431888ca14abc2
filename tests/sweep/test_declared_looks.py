"""Studies with declared looks, from plan to report: who gets seeds, resuming, shared runs, a budget of minutes."""

import functools
import itertools
from dataclasses import replace

import numpy as np
import pytest

from ablate import report
from ablate.errors import UserError
from ablate.judging import collect, judge
from ablate.study import results as study_results
from ablate.study.results import missing_runs
from ablate.study.study import parse
from ablate.sweep import budget as budgets
from ablate.sweep.begin import begin
from ablate.sweep.budget import Budget, chance, next_looks, open_claims
from ablate.sweep.forecast import forecast, study_overview
from ablate.sweep.loop import do_runs
from ablate.sweep.request import Request
from ablate.sweep.studies import check_requests
from builders.studies import TUNING, finish, manifest, names

SEEDS = {"from": 3, "to": 9, "looks": 3}
NOISE = np.random.default_rng(3).standard_normal((2, 12))


def claim(**changes):
    sides = {"treatment": {"activation": "relu"}, "control": {"activation": "tanh"}}
    return {"text": "ReLU is better.", "form": "greater", "smallest_effect": 0.02, **sides, **changes}


def plan(claims=None, **definition):
    content = {"seeds": SEEDS, "claims": claims or {"better": claim()}, "failure_share": 0.001, **definition}
    made = manifest(looks=parse("s", {"seeds": content["seeds"]}).schedule, **content)
    own = {"trainer": {"epochs": 1}, "data": {"train_size": 200}}

    def complete(variant):
        levels = {**variant.levels, "net": "micro", "data": "shapes"}
        return replace(variant, settings={**variant.settings, **own}, levels=levels)

    return replace(made, arms=[replace(arm, variants=list(map(complete, arm.variants))) for arm in made.arms])


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "studies" / "s-00000000"


def accuracy(job, gain=0.3, spread=0.01):
    """ReLU is better by `gain`."""
    arm = int(job.variant.arm == "activation=tanh")
    return 0.5 + gain * (1 - arm) + spread * float(NOISE[arm, job.seed % 12])


class Launcher:
    """Finishes runs; counts them, and stops after `most` of them."""

    def __init__(self, folder, most=1000, **score):
        self.folder, self.most, self.score, self.batches = folder, most, score, []

    def __call__(self, jobs, wait, rerun):
        self.batches.append(names(jobs))
        for job in jobs[: max(0, self.most - sum(map(len, self.batches[:-1])))]:
            finish(self.folder, job, accuracy(job, **self.score))
        if sum(map(len, self.batches)) > self.most:
            raise KeyboardInterrupt


UNCLEAR = {"gain": 0.0, "spread": 0.1}


def test_a_clear_claim_ends_after_the_first_look(folder):
    launch = Launcher(folder)
    (results,), _ = do_runs([(begin(plan(), folder), folder)], launch)
    assert launch.batches == [[(arm, seed) for seed in range(3) for arm in ("relu", "tanh")]]
    (found,) = judge(results)
    assert found.outcome.startswith("supported") and found.look == 1 and not open_claims(results)
    assert (folder / "runs.csv").read_text().count(",finished,runs/") == 6
    assert "to do" not in (folder / "runs.csv").read_text()
    page = report.write_report(results, [found]).with_suffix(".md").read_text()
    assert "at look 1 of 3, and no further seeds were needed; an effect that is decided early is too large" in page
    assert "declared at 3, 6, 9 seeds; 1 decided at look 1" in page


def test_an_unclear_claim_gets_all_declared_looks(folder, capsys):
    launch = Launcher(folder, **UNCLEAR)
    (results,), _ = do_runs([(begin(plan(), folder), folder)], launch)
    assert [len(batch) for batch in launch.batches] == [6, 6, 6]
    (found,) = judge(results)
    assert (found.outcome, found.look, found.num_seeds, found.next_look) == ("inconclusive", 3, 9, None)
    printed = capsys.readouterr().out
    assert "2 of 2 arms go on to 6 seeds" in printed and "2 of 2 arms go on to 9 seeds" in printed
    again = Launcher(folder)
    do_runs([(begin(plan(), folder), folder)], again)
    assert again.batches == []


@pytest.mark.parametrize("most", [0, 4, 7, 13])
def test_an_interrupted_study_ends_with_the_same_verdicts(folder, most):
    whole = folder.with_name("t-00000000")
    (known,), _ = do_runs([(begin(plan(), whole), whole)], Launcher(whole, **UNCLEAR))
    verdicts = judge(known)
    for path in sorted((folder.parent.parent / "runs").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    with pytest.raises(KeyboardInterrupt):
        do_runs([(begin(plan(), folder), folder)], Launcher(folder, most, **UNCLEAR))
    (found,), _ = do_runs([(begin(plan(), folder), folder)], Launcher(folder, **UNCLEAR))
    assert judge(found) == verdicts


def test_runs_that_exist_already_change_no_verdict(folder):
    """Other studies had nine seeds of both arms: the claim is judged at its first look all the same."""
    whole = folder.with_name("t-00000000")
    fixed = begin(manifest(looks=(9,), seeds=9), whole)
    do_runs([(fixed, whole)], Launcher(whole))
    (results,), _ = do_runs([(begin(plan(), folder), folder)], Launcher(folder))
    (found,) = judge(results)
    assert (found.look, found.num_seeds) == (1, 3)
    assert [len(arm.records) for arm in results.arms] == [3, 3]


def test_studies_share_runs_and_take_their_own_looks(folder):
    other = folder.with_name("t-00000000")
    launch = Launcher(folder)
    plans = [(begin(plan(), folder), folder), (begin(manifest(looks=(5,), seeds=5), other), other)]
    results, _ = do_runs(plans, launch)
    assert sum(map(len, launch.batches)) == len(set(itertools.chain(*launch.batches))) == 10
    assert [[len(arm.records) for arm in found.arms] for found in results] == [[3, 3], [5, 5]]


def test_tuned_arms_get_their_seeds_look_by_look(folder):
    launch = Launcher(folder, **UNCLEAR)
    (results,), _ = do_runs([(begin(plan(tuning=TUNING), folder), folder)], launch)
    assert [len(batch) for batch in launch.batches] == [12, 6, 6, 6]
    assert [len(arm.records) for arm in results.arms] == [9, 9]


def test_further_seeds_are_declared_and_not_added(folder):
    begin(plan(), folder)
    with pytest.raises(UserError, match=r"`extra_seeds` is for a fixed number .* looks \(3, 6, 9 seeds\)"):
        begin(plan(), folder, extra_seeds=2)


def test_the_forecast_is_a_range(folder):
    begun = begin(plan(seconds_a_run=10), folder)
    results = collect(begun, folder)
    assert study_overview(results).splitlines()[0] == "study s: 2 arms, 3 to 9 seeds each (looks at 3, 6, 9)"
    assert "  activation=relu: 0 of 3 runs done" in study_overview(results)
    assert forecast([results], 1) == "6 to 18 runs left: about 1:00 to 3:00, 1 at once"
    do_runs([(begun, folder)], Launcher(folder))
    assert forecast([collect(begun, folder)], 1) == "no run is left"
    assert ", further looks as long as 20 minutes allow)" in study_overview(collect(plan(minutes=20), folder))


class Clock:
    """A clock that a test sets."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    found = Clock()
    monkeypatch.setattr(budgets, "time", found)
    return found


def test_minutes_end_a_study_after_a_look(folder, clock, capsys):
    """A run takes 1.5 seconds, so that a look of six runs takes nine."""
    begun = begin(plan(), folder)
    budget = Budget(minutes=10 / 60, num_workers=1, start=0.0)
    launch = Launcher(folder, **UNCLEAR)

    def timed(jobs, wait, rerun):
        clock.now += 4.0 if launch.batches else 0.0
        launch(jobs, wait, rerun)

    (results,), _ = do_runs([(begun, folder)], timed, budget=budget)
    assert [len(batch) for batch in launch.batches] == [6, 6]  # the third look does not fit into six seconds
    (found,) = judge(results)
    assert (found.outcome, found.look, found.next_look) == ("inconclusive", 2, 3)
    assert open_claims(results) == ["better"]
    assert "next look of better" in capsys.readouterr().out
    page = report.write_report(results, judge(results)).with_suffix(".md").read_text()
    assert "open: look 3 of 3, at 9 seeds, is next" in page and "1 open: better" in page
    # The same command goes on, here with time enough.
    (results,), _ = do_runs([(begun, folder)], launch, budget=Budget(minutes=1, num_workers=1, start=clock.now))
    assert judge(results)[0].look == 3


def test_the_first_look_is_taken_whatever_the_budget(folder, clock):
    launch = Launcher(folder, **UNCLEAR)
    do_runs([(begin(plan(), folder), folder)], launch, budget=Budget(minutes=1e-6, num_workers=1, start=0.0))
    assert [len(batch) for batch in launch.batches] == [6]


def test_time_goes_where_a_decision_is_likely(folder):
    claims = {"near": claim(smallest_effect=0.004, family="a"), "far": claim(smallest_effect=0.0001, family="b")}
    begun = begin(plan(claims), folder)
    launch = Launcher(folder, gain=0.02, spread=0.01)
    do_runs([(begun, folder)], launch, budget=Budget(minutes=1e-6, num_workers=1))
    raw = study_results.collect(begun, folder)
    steps = {step.claim: step for step in next_looks([raw], {}, ())}
    assert set(steps) == {"near", "far"} and all(sum(s.seconds.values()) == 6 * 1.5 for s in steps.values())
    assert all(0 < step.chance < 1 for step in steps.values())
    looked = budgets.replay(raw, functools.cache(budgets.read_predictions))["near"]
    assert chance(looked.verdict, 6) < chance(looked.verdict, 9)
    assert next_looks([raw], {folder: {"near": 2, "far": 2}}, ()) == []
    assert next_looks([raw], {}, {"runs/relu/seed-4"}) == []  # that run failed: the look cannot be completed


def test_minutes_without_looks_are_refused():
    content = {"seeds": 3, "minutes": 5, "grids": [{"product": {"activation": ["relu", "tanh"]}}]}
    requests = [Request(parse("s", content), content, [])]
    with pytest.raises(UserError, match=r"`study.minutes` says how long .* study s declares none"):
        check_requests(requests, lambda lines: None)


def test_the_report_shows_how_many_seeds_each_arm_needs(folder):
    """Only tanh is in a claim that is open; ReLU has the seeds of the first look."""
    value = claim(form="greater", treatment={"activation": "tanh"}, value=0.5)
    del value["control"]
    begun = begin(plan({"better": value}), folder)
    (results,), _ = do_runs([(begun, folder)], Launcher(folder, **UNCLEAR))
    assert [len(results.seeds_of(arm)) for arm in results.arms] == [3, 9]
    judgements = judge(results)
    page = report.write_report(results, judgements)
    text, table = page.with_suffix(".md").read_text(), page.with_name("table.csv").read_text()
    assert "2 arms × 3 to 9 seeds (0 to 8)" in text and "Unfinished" not in text and "3 of 9" not in text
    assert "declared at 3, 6, 9 seeds; 1 undecided after the last look" in text
    advice = ("the 3 declared looks at the data are used up", "no number of further seeds", "Instead of so many seeds")
    assert any(words in text for words in advice)
    assert sorted(line.split(",")[1] for line in table.splitlines()[1:]) == ["3", "9"]
    assert len(list((folder / "tensorboard").rglob("seed-*"))) == 12
    assert list(missing_runs(results)) == []
    assert "0 of" not in report.summary(results, judgements)

"""A study's records, its missing runs and the tuned values; runs are made by hand, without training."""

from dataclasses import replace

import pytest

from ablate.study.manifest import write_manifest
from ablate.study.results import choose, collect, metric_value, missing_runs
from ablate.study.run_rows import write_runs
from builders.records import make_record
from builders.studies import BEST, TUNING, finish, manifest, names


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "studies" / "s-00000000"


def test_without_tuning_every_arm_and_seed_is_missing_seed_by_seed(folder):
    jobs = list(missing_runs(collect(manifest(), folder)))
    assert names(jobs) == [("relu", 0), ("tanh", 0), ("relu", 1), ("tanh", 1)]
    finish(folder, jobs[1])
    assert names(missing_runs(collect(manifest(), folder))) == [("relu", 0), ("relu", 1), ("tanh", 1)]


def test_tuning_comes_first_then_the_winners(folder):
    plan = manifest(TUNING)
    rounds = []
    while jobs := list(missing_runs(collect(plan, folder))):
        rounds.append(names(jobs))
        for job in jobs:
            finish(folder, job, BEST[job.variant.arm.partition("=")[2], job.variant.value])
    tuning, report = rounds
    assert len(tuning) == 2 * 2 * 3
    assert {seed for _, seed in tuning} == {1_000_000, 1_000_001, 1_000_002}
    # relu wins at 0.2; tanh ties, and the smaller value is taken.
    assert report == [("relu-0.2", 0), ("tanh-0.1", 0), ("relu-0.2", 1), ("tanh-0.1", 1)]


def test_nothing_is_chosen_before_the_tuning_is_over():
    plan = manifest(TUNING)
    study = plan.study()
    full = {seed: make_record(seed=seed) for seed in study.tuning_seeds}
    assert choose(plan.arms[0], study, [full, {}]) is None
    assert choose(plan.arms[0], study, [full, full]) is plan.arms[0].variants[0]


def test_a_run_that_two_arms_share_is_done_once(folder):
    plan = manifest()
    twice = replace(plan, arms=[*plan.arms, replace(plan.arms[0], label="again")])
    assert names(missing_runs(collect(twice, folder))) == names(missing_runs(collect(plan, folder)))


def test_scores_are_nan_where_missing_and_inf_where_null(folder):
    plan = manifest()
    job = next(missing_runs(collect(plan, folder)))
    finish(folder, job, 0.25)
    arm = collect(plan, folder).arms[0]
    assert arm.scores("test/accuracy", [0])[0] == 0.25
    assert str(arm.scores("test/accuracy", [1])[0]) == "nan"
    assert arm.scores("none", [0])[0] == float("inf")
    with pytest.raises(ValueError, match="no metric 'speed'"):
        metric_value(arm.records[0], "speed")


def test_states_of_an_unfinished_study(folder):
    write_manifest(manifest(TUNING), folder)
    write_runs(manifest(TUNING), folder)
    states = (folder / "runs.csv").read_text()
    assert states.count("to do") == 12
    assert states.count("not chosen") == 4

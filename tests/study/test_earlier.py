"""What earlier studies over the same runs mean for a new one: looks, post hoc claims, runs that had finished."""

import re
import shutil
from dataclasses import dataclass, replace

import pytest

from ablate.storage.integrity import digest
from ablate.study.manifest import read_manifest
from ablate.study.results import collect, missing_runs
from ablate.study.verdict_file import VERDICTS_NAME, write_verdicts
from ablate.sweep.begin import begin
from builders.studies import finish, manifest

CLAIM = {
    "text": "A.",
    "form": "greater",
    "smallest_effect": 0.01,
    "treatment": {"activation": "relu"},
    "control": {"activation": "tanh"},
}


@dataclass
class Shown:
    claim: str
    estimate: float | None = 0.1


def plan(seeds=2, claims=None, **changes):
    """A study of one claim; `claims` are changes of claims by name."""
    claims = {"c": {}} if claims is None else claims
    own = {name: {**CLAIM, **change} for name, change in claims.items()}
    begun = manifest(looks=(seeds,))
    return replace(begun, definition={**begun.definition, "seeds": seeds, "looks": 2, "claims": own, **changes})


def run(folder):
    """Do what is missing of a study."""
    found = collect(read_manifest(folder), folder)
    for job in missing_runs(found):
        finish(folder, job)


@pytest.fixture
def studies(tmp_path):
    return tmp_path / "studies"


@pytest.fixture
def first(studies):
    """A study of two seeds that has been run and judged."""
    folder = studies / "s-first"
    begin(plan(), folder)
    judge(folder)
    return folder


def judge(folder):
    run(folder)
    found = collect(read_manifest(folder), folder)
    write_verdicts(found, [Shown(claim=name) for name in found.manifest.definition["claims"]])


def mark(folder, begun):
    """Why the claim c of a new study is post hoc, "" if it is not."""
    return begin(begun, folder.with_name("s-second")).registration.post_hoc.get("c", "")


def test_the_plan_is_registered_with_its_hash(studies):
    found = begin(plan(), studies / "s-1").registration
    assert found.sha256 == digest(found.plan)
    assert found.plan["claims"]["c"]["text"] == "A."
    assert found.plan["seeds"] == [0, 1]
    assert found.plan["arms"][0]["variants"][0]["fingerprint"] == "relu"
    assert (found.post_hoc, found.finished, found.since) == ({}, {}, {})
    again = begin(plan(), studies / "s-1")
    assert again.registration == found
    assert begin(plan(claims={"c": {"smallest_effect": 0.02}}), studies / "s-2").registration.sha256 != found.sha256


def test_the_same_claims_with_more_seeds_are_the_next_look(first):
    second = first.with_name("s-second")
    assert begin(plan(3), second).looks == [2, 3]
    assert read_manifest(second).registration.post_hoc == {}
    judge(second)
    assert begin(plan(3), second).looks == [2, 3]
    with pytest.raises(
        ValueError, match=r"judged with 2 and 3 of these seeds \(in s-first, s-second\), so 4 seeds would"
    ):
        begin(plan(4), first.with_name("s-third"))


def test_a_look_in_another_folder_counts_when_seeds_are_added(first):
    judge_second = first.with_name("s-second")
    begin(plan(3), judge_second)
    judge(judge_second)
    with pytest.raises(ValueError, match="so 4 seeds would be look 3"):
        begin(plan(), first, extra_seeds=2)


def test_fresh_seeds_share_nothing(first):
    fresh = begin(fresh_plan(), first.with_name("s-5"))
    assert fresh.looks == [4]
    assert fresh.registration.post_hoc == {}


def fresh_plan():
    own = plan(4, claims={"c": {"smallest_effect": 0.5}})
    return replace(own, definition={**own.definition, "seeds": [5, 6, 7, 8]})


@pytest.mark.parametrize(
    ("claim", "changes", "reason"),
    [
        ({"smallest_effect": 0.02}, {}, "smallest_effect 0.01 in study s-first of 20.., 0.02 here"),
        ({"text": "B."}, {}, "sentence A. in study s-first of 20.., B. here"),
        ({"metric": "val/accuracy"}, {}, "metric test/accuracy in study"),
        ({"form": "smaller"}, {}, "form greater in study"),
        ({"at_least": True}, {}, "at_least False in study s-first of 20.., True here"),
        ({}, {"alpha": 0.2}, "alpha 0.05 in study s-first of 20.., 0.2 here"),
        ({}, {"looks": 3}, "looks 2 in study s-first of 20.., 3 here"),
        ({}, {"failure_share": 0.4}, "failure_share 0.1 in study"),
        ({}, {"fixed": {"key": "lr", "shared": 0.1}}, "fixed none in study"),
    ],
)
def test_what_was_changed_after_the_verdict_is_post_hoc(first, claim, changes, reason):
    found = mark(first, plan(claims={"c": claim}, **changes))
    assert re.match(reason.replace("20..", r"20\d\d-\d\d-\d\d"), found), found


def test_a_family_that_was_changed_is_post_hoc(first):
    found = mark(first, plan(claims={"c": {}, "d": {"metric": "val/accuracy"}}))
    assert found.startswith("family of 1 claims in study s-first of ")
    assert found.endswith(", of 2 here")


def test_fewer_of_the_seeds_are_post_hoc(studies):
    begin(plan(3), studies / "s-first")
    judge(studies / "s-first")
    assert mark(studies / "s-first", plan(2)).startswith("judged with 3 seeds in study s-first of ")


def test_a_new_claim_is_post_hoc_where_its_comparison_was_seen(first):
    new = plan(claims={"other": {"metric": "val/accuracy", "text": "Other."}})
    found = begin(new, first.with_name("s-second")).registration
    assert found.post_hoc["other"].startswith("a new claim over runs that study s-first of ")
    one_side = replace(new, arms=[new.arms[0], tanh_at(0.3, new)])
    found = begin(one_side, first.with_name("s-third")).registration
    assert found.post_hoc == {}
    assert found.finished == {"other": {"relu": [0, 1]}}


def tanh_at(lr, plan):
    """The second arm with another fingerprint."""
    variant = replace(plan.arms[1].variants[0], fingerprint=f"tanh-{lr}", folder=f"runs/tanh-{lr}")
    return replace(plan.arms[1], variants=[variant])


def test_a_reason_in_the_claim_marks_it_for_good(studies):
    folder = studies / "s-1"
    begin(plan(), folder)
    begin(plan(claims={"c": {"post_hoc": "seen before"}}), folder)
    assert begin(plan(), folder).registration.post_hoc == {"c": "seen before"}


def test_marks_are_inherited_when_the_first_study_is_gone(first):
    second = first.with_name("s-second")
    begin(plan(claims={"c": {"smallest_effect": 0.02}}), second)
    judge(second)
    shutil.rmtree(first)
    third = begin(plan(claims={"c": {"smallest_effect": 0.02}}), first.with_name("s-third"))
    assert "smallest_effect 0.01 in study s-first" in third.registration.post_hoc["c"]


def test_studies_that_begin_before_their_shared_runs_are_not_post_hoc(studies):
    begin(plan(), studies / "s-1")
    other = begin(plan(claims={"d": {"text": "Other.", "metric": "val/accuracy"}}), studies / "s-2")
    judge(studies / "s-1")
    assert begin(other, studies / "s-2").registration.post_hoc == {}
    assert other.registration.finished == {}


def test_an_unchanged_claim_counts_as_made_at_its_first_registration(first):
    changed = first.with_name("s-changed")
    begin(plan(claims={"c": {"smallest_effect": 0.02}}), changed)
    judge(changed)
    found = begin(plan(claims={"c": {}}, only=["c"]), first.with_name("s-only")).registration
    assert found.post_hoc == {}
    assert found.finished == {}
    assert found.since["c"] == read_manifest(first).registration.date


def test_runs_of_a_sweep_or_of_a_deleted_study_were_finished_before(studies):
    sweep = studies / "sweep-1"
    begin(manifest(), sweep)
    run(sweep)
    found = begin(plan(3), studies / "s-1").registration
    assert found.post_hoc == {}
    assert found.finished == {"c": {"relu": [0, 1], "tanh": [0, 1]}}
    assert found.was_finished("c", "relu", 1, "")
    assert not found.was_finished("c", "relu", 2, "")
    assert found.was_finished("c", "relu", 2, "2000-01-01T00:00:00.000000+00:00")
    assert not found.was_finished("c", "relu", 2, "9999-01-01T00:00:00.000000+00:00")


def test_a_study_of_an_earlier_version_counts_as_judged_where_it_has_a_report(first):
    (first / VERDICTS_NAME).unlink()
    assert mark(first, plan(claims={"c": {"smallest_effect": 0.02}})) == ""
    (first / "verdicts.csv").write_text("")
    third = begin(plan(claims={"c": {"smallest_effect": 0.02}}), first.with_name("s-third"))
    assert third.registration.post_hoc["c"].startswith("smallest_effect 0.01 in study s-first")


def test_a_damaged_verdict_file_does_not_hide_the_verdicts(first):
    (first / VERDICTS_NAME).write_text("{")
    assert mark(first, plan(claims={"c": {"smallest_effect": 0.02}})).startswith("smallest_effect 0.01")


def test_a_study_that_cannot_be_read_is_named(first, capsys):
    (first / "manifest.json").write_text('{"arms": "relu"}')
    assert mark(first, plan(claims={"c": {"smallest_effect": 0.02}})) == ""
    assert "s-first/manifest.json cannot be read, so what it has judged is not known" in capsys.readouterr().err

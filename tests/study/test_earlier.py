"""What earlier studies over the same runs mean for a new one: looks, post hoc claims, runs that had finished."""

import re
import shutil
from dataclasses import dataclass, replace

import pytest

from ablate.errors import UserError
from ablate.storage.integrity import digest
from ablate.study.manifest import read_manifest
from ablate.study.results import collect, missing_runs
from ablate.study.verdict_file import VERDICTS_NAME, write_verdicts
from ablate.sweep.begin import begin
from ablate.training.identity import fingerprint
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


def test_studies_of_one_claim_that_begin_before_their_shared_runs_are_looks(studies):
    """Whichever is judged first is the first look; a study with more seeds of the same claim is the next one."""
    numbers = (2, 3, 4)
    for number in numbers:
        begin(plan(number, looks=2), studies / f"s-{number}")
    judge(studies / "s-2")
    assert begin(plan(3, looks=2), studies / "s-3").looks == [2, 3]
    judge(studies / "s-3")
    assert begin(plan(3, looks=2), studies / "s-3").looks == [2, 3]  # it has been judged
    assert begin(plan(2, looks=2), studies / "s-2").looks == [2]
    with pytest.raises(UserError, match=r"judged with 2 and 3 of these seeds \(in s-2, s-3\), so 4 .* look 3") as found:
        begin(plan(4, looks=2), studies / "s-4")
    assert "study.seeds=[4,5,6,7]" in str(found.value)
    assert "study.looks" not in str(found.value)  # they are fixed


def test_fewer_seeds_than_were_judged_meanwhile_are_post_hoc(studies):
    for number in (3, 2):
        begin(plan(number), studies / f"s-{number}")
    judge(studies / "s-3")
    found = begin(plan(2), studies / "s-2").registration
    assert found.post_hoc["c"].startswith("judged with 3 seeds in study s-3 of ")
    assert begin(plan(3), studies / "s-3").registration.post_hoc == {}


def test_another_schedule_of_looks_that_was_judged_meanwhile_makes_a_claim_post_hoc(studies):
    schedule = {"from": 2, "to": 4, "looks": 2}
    scheduled = plan(4, looks=None)
    scheduled = replace(scheduled, looks=[2, 4], definition={**scheduled.definition, "seeds": schedule})
    begin(scheduled, studies / "s-scheduled")
    begin(plan(3), studies / "s-fixed")
    judge(studies / "s-fixed")
    assert begin(scheduled, studies / "s-scheduled").registration.post_hoc["c"].startswith("schedule none in study s-f")


def test_more_seeds_after_a_look_in_a_study_that_began_earlier_are_counted(studies):
    begin(plan(3), studies / "s-3")
    begin(plan(2), studies / "s-2")
    judge(studies / "s-2")
    judge(studies / "s-3")  # with a command that compares nothing, such as `ablate report`
    with pytest.raises(UserError, match="so 4 seeds would be look 3"):
        begin(plan(2), studies / "s-2", extra_seeds=2)


def test_seeds_of_a_larger_plan_do_not_count_as_planned(studies):
    """Who stops a study of four seeds after two, and takes these two as a study, has seen them."""
    begin(plan(4), studies / "s-4")
    run(studies / "s-4")
    found = begin(plan(2), studies / "s-2").registration
    assert (found.post_hoc, found.since) == ({}, {})
    assert found.finished == {"c": {"relu": [0, 1], "tanh": [0, 1]}}
    assert found.was_finished("c", "relu", 0, "")


def recorded(begun, thresholds):
    """The plan with real fingerprints, of runs that watch for these accuracies."""

    def real(variant):
        settings = {**variant.settings, "trainer": {"thresholds": thresholds}}
        own = fingerprint(settings, "images")
        return replace(variant, settings=settings, data="images", fingerprint=own, folder=f"runs/{own}")

    arms = [replace(arm, variants=[real(variant) for variant in arm.variants]) for arm in begun.arms]
    return replace(begun, arms=arms)


def test_runs_that_differ_only_in_what_is_recorded_are_the_same_results(studies):
    first = studies / "s-first"
    begin(recorded(plan(), [0.5]), first)
    judge(first)
    turned = begin(recorded(plan(claims={"c": {"form": "smaller"}}), [0.25, 0.5]), studies / "s-turned")
    assert turned.arms[0].variants[0].fingerprint != read_manifest(first).arms[0].variants[0].fingerprint
    assert turned.registration.post_hoc["c"].startswith("form greater in study s-first of ")
    more = begin(recorded(plan(3), [0.25, 0.5]), studies / "s-more")
    assert (more.looks, more.registration.post_hoc) == ([2, 3], {})


def test_runs_of_another_version_of_the_numerics_are_other_results(studies):
    begun = recorded(plan(), [0.5])
    ours, other = (replace(begun.arms[0].variants[0], fingerprint=name) for name in ("now", "then"))
    assert ours.identities.isdisjoint(other.identities)


def test_a_mechanism_that_is_named_later_is_not_registered(first):
    assert read_manifest(first).registration.explained_by == {"c": []}
    named = plan(claims={"c": {"explained_by": ["dead_units/mean"]}})
    assert begin(named, first).registration.explained_by == {"c": []}
    assert begin(named, first.with_name("s-copy")).registration.explained_by == {"c": []}
    other = plan(claims={"c": {"explained_by": ["dead_units/mean"], "metric": "val/accuracy", "text": "B."}})
    assert begin(other, first.with_name("s-other")).registration.explained_by == {"c": ["dead_units/mean"]}


def test_a_claim_whose_arms_have_changed_too_is_refused_by_the_claim(studies):
    """A trend with a third level has a third arm: the message is about the claim, which was changed."""
    begun = plan()
    begin(begun, studies / "s-1")
    order = {"c": {"form": "trend", "order": ["relu", "tanh", "gelu"]}}
    grown = replace(plan(claims=order), arms=[*begun.arms, replace(begun.arms[0], label="activation=gelu")])
    with pytest.raises(UserError, match="was begun with other claims"):
        begin(grown, studies / "s-1")
    arms = [*begun.arms, replace(begun.arms[0], label="activation=gelu")]
    with pytest.raises(UserError, match=r"other arms \(activation=relu, activation=tanh\), got .*gelu"):
        begin(replace(begun, arms=arms), studies / "s-1")


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

"""What verification finds in a study whose files were changed, with their checksums recomputed or not."""

import json
import shutil
from dataclasses import replace

import pytest

from ablate.judging.verification import alike, check_runs, verify_study
from ablate.storage.integrity import digest, sealed
from ablate.study.manifest import read_manifest, write_manifest
from ablate.study.results import collect
from ablate.study.study import parse
from ablate.study.verdict_file import VERDICTS_NAME
from ablate.sweep.begin import begin
from ablate.training.record import PREDICTIONS_NAME, RECORD_NAME
from builders.judged import CLAIM, judge_again, planned, settled, store


@pytest.fixture
def folder(tmp_path):
    return settled(tmp_path)


def problems(folder, **options):
    found = verify_study(folder, **options)
    return [f"{item.what}: {problem}" for item in (*found.files, *found.claims) for problem in item.problems]


def edit(path, change):
    """Change a sealed JSON file by hand, and recompute its checksum."""
    content = json.loads(path.read_text())
    del content["sha256"]
    change(content)
    path.write_text(json.dumps(sealed(content)))


def test_a_study_as_it_was_written_is_verified(folder):
    found = verify_study(folder)
    assert found.is_ok
    assert [(claim.what, claim.verdict) for claim in found.claims] == [("relu_wins", "supported")]
    assert (found.num_records, found.num_predictions) == (8, 8)
    assert read_manifest(folder).registration.sha256 in found.title


def test_a_study_can_be_verified_elsewhere(folder, tmp_path):
    copy = tmp_path / "elsewhere" / "deep"
    shutil.copytree(tmp_path / "runs", copy / "runs")
    shutil.copytree(tmp_path / "studies", copy / "studies")
    assert problems(copy / "studies" / folder.name) == []


def test_a_changed_record_is_found_by_its_checksum(folder, tmp_path):
    path = tmp_path / "runs" / "relu" / "seed-0" / RECORD_NAME
    path.write_text(path.read_text().replace("0.8", "0.9"))
    found = problems(folder)
    assert any("seed-0/record.json is damaged" in line for line in found)
    assert any(line.startswith("relu_wins: outcome is 'supported'") for line in found)


def test_a_changed_record_with_its_checksum_recomputed_is_found_by_the_verdict(folder, tmp_path):
    path = tmp_path / "runs" / "relu" / "seed-0" / RECORD_NAME
    edit(path, lambda record: record["metrics"].update({"test/accuracy": 0.805}))
    found = problems(folder)
    assert "runs/relu/seed-0: test/accuracy is 0.805 in the record, 0.8 in its predictions" in found
    assert any(
        line.startswith("relu_wins: treatment_mean is 0.8225 in verdicts.json, 0.82375 recomputed") for line in found
    )


def test_a_run_that_was_replaced_as_a_whole_is_found_by_the_verdict(folder, tmp_path):
    store(tmp_path / "runs" / "relu" / "seed-1", "relu", 1, 190)
    assert any(line.startswith("relu_wins: estimate is") for line in problems(folder))
    judge_again(folder)
    assert problems(folder) == []


@pytest.mark.parametrize("broken", ["changed", "gone"])
def test_predictions_are_checked(folder, tmp_path, broken):
    path = tmp_path / "runs" / "tanh" / "seed-2" / PREDICTIONS_NAME
    if broken == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1])
    assert any(line.startswith("runs/tanh/seed-2: ") for line in problems(folder))


def test_predictions_of_tuning_may_be_left_out(folder, tmp_path):
    """A rate is chosen by validation accuracy, and no verdict rests on these predictions."""
    results = collect(read_manifest(folder), folder)
    first, second = results.arms
    of_tuning = replace(first, chosen=None, records={}, tuning=[first.records])
    results = replace(results, arms=[of_tuning, second])
    assert check_runs(results) == ([], 8, 8)
    paths = [tmp_path / "runs" / "relu" / f"seed-{seed}" / PREDICTIONS_NAME for seed in (0, 1)]
    paths[0].unlink()
    assert check_runs(results) == ([], 8, 7)
    paths[1].write_bytes(b"damaged")
    (found,) = check_runs(results)[0]
    assert found.what == "runs/relu/seed-1"


def test_a_claim_changed_in_the_manifest_is_found_by_the_registration(folder):
    path = folder / "manifest.json"
    edit(path, lambda content: content["definition"]["claims"]["relu_wins"].update(smallest_effect=0.5))
    found = problems(folder)
    assert "registration: claims.relu_wins.smallest_effect was registered as 0.01, the manifest has 0.5" in found
    judge_again(folder)  # the verdict agrees with the changed claim now
    assert any(line.startswith("registration: claims.relu_wins.smallest_effect") for line in problems(folder))

    def registered_too(content):
        content["registration"]["plan"]["claims"]["relu_wins"]["smallest_effect"] = 0.5

    edit(path, registered_too)
    assert problems(folder) == ["registration: the registered plan does not agree with its SHA-256"]
    edit(path, lambda content: content["registration"].update(sha256=digest(content["registration"]["plan"])))
    assert any("it is of the plan" in line for line in problems(folder))


@pytest.mark.parametrize(
    ("key", "value"), [("alpha", 0.2), ("looks", 5), ("failure_share", 0.4), ("seeds", 3), ("only", ["relu_wins"])]
)
def test_other_parts_of_the_plan_are_compared_too(folder, key, value):
    edit(folder / "manifest.json", lambda content: content["definition"].update({key: value}))
    assert any(line.startswith(f"registration: {key}") for line in problems(folder))


def test_a_manifest_without_registration_is_no_verified_study(folder):
    write_manifest(replace(read_manifest(folder), registration=None), folder)
    assert any("the plan is not registered" in line for line in problems(folder))


def test_looks_that_were_not_registered_are_found(folder):
    write_manifest(replace(read_manifest(folder), looks=[2, 3, 4]), folder)
    assert "registration: 3 looks were taken, and 2 registered" in problems(folder)


def study(**changes):
    return parse("s", {**planned().definition, **changes})


def test_what_else_decides_verdicts_is_compared_with_the_studys_file(tmp_path):
    control = {"text": "It learns.", "form": "greater", "smallest_effect": 0.1, "treatment": {"activation": "relu"}}
    learns = {"learns": {**control, "value": 0.1, "at_least": True}}
    folder = settled(tmp_path, controls=learns)

    def found(**changes):
        return problems(folder, declared=study(**{"controls": learns, **changes}))

    assert found() == []
    line = "the study's file: seeds is [0, 1] in the study's file, [0, 1, 2, 3] in the manifest"
    assert found(seeds=[0, 1]) == [line]
    assert found(alpha=0.2) == ["the study's file: alpha is 0.2 in the study's file, 0.05 in the manifest"]
    eased = {"learns": {**learns["learns"], "smallest_effect": 0.05}}
    line = "the study's file: control learns: smallest_effect is 0.05 in the study's file, 0.1 in the manifest"
    assert found(controls=eased) == [line]
    assert found(controls={}) == ["the study's file: control learns: the study's file has no such control any more"]
    assert found(controls={**learns, "new": control | {"value": 0}}) == [
        "the study's file: control new is not in the manifest"
    ]
    assert found(claims={"relu_wins": CLAIM, "more": CLAIM}) == ["the study's file: claim more is not in the manifest"]


def test_a_claim_changed_in_the_studys_file_is_found(folder):
    def declared(**changes):
        return study(claims={"relu_wins": {**CLAIM, **changes}})

    assert problems(folder, declared=declared(note="More to read.")) == []
    assert problems(folder, declared=declared(smallest_effect=0.02)) == [
        "relu_wins: smallest_effect is 0.02 in the study's file, 0.01 in the manifest"
    ]
    assert problems(folder, declared=study(claims={})) == ["relu_wins: the study's file has no such claim any more"]


def test_a_changed_verdict_is_found(folder):
    path = folder / VERDICTS_NAME
    edit(path, lambda content: content["verdicts"][0].update(outcome="contradicted"))
    assert problems(folder) == ["relu_wins: outcome is 'contradicted' in verdicts.json, 'supported' recomputed"]
    path.write_text(path.read_text().replace("contradicted", "no difference"))
    assert any("verdicts.json is damaged" in line for line in problems(folder))
    path.unlink()
    assert any("the study has not been judged by this version" in line for line in problems(folder))


def test_a_mark_that_was_removed_is_found(folder, tmp_path):
    second = settled(tmp_path, "s-2", claims={"relu_wins": {**CLAIM, "smallest_effect": 0.05}})
    assert [claim.verdict for claim in verify_study(second).claims] == ["supported, post hoc"]
    edit(second / "manifest.json", lambda content: content["registration"].update(post_hoc={}))
    judge_again(second)
    (found,) = problems(second)
    assert found.startswith(
        "registration: claim relu_wins is not marked as post hoc: smallest_effect 0.01 in study s-1"
    )
    assert problems(folder) == []  # the earlier one is not post hoc because of the later


def test_a_look_at_a_claim_that_another_study_had_judged_is_found(tmp_path):
    """Both were registered before their runs; `ablate report` judges without comparing studies."""
    more, fewer = (tmp_path / "studies" / name for name in ("s-more", "s-fewer"))
    begin(planned(seeds=5, looks=1), more)
    settled(tmp_path, "s-fewer", looks=1)
    for fingerprint, right in (("relu", 172), ("tanh", 132)):
        store(tmp_path / "runs" / fingerprint / "seed-4", fingerprint, 4, right)
    assert not any("looks" in line for line in problems(more))  # it has not been judged
    judge_again(more)
    assert problems(more) == [
        "registration: 2 looks were taken, with those of other studies (4 seeds in s-fewer), and 1 registered"
    ]
    assert problems(fewer) == []  # its look was the first


def test_numbers_are_compared_but_for_their_last_digits():
    assert alike({"low": 0.1 + 0.2, "x": ["inf", None]}, {"low": 0.3, "x": ["inf", None]})
    assert not alike([0.3], [0.3001])
    assert not alike([1], [1, 2])
    assert not alike({"a": 1}, {"b": 1})
    assert not alike(None, 0.0)

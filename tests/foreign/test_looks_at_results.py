"""A file of results that grows is a further look, and a score that has changed is refused."""

import json

import pytest

from ablate.errors import UserError
from ablate.judging.verification import verify_study
from builders.foreign import scores, write_csv


def rows_of(num_seeds, offset=0.0):
    rows = [{key: value for key, value in row.items() if key != "loss"} for row in scores()]
    more = [{**row, "seed": row["seed"] + 6, "acc": row["acc"] + 0.001} for row in rows]
    found = [row for row in [*rows, *more] if row["seed"] < num_seeds]
    return [{**row, "acc": row["acc"] + offset} for row in found]


def is_verified(folder):
    return verify_study(folder).is_ok


def test_the_same_file_is_the_same_look(judge, tmp_path):
    results = write_csv(tmp_path / "scores.csv", rows_of(6))
    first, folder, _ = judge(results)
    manifest = (folder / "manifest.json").read_text()
    again, same, _ = judge(results)
    assert (again, same) == (first, folder)
    assert (folder / "manifest.json").read_text() == manifest
    assert json.loads(manifest)["looks"] == [6]
    assert is_verified(folder)


def test_further_units_need_a_declared_look(judge, tmp_path):
    results = write_csv(tmp_path / "scores.csv", rows_of(6))
    judge(results)
    write_csv(results, rows_of(8))
    with pytest.raises(UserError, match=r"\(6, 7\): a further look at the data: 1 declared, 1 taken"):
        judge(results)
    with pytest.raises(UserError, match="begun with other looks"):
        judge(results, "looks=2")


def test_a_declared_further_look_shares_the_error_level(judge, tmp_path):
    results = write_csv(tmp_path / "scores.csv", rows_of(6))
    ((first,), folder, _) = judge(results, "looks=2")
    write_csv(results, rows_of(8)[::-1])  # the order of rows does not matter
    ((second,), same, _) = judge(results, "looks=2")
    assert same == folder
    assert json.loads((folder / "manifest.json").read_text())["looks"] == [6, 8]
    assert (first["num_seeds"], second["num_seeds"]) == ("6", "8")
    assert is_verified(folder)
    assert float(first["level"]) == float(second["level"]) == pytest.approx(0.975)
    write_csv(results, rows_of(10))
    with pytest.raises(UserError, match="2 declared, 2 taken"):
        judge(results, "looks=2")


def test_named_units_keep_their_numbers(judge, tmp_path):
    def named(num_seeds):
        return [{**row, "seed": f"fold-{row['seed']}"} for row in rows_of(num_seeds)]

    results = write_csv(tmp_path / "scores.csv", named(6))
    judge(results, "looks=2")
    write_csv(results, named(8)[::-1])
    ((found,), folder, _) = judge(results, "looks=2")
    assert found["num_seeds"] == "8"
    assert json.loads((folder / "manifest.json").read_text())["definition"]["units"][:2] == ["fold-0", "fold-1"]


def test_a_changed_score_is_refused_and_nothing_is_overwritten(judge, tmp_path):
    results = write_csv(tmp_path / "scores.csv", rows_of(6))
    judge(results)
    before = {path: path.read_bytes() for path in (tmp_path / "outputs").rglob("*.json")}
    write_csv(results, rows_of(6, 0.01))
    with pytest.raises(UserError, match=r"scores.csv: acc of activation=relu, unit 0, was 0.81 .* is 0\.82.*name=NAME"):
        judge(results)
    assert {path: path.read_bytes() for path in (tmp_path / "outputs").rglob("*.json")} == before
    _, folder, _ = judge(results, "name=second")
    assert folder.name.startswith("second-")


def test_a_unit_that_has_gone_is_refused(judge, tmp_path):
    results = write_csv(tmp_path / "scores.csv", rows_of(6))
    judge(results, "looks=2")
    write_csv(results, rows_of(5))
    with pytest.raises(UserError, match="had the unit 5 when it was judged before, and lacks it now"):
        judge(results, "looks=2")


def test_claims_that_change_after_they_were_judged_are_refused(judge, tmp_path):
    results = write_csv(tmp_path / "scores.csv", rows_of(6))
    judge(results)
    claims = tmp_path / "claims.yaml"
    claims.write_text(claims.read_text().replace("0.01", "0.03"))
    with pytest.raises(UserError, match=r"begun with other claims .*smallest_effect: 0.03 now, 0.01 then"):
        judge(results)


def test_a_damaged_record_is_written_again(judge, tmp_path):
    results = write_csv(tmp_path / "scores.csv", rows_of(6))
    ((first,), _, _) = judge(results)
    record = next((tmp_path / "outputs" / "runs").rglob("seed-2/record.json"))
    record.write_text("{")
    ((again,), _, _) = judge(results)
    assert again == first

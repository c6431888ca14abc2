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


def changed(tmp_path, old, new):
    path = tmp_path / "changed.yaml"
    path.write_text((tmp_path / "claims.yaml").read_text().replace(old, new))
    return path


@pytest.mark.parametrize("looks", [(), ("looks=2",)], ids=["seeds", "numbered units"])
def test_a_claim_that_changes_under_another_name_is_post_hoc(judge, tmp_path, looks):
    rows = [{**row, "seed": row["seed"] + 1} for row in rows_of(6)]
    results = write_csv(tmp_path / "scores.csv", rows)
    ((first,), folder, _) = judge(results)
    assert first["post_hoc"] == ""
    other = changed(tmp_path, "smallest_effect: 0.01", "smallest_effect: 0.02")
    ((found,), second, printed) = judge(results, "name=other", *looks, claims=other)
    assert f"smallest_effect 0.01 in study {folder.name}" in found["post_hoc"]
    assert "post hoc" in printed.out
    assert is_verified(folder)
    assert is_verified(second)


def test_another_metric_of_runs_that_were_judged_is_post_hoc(judge, tmp_path):
    results = write_csv(tmp_path / "scores.csv", scores())
    judge(results, "ignore=[loss]")
    other = changed(tmp_path, "metric: acc", "metric: loss")
    ((found,), _, _) = judge(results, "name=other", "ignore=[acc]", claims=other)
    assert "metric acc in study claims-" in found["post_hoc"]


def test_further_units_under_another_name_are_a_further_look(judge, tmp_path):
    results = write_csv(tmp_path / "scores.csv", rows_of(6))
    _, folder, _ = judge(results)
    write_csv(results, rows_of(8))
    with pytest.raises(UserError, match=rf"judged with 6 of these units \(in {folder.name}\), so 8 units .* looks=2"):
        judge(results, "name=other")
    assert len(list((tmp_path / "outputs" / "studies").iterdir())) == 1
    ((found,), _, _) = judge(results, "name=other", "looks=2")
    assert f"looks 1 in study {folder.name}" in found["post_hoc"]


def test_other_results_under_another_name_are_not_post_hoc(judge, tmp_path):
    judge(write_csv(tmp_path / "scores.csv", rows_of(6)))
    other = changed(tmp_path, "smallest_effect: 0.01", "smallest_effect: 0.02")
    ((found,), _, _) = judge(write_csv(tmp_path / "others.csv", rows_of(6, 0.01)), "name=other", claims=other)
    assert found["post_hoc"] == ""


def test_a_control_that_does_not_come_out_leaves_no_verdict(judge, tmp_path):
    results = write_csv(tmp_path / "scores.csv", scores())
    claims = tmp_path / "claims.yaml"
    sides = "treatment: {activation: relu}, value: 0.9, at_least: true"
    control = f"sane: {{text: ReLU reaches 90 %., form: greater, metric: acc, {sides}, smallest_effect: 0.01}}"
    text = "".join(f"  {line}\n" for line in claims.read_text().splitlines())
    claims.write_text(f"claims:\n{text}controls:\n  {control}\n")
    ((found,), folder, printed) = judge(results, "ignore=[loss]")
    assert found["outcome"] == "not interpretable at this budget"
    assert "ReLU reaches 90 %." in printed.out
    assert is_verified(folder)
    claims.write_text(claims.read_text().replace("value: 0.9", "value: 0.5"))
    with pytest.raises(UserError, match="begun with other controls"):
        judge(results, "ignore=[loss]")

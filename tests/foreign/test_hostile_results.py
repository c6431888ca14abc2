"""What may be wrong with another program's results is refused or remarked on by name."""

import json

import pytest

from ablate.errors import UserError
from builders.foreign import scores, write_csv, write_events, write_mlflow
from builders.html import Page


def changed(place, **cells):
    rows = [{key: value for key, value in row.items() if key != "loss"} for row in scores()]
    if place is not None:
        rows[place] |= cells
    return rows


REFUSED = [
    ("two rows of one run", [*changed(None), changed(None)[3]], [], ["line 5", "line 14", "activation=tanh seed=1"]),
    (
        "two rows that differ in a column",
        [*changed(None), {**changed(None)[3], "lr": 0.3}],
        [],
        ["line 5", "line 14", "lr is '0.1' and '0.3'", "axes=[lr]"],
    ),
    ("a unit in the cell", changed(2, acc="81 %"), [], ["line 4", "acc must be a number", "'81 %'"]),
    ("a decimal comma", changed(2, acc="0,81"), [], ["line 4", "'0,81'", "point"]),
    ("text", changed(2, acc="n/a"), [], ["line 4", "'n/a'"]),
    ("digits with a line between", changed(2, acc="1_0"), [], ["'1_0'"]),
    ("no seed", changed(2, seed=""), [], ["line 4", "has no seed"]),
    ("a setting that differs within an arm", changed(2, lr=0.3), [], ["lr differs", "line 2", "'0.3'", "ignore=[lr]"]),
    ("an unknown status", [{**row, "status": "odd"} for row in changed(None)], [], ["line 2", "'odd'", "status="]),
    ("an unknown unit", changed(None), ["unit=sead"], ["'sead'", "did you mean seed?", "unit=COLUMN"]),
    ("an unknown metric", changed(None), ["metrics=[los]"], ["'los'", "there are activation"]),
    ("an unknown axis", changed(None), ["axes=[LR]"], ["'LR'", "did you mean lr?"]),
    ("an unknown column to ignore", changed(None), ["ignore=[x]"], ["'x'"]),
    ("an unknown column to rename", changed(None), ["rename={x: y}"], ["'x'"]),
    ("a name that is taken", changed(None), ["rename={lr: seed}"], ["'seed'", "another column"]),
    ("an axis that is a metric", changed(None), ["axes=[acc]"], ["'acc'", "metric"]),
    ("a metric that is the unit", changed(None), ["unit=acc"], ["'acc'", "unit of pairing"]),
    ("an unknown option", changed(None), ["units=seed"], ["units", "unit"]),
    ("no setting", changed(None), ["looks"], ["one file or folder", "looks"]),
    ("an impossible error level", changed(None), ["alpha=0.9"], ["alpha", "0.9"]),
]


@pytest.mark.parametrize(("rows", "words", "named"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_refused_in_one_line_before_anything_is_written(judge, tmp_path, rows, words, named):
    with pytest.raises(UserError) as error:
        judge(write_csv(tmp_path / "scores.csv", rows), *words)
    message = str(error.value)
    assert "\n" not in message
    assert [word for word in named if word not in message] == [], message
    assert not (tmp_path / "outputs").exists()


def test_an_accuracy_in_percent_is_refused(judge, tmp_path):
    rows = [{**row, "acc": 100 * row["acc"]} for row in changed(None)]
    claims = (tmp_path / "claims.yaml").read_text().replace("metric: acc", "metric: test/accuracy")
    (tmp_path / "claims.yaml").write_text(claims)
    with pytest.raises(UserError, match=r"line 2: test/accuracy must be a fraction in \[0, 1\].*got 81"):
        judge(write_csv(tmp_path / "scores.csv", rows), "rename={acc: test/accuracy}")


FILES = [
    ("scores.csv", b"", "holds no run"),
    ("scores.csv", b"activation,seed,acc\n", "holds no run"),
    ("scores.csv", b"a,a\n1,2\n", "'a' occurs twice in line 1"),
    ("scores.csv", b"activation,seed,acc\nrelu,0\n", "line 2, has 2 cells, and the head has 3"),
    ("scores.csv", b'activation,seed,acc\nrelu,0,"0.5\n', "is not valid CSV"),
    ("scores.csv", b"\xff\xfea\x00", "UTF-8"),
    ("scores.json", b"{", "is not valid JSON"),
    ("scores.json", b"3", "must hold a list of runs"),
    ("scores.jsonl", b"[]\n", "must hold a list of runs"),
    ("scores.json", b'[{"config": {"a": 1}}]', "`summary` must hold the metrics"),
    ("scores.json", b'[{"config": {"a": 1}, "summary": {"a": 1}}]', "'a' is in `config` and in `summary`"),
    ("scores.xlsx", b"PK", "must end in .csv"),
    ("scores.parquet", b"PAR1", "pyarrow|Parquet"),
]


@pytest.mark.parametrize(("name", "content", "message"), FILES)
def test_a_file_that_cannot_be_read(judge, tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        judge(name)
    assert "\n" not in str(error.value)


CLAIM_FILES = [
    ("", "must hold a mapping of claims"),
    ("{}", "it holds none"),
    ("a: 3", "'a' is no mapping"),
    ("a: [", "is not valid YAML: line 1"),
    ("a: {text: t, form: greatest, treatment: {activation: relu}, control: {activation: tanh}}", "'greatest'"),
    ("a: {text: t, form: greater, treatment: {activatoin: relu}, control: {activatoin: tanh}, smallest_effect: 1}",
     "did you mean activation?"),
    ("a: {text: t, form: greater, metric: acc, treatment: {activation: gelu}, control: {activation: tanh}, "
     "smallest_effect: 1}", "no arm with activation=gelu"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "message"), CLAIM_FILES)
def test_claims_that_are_refused(judge, tmp_path, content, message):
    (tmp_path / "wrong.yaml").write_text(content)
    with pytest.raises(UserError, match=message.replace("?", r"\?")) as error:
        judge(write_csv(tmp_path / "scores.csv", changed(None)), claims="wrong.yaml")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "outputs").exists()


def test_a_folder_without_runs_and_several_experiments(judge, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="neither event files of TensorBoard nor runs of an MLflow"):
        judge("empty")
    store = write_mlflow(tmp_path / "mlruns", scores())
    (store / "123").rename(store / "9")
    write_mlflow(store, scores(), experiment="other")
    with pytest.raises(UserError, match=r"`experiment` must be one of .*other, digits"):
        judge("mlruns")
    ((found,), _, _) = judge("mlruns", "experiment=other")
    assert found["outcome"] == "supported"


def test_missing_seeds_make_the_claim_incomplete_by_name(judge, tmp_path):
    rows = [row for row in changed(None) if (row["activation"], row["seed"]) != ("tanh", 2)]
    ((found,), folder, _) = judge(write_csv(tmp_path / "scores.csv", rows))
    assert found["outcome"] == "incomplete"
    assert "activation=tanh: 1 of 6 runs are missing" in found["reason"]
    for name in ("report.html", "report.md"):
        assert "scores.csv lacks the rest: add their results and judge it again" in " ".join(
            (folder / name).read_text(encoding="utf-8").split()
        )


def test_runs_that_failed_are_named_and_a_repetition_counts(judge, tmp_path):
    rows = changed(None)
    rows = [{**row, "status": "finished"} for row in rows]
    failed = {**rows[5], "status": "crashed", "acc": None}
    ((found,), _, printed) = judge(write_csv(tmp_path / "a.csv", [failed, *rows]))
    assert found["outcome"] == "supported"
    assert "a.csv, line 2: crashed" in printed.err
    rows[5] = failed
    ((found,), folder, _) = judge(write_csv(tmp_path / "b.csv", rows))
    assert "activation=tanh: 1 of 6 runs are missing, 1 failed" in found["reason"]
    assert "b.csv, line 7: crashed" in Page((folder / "report.html").read_text(encoding="utf-8")).text


def test_mlflow_runs_that_failed_are_missing(judge, tmp_path):
    rows = scores()
    rows[5] |= {"status": 4}
    ((found,), _, printed) = judge(write_mlflow(tmp_path / "mlruns", rows))
    assert found["outcome"] == "incomplete"
    assert "run swift-5 of mlruns/123: failed" in printed.err


def test_nan_has_no_score_unless_guessing_is_known(judge, tmp_path):
    ((found,), _, _) = judge(write_csv(tmp_path / "a.csv", changed(3, acc="nan")))
    assert found["outcome"] == "incomplete"
    assert "activation=tanh: 1 of 6 runs have no acc, 1 diverged" in found["reason"]
    (tmp_path / "claims.yaml").write_text((tmp_path / "claims.yaml").read_text().replace(": acc", ": test/accuracy"))
    named = "rename={acc: test/accuracy}"
    ((found,), folder, _) = judge(write_csv(tmp_path / "b.csv", changed(3, acc="nan")), named, "guessing=0.5")
    assert found["outcome"] != "incomplete"
    assert float(found["control_mean"]) == pytest.approx((0.78 + 0.5 + 0.78 + 0.80 + 0.79 + 0.81) / 6)
    assert "1 of 6" in found["did_not_train"]
    assert "diverged: a metric is not finite; its accuracy is that of guessing" in (folder / "report.md").read_text()


def test_the_predictions_of_another_program_are_not_looked_for(judge, tmp_path):
    (tmp_path / "claims.yaml").write_text((tmp_path / "claims.yaml").read_text().replace(": acc", ": test/accuracy"))
    named = "rename={acc: test/accuracy}"
    ((found,), folder, printed) = judge(write_csv(tmp_path / "a.csv", changed(None)), named, "guessing=0.5")
    assert found["outcome"] == "supported if trained"
    assert "predictions.npz" not in printed.out + (folder / "report.md").read_text()


def test_a_threshold_that_was_never_reached_has_no_value_where_the_budget_is_not_known(judge, tmp_path):
    claims = (tmp_path / "claims.yaml").read_text().replace("greater", "ratio\n  direction: smaller")
    claims = claims.replace(": acc", ": epochs_to/acc").replace("0.01", "1.1")
    (tmp_path / "claims.yaml").write_text(claims)
    rows = [{key: value for key, value in row.items() if key != "acc"} for row in changed(None)]
    rows = [{**row, "epochs_to/acc": 30 + 10 * (row["activation"] == "tanh")} for row in rows]
    ((found,), _, _) = judge(write_csv(tmp_path / "a.csv", rows))
    assert (found["outcome"], float(found["estimate"])) == ("supported", pytest.approx(0.75))
    rows[3]["epochs_to/acc"] = "inf"
    ((found,), _, _) = judge(write_csv(tmp_path / "b.csv", rows))
    assert found["outcome"] == "incomplete"
    assert "activation=tanh: 1 of 6 runs have no epochs_to/acc above 0" in found["reason"]


def test_an_empty_cell_is_a_metric_that_was_not_measured(judge, tmp_path):
    ((found,), _, _) = judge(write_csv(tmp_path / "scores.csv", changed(3, acc=None)))
    assert found["outcome"] == "incomplete"
    assert "no metric 'acc'" in found["reason"]


def test_settings_that_differ_between_arms_are_not_compared(judge, tmp_path):
    rows = [{**row, "lr": 0.1 if row["activation"] == "relu" else 0.01} for row in changed(None)]
    results = write_csv(tmp_path / "scores.csv", rows)
    ((found,), folder, _) = judge(results)
    assert found["outcome"] == "not comparable"
    assert "lr is 0.1 against 0.01" in found["reason"]
    assert "lr" in (folder / "report.md").read_text(encoding="utf-8").partition("Undeclared differences")[2]
    ((found,), _, _) = judge(results, "ignore=[lr]", "name=other")
    assert found["outcome"] == "supported"


def test_one_seed_decides_nothing(judge, tmp_path):
    ((found,), _, _) = judge(write_csv(tmp_path / "scores.csv", changed(None)[:2]))
    assert (found["outcome"], found["num_seeds"]) == ("inconclusive", "1")


def test_units_need_not_be_numbers(judge, tmp_path):
    rows = [{**row, "fold": f"fold {'abcdef'[row['seed']]}", "seed": 2**40 + row["seed"]} for row in changed(None)]
    ((by_fold,), _, _) = judge(write_csv(tmp_path / "a.csv", rows), "unit=fold", "ignore=[seed]")
    ((by_seed,), _, _) = judge(write_csv(tmp_path / "b.csv", rows), "ignore=[fold]")
    ((by_both,), _, _) = judge(write_csv(tmp_path / "c.csv", rows), "unit=[fold,seed]")
    assert by_fold["estimate"] == by_seed["estimate"] == by_both["estimate"]
    assert by_fold["outcome"] == "supported"


HOSTILE = ["<script>alert(1)</script>", "../../../etc", "=cmd|' ü\t{seed}'!A0", "x" * 300]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_shown_as_text_and_stay_in_their_folder(judge, tmp_path, name):
    rows = [
        {**row, "activation": name if row["activation"] == "relu" else "tanh", "<object>": "<object>"}
        for row in changed(None)
    ]
    claims = {
        "better": {
            "text": "<u>It</u> is better.",
            "form": "greater",
            "metric": "acc",
            "treatment": {"activation": name},
            "control": {"activation": "tanh"},
            "smallest_effect": 0.01,
        }
    }
    (tmp_path / "claims.yaml").write_text(json.dumps(claims))
    ((found,), folder, _) = judge(write_csv(tmp_path / "scores.csv", rows))
    assert found["outcome"] == "supported"
    page = Page((folder / "report.html").read_text(encoding="utf-8"))
    assert not {"script", "u", "object"} & set(page.tags)
    outside = {path.name for path in tmp_path.iterdir()} - {"claims.yaml", "scores.csv", "outputs"}
    assert not outside
    assert len(list((tmp_path / "outputs" / "runs").iterdir())) == 2


def test_columns_may_have_the_names_of_settings_of_ablate(judge, tmp_path):
    names = ("data", "trainer", "diagnostics", "net", "device", "output_dir")
    rows = [{**row, **dict.fromkeys(names, "x")} for row in changed(None)]
    ((found,), _, _) = judge(write_csv(tmp_path / "scores.csv", rows))
    assert found["outcome"] == "supported"


def test_tensorboard_names_by_a_pattern_and_parts_of_a_run(judge, tmp_path):
    logs = write_events(tmp_path / "plain", scores())
    for row in scores():
        old = logs / f"activation={row['activation']},lr={row['lr']}" / f"seed-{row['seed']}"
        new = tmp_path / "logs" / f"{row['activation']}_s{row['seed']}" / "test"
        new.parent.mkdir(parents=True)
        old.rename(new)
    (tmp_path / "claims.yaml").write_text((tmp_path / "claims.yaml").read_text().replace(": acc", ": test/acc"))
    ((found,), _, _) = judge("logs", "pattern={activation}_s{seed}")
    assert found["outcome"] == "supported"
    with pytest.raises(UserError, match=r"'relu_s0' is not '\{seed\}-\{activation\}'"):
        judge("logs", "pattern={seed}-{activation}")

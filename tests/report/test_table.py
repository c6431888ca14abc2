from ablate.report import arm_labels, arm_rows
from ablate.report.table import without_idle_columns
from ablate.tables import aligned, comma_separated, markdown
from builders.records import make_record

ROWS = [["arm", "n", "value"], ["a", "10", "1.5"], ["long|name", "3", "-12.25"]]


def test_aligned():
    assert aligned(ROWS) == "arm         n   value\na          10     1.5\nlong|name   3  -12.25"


def test_markdown():
    assert markdown(ROWS).splitlines()[1:] == ["|---|---|---|", "| a | 10 | 1.5 |", "| long\\|name | 3 | -12.25 |"]


def test_comma_separated():
    assert comma_separated([["a", "b"], ["x,y", "1"]]) == 'a,b\n"x,y",1\n'


def record(fingerprint, seed, accuracy, activation="relu", settings=None, **changes):
    metrics = {"test/accuracy": accuracy, "val/accuracy": accuracy, "train_eval/accuracy": accuracy}
    levels = {"data": "shapes", "activation": activation}
    settings = settings or {"activation": {"_target_": activation}, "optimizer": {"lr": 0.1}}
    fields = {"arm": f"arm {fingerprint}", "levels": levels, "settings": settings, **changes}
    return make_record(fingerprint=fingerprint, seed=seed, metrics=metrics, **fields)


def test_labels_name_only_what_differs():
    def settings(activation, lr, **more):
        return {"activation": {"_target_": activation, **more}, "optimizer": {"lr": lr}}

    records = [
        record("a", 0, 0.5, "relu", settings("relu", 0.1)),
        record("b", 0, 0.5, "leaky", settings("leaky", 0.1, slope=0.01)),
        record("c", 0, 0.5, "leaky", settings("leaky", 0.1, slope=0.2)),
    ]
    assert arm_labels(records) == {
        "a": "activation=relu",
        "b": "activation=leaky activation.slope=0.01",
        "c": "activation=leaky activation.slope=0.2",
    }
    lrs = [record("a", 0, 0.5), record("b", 0, 0.5, settings=settings("relu", 0.3))]
    assert arm_labels(lrs) == {"a": "optimizer.lr=0.1", "b": "optimizer.lr=0.3"}
    assert arm_labels(records[:1]) == {"a": "arm a"}


def test_rows_are_means_over_seeds_best_first():
    records = [
        record("a", 0, 0.5),
        record("a", 1, 0.7),
        record("b", 0, 0.8, "tanh"),
        record("c", 0, 0.1, "sigmoid", status="diverged"),
    ]
    head, *rows = arm_rows(records)
    assert head[:4] == ["arm", "seeds", "test accuracy %", "std"]
    assert [row[:4] for row in rows] == [
        ["activation=tanh", "1", "80.00", ""],
        ["activation=relu", "2", "60.00", "14.14"],
        ["activation=sigmoid", "1", "10.00", ""],
    ]
    assert [row[6] for row in rows] == ["0", "0", "1"]


def test_a_metric_that_was_not_measured_is_not_shown():
    """Without validation images there is no validation accuracy, which is not one of 0."""
    head, row = arm_rows([make_record(metrics={"test/accuracy": 0.5, "train_eval/accuracy": 0.75})])
    assert dict(zip(head, row, strict=True))["val accuracy %"] == ""
    assert dict(zip(head, row, strict=True))["test accuracy %"] == "50.00"


def test_columns_of_arms_that_say_nothing_are_left_out():
    head = ["arm", "seeds", "loss", "std", "val accuracy %", "diverged", "not finite", "seconds a run", "x"]
    rows = [head, ["a", "1", "0", "", "", "0", "0", "0.0", "0"], ["b", "1", "0", "", "", "0", "1", "0.0", "0"]]
    assert without_idle_columns(rows)[0] == ["arm", "seeds", "loss", "not finite", "seconds a run", "x"]
    assert without_idle_columns(rows)[2] == ["b", "1", "0", "1", "0.0", "0"]
    assert without_idle_columns(rows[:2])[0] == ["arm", "seeds", "loss", "seconds a run", "x"]
    assert without_idle_columns([head, ["a", "0", "", "", "", "0", "0", "", ""]])[0] == ["arm", "seeds", "loss"]

"""Where a program's files hold two numbers that could be meant, none is chosen in silence."""

import json

import pytest

from ablate.errors import UserError
from builders.foreign import scores, write_csv, write_events, write_mlflow


def write_scalars(folder, events, start=None, hparams=None, name=""):
    """Write one event file; events are (tag, step, value, wall time)."""
    from tensorboard.compat.proto.event_pb2 import Event, SessionLog
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(folder), filename_suffix=name)
    if start is not None:
        writer.add_event(Event(wall_time=1.0, step=start, session_log=SessionLog(status=SessionLog.START)))
    if hparams:
        writer.add_event(Event(wall_time=1.0, step=0, summary=hparams_pb(hparams)))
    for tag, step, value, wall in events:
        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
        writer.add_event(Event(wall_time=wall, step=step, summary=summary))
    writer.close()


def claims_on(tmp_path, metric):
    text = (tmp_path / "claims.yaml").read_text().replace(": acc", f": {metric}")
    (tmp_path / "other.yaml").write_text(text)
    return "other.yaml"


def write_add_scalars(logs, leave_out=()):
    """Write what `add_scalars("acc", {"train": ..., "val": ...})` writes: tanh is better on training data alone."""
    for row in scores():
        run = logs / f"activation={row['activation']}" / f"seed-{row['seed']}"
        write_scalars(run, [])
        train = row["acc"] + (0.1 if row["activation"] == "tanh" else 0)
        for part, value in (("acc_train", train), ("acc_val", row["acc"])):
            if (row["seed"], part) not in leave_out:
                write_scalars(run / part, [("acc", 1, value, 2.0)])


def test_a_tag_in_several_folders_of_a_run_has_no_bare_name(judge, tmp_path):
    write_add_scalars(tmp_path / "logs")
    with pytest.raises(
        UserError, match=r"'acc', which is no column of logs; did you mean acc_train/acc or acc_val/acc"
    ):
        judge("logs")
    assert not (tmp_path / "outputs").exists()
    ((found,), _, _) = judge("logs", claims=claims_on(tmp_path, "acc_val/acc"))
    assert (found["outcome"], float(found["treatment_mean"])) == ("supported", pytest.approx(0.82166667, rel=1e-6))
    ((found,), _, _) = judge("logs", "name=train", claims=claims_on(tmp_path, "acc_train/acc"))
    assert found["outcome"] == "contradicted"


def test_a_tag_has_one_name_in_all_runs(judge, tmp_path):
    write_add_scalars(tmp_path / "logs", leave_out=[(seed, "acc_val") for seed in range(6)][:3])
    with pytest.raises(UserError, match="did you mean acc_train/acc or acc_val/acc"):
        judge("logs")
    ((found,), _, _) = judge("logs", claims=claims_on(tmp_path, "acc_val/acc"))
    assert "no metric 'acc_val/acc'" in found["reason"]


def test_the_folders_of_add_hparams_need_no_prefix(judge, tmp_path):
    for place, row in enumerate(scores()):
        run = tmp_path / "logs" / f"activation={row['activation']}" / f"seed-{row['seed']}"
        write_scalars(run, [("loss", 1, 0.5, 2.0)])
        write_scalars(run / f"17000000{place:02}.5", [("acc", 0, row["acc"], 2.0)], hparams={"lr": 0.1})
    ((found,), _, _) = judge("logs")
    assert found["outcome"] == "supported"
    write_scalars(tmp_path / "logs" / "activation=relu" / "seed-0" / "1700000050.5", [("acc", 0, 0.3, 2.0)])
    with pytest.raises(UserError, match=r"'acc', which is no column of logs; did you mean .*\d\.5/acc"):
        judge("logs")


def test_two_scalars_of_one_name_are_refused(judge, tmp_path):
    run = tmp_path / "logs" / "activation=relu" / "seed-0"
    write_scalars(run, [("val/acc", 1, 0.5, 2.0)])
    write_scalars(run / "val", [("acc", 1, 0.9, 2.0)])
    with pytest.raises(UserError, match="seed-0: two scalars in its folders are called 'val/acc'"):
        judge("logs")


def test_a_setting_with_two_values_is_refused(judge, tmp_path):
    logs = tmp_path / "logs"
    write_scalars(logs / "activation=relu" / "seed-3", [("acc", 1, 0.5, 2.0)], hparams={"seed": 3.0, "lr": 0.1})
    write_scalars(logs / "activation=relu" / "seed-4", [("acc", 1, 0.5, 2.0)], hparams={"seed": 7.0})
    with pytest.raises(UserError, match=r"seed-4: seed must be the same .* got 7.0 and 4; .*pattern="):
        judge("logs")
    write_scalars(tmp_path / "twice" / "activation=relu,lr=1" / "activation=tanh,seed=1", [("acc", 1, 0.5, 2.0)])
    with pytest.raises(UserError, match="gives activation two values, relu and tanh"):
        judge("twice")


def test_a_resumed_run_counts_from_where_it_was_resumed(judge, tmp_path):
    logs = write_events(tmp_path / "logs", scores())
    run = logs / "activation=relu,lr=0.1" / "seed-0"
    # Steps 3 and 4 were lost in a crash, and the run went on at step 2, to its end.
    write_scalars(run, [("acc", 2, 0.1, 4.0), ("acc", 3, 0.1, 5.0), ("acc", 4, 0.1, 6.0)], name=".b")
    write_scalars(run, [("acc", 2, 0.81, 7.0)], start=2, name=".c")
    ((found,), _, printed) = judge("logs")
    assert float(found["treatment_mean"]) == pytest.approx(0.82166667, rel=1e-6)
    assert "acc was written" not in printed.err


def test_a_run_that_was_begun_again_in_its_folder_is_said(judge, tmp_path):
    logs = write_events(tmp_path / "logs", scores())
    write_scalars(logs / "activation=relu,lr=0.1" / "seed-0", [("acc", 1, 0.1, 9.0)], name=".b")
    (_, _, printed) = judge("logs")
    assert "seed-0: acc was written for step 1 after it had been written for step 2, which counts" in printed.err


def write_short_mlflow(folder):
    store = write_mlflow(folder, scores())
    (store / "123" / f"{3:032x}" / "metrics" / "acc").write_text("1700000001 0.79 1\n")
    return store


def write_short_logs(folder):
    logs = write_events(folder, [row for row in scores() if (row["activation"], row["seed"]) != ("tanh", 1)])
    write_scalars(logs / "activation=tanh,lr=0.1" / "seed-1", [("acc", 1, 0.79, 2.0)])
    return logs


@pytest.mark.parametrize("write", [write_short_mlflow, write_short_logs])
def test_a_run_that_ended_at_another_step_is_said(judge, tmp_path, write):
    (_, _, printed) = judge(write(tmp_path / "results"))
    assert "the last step of acc is 2 in 11 runs, and 1 in run " in printed.err
    assert "take it out" in printed.err


def test_equal_last_steps_are_not_remarked_on(judge, tmp_path):
    (_, _, printed) = judge(write_mlflow(tmp_path / "mlruns", scores()))
    assert "last step" not in printed.err


def test_percent_and_fractions_in_one_column_are_refused(judge, tmp_path):
    rows = [{**row, "acc": row["acc"] * (100 if row["activation"] == "tanh" else 1)} for row in scores()]
    results = write_csv(tmp_path / "scores.csv", rows)
    with pytest.raises(
        UserError, match=r"acc must have one unit .* got 0.84 in .*line 8 and 81 in .*line 13; .*rename"
    ):
        judge(results, "ignore=[loss]")
    ((found,), _, _) = judge(results, "ignore=[loss]", "rename={acc: score}", claims=claims_on(tmp_path, "score"))
    assert found["outcome"] == "contradicted"  # a score may have any value


def test_percent_alone_is_accepted(judge, tmp_path):
    rows = [{**row, "acc": 100 * row["acc"]} for row in scores()]
    ((found,), _, _) = judge(write_csv(tmp_path / "scores.csv", rows), "ignore=[loss]")
    assert found["outcome"] == "supported"


COLLIDING = [
    ("r.json", '[{"activation": "relu", "seed": 0, "acc": 0.1, "acc": 0.9}]', "the key 'acc' occurs twice"),
    ("r.jsonl", '{"activation": "relu", "seed": 0, "acc": 0.1, "acc": 0.9}', "the key 'acc' occurs twice"),
    ("r.json", '[{"seed": 0, "val.acc": 0.1, "val": {"acc": 0.9}}]', "run 0: the key 'val.acc' occurs twice"),
    ("r.json", '[{"config": {"seed": 0}, "summary": {"a/b": 1, "a": {"b": 2}}}]', "run 0: the key 'a/b' occurs twice"),
    ("r.json", '[{"config": {"a.b": 1, "a": {"b": 2}}, "summary": {"acc": 1}}]', "run 0: the key 'a.b' occurs twice"),
    ("r.csv", "params.seed,params.acc,metrics.acc\n0,0.1,0.9\n", "'metrics.acc' and 'params.acc' would both be called"),
    ("r.csv", "seed,acc,metrics.acc\n0,0.1,0.9\n", "'acc' and 'metrics.acc' would both be called 'acc'"),
]


@pytest.mark.parametrize(("name", "content", "message"), COLLIDING)
def test_two_numbers_of_one_name_in_a_file_are_refused(judge, tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=message):
        judge(name)


def test_a_parameter_may_be_called_like_a_group_of_metrics(judge, tmp_path):
    runs = [
        {
            "config": {"activation": row["activation"], "seed": row["seed"], "metrics": {"acc": 3}},
            "summary": {"acc": row["acc"]},
        }
        for row in scores()
    ]
    (tmp_path / "r.json").write_text(json.dumps(runs))
    ((found,), _, _) = judge("r.json")
    assert (found["outcome"], float(found["treatment_mean"])) == ("supported", pytest.approx(0.82166667, rel=1e-6))


def test_the_status_of_a_run_is_not_its_parameter_of_that_name(judge, tmp_path):
    rows = [
        {
            "params.activation": row["activation"],
            "params.seed": row["seed"],
            "params.status": "x",
            "status": "FINISHED",
            "metrics.acc": row["acc"],
        }
        for row in scores()
    ]
    ((found,), _, _) = judge(write_csv(tmp_path / "r.csv", rows))
    assert found["outcome"] == "supported"


def test_experiments_of_one_name_are_told_apart_by_number(judge, tmp_path):
    store = write_mlflow(tmp_path / "mlruns", [{**row, "acc": 0.5} for row in scores()])
    (store / "123").rename(store / "9")
    write_mlflow(store, scores())
    with pytest.raises(UserError, match=r"`experiment` must be one of .*: 123, 9, got 'digits'"):
        judge("mlruns", "experiment=digits")
    ((found,), _, _) = judge("mlruns", "experiment=123")
    assert found["outcome"] == "supported"

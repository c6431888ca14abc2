"""Outputs that are not finite, arms that cannot be tuned, and penalized losses are named wherever a study is shown."""

from dataclasses import replace

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ablate.judging import judge
from ablate.report import summary, write_report
from ablate.report.provenance import failures, progress
from ablate.report.table import arm_rows
from ablate.report.verdicts import verdict_table

MARK = "not finite at inference: 2 of 6 seeds (up to 40"


@pytest.fixture
def marked(small_study, tmp_path):
    """A study of relu and tanh in which two of tanh's six runs have outputs that are not finite."""
    results = small_study(tmp_path / "studies" / "small-00000000", {"relu": 0.7, "tanh": 0.5})
    tanh = next(arm for arm in results.arms if "tanh" in arm.label)
    for seed, share in ((1, 0.4), (3, 0.1)):
        record = tanh.records[seed]
        metrics = {**record.metrics, "test/non_finite": share, "val/non_finite": 0.0, "test/loss": None}
        tanh.records[seed] = replace(record, metrics=metrics)
    for seed in set(tanh.records) - {1, 3}:
        tanh.records[seed].metrics["test/non_finite"] = 0.0
    return results


def test_terminal_table_and_reports_say_in_how_many_runs(marked):
    judgements = judge(marked)
    shown = summary(marked, judgements)
    assert f"activation=tanh: {MARK}" in shown
    assert f"activation=relu: {MARK[:10]}" not in shown
    head, *rows = arm_rows([record for arm in marked.arms for record in arm.records.values()])
    column = head.index("not finite")
    assert {row[0]: row[column] for row in rows} == {"activation=relu": "0", "activation=tanh": "2"}
    assert [row[:2] for row in failures(marked)[1:]] == [["activation=tanh", "1, 3"]]
    assert progress(marked).non_finite == 2
    path = write_report(marked, judgements)
    for name in ("report.html", "report.md"):
        content = path.with_name(name).read_text()
        assert MARK in content and "counts as wrong" in content
        assert "all outputs were finite" not in content


def test_tensorboard_says_it(marked):
    path = write_report(marked, judge(marked))
    board = EventAccumulator(str(path.parent / "tensorboard-arms" / "study")).Reload()
    (event,) = board.Tensors("answer")
    assert MARK.encode() in event.tensor_proto.string_val[0]
    arm = EventAccumulator(str(path.parent / "tensorboard-arms" / "activation=tanh")).Reload()
    assert arm.Scalars("final/test/non_finite")[0].value == pytest.approx(0.5 / 6)
    assert "final/val/non_finite" not in arm.Tags()["scalars"]


def test_an_arm_without_a_value_that_trains_is_named(tuned_study, tmp_path):
    results, judgements = tuned_study(tmp_path)
    assert "not tunable" not in summary(results, judgements)
    arm = results.arms[0]
    for records in arm.tuning:
        seed = next(iter(records))
        records[seed] = replace(records[seed], status="diverged")
    line = f"{arm.label}: not tunable: at every value of optimizer.lr a tuning run diverged or was not finite"
    assert line in summary(results, judgements)
    assert [arm.label, "tuning"] in [row[:2] for row in failures(results)]


@pytest.mark.parametrize(
    ("key", "value", "metric", "noted"),
    [
        ("label_smoothing", 0.1, "train/loss", True),
        ("l1_activation", 0.1, "train/loss", True),
        ("l2", 0.1, "train/loss", False),
        ("label_smoothing", 0.1, "train/cross_entropy", False),
        ("label_smoothing", 0.0, "train/loss", False),
    ],
)
def test_a_claim_about_losses_of_which_one_is_penalized_is_remarked_on(marked, key, value, metric, noted):
    for arm, own in zip(marked.arms, (0.0, value), strict=True):
        arm.chosen.settings["regularizer"] = {key: own}
        for record in arm.records.values():
            record.metrics[metric] = 1.0
    judgement = judge(marked)[0]
    judgement = replace(judgement, claim=replace(judgement.claim, metric=metric))
    texts = [note.text for note in verdict_table(marked, [judgement])[0].notes]
    assert any(f"train/loss holds what regularizer.{key} adds" in text for text in texts) == noted

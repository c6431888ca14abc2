import errno

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import metadata

from ablate.errors import CannotWrite
from ablate.report.curves import band, history
from ablate.report.tensorboard import add, as_hparam, event_file, link_study, text_summary, write_arm_board


def read(folder):
    events = EventAccumulator(str(folder))
    events.Reload()
    return events


@pytest.fixture
def board(tuned_study, tmp_path):
    results, judgements = tuned_study(tmp_path)
    write_arm_board(results, judgements, results.folder)
    return results, judgements, results.folder / "tensorboard-arms"


def tensor_text(events, tag):
    return events.Tensors(tag)[0].tensor_proto.string_val[0]


def test_an_arm_is_one_run_with_its_bands(board):
    results, _, folder = board
    names = {"activation=" + arm.axes["activation"] for arm in results.arms} | {"study"}
    assert {path.name for path in folder.iterdir()} == names
    events = read(folder / "activation=relu")
    records = list(results.arms[0].records.values())
    curve = band(history(records, "val/accuracy"))
    for end, expected in (("mean", curve.mean), ("lower", curve.low), ("upper", curve.high)):
        written = events.Scalars(f"val/accuracy/{end}")
        assert [event.step for event in written] == list(range(1, 11))
        np.testing.assert_allclose([event.value for event in written], expected, rtol=1e-6)
    mean = np.mean([record.metrics["test/accuracy"] for record in records])
    assert events.Scalars("final/test/accuracy")[0].value == pytest.approx(mean, rel=1e-6)


def test_a_metric_that_a_run_has_not_is_no_final_mean(board):
    events = read(board[2] / "activation=sigmoid")
    assert "final/test/loss" not in events.Tags()["scalars"]
    assert "final/test/accuracy" in events.Tags()["scalars"]


def test_hparams_are_one_row_an_arm_of_what_varies(board):
    results, _, folder = board
    for arm in results.arms:
        name = f"activation={arm.axes['activation']}"
        plugins = read(folder / name).summary_metadata
        start = metadata.parse_session_start_info_plugin_data(
            plugins[metadata.SESSION_START_INFO_TAG].plugin_data.content
        )
        assert start.group_name == name
        assert dict(start.hparams.items()).keys() == {"activation", "optimizer.lr"}
        assert start.hparams["optimizer.lr"].number_value == arm.chosen.value
        assert metadata.SESSION_END_INFO_TAG in plugins
    experiment = read(folder / "study").summary_metadata[metadata.EXPERIMENT_TAG].plugin_data.content
    parsed = metadata.parse_experiment_plugin_data(experiment)
    assert {info.name for info in parsed.hparam_infos} == {"activation", "optimizer.lr"}
    assert parsed.metric_infos[0].name.tag == "final/test/accuracy"


def test_margin_charts_name_tags_that_are_there(board):
    layout = layout_pb2.Layout.FromString(tensor_text(read(board[2] / "study"), "custom_scalars__config__"))
    tags = set(read(board[2] / "activation=relu").Tags()["scalars"])
    series = [series for category in layout.category for chart in category.chart for series in chart.margin.series]
    assert {"val/accuracy/mean", "train/loss/mean"} <= {one.value for one in series}
    for one in series:
        assert {one.value, one.lower, one.upper} <= tags


def test_verdicts_are_text(board):
    _, judgements, folder = board
    events = read(folder / "study")
    assert b"2 supported" in tensor_text(events, "answer")
    assert judgements[0].claim.text.encode() in tensor_text(events, "verdicts")


def test_a_second_report_replaces_events_and_nothing_else(board):
    results, judgements, folder = board
    mine = folder / "activation=relu" / "mine.txt"
    mine.write_text("x")
    del results.arms[0]
    write_arm_board(results, judgements, results.folder)
    assert [path.name for path in (folder / "activation=relu").iterdir()] == ["mine.txt"]
    assert len(list((folder / "activation=elu").glob("events.out.tfevents.*"))) == 1


def test_nothing_done_still_makes_a_board(tuned_study, undone, tmp_path):
    results, _ = tuned_study(tmp_path)
    write_arm_board(undone(results), [], results.folder)
    assert b"0 of 36 report runs" in tensor_text(read(results.folder / "tensorboard-arms" / "study"), "answer")


def test_one_seed_has_a_line_without_width(grid_study, tmp_path):
    results = grid_study(tmp_path, 1)
    write_arm_board(results, [], results.folder)
    events = read(results.folder / "tensorboard-arms" / "activation=relu,normalization=none")
    means = [event.value for event in events.Scalars("val/accuracy/mean")]
    assert means == [event.value for event in events.Scalars("val/accuracy/upper")]


def test_values_of_one_name_have_one_type():
    assert as_hparam(1, {int, float}) == 1.0 and isinstance(as_hparam(1, {int, float}), float)
    assert as_hparam(True, {bool}) is True
    assert as_hparam(True, {bool, str}) == "true"
    assert as_hparam(None, {type(None), float}) == "null"
    assert as_hparam([1, 2], {list}) == "[1,2]"


def test_runs_are_linked_under_the_names_of_arms(grid_study, tmp_path):
    results = grid_study(tmp_path, 2)
    for arm in results.arms:
        (results.output_dir / arm.chosen.folder / "seed-1" / "events").write_text(arm.label)
    link_study(results, results.folder)
    view = results.folder / "tensorboard"
    assert (view / "activation=relu,normalization=batch" / "seed-1" / "events").read_text() == results.arms[1].label
    assert not (view / "activation=relu,normalization=batch" / "seed-2").exists()


def test_means_over_fewer_runs_say_so(board):
    _, _, folder = board
    rows = tensor_text(read(folder / "activation=sigmoid"), "runs").decode()
    assert "6 of 6 runs" in rows
    assert "| val/loss | 5 of 6 runs from epoch 3 |" in rows  # one run diverged in its third epoch
    assert "final/test/loss | 5 of 6 runs have a value: no mean is shown" in rows
    assert "| val/accuracy" not in rows
    assert "loss" not in tensor_text(read(folder / "activation=relu"), "runs").decode()


def test_a_full_disk_leaves_no_torn_event_file(tmp_path):
    def fill():
        with event_file(tmp_path / "arm") as writer:
            add(writer, text_summary("runs", "all"))
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(CannotWrite, match="No space left"):
        fill()
    assert list((tmp_path / "arm").iterdir()) == []
    with event_file(tmp_path / "arm") as writer:
        add(writer, text_summary("runs", "all"))
    (path,) = (tmp_path / "arm").iterdir()
    assert path.name.startswith("events.out.tfevents.")
    tags = [value.tag for event in LegacyEventFileLoader(str(path)).Load() for value in event.summary.value]
    assert tags == ["runs"]


def test_the_page_of_arms_opens_on_accuracy(board):
    events = read(board[2] / "activation=relu")
    tags = sorted(events.Tags()["scalars"])
    assert tags[:3] == ["accuracy/test", "accuracy/train", "accuracy/val"]
    means = [event.value for event in events.Scalars("val/accuracy/mean")]
    assert [event.value for event in events.Scalars("accuracy/val")] == means
    assert "measured/lr/mean" in tags and "lr/mean" not in tags


def test_the_page_of_runs_has_few_columns(board):
    results, _, folder = board
    link_study(results, folder.parent)
    experiment = read(folder.parent / "tensorboard" / "columns").summary_metadata[metadata.EXPERIMENT_TAG]
    parsed = metadata.parse_experiment_plugin_data(experiment.plugin_data.content)
    assert {info.name for info in parsed.hparam_infos} == {"activation", "optimizer.lr"}
    tags = [info.name.tag for info in parsed.metric_infos]
    assert tags[0] == "test/accuracy" and len(tags) <= 4

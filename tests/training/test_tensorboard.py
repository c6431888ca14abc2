import threading

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch import nn

from ablate.diagnostics.track import Track
from ablate.errors import UserError
from ablate.training.loop import Callback, State
from ablate.training.start import start
from ablate.training.tensorboard import TensorBoard, first_filters, leave_writer_errors, tile


class StopAt(Callback):
    def on_step_end(self, state):
        if state.step == 7:
            raise KeyboardInterrupt


@pytest.fixture
def board(tmp_path):
    def make(**options):
        folder = tmp_path / "runs" / "arm-00000000" / "seed-0"
        identity = {
            "group": "arm-00000000",
            "levels": {"activation": "relu"},
            "settings": {},
            "changed": {"optimizer.lr": 0.1},
        }
        return TensorBoard(folder, **identity, **{"scalars_every": 2, "num_mistakes": 4, **options})

    return make


def read(folder):
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0, "histograms": 0, "images": 0})
    events.Reload()
    return events


def test_everything_that_the_table_of_tags_promises(make_run, board):
    observer = board()
    record, _ = start(make_run(), observer.folder, [observer])
    events = read(observer.folder)
    tags = events.Tags()
    scalars = {
        "accuracy/train",
        "accuracy/val",
        "accuracy/test",
        "train/batch_loss",
        "train/loss",
        "train/cross_entropy",
        "train/accuracy",
        "val/loss",
        "val/accuracy",
        "lr",
        "images_per_second",
    }
    final = {"test/loss", "test/accuracy", "train_eval/loss", "train_eval/accuracy"}
    layers = ("conv1_1", "conv2_1", "fc1", "classifier")
    norms = {f"weight_norm/{layer}" for layer in layers}
    assert set(tags["scalars"]) == scalars | final | norms
    assert min(tags["scalars"]).startswith("accuracy/")  # the page sorts by name
    assert [e.value for e in events.Scalars("accuracy/val")] == [e.value for e in events.Scalars("val/accuracy")]
    assert set(tags["histograms"]) == {f"{kind}/{layer}" for kind in ("weight", "gradient") for layer in layers}
    assert set(tags["images"]) == {"filters", "mistakes"}
    assert {"config/text_summary", "layers/text_summary"} <= set(tags["tensors"])
    assert [e.step for e in events.Scalars("train/batch_loss")] == [2, 4, 6, 8, 10, 12]
    assert [e.value for e in events.Scalars("val/loss")] == pytest.approx([r["val/loss"] for r in record.history])
    assert events.Scalars("test/accuracy")[0].value == pytest.approx(record.metrics["test/accuracy"])


def test_seeds_of_an_arm_are_one_group(make_run, board):
    observer = board()
    start(make_run(), observer.folder, [observer])
    content = read(observer.folder).summary_metadata
    (start_info,) = [m for tag, m in content.items() if tag.endswith("session_start_info")]
    data = HParamsPluginData.FromString(start_info.plugin_data.content).session_start_info
    assert data.group_name == "arm-00000000"
    assert data.hparams["activation"].string_value == "relu"
    assert data.hparams["optimizer.lr"].number_value == pytest.approx(0.1)
    assert any(tag.endswith("session_end_info") for tag in content)


def test_a_resumed_run_shows_every_step_once(make_run, board):
    observer = board()
    with pytest.raises(KeyboardInterrupt):
        start(make_run(), observer.folder, [observer, StopAt()])
    observer.writer.close()
    resumed = board()
    start(make_run(), resumed.folder, [resumed])
    assert [e.step for e in read(resumed.folder).Scalars("train/loss")] == [4, 8, 12]
    assert [e.step for e in read(resumed.folder).Scalars("train/batch_loss")] == [2, 4, 6, 8, 10, 12]


def test_the_schedule_of_histograms(make_run, board):
    observer = board(histograms_every=2)
    start(make_run(), observer.folder, [observer])
    assert [e.step for e in read(observer.folder).Scalars("weight_norm/fc1")] == [8]
    off = board(histograms_every=0)
    off.folder = off.folder.with_name("seed-1")
    start(make_run(), off.folder, [off])
    assert not read(off.folder).Tags()["histograms"]


@pytest.mark.parametrize(("device", "expected"), [("cpu", [4, 8, 12]), ("cuda", [12])])
def test_histograms_are_of_the_last_epoch_alone_on_a_gpu(make_run, board, monkeypatch, device, expected):
    monkeypatch.setattr(State, "device", device)
    observer = board()
    start(make_run(), observer.folder, [observer])
    assert [e.step for e in read(observer.folder).Scalars("weight_norm/fc1")] == expected


@pytest.mark.parametrize("wrong", [-1, "every", 1.5])
def test_a_number_of_epochs_that_makes_no_sense_is_refused(board, wrong):
    with pytest.raises(UserError, match=r"histograms_every auto or at least 0"):
        board(histograms_every=wrong)


def test_a_diverged_run_is_shown_too(make_run, board):
    observer = board()
    run = make_run(optimizer=lambda groups: torch.optim.SGD(groups, lr=1e20))
    record, _ = start(run, observer.folder, [observer])
    assert record.status == "diverged"
    assert "test/loss" not in read(observer.folder).Tags()["scalars"]


def test_filters_are_scaled_each_to_its_own_range():
    conv = nn.Conv2d(3, 5, 3)
    image = first_filters(nn.Sequential(conv))
    assert image.shape == (2 * 26, 3 * 26, 3)
    assert image[1:25, 1:25].min() == 0
    assert image[1:25, 1:25].max() == 255
    assert first_filters(nn.Sequential(nn.Conv2d(24, 5, 3))) is None
    assert first_filters(nn.Sequential(nn.Linear(3, 5))) is None


def test_tile_lays_images_out_in_rows():
    images = torch.arange(3.0).reshape(3, 1, 1, 1).expand(3, 1, 2, 2)
    assert torch.equal(tile(images)[0, ::2, ::2], torch.tensor([[0.0, 1.0], [2.0, 1.0]]))


def test_bad_options_are_named(board):
    with pytest.raises(ValueError, match=r"tensorboard\.scalars_every.*got 0"):
        board(scalars_every=0)


def test_what_is_measured_is_shown_from_the_start(make_run, board):
    def images(probe):
        return {"images": torch.tensor(float(len(probe.images)))}

    track = Track(measure="all", num_images=16, every=2, known={"count": images})
    observer = board()
    start(make_run(), observer.folder, [track, observer])
    assert [(e.step, e.value) for e in read(observer.folder).Scalars("count/images")] == [(0, 16), (8, 16), (12, 16)]


@pytest.mark.parametrize(("module", "printed"), [("tensorboard.summary.writer", False), ("mine", True)])
def test_an_error_in_the_event_writers_thread_is_left_to_its_next_call(module, printed, capsys, monkeypatch):
    """The next call of the writer raises it again; other threads are shown as Python shows them."""

    def fail():
        raise OSError(28, "No space left on device")

    thread = type("Writer", (threading.Thread,), {"__module__": module})(target=fail)
    monkeypatch.setattr(threading, "excepthook", leave_writer_errors)
    thread.start()
    thread.join()
    assert ("No space left" in capsys.readouterr().err) == printed

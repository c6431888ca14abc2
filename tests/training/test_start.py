"""One run in its directory: done once, resumed, refused, and done again on request."""

import threading
from functools import partial

import numpy as np
import pytest
import torch
import yaml
from filelock import FileLock

from ablate.layers.normalization import NoNormalization
from ablate.optimization import Constant
from ablate.storage.dates import utc_now
from ablate.training.directory import CONFIG_NAME
from ablate.training.loop import Callback
from ablate.training.record import CHECKPOINT_NAME, PREDICTIONS_NAME, RECORD_NAME
from ablate.training.start import start


class StopAt(Callback):
    """Raises after so many steps, as Ctrl-C would."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, state):
        if state.step == self.step:
            raise KeyboardInterrupt


class Keep(Callback):
    """Keeps the final weights."""

    def on_fit_end(self, state):
        self.weights = {name: value.clone() for name, value in state.net.state_dict().items()}


def without_times(record):
    history = [{k: v for k, v in row.items() if k != "images_per_second"} for row in record.history]
    return record.metrics, history, record.status, record.fingerprint


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "runs" / "arm-00000000" / "seed-0"


def test_a_run_leaves_record_config_and_predictions(make_run, folder):
    before = utc_now()
    record, fresh = start(make_run(), folder)
    assert fresh
    assert record.status == "finished"
    assert {path.name for path in folder.iterdir()} == {RECORD_NAME, CONFIG_NAME, PREDICTIONS_NAME}
    assert yaml.safe_load((folder / CONFIG_NAME).read_text())["fingerprint"] == "0" * 64
    with np.load(folder / PREDICTIONS_NAME) as saved:
        assert np.mean(saved["predictions"] == saved["labels"]) == pytest.approx(record.metrics["test/accuracy"])
    assert [row["epoch"] for row in record.history] == [1, 2, 3]
    assert record.metrics["train/loss"] == record.history[-1]["train/loss"]
    assert record.metrics["val/accuracy"] == record.history[-1]["val/accuracy"]
    assert record.wall_seconds > 0
    assert before < record.date < utc_now()
    assert record.environment["threads"] == 1


@pytest.mark.parametrize("step", [3, 6, 9, 11])
def test_an_interrupted_run_ends_as_if_it_had_not_been(make_run, folder, tmp_path, step):
    whole = Keep()
    uninterrupted, _ = start(make_run(), tmp_path / "runs" / "whole" / "seed-0", [whole])
    with pytest.raises(KeyboardInterrupt):
        start(make_run(), folder, [StopAt(step)])
    assert not (folder / RECORD_NAME).exists()
    resumed = Keep()
    record, fresh = start(make_run(), folder, [resumed])
    assert fresh
    assert without_times(record) == without_times(uninterrupted)
    assert all(torch.equal(resumed.weights[name], value) for name, value in whole.weights.items())
    assert not (folder / CHECKPOINT_NAME).exists()


def test_resuming_redoes_only_what_was_lost(make_run, folder):
    with pytest.raises(KeyboardInterrupt):
        start(make_run(), folder, [StopAt(9)])
    steps = []

    class Count(Callback):
        def on_step_end(self, state):
            steps.append(state.step)

    start(make_run(), folder, [Count()])
    assert steps == [9, 10, 11, 12]


def test_a_finished_run_is_not_done_again(make_run, folder):
    first, _ = start(make_run(), folder)
    written = (folder / RECORD_NAME).stat().st_mtime_ns
    again, fresh = start(make_run(), folder, [StopAt(1)])
    assert not fresh
    assert again == first
    assert (folder / RECORD_NAME).stat().st_mtime_ns == written


def test_rerun_keeps_the_old_one_under_another_name(make_run, folder, tmp_path):
    start(make_run(), folder)
    for n in (1, 2):
        old = (folder / RECORD_NAME).read_text()
        _, fresh = start(make_run(), folder, rerun=True)
        assert fresh
        assert (tmp_path / "replaced" / "arm-00000000" / f"seed-0.{n}" / RECORD_NAME).read_text() == old


def test_divergence_is_a_scored_result(make_run, folder):
    run = make_run(optimizer=partial(torch.optim.SGD, lr=1e30), normalization=NoNormalization())
    record, _ = start(run, folder)
    assert record.status == "diverged"
    assert len(record.history) < 3
    assert record.metrics["test/accuracy"] == pytest.approx(1 / 3)
    assert record.metrics["test/loss"] is None
    assert record.metrics["epochs_to/val/accuracy/0.9"] is None
    with np.load(folder / PREDICTIONS_NAME) as saved:
        assert set(saved["predictions"]) == {-1}
    again, fresh = start(run, folder)
    assert not fresh
    assert without_times(again)[1:] == without_times(record)[1:]


def test_a_folder_of_another_configuration_is_refused(make_run, folder):
    with pytest.raises(KeyboardInterrupt):
        start(make_run(), folder, [StopAt(5)])
    other = make_run(fingerprint="1" * 64, settings={"optimizer": {"lr": 0.5}, "trainer": {"epochs": 3}})
    with pytest.raises(ValueError, match=r"another configuration \(optimizer\.lr is 0\.5 here, 0\.1 there\)"):
        start(other, folder)
    (folder / CONFIG_NAME).unlink()
    with pytest.raises(ValueError, match=r"checkpoint\.pt belongs to a run with fingerprint 00000000"):
        start(other, folder)


def test_two_processes_do_not_write_one_run(make_run, folder):
    folder.mkdir(parents=True)
    with (
        FileLock(folder.parent / f".{folder.name}.lock"),
        pytest.raises(ValueError, match="being written by another process"),
    ):
        start(make_run(), folder)


def test_runs_started_at_once_are_done_once(make_run, folder):
    results = []

    def go():
        try:
            results.append(start(make_run(), folder)[1])
        except ValueError as error:
            results.append(str(error))

    threads = [threading.Thread(target=go) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results.count(True) == 1
    assert all(result in (True, False) or "another process" in result for result in results)


def test_a_folder_that_cannot_be_written_is_named(make_run, tmp_path):
    (tmp_path / "runs").write_text("a file, not a folder")
    with pytest.raises(ValueError, match=r"cannot write in .*runs.*output_dir"):
        start(make_run(), tmp_path / "runs" / "arm" / "seed-0")


def test_what_is_refused_leaves_no_folder(make_run, folder):
    with pytest.raises(ValueError, match=r"trainer\.batch_size.*got 49 for 48 images.*data\.train_size"):
        start(make_run(batch_size=49), folder)
    with pytest.raises(ValueError, match=r"trainer\.batch_size.*at least 2 with batch normalization, got 1"):
        start(make_run(batch_size=1), folder)
    assert not folder.parent.exists()


def test_biases_train_at_their_own_rate(make_run, folder, tmp_path):
    """One step of gradient descent: a bias moves `bias_lr_factor` times as far, a weight as far as before."""
    moves = []
    for i, factor in enumerate((1.0, 8.0)):
        kept = Keep()
        run = make_run(
            epochs=1,
            batch_size=48,
            bias_lr_factor=factor,
            optimizer=partial(torch.optim.SGD, lr=0.01),
            schedule=Constant(),
        )
        start(run, tmp_path / "runs" / str(i) / "seed-0", [kept])
        before = dict(run.build(run.data.load()).named_parameters())
        moves.append({name: kept.weights[name] - value.detach() for name, value in before.items()})
    for name, move in moves[0].items():
        expected = move * (8 if name.endswith("bias") else 1)
        torch.testing.assert_close(moves[1][name], expected, msg=name, rtol=1e-4, atol=1e-7)
    assert moves[0]["norm1_1.bias"].abs().max() > 0


def test_biases_keep_their_rate_when_a_run_goes_on(make_run, folder, tmp_path):
    changes = {"bias_lr_factor": 8.0}
    whole = Keep()
    start(make_run(**changes), tmp_path / "runs" / "whole" / "seed-0", [whole])
    with pytest.raises(KeyboardInterrupt):
        start(make_run(**changes), folder, [StopAt(6)])
    resumed = Keep()
    start(make_run(**changes), folder, [resumed])
    assert all(torch.equal(resumed.weights[name], value) for name, value in whole.weights.items())

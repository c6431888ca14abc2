"""Images that fill no batch are named; Monte-Carlo samples reach the final scores; checkpoints of another device."""

import io

import pytest
import torch

from ablate.cli.jobs import show
from ablate.errors import UserError
from ablate.layers.dropout import Dropout, Positions
from ablate.storage.integrity import read_binary, write_binary
from ablate.training import callbacks
from ablate.training.callbacks import Checkpoint, Progress, epoch_line
from ablate.training.loop import Callback, State
from ablate.training.run import prepare, train
from ablate.training.start import start


def test_a_run_and_a_dry_run_show_how_many_images_fill_no_batch(make_run, tmp_path, capsys):
    line = "each epoch leaves out 8 of 48 training images, chosen at random: they do not fill a batch\n"
    start(make_run(batch_size=20), tmp_path / "runs" / "arm-00000000" / "seed-0", [Progress()])
    assert line in capsys.readouterr().out
    show(make_run(batch_size=20), tmp_path / "a")
    assert line in capsys.readouterr().out


def test_nothing_is_shown_if_all_do(make_run, tmp_path, capsys):
    start(make_run(batch_size=16), tmp_path / "runs" / "arm-00000000" / "seed-0", [Progress()])
    show(make_run(batch_size=16), tmp_path / "a")
    assert "leaves out" not in capsys.readouterr().out


def test_the_final_scores_are_those_of_the_samples(make_run):
    """The final evaluation averages over masks, where validation between the epochs does not."""
    found = {}
    for num_samples in (0, 3):
        run = make_run(epochs=1, dropout=Positions(layer=Dropout, hidden=0.5, num_samples=num_samples))
        dataset = run.data.load()
        state, examine = prepare(run, dataset, run.build(dataset))
        train(run, state, examine)
        metrics, log_probs = examine.conclude(state.net)
        assert examine.num_samples == num_samples
        expected = examine(state.net, state.dataset.test, num_samples)
        assert torch.equal(log_probs, expected)
        found[num_samples] = metrics, state.history[-1], log_probs
    assert not torch.equal(found[0][2], found[3][2])
    assert found[0][1]["val/loss"] == found[3][1]["val/loss"] == found[0][0]["val/loss"]
    for split in ("val", "test"):
        assert found[0][0][f"{split}/loss"] != found[3][0][f"{split}/loss"]
    assert found[0][0]["train_eval/loss"] == found[3][0]["train_eval/loss"]


def test_a_run_that_is_resumed_says_after_which_epoch(make_run, tmp_path, capsys):
    folder = tmp_path / "runs" / "arm-00000000" / "seed-0"

    class Stop(Callback):
        def on_epoch_end(self, state):
            if state.epoch == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start(make_run(), folder, [Progress(), Stop()])
    assert "resumed" not in capsys.readouterr().out
    start(make_run(), folder, [Progress()])
    assert "resumed after epoch 1" in capsys.readouterr().out


def test_an_epochs_line_fits_80_columns():
    row = {"train/loss": 2.302585, "train/accuracy": 0.5415, "val/loss": 2.302585, "val/accuracy": 0.53, "lr": 0.012345}
    line = epoch_line(row)
    assert line == "train loss 2.303 54.1 %  val 2.303 53.0 %  lr 0.0123"
    assert len(f"epoch 12/20  {line}  0:10 left") < 80


def test_a_checkpoint_of_another_type_of_device_is_refused_and_stays(make_run, tmp_path, monkeypatch):
    """Masks and noise are drawn on the device, so that the rest would not be that of the same run."""
    folder = tmp_path / "runs" / "a" / "seed-0"

    class Stop(Callback):
        def on_epoch_end(self, state):
            if state.epoch == 2:
                raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(State, "device", "cuda")
        with pytest.raises(KeyboardInterrupt):
            start(make_run(checkpoint_every=1), folder, [Stop()])
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(UserError, match=r"saved on cuda, and this process trains on cpu.*device=cuda, or move it away"):
        start(make_run(), folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert not (tmp_path / "replaced").exists()
    monkeypatch.setattr(State, "device", "cuda")
    record, _ = start(make_run(), folder)
    assert record.status == "finished"


@pytest.mark.parametrize(
    ("device", "every", "seconds", "expected"),
    [
        ("cpu", "auto", 10.0, [4, 8, 12]),
        ("cpu", 2, 10.0, [8, 12]),
        ("cuda", "auto", 10.0, []),  # an epoch is short there
        ("cuda", "auto", 0.0, [4, 8, 12]),
        ("cuda", 1, 10.0, [4, 8, 12]),  # as asked for
    ],
)
def test_which_epochs_are_followed_by_a_checkpoint(make_run, tmp_path, monkeypatch, device, every, seconds, expected):
    saved = []

    class Noting(Checkpoint):
        def save(self, state):
            super().save(state)
            saved.append(state.step)

    monkeypatch.setattr(callbacks, "SECONDS_ON_A_GPU", seconds)
    run = make_run(epochs=3)
    dataset = run.data.load()
    state, examine = prepare(run, dataset, run.build(dataset))
    monkeypatch.setattr(State, "device", device)
    train(run, state, examine, [Noting(tmp_path, every, run.fingerprint)])
    assert saved == expected


def test_seconds_count_from_the_last_checkpoint(make_run, tmp_path, monkeypatch):
    """Epochs of 4 s: a checkpoint after the third, 12 s after the start, and after the sixth."""
    clock = iter(range(0, 10**6, 4))
    monkeypatch.setattr(callbacks.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(State, "device", "cuda")
    checkpoint = Checkpoint(tmp_path, "auto", "x")  # at 0 s
    run = make_run()
    dataset = run.data.load()
    state, _ = prepare(run, dataset, run.build(dataset))
    due = [checkpoint.is_due(state) for _ in range(3)]  # at 4, 8 and 12 s
    checkpoint.save(state)  # at 16 s
    due += [checkpoint.is_due(state) for _ in range(3)]  # at 20, 24 and 28 s
    assert due == [False, False, True, False, False, True]


def test_a_checkpoint_of_an_earlier_version_names_no_device(make_run, tmp_path):
    run = make_run(epochs=1)
    dataset = run.data.load()
    state, _ = prepare(run, dataset, run.build(dataset))
    checkpoint = Checkpoint(tmp_path, 1, run.fingerprint)
    checkpoint.save(state)
    content = torch.load(io.BytesIO(read_binary(checkpoint.path)), weights_only=True)
    assert content.pop("device") == "cpu"
    file = io.BytesIO()
    torch.save(content, file)
    write_binary(file.getvalue(), checkpoint.path)
    assert checkpoint.restore(state)


def test_a_closed_standard_output_is_no_terminal(monkeypatch):
    monkeypatch.setattr("sys.stdout", None)
    assert not Progress().on_terminal

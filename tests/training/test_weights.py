"""The weights of a run: written with its identity and a checksum, restored to a net with the same outputs."""

import json
import shutil
import signal
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from safetensors import safe_open
from torch import nn

from ablate import stopping
from ablate.data.preprocessing import Chain, Standardize
from ablate.data.whitening import PatchWhiten
from ablate.errors import Notice, Unusable, UserError
from ablate.training.evaluation import best
from ablate.training.loop import Callback, State
from ablate.training.record import WEIGHTS_NAME
from ablate.training.start import start
from ablate.training.weights import KeepBest, copy_of, read_weights, restored


class Final(Callback):
    """The state after the last epoch, and the weights after every epoch."""

    def on_fit_start(self, state):
        self.epochs = {}

    def on_epoch_end(self, state):
        self.epochs[state.epoch] = copy_of(state.net)

    def on_fit_end(self, state):
        self.state = state


class Plain(nn.Module):
    """Learns its mean in a plain attribute."""

    def fit(self, images):
        self.mean = images.float().mean()

    def forward(self, images):
        return images - self.mean

    def output_shape(self, shape):
        return shape


class Defaulted(Plain):
    """Has a value before it learns one, in a plain attribute."""

    mean = 0.0


class Learning(nn.Module):
    """Learns its mean in a buffer; its output's shape is known once it is fitted."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean_", None)

    def fit(self, images):
        self.mean_ = images.float().mean()

    def forward(self, images):
        return (images - self.mean_)[:, :2]


class Counting(nn.Module):
    """Keeps a number in its extra state."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return x.relu()

    def get_extra_state(self):
        return {"calls": self.calls}

    def set_extra_state(self, state):
        self.calls = state["calls"]


def outputs(net, images):
    with torch.no_grad():
        return net.eval()(images)


@pytest.mark.parametrize(
    "steps", [{"standardize": Standardize()}, {"s": Standardize(), "w": PatchWhiten()}, {"own": Learning()}]
)
def test_the_last_weights_make_the_net_that_the_record_is_about(steps, make_run, tmp_path):
    final, run = Final(), make_run(keep_weights="last", preprocessing=Chain(steps))
    record, _ = start(run, tmp_path, [final])
    weights = read_weights(tmp_path)
    assert (weights.fingerprint, weights.seed, weights.kept, weights.epoch) == (run.fingerprint, 0, "last", 3)
    assert (weights.image_shape, weights.num_classes) == ((3, 8, 8), 3)
    before = torch.get_rng_state()
    net = restored(run, weights)
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(module.training for module in net.modules())
    test = final.state.dataset.test
    assert torch.equal(outputs(net, test.images), outputs(final.state.net, test.images))
    hits = (outputs(net, test.images).argmax(1) == test.labels).double().mean().item()
    assert record.metrics["test/accuracy"] == pytest.approx(hits)
    with safe_open(tmp_path / WEIGHTS_NAME, "pt") as file:  # any reader of safetensors
        assert file.metadata()["fingerprint"] == run.fingerprint
        assert set(file.keys()) == set(net.state_dict())


def test_keeping_weights_changes_no_number_and_is_off_by_default(make_run, tmp_path):
    plain, _ = start(make_run(), tmp_path / "plain")
    kept, _ = start(make_run(keep_weights="best"), tmp_path / "kept")
    assert plain.metrics == kept.metrics
    assert not (tmp_path / "plain" / WEIGHTS_NAME).exists()


def test_the_best_weights_are_those_of_the_best_validation_epoch(make_run, tmp_path):
    final = Final()
    # The rate grows, so the last epoch is not the best one.
    growing = {"schedule": lambda epoch, _: 30.0 ** int(epoch), "epochs": 4, "keep_weights": "best"}
    record, _ = start(make_run(**growing), tmp_path, [final])
    accuracies = [row["val/accuracy"] for row in record.history]
    epoch = accuracies.index(max(accuracies)) + 1
    assert epoch < 4 and record.status == "finished"
    weights = read_weights(tmp_path)
    assert (weights.epoch, weights.kept) == (epoch, "best")
    assert all(torch.equal(weights.tensors[name], value) for name, value in final.epochs[epoch].items())
    net = restored(make_run(**growing), weights)
    val = final.state.dataset.val
    accuracy = (outputs(net, val.images).argmax(1) == val.labels).double().mean().item()
    assert accuracy == pytest.approx(best(record.history)["best/val/accuracy"])


def test_the_best_weights_survive_an_interruption(make_run, tmp_path):
    growing = {"schedule": lambda epoch, _: 30.0 ** int(epoch), "epochs": 4, "keep_weights": "best"}

    class Stop(Callback):
        def on_epoch_end(self, state):
            if state.epoch == 3:
                raise KeyboardInterrupt

    start(make_run(**growing), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        start(make_run(**growing), tmp_path / "cut", [Stop()])
    start(make_run(**growing), tmp_path / "cut")
    whole, cut = read_weights(tmp_path / "whole"), read_weights(tmp_path / "cut")
    assert whole.epoch == cut.epoch <= 2
    assert all(torch.equal(whole.tensors[name], cut.tensors[name]) for name in whole.tensors)
    with pytest.raises(KeyboardInterrupt):
        start(make_run(**{**growing, "keep_weights": ""}), tmp_path / "late", [Stop()])
    with pytest.warns(Notice, match=f"the best epoch, {whole.epoch}, was trained before .*rerun=true"):
        start(make_run(**growing), tmp_path / "late")
    assert not (tmp_path / "late" / WEIGHTS_NAME).exists()


@pytest.mark.parametrize("step", [2, 7, 11])  # 4 steps an epoch
def test_the_best_weights_survive_a_stop_within_an_epoch(step, make_run, tmp_path):
    growing = {"schedule": lambda epoch, _: 30.0 ** int(epoch), "epochs": 4, "keep_weights": "best"}

    class Stop(Callback):
        def on_step_end(self, state):
            if state.step == step:
                stopping.request(signal.SIGTERM)

    start(make_run(**growing), tmp_path / "whole")
    with pytest.raises(stopping.Stopped):
        start(make_run(**growing), tmp_path / "cut", [Stop()])
    stopping.reset()
    start(make_run(**growing), tmp_path / "cut")
    whole, cut = read_weights(tmp_path / "whole"), read_weights(tmp_path / "cut")
    assert (whole.epoch, whole.kept) == (cut.epoch, cut.kept)
    assert whole.tensors.keys() == cut.tensors.keys()
    assert all(torch.equal(whole.tensors[name], cut.tensors[name]) for name in whole.tensors)


@pytest.mark.parametrize(
    ("accuracies", "epoch"), [([0.5, 0.7, 0.7], 2), ([None, 0.2], 2), ([0.4, 0.3], 1), ([0.1, 0.2, 0.3], 3)]
)
def test_the_first_of_equally_good_epochs_is_the_best(accuracies, epoch, make_run):
    net = nn.Linear(1, 1)
    state = State(net=net, optimizer=None, dataset=None, num_epochs=3, steps_per_epoch=1)
    for number, accuracy in enumerate(accuracies, start=1):
        state.epoch = number
        state.history.append({"val/accuracy": accuracy})
        nn.init.constant_(net.weight, number)
        KeepBest().on_epoch_end(state)
    assert (state.best["epoch"], state.best["net"]["weight"].item()) == (epoch, epoch)


def test_a_diverged_run_keeps_no_weights(make_run, tmp_path):
    with pytest.warns(Notice, match="no weights are kept: the run diverged"):
        start(make_run(keep_weights="last", optimizer=partial(torch.optim.SGD, lr=1e20)), tmp_path)
    assert read_weights(tmp_path) is None


def test_a_file_left_by_an_interrupted_run_goes_where_none_is_kept(make_run, tmp_path):
    (tmp_path / WEIGHTS_NAME).write_bytes(b"old")
    start(make_run(), tmp_path)
    assert not (tmp_path / WEIGHTS_NAME).exists()


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    from builders.runs import make_run

    folder = tmp_path_factory.mktemp("kept")
    start(make_run(keep_weights="last"), folder)
    return folder / WEIGHTS_NAME


def test_every_damaged_byte_is_found(kept, tmp_path):
    data = kept.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    assert len(header["__metadata__"]["sha256"]) == 64
    places = [0, 9, 8 + data[8:].index(header["__metadata__"]["sha256"].encode()), 8 + length, len(data) - 1]
    for place in places:
        (tmp_path / WEIGHTS_NAME).write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(Unusable, match="is damaged"):
            read_weights(tmp_path)
    for damaged in (b"", data[:-1], data + b"x", data[:4], b"garbage" * 20):
        (tmp_path / WEIGHTS_NAME).write_bytes(damaged)
        with pytest.raises(Unusable, match="is damaged"):
            read_weights(tmp_path)
    shutil.copy(kept, tmp_path)
    assert read_weights(tmp_path).epoch == 3


def test_what_fit_learns_must_be_in_buffers(make_run, tmp_path):
    with pytest.raises(UserError, match=r"preprocessing\.mean is kept in a plain attribute.*register_buffer"):
        start(make_run(keep_weights="last", preprocessing=Plain()), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(UserError, match=r"gives other outputs: preprocessing\.mean is kept in a plain attribute"):
        start(make_run(keep_weights="last", preprocessing=Defaulted()), tmp_path / "run")
    start(make_run(preprocessing=Plain()), tmp_path / "run")


class Counts(nn.Module):
    """An activation whose output depends on how often it was trained."""

    def __init__(self):
        super().__init__()
        self.steps = 0

    def forward(self, x):
        self.steps += self.training
        return x.relu() * (1 + self.steps)


@pytest.mark.filterwarnings("ignore:training changed")
@pytest.mark.parametrize("which", ["last", "best"])
def test_weights_that_do_not_make_the_trained_net_are_not_kept(which, make_run, tmp_path):
    with pytest.warns(Notice, match=r"no weights are kept: the net made from them gives other.*register_buffer"):
        start(make_run(keep_weights=which, activation=Counts), tmp_path)
    assert read_weights(tmp_path) is None


def test_best_needs_validation_images(make_run, tmp_path):
    whole = make_run().data.load()
    from dataclasses import replace

    none = replace(whole, val=replace(whole.val, images=whole.val.images[:0], labels=whole.val.labels[:0]))
    with pytest.raises(UserError, match=r"keep_weights=best.*val_size=0"):
        start(make_run(keep_weights="best", data=SimpleNamespace(load=lambda: none)), tmp_path)


def test_extra_state_is_kept_too(make_run, tmp_path):
    final, run = Final(), make_run(keep_weights="last", activation=Counting)
    start(run, tmp_path, [final])
    net = restored(run, read_weights(tmp_path))
    assert net.fc_act1.calls == final.state.net.fc_act1.calls > 0


def test_the_weights_of_another_net_are_refused(make_run, kept):
    from ablate.nets import ConvNet

    weights = read_weights(kept.parent)
    with pytest.raises(UserError, match=r"the weights are not those of the net.*conv1_1"):
        restored(make_run(net=ConvNet(widths=[5, 6], convs_per_stage=1, hidden_width=8)), weights)

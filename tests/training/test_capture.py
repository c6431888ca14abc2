"""The captured training step: the numbers of the plain one, and what cannot be captured.

Without a GPU a replay is emulated by calling the body again, with everything else as on a card: the tables, the
counter, the generators that are seeded between replays. The tests named `on_a_gpu` need a card.
"""

from functools import partial

import pytest
import torch
from torch import nn

from ablate import stopping
from ablate.data.augmentation import Augmentation
from ablate.data.own_augmentation import OwnAugmentation
from ablate.errors import UserError
from ablate.layers.dropout import AlphaDropout, Dropout, Positions
from ablate.layers.normalization import Batch
from ablate.muon import Muon
from ablate.optimization import for_device, is_capturable
from ablate.regularization import Regularizer
from ablate.stopping import Stopped
from ablate.training import run as running
from ablate.training.capture import is_captured, obstacle
from ablate.training.loop import Callback
from ablate.training.run import prepare, train
from ablate.training.start import start
from ablate.training.step import CapturedStep

CUTOUT = Augmentation(flip=0.5, padding=1, padding_mode="zero", cutout_size=3, cutout_fill=0.5, bits=8)
VARIANTS = {
    "batch norm": {},
    "dropout and cutout": {"augmentation": CUTOUT, "dropout": Positions(layer=Dropout, input=0.2, hidden=0.5)},
    "bf16, L1, bias factor": {
        "precision": "bf16",
        "regularizer": Regularizer(l2=0.1, l1_activation=0.1, input_noise=0.1, label_smoothing=0.1),
        "bias_lr_factor": 8.0,
    },
    "population statistics": {"normalization": Batch(inference="population")},
    "alpha dropout, plain sgd": {
        "dropout": Positions(layer=AlphaDropout, hidden=0.1),
        "optimizer": partial(torch.optim.SGD, lr=0.1),
    },
    "muon": {"optimizer": partial(Muon, lr=0.02)},
    "global generator": {"activation": nn.RReLU},
}


class Watch(Callback):
    """Keeps the loss and the learning rate of every step, and a gradient."""

    def __init__(self):
        self.seen = []

    def on_step_end(self, state):
        gradient = next(state.net.parameters()).grad
        self.seen.append((state.step, state.loss.item(), state.lr, gradient.sum().item()))


class Emulated:
    """What a CUDA graph is here: replaying calls the body."""

    def __init__(self, body):
        self.replay, self.num_replays = self.count, 0
        self.body = body

    def count(self):
        self.num_replays += 1
        self.body()


@pytest.fixture
def emulate(monkeypatch):
    """A function that makes runs train with emulated captures; returns the list of their graphs."""

    def go():
        graphs = []

        def capture(step):
            graphs.append(Emulated(step.body))
            return graphs[-1]

        monkeypatch.setattr(CapturedStep, "capture", capture)
        monkeypatch.setattr(running, "captures", lambda run, state: True)
        return graphs

    return go


def trained(run):
    """Train in memory; return (weights and buffers, history without speeds, what a watch saw)."""
    dataset = run.data.load()
    state, examine = prepare(run, dataset, run.build(dataset))
    watch = Watch()
    train(run, state, examine, [watch])
    history = [{k: v for k, v in row.items() if k != "images_per_second"} for row in state.history]
    return {k: v.cpu() for k, v in state.net.state_dict().items()}, history, watch.seen


def assert_same(found, expected):
    assert found[1:] == expected[1:]
    assert found[0].keys() == expected[0].keys()
    for name, value in expected[0].items():
        assert torch.equal(found[0][name], value), name


@pytest.mark.parametrize("name", VARIANTS)
def test_emulated_replays_give_the_numbers_of_the_plain_step(make_run, emulate, name):
    run = make_run(**VARIANTS[name])
    plain = trained(run)
    graphs = emulate()
    captured = trained(run)
    assert_same(captured, plain)
    assert [graph.num_replays for graph in graphs] == [3 * 4 - 2]  # 3 epochs of 4 steps, two of them before it


def test_an_interrupted_epoch_resumes_with_the_same_numbers(make_run, emulate, tmp_path):
    expected, _ = start(make_run(), tmp_path / "runs" / "a" / "seed-0")
    emulate()

    class Stop(Callback):
        def on_step_end(self, state):
            if state.step == 6:
                stopping.request(15)

    with pytest.raises(Stopped):
        start(make_run(), tmp_path / "runs" / "b" / "seed-0", [Stop()])
    stopping.reset()
    saved = torch.load(tmp_path / "runs" / "b" / "seed-0" / "checkpoint.pt", weights_only=False)
    assert all(isinstance(group["lr"], float) for group in saved["optimizer"]["param_groups"])
    record, _ = start(make_run(), tmp_path / "runs" / "b" / "seed-0")
    assert record.metrics == expected.metrics
    assert record.predictions == expected.predictions


def test_an_observer_that_replaces_gradients_does_not_change_what_others_see(make_run, emulate):
    """A diagnostic between epochs may set gradients to None, while a replay writes where they were."""
    emulate()

    class Clear(Callback):
        def on_epoch_end(self, state):
            for parameter in state.net.parameters():
                parameter.grad = None

    run = make_run()
    dataset = run.data.load()
    state, examine = prepare(run, dataset, run.build(dataset))
    kept = []

    class Steps(Callback):
        def on_fit_start(self, state):
            self.weight = next(state.net.parameters())

        def on_step_end(self, state):
            kept.append(self.weight.grad is not None)

    train(run, state, examine, [Steps(), Clear()])
    assert all(kept)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, ""),
        ({"optimizer": partial(torch.optim.RMSprop, lr=0.1)}, "RMSprop"),
        ({"augmentation": OwnAugmentation(lambda images: images)}, "augmentation"),
        ({"compile": "reduce-overhead"}, "reduce-overhead"),
    ],
)
def test_what_cannot_be_captured_is_named(make_run, changes, reason):
    run = make_run(**changes)
    net = run.build(run.data.load())
    optimizer = run.optimizer(net.parameters())
    mode = str(run.compile) if run.compile else None
    found = obstacle(net, optimizer, run.augmentation, run.regularizer, device="cuda", compile_mode=mode)
    assert reason in found if reason else found == ""


@pytest.mark.parametrize(("options", "reason"), [({"momentum": None}, "momentum=None"), ({}, "")])
def test_batch_norm_that_reads_back_is_not_captured(make_run, options, reason):
    """Its factor is 1 / number of batches, as a number of Python: a replay would repeat that of the recorded step."""
    run = make_run()
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, **options))
    found = obstacle(net, run.optimizer(net.parameters()), run.augmentation, run.regularizer, device="cuda")
    assert reason in found if reason else found == ""


def test_a_module_of_another_package_is_not_captured_unasked(make_run):
    class Odd(nn.Module):
        def forward(self, x):
            return x

    run = make_run(activation=Odd)
    net = run.build(run.data.load())
    found = obstacle(net, run.optimizer(net.parameters()), run.augmentation, run.regularizer, device="cuda")
    assert "Odd" in found
    assert not is_captured("auto", found)
    with pytest.raises(UserError, match=r"trainer\.capture=true.*Odd.*trainer\.capture=auto"):
        is_captured(True, found)


def test_capturing_on_the_cpu_is_refused_and_auto_is_off(make_run):
    run = make_run(capture=True)
    dataset = run.data.load()
    state, examine = prepare(run, dataset, run.build(dataset))
    with pytest.raises(UserError, match="it runs on the CPU"):
        train(run, state, examine)
    assert running.captures(make_run(), state) is False


@pytest.mark.parametrize("make", [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW])
def test_on_cuda_optimizers_are_fused_and_can_be_captured(make):
    parameter = nn.Parameter(torch.zeros(2))
    optimizer = for_device(partial(make, lr=0.1), "cuda").keywords
    assert optimizer["fused"] is True
    assert ("capturable" in optimizer) == (make is not torch.optim.SGD)
    assert is_capturable(make([parameter], lr=0.1))
    assert not is_capturable(torch.optim.Rprop([parameter]))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", VARIANTS)
def test_on_a_gpu_replays_give_the_numbers_of_the_plain_step(make_run, name):
    run = partial(make_run, device="cuda", **VARIANTS[name])
    plain = trained(run(capture=False))
    assert_same(trained(run(capture=False)), plain)  # the same run twice
    assert_same(trained(run(capture=True)), plain)

"""The captured training step: the numbers of the plain one, and what cannot be captured.

Without a GPU a replay is emulated by calling the body again, with everything else as on a card: the tables, the
counter, the generators that are seeded between replays. The tests named `on_a_gpu` need a card.
"""

import gc
import random
import warnings
import weakref
from functools import partial
from typing import ClassVar

import pytest
import torch
from torch import nn
from torchvision import transforms
from torchvision.transforms import v2

from ablate import stopping
from ablate.data.augmentation import Augmentation
from ablate.data.own_augmentation import OwnAugmentation
from ablate.data.preprocessing import Chain, Standardize
from ablate.errors import Notice, UserError
from ablate.layers.dropout import AlphaDropout, Dropout, Positions
from ablate.layers.normalization import Batch
from ablate.muon import Muon
from ablate.optimization import for_device, is_capturable
from ablate.regularization import Regularizer
from ablate.seeding import Streams
from ablate.stopping import Stopped
from ablate.training import captured_step as stepping
from ablate.training import run as running
from ablate.training.capture import is_captured, obstacle
from ablate.training.captured_step import WAITS, CapturedStep, on_own_stream, own_stream, waits
from ablate.training.loop import Callback
from ablate.training.rule_pieces import make_loss
from ablate.training.run import prepare, train
from ablate.training.start import start

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


def own_random(images):
    return images * random.random()


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (torch.sqrt, ""),
        (partial(nn.functional.relu, inplace=False), ""),
        (torch.Tensor.sqrt, ""),
        (own_random, "own_random, which is of none of"),
        (partial(own_random), "which is of none of"),
        (lambda images: images, "which is of none of"),
        (transforms.Normalize([0.5], [0.5]), "transforms.Normalize, which may"),
        (v2.RandomErasing(), "RandomErasing, which may"),
        (transforms.functional.hflip, "functional.hflip, which may"),
    ],
)
def test_a_step_of_preprocessing_is_captured_where_it_computes_on_tensors_alone(make_run, step, reason):
    """A replay would repeat the random number of the recorded step, and torchvision's Normalize reads tensors back."""
    net = nn.Sequential(Chain({"standardize": Standardize(), "own": step}), nn.Conv2d(3, 4, 1))
    run = make_run()
    found = obstacle(net, run.optimizer(net.parameters()), run.augmentation, run.regularizer, device="cuda")
    assert reason in found if reason else found == ""


class WaitingReLU(nn.Module):
    """A ReLU that reads a number back, as far as torch's warning is concerned."""

    def forward(self, x):
        warnings.warn(f"{WAITS} (Triggered internally)", stacklevel=1)
        warnings.warn("another warning", stacklevel=1)
        return x.relu()


@pytest.fixture
def watched(monkeypatch):
    """Makes the step believe that it watches a GPU; a list of the modes of torch's warning, which is off at first."""
    modes = [0]
    monkeypatch.setattr(torch.cuda, "get_sync_debug_mode", lambda: modes[-1])
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)
    watch = stepping.waits
    monkeypatch.setattr(stepping, "waits", lambda device: watch(torch.device("cuda")))
    return modes


@pytest.mark.filterwarnings("ignore:another warning", f"ignore:{WAITS}")
def test_a_step_that_waits_for_the_gpu_is_not_captured_and_the_numbers_are_the_same(make_run, emulate, watched):
    run = make_run(activation=WaitingReLU)
    plain = trained(run)
    graphs = emulate()
    with pytest.warns(Notice, match=r"test_capture.py:\d+\), so it cannot be recorded.*trainer\.capture=false"):
        captured = trained(run)
    assert_same(captured, plain)
    assert (graphs, watched) == ([], [0, "warn", 0])  # it is watched once, and torch is left as it was


@pytest.mark.filterwarnings("ignore:another warning", f"ignore:{WAITS}")
def test_a_step_that_waits_for_the_gpu_is_refused_where_capturing_is_asked_for(make_run, emulate, watched):
    emulate()
    with pytest.raises(UserError, match=r"`trainer\.capture=true`: .*test_capture.py:\d+.*trainer\.capture=auto"):
        trained(make_run(activation=WaitingReLU, capture=True))


def test_a_step_that_waits_for_nothing_is_watched_and_captured(make_run, emulate, watched):
    graphs = emulate()
    trained(make_run())
    assert (len(graphs), watched) == (1, [0, "warn", 0])


def test_other_warnings_of_a_watched_step_are_shown(watched):
    with pytest.warns(UserWarning, match="another warning") as shown, waits(torch.device("cuda")) as found:
        WaitingReLU()(torch.ones(1))
    assert len(shown) == len(found) == 1


class FakeGraph:
    """Keeps in `log` what is called, and whether the last recording failed."""

    log: ClassVar[list[str]] = []
    begin_error: Exception | None = None

    def register_generator_state(self, generator):
        pass

    def capture_begin(self, **options):
        self.log.append("begin")
        if self.begin_error:
            raise self.begin_error

    def capture_end(self):
        self.log.append("end")
        if "body fails" in self.log:
            raise RuntimeError("capture_end: the recording is not valid")


@pytest.fixture
def recording(monkeypatch, make_run):
    """(step before its capture, log): graphs and memory of the GPU only keep what is called."""
    log = []
    monkeypatch.setattr(FakeGraph, "log", log)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", FakeGraph)
    for name in ("synchronize", "empty_cache"):
        monkeypatch.setattr(torch.cuda, name, partial(log.append, name))
    run = make_run()
    dataset = run.data.load()
    state, _ = prepare(run, dataset, run.build(dataset))
    step = CapturedStep(
        net=state.net,
        optimizer=state.optimizer,
        data=state.dataset.train,
        batch_size=run.batch_size,
        augmentation=run.augmentation,
        loss=make_loss(run.regularizer, state.net),
        streams=Streams(0),
        precision="fp32",
    )
    step.begin_epoch(torch.arange(48), [1.0] * state.steps_per_epoch)
    return step, log


def test_memory_of_earlier_graphs_is_given_back_before_a_capture(recording):
    """While one is under way the allocator frees nothing: runs of one process would pile up until it is full."""
    step, log = recording
    step.capture()
    assert log == ["synchronize", "empty_cache", "begin", "end"]
    assert gc.isenabled()


@pytest.mark.parametrize(
    ("error", "raised", "match"),
    [
        (RuntimeError("not permitted\nwhen capturing"), UserError, "graph: not permitted when capturing; set trainer"),
        (torch.OutOfMemoryError("no memory"), torch.OutOfMemoryError, "no memory"),
        (ZeroDivisionError("of a user's code"), ZeroDivisionError, "of a user's code"),
    ],
)
def test_an_error_of_the_recorded_step_is_not_hidden_by_that_of_its_end(recording, monkeypatch, error, raised, match):
    step, log = recording

    def fail():
        log.append("body fails")
        raise error

    monkeypatch.setattr(step, "body", fail)
    with pytest.raises(raised, match=match):
        step.capture()
    assert log[-2:] == ["body fails", "end"]
    assert gc.isenabled()


def test_a_recording_that_does_not_begin_is_not_ended(recording, monkeypatch):
    step, log = recording
    monkeypatch.setattr(FakeGraph, "begin_error", RuntimeError("no stream"))
    with pytest.raises(UserError, match=r"no stream; set trainer\.capture=false"):
        step.capture()
    assert log[-1] == "begin"


def test_the_captured_step_of_a_finished_run_is_freed_at_once(make_run, emulate, monkeypatch):
    """Its graph holds memory of the GPU, which must not wait for Python's garbage collector."""
    emulate()
    made = []
    begin = CapturedStep.begin_epoch
    monkeypatch.setattr(
        CapturedStep, "begin_epoch", lambda step, *args: made.append(weakref.ref(step)) or begin(step, *args)
    )
    # The emulated graph holds the step itself, as a bound method; a real one does not.
    monkeypatch.setattr(Emulated, "__init__", lambda graph, body: setattr(graph, "replay", weak_call(body)))
    gc.disable()
    try:
        trained(make_run())
        assert made
        assert all(ref() is None for ref in made)
    finally:
        gc.enable()


def weak_call(method):
    """A function that calls a bound method without keeping its object."""
    ref = weakref.WeakMethod(method)
    return lambda: ref()()


def test_all_captured_runs_of_a_process_use_one_stream(monkeypatch):
    """Torch keeps freed memory, and cuBLAS a workspace, for each stream."""
    log = []

    class Stream:
        def __init__(self, gpu=None):
            log.append(gpu)

        def wait_stream(self, other):
            pass

    current = Stream("default")
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: current)
    monkeypatch.setattr(torch.cuda, "stream", stepping.contextlib.nullcontext)
    own_stream.cache_clear()
    for gpu in (0, 0, 1):
        monkeypatch.setattr(torch.cuda, "current_device", lambda gpu=gpu: gpu)
        with on_own_stream(torch.device("cuda")):
            pass
    own_stream.cache_clear()
    assert log == ["default", 0, 1]


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

"""What happens between the first and the last step of an epoch: nothing is read back, nothing is compiled anew."""

from functools import partial

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ablate.data.augmentation import Augmentation
from ablate.diagnostics.dead_units import dead_units
from ablate.diagnostics.track import Track
from ablate.layers.dropout import Dropout, Positions
from ablate.muon import Muon
from ablate.regularization import Regularizer
from ablate.training.loop import Callback
from ablate.training.start import start
from ablate.training.tensorboard import TensorBoard

# On a GPU each of these makes the host wait: the size or the value of what comes out is not known before.
WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "_unique2", "equal", "is_nonzero", "lift_fresh")
READING = ("item", "tolist", "cpu", "numpy", "__bool__", "__float__", "__int__", "__index__", "__array__")


class ProgressPrinter(TorchDispatchMode):
    """Notes what makes the host wait, of the operators as well as of the tensors' methods."""

    def __init__(self, monkeypatch):
        super().__init__()
        self.found, self.patching = [], monkeypatch

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        by_mask = name == "index" and any(index is not None and index.dtype == torch.bool for index in args[1])
        if name in WAITING or by_mask:
            self.found.append(name)
        return func(*args, **kwargs or {})

    def __enter__(self):
        for name in READING:
            self.patching.setattr(Tensor, name, self.noting(name, getattr(Tensor, name)))
        return super().__enter__()

    def __exit__(self, *error):
        self.patching.undo()
        return super().__exit__(*error)

    def noting(self, name, method):
        def noted(*args, **kwargs):
            self.found.append(name)
            return method(*args, **kwargs)

        return noted


class Within(Callback):
    """Holds a context open from the end of an epoch's first step to the end of its last."""

    def __init__(self, context):
        self.context, self.steps = context, 0

    def on_step_end(self, state):
        self.steps += 1
        place = (state.step - 1) % state.steps_per_epoch
        if place == 0:
            self.context.__enter__()
        if place == state.steps_per_epoch - 1:
            self.context.__exit__(None, None, None)


def augmentation(**changes):
    options = {"flip": 0.5, "padding": 1, "padding_mode": "reflect", "cutout_size": 0, "cutout_fill": 0.5, "bits": 8}
    return Augmentation(**{**options, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"augmentation": augmentation(padding_mode="zero", cutout_size=3)},
        {"regularizer": Regularizer(l2=0.1, l1_activation=0.1, input_noise=0.1, label_smoothing=0.1)},
        {"dropout": Positions(layer=Dropout, input=0.2, hidden=0.5), "optimizer": partial(torch.optim.Adam, lr=0.01)},
        {"optimizer": partial(Muon, fixed_norm=True)},
        {"precision": "bf16", "bias_lr_factor": 64.0},
    ],
    ids=["default", "zero padding and cutout", "regularized", "adam", "muon", "bf16"],
)
def test_nothing_is_read_back_within_an_epoch(make_run, tmp_path, monkeypatch, changes):
    watch = ProgressPrinter(monkeypatch)
    board = TensorBoard(tmp_path, group="g", levels={}, settings={}, changed={}, scalars_every=1, num_mistakes=0)
    track = Track(measure="all", num_images=8, every=1, known={"dead_units": dead_units})
    start(make_run(epochs=2, **changes), tmp_path / "runs" / "a" / "seed-0", [track, board, Within(watch)])
    # Adam counts its steps in a tensor on the host, where reading is free.
    adam = "optimizer" in changes and changes["optimizer"].func is torch.optim.Adam
    allowed = {"item", "_local_scalar_dense"} if adam else set()
    assert set(watch.found) <= allowed


def test_the_watch_sees_what_it_is_there_for(make_run, tmp_path, monkeypatch):
    watch = ProgressPrinter(monkeypatch)
    x = torch.arange(4.0)
    with watch:
        x.sum().item()
        bool(x[0] > 0)
        torch.tensor([1.0, 2.0])
        x[x > 1]
        x.tolist()
    assert {"item", "_local_scalar_dense", "__bool__", "lift_fresh", "index", "tolist"} <= set(watch.found)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("mode", ["reflect", "zero"])
def test_cuda_does_not_wait_within_an_epoch(make_run, tmp_path, mode):
    """torch's own watch, which raises."""

    class Strict:
        def __enter__(self):
            torch.cuda.set_sync_debug_mode("error")

        def __exit__(self, *error):
            torch.cuda.set_sync_debug_mode("default")

    run = make_run(epochs=2, device="cuda", augmentation=augmentation(padding_mode=mode))
    within = Within(Strict())
    try:
        start(run, tmp_path / "runs" / "a" / "seed-0", [within])
    finally:
        torch.cuda.set_sync_debug_mode("default")  # an error in a step leaves it
    assert within.steps == 8


class Keep(Callback):
    """Keeps the final state."""

    def on_fit_end(self, state):
        self.state = {name: value.clone() for name, value in state.net.state_dict().items()}
        self.metrics = state.metrics


def test_compiling_changes_neither_the_state_nor_the_meaning(make_run, tmp_path, monkeypatch):
    """With a backend that only traces, so that no C++ compiler is needed and not a digit may differ."""
    compile_for_real, modes, graphs = torch.compile, [], []

    def trace(graph, inputs):
        graphs.append(len(modes))
        return graph.forward

    def compile_quickly(part, *, mode):
        modes.append(mode)
        return compile_for_real(part, backend=trace)

    class CountGraphs(Callback):
        def __init__(self):
            self.counts = []

        def on_epoch_end(self, state):
            self.counts.append(len(graphs))

    monkeypatch.setattr(torch, "compile", compile_quickly)
    changes = {"dropout": Positions(layer=Dropout, input=0.1, hidden=0.5), "epochs": 3}
    plain, traced, count = Keep(), Keep(), CountGraphs()
    start(make_run(**changes), tmp_path / "runs" / "plain" / "seed-0", [plain])
    assert modes == []
    start(make_run(**changes, compile="default"), tmp_path / "runs" / "traced" / "seed-0", [traced, count])
    # Preprocessing; then, behind noise and dropout, the hidden layers; the classifier behind the last dropout.
    assert modes == ["default"] * len(modes)
    assert len(modes) == 3
    assert plain.state.keys() == traced.state.keys()
    assert all(torch.equal(plain.state[name], value) for name, value in traced.state.items())
    assert plain.metrics == traced.metrics
    assert count.counts[0] == count.counts[-1] > 0, "a new key of a dropout must not be a new program"

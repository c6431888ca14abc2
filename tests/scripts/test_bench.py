"""The contenders of the benchmark train what they say, and a GPU is not waited for between layers."""

import argparse
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ablate.training import hardware, step

ROOT = Path(__file__).resolve().parents[2]


def script(name, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def options(root):
    return argparse.Namespace(
        net="micro",
        device="cpu",
        precision="fp32",
        threads=1,
        batch_size=64,
        images=128,
        epochs=3,
        data=str(root),
        overrides=["diagnostics.measure=[]"],
    )


def test_the_program_trains_the_images_of_a_measurement_each_time(cifar_root, monkeypatch):
    steps, take = [], step.take
    monkeypatch.setattr(step, "take", lambda *args: steps.append(0) or take(*args))
    train = script("contenders", monkeypatch).ablate(options(cifar_root))
    for done in (6, 12):
        assert train() > 0
        assert len(steps) == done  # 3 epochs of 2 batches


def test_the_bare_loop_trains_as_many(cifar_root, monkeypatch):
    steps, step = [], torch.optim.SGD.step
    monkeypatch.setattr(torch.optim.SGD, "step", lambda self, *args: steps.append(0) or step(self, *args))
    train = script("contenders", monkeypatch).bare(options(cifar_root))
    assert train() > 0
    assert len(steps) == 6


def test_the_contenders_of_others_do_not_load_the_program():
    """It sets huge pages for its process, which the others would not have."""
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'scripts')!r}); import contenders; print('ablate' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_contenders_compute_with_the_flags_of_the_program(monkeypatch):
    cudnn = torch.backends.cudnn
    monkeypatch.setattr(cudnn, "benchmark", True)
    monkeypatch.setattr(cudnn, "deterministic", False)
    contenders, seen = script("contenders", monkeypatch), []
    note = lambda args: seen.append((cudnn.benchmark, cudnn.deterministic)) or (lambda: 0.0)  # noqa: E731
    monkeypatch.setattr(contenders, "CONTENDERS", {"bare": note})
    monkeypatch.setattr(sys, "argv", ["contenders.py", "bare", "--threads", str(torch.get_num_threads())])
    monkeypatch.setattr(sys, "stdin", iter(()))
    contenders.main()
    hardware.prepare_device("cpu", "fp32")
    assert seen == [(cudnn.benchmark, cudnn.deterministic)]


def test_every_turn_is_written_as_soon_as_it_is_measured(tmp_path, monkeypatch):
    """A measurement on a GPU takes minutes, and what is cut off must leave its numbers."""
    bench = script("bench", monkeypatch)

    class Contender:
        def __init__(self, *args):
            self.turns = iter([2.0])

        def seconds(self):
            return next(self.turns)  # the second turn fails

    monkeypatch.setattr(bench, "Contender", Contender)
    output = tmp_path / "bench.json"
    words = ["bench.py", "train", "--nets", "small", "--contenders", "bare", "--precisions", "fp32"]
    monkeypatch.setattr(sys, "argv", [*words, "--images", "128", "--output", str(output)])
    with pytest.raises(StopIteration):
        bench.main()
    rows = json.loads(output.read_text())["rows"]
    assert rows == [{"net": "small", "turn": 1, "what": "bare fp32", "images_per_second": 64.0}]


def test_layers_on_a_gpu_are_timed_by_events_read_at_the_end(monkeypatch):
    log = []

    class Event:
        def __init__(self, *, enable_timing):
            self.is_done = False

        def record(self):
            log.append("record")
            self.at = len(log)

        def synchronize(self):
            log.append("wait")
            self.is_done = True

        def elapsed_time(self, end):
            assert end.is_done
            return 40.0

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda *_: pytest.fail("waits for the GPU"))
    bench = script("bench", monkeypatch)
    spans = [bench.Span("cuda") for _ in range(2)]
    for span in spans:
        span.end()
    assert spans[0].calls == 20
    assert [span.seconds() for span in spans] == pytest.approx([0.002, 0.002])
    assert log == ["record"] * 4 + ["wait"] * 2
    span = bench.Span("cpu")
    span.end()
    assert span.calls == 1 and span.seconds() > 0


def test_convolutions_alone_are_timed_without_waiting_for_a_layer(monkeypatch):
    bench = script("bench", monkeypatch)
    began, read, span = [], [], bench.Span

    class Watched(span):
        def __init__(self, device):
            assert not read, "a layer is timed after another one was read"
            began.append(device)
            super().__init__(device)

        def seconds(self):
            read.append(0)
            return super().seconds()

    monkeypatch.setattr(bench, "Span", Watched)
    args = argparse.Namespace(device="cpu", threads=1, batch_size=4)
    assert bench.convolution_peak("micro", args, "fp32") > 0
    assert len(began) == 8 * 8 and len(read) == 8 * 6  # 6 convolutions, 2 products

"""Measure training on one GPU: is a captured step right, how fast is it, and how fast are many runs at once?

Usage: python scripts/gpu_lab.py WHAT [--output FILE.jsonl] [--device cuda] [--seconds S]

  equal   the same run twice, then captured: largest difference of a weight; and the CPU's first losses beside the GPU's
  rates   images per second of one run: plain, captured, a hand-written captured loop, compiled, compiled and captured
  flags   what deterministic algorithms cost, captured
  many    images per second of 1, 8 and 14 processes of captured runs (start NVIDIA's service first, or not)
  bounds  FLOPs and bytes of a step, counted, and what the card does of both

Images are random, of CIFAR-10's size. Every result is one line of JSON, written as soon as it is known. With
`--device cpu` everything runs at a toy size, without a capture, to test the script.
"""

import argparse
import dataclasses
import functools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from ablate.cli.figure import composing
from ablate.cli.planning import make_run, plan
from ablate.config import catalog
from ablate.data.dataset import Dataset, Split
from ablate.seeding import Streams
from ablate.training import hardware
from ablate.training.captured_step import CapturedStep, on_own_stream
from ablate.training.loop import Callback, State
from ablate.training.rule_pieces import make_loss
from ablate.training.run import Run, prepare, train
from ablate.training.step import Step, autocast, take

Row = dict[str, Any]
NETS = {
    "small fp32": ["net=small"],
    "small tf32": ["net=small", "precision=tf32"],
    "small bf16": ["net=small", "precision=bf16"],
    "lecture bf16": ["net=lecture", "precision=bf16"],
    "micro fp32, batch 32": ["net=micro", "trainer.batch_size=32"],
}
EQUAL = {
    "fp32": [],
    "bf16": ["precision=bf16"],
    "dropout, cutout, fp32": ["dropout=lecture", "augmentation=cutout"],
    "adam, group norm, noise": ["optimizer=adam", "normalization=group", "regularizer=input_noise"],
}


@dataclasses.dataclass(frozen=True)
class Random:
    """Random images of CIFAR-10's size as a data set."""

    num_train: int

    def load(self) -> Dataset:
        rng = np.random.default_rng(0)

        def split(num: int) -> Split:
            images = torch.from_numpy(rng.integers(0, 256, (num, 32, 32, 3), np.uint8)).permute(0, 3, 1, 2)
            return Split(images=images, labels=torch.from_numpy(rng.integers(0, 10, num)))

        names = tuple("0123456789")
        return Dataset(train=split(self.num_train), val=split(500), test=split(500), class_names=names, bits=8)


class Lab:
    """The device, the size of what is measured, and where results go."""

    def __init__(self, device: str, output: Path, seconds: float) -> None:
        self.device, self.output, self.seconds = device, output, seconds
        self.on_gpu = device == "cuda"
        self.num_train = 45_056 if self.on_gpu else 256

    def show(self, **row: Any) -> None:
        """Print and append a result."""
        line = json.dumps(row)
        print(line, flush=True)
        with self.output.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def run(self, *words: str, seed: int = 0) -> Run:
        """Return a run of these settings on random images."""
        fixed = ["data=shapes", f"device={self.device}", "trainer.threads=1", f"seed={seed}"]
        words = tuple(w for w in words if self.on_gpu or w != "precision=tf32")
        with composing(catalog.folders()) as compose:
            run = make_run(plan(*compose([*fixed, *words])), with_data=False)
        return dataclasses.replace(run, data=Random(self.num_train))

    def wait(self) -> None:
        """Wait for the device."""
        if self.on_gpu:
            torch.cuda.synchronize()

    def rate(self, step: Callable[[int, int], Any], batch_size: int, steps: int) -> float:
        """Return images per second of `step(i, number)`, after ten steps, as the median of three measurements."""
        numbers = iter(range(10**9))
        for _ in range(10 if self.on_gpu else 1):
            number = next(numbers)
            step(number % steps, number)
        rates = []
        for _ in range(3):
            self.wait()
            start, done = time.perf_counter(), 0
            while time.perf_counter() - start < self.seconds:
                for _ in range(20 if self.on_gpu else 1):
                    number = next(numbers)
                    step(number % steps, number)
                    done += 1
                if done % 100 == 0:  # the host must not be more than that ahead
                    self.wait()
            self.wait()
            rates.append(done * batch_size / (time.perf_counter() - start))
        return statistics.median(rates)


def step_of(lab: Lab, run: Run, *, captured: bool) -> tuple[Step, int]:
    """Return the program's own training step of a run in the middle of an epoch, and the steps of an epoch."""
    dataset = run.data.load()
    state, _ = prepare(run, dataset, run.build(dataset))
    state.net.train()
    make_step = functools.partial(CapturedStep, required=True) if captured and lab.on_gpu else Step
    step: Step = make_step(
        net=state.net,
        optimizer=state.optimizer,
        data=state.dataset.train,
        batch_size=run.batch_size,
        augmentation=run.augmentation,
        loss=make_loss(run.regularizer, state.net),
        streams=Streams(run.seed),
        precision=run.precision,
        compile_mode=str(run.compile) if run.compile else None,
    )
    order = torch.randperm(len(state.dataset.train), device=step.device)
    step.begin_epoch(order, [1.0] * state.steps_per_epoch)
    return step, state.steps_per_epoch


class Cyclic:
    """The program's step, which begins the epoch again after its last batch."""

    def __init__(self, lab: Lab, run: Run, *, captured: bool) -> None:
        self.step, self.steps = step_of(lab, run, captured=captured)

    def __call__(self, i: int, number: int) -> None:
        if i == 0 and isinstance(self.step, CapturedStep):
            self.step.at.zero_()
        self.step(i, number)


class Bare:
    """A hand-written loop with the program's net and augmentation, its step captured as a CUDA graph on a GPU.

    The batches are consecutive rows of a shuffled order on the device, and the random numbers go on from step to step:
    no keys, no accuracy, no loss kept, nothing that a program needs.
    """

    def __init__(self, lab: Lab, run: Run) -> None:
        dataset = run.data.load()
        state, _ = prepare(run, dataset, run.build(dataset))
        self.net, self.optimizer, self.data, self.run = state.net.train(), state.optimizer, state.dataset.train, run
        self.device = self.data.images.device
        self.steps = len(self.data) // run.batch_size
        order = torch.randperm(len(self.data), device=self.device)
        self.order = order[: self.steps * run.batch_size].view(self.steps, run.batch_size)
        self.at = torch.zeros(1, dtype=torch.long, device=self.device)
        self.draws = torch.Generator(self.device)
        if lab.on_gpu:
            for group in self.optimizer.param_groups:
                group["lr"] = torch.tensor(group["lr"], device=self.device)
        for _ in range(3):
            self.body()
        self.graph: Any = None
        if lab.on_gpu:
            self.optimizer.zero_grad(set_to_none=True)
            self.graph = torch.cuda.CUDAGraph()
            self.graph.register_generator_state(self.draws)
            torch.cuda.synchronize()
            self.graph.capture_begin()
            self.body()
            self.graph.capture_end()

    def body(self) -> None:
        images, labels = take(self.data, self.order.index_select(0, self.at)[0])
        images = self.run.augmentation(images, self.draws)
        self.optimizer.zero_grad(set_to_none=True)
        with autocast(self.device, self.run.precision):
            logits = self.net(images)
        F.cross_entropy(logits.float(), labels).backward()
        self.optimizer.step()
        self.at.add_(1).remainder_(self.steps)

    def __call__(self, i: int, number: int) -> None:
        if self.graph is None:
            self.body()
        else:
            self.graph.replay()


def equal(lab: Lab) -> None:
    """Largest difference of a weight after two short epochs, and the first losses on CPU and GPU."""
    lab.num_train = 1280 if lab.on_gpu else 256
    for name, words in EQUAL.items():
        run = lab.run("net=micro", "trainer.epochs=2", *words)
        kinds = (False, False, True) if lab.on_gpu else (False, False, False)
        ends = [weights_and_losses(dataclasses.replace(run, capture=kind)) for kind in kinds]
        differences = [max((a - b).abs().max().item() for a, b in zip(ends[0][0], end[0], strict=True)) for end in ends]
        row = {"twice": differences[1], "captured": differences[2], "same_losses": ends[0][1] == ends[2][1]}
        if lab.on_gpu and run.precision == "fp32":
            cpu = weights_and_losses(dataclasses.replace(run, device="cpu", capture=False))[1]
            row["relative_to_cpu"] = [abs(a - b) / abs(b) for a, b in zip(ends[0][1], cpu, strict=True)][:3]
        lab.show(what="equal", settings=name, **row)


def weights_and_losses(run: Run) -> tuple[list[Tensor], list[float]]:
    """Train a run in memory; return its weights and the loss of every step."""
    losses: list[Tensor] = []

    class Keep(Callback):
        def on_step_end(self, state: State) -> None:
            losses.append(state.loss)

    dataset = run.data.load()
    state, examine = prepare(run, dataset, run.build(dataset))
    train(run, state, examine, [Keep()])
    return [p.detach().cpu() for p in state.net.parameters()], torch.stack(losses).tolist()


def rates(lab: Lab) -> None:
    """Images per second of one run."""
    for name, words in NETS.items():
        run = lab.run(*words)
        found: Row = {}
        with on_own_stream(torch.device(lab.device)):
            for kind in ("plain", "captured", "bare captured"):
                step: Any = Bare(lab, run) if kind.startswith("bare") else Cyclic(lab, run, captured=kind == "captured")
                found[kind] = round(lab.rate(step, run.batch_size, step.steps))
            if name == "small bf16":
                for kind in ("compiled", "compiled, captured"):
                    torch.compiler.reset()
                    compiled = dataclasses.replace(run, compile="default")
                    step = Cyclic(lab, compiled, captured=kind != "compiled")
                    found[kind] = round(lab.rate(step, run.batch_size, step.steps))
        lab.show(what="rates", net=name, **found)


def flags(lab: Lab) -> None:
    """What deterministic algorithms cost, and what cuDNN's trials of all algorithms give."""
    for name in ("small fp32", "small bf16", "micro fp32, batch 32"):
        words = NETS[name]
        for deterministic in (True, False):
            for benchmark in (False, True):
                run = lab.run(*words)
                with on_own_stream(torch.device(lab.device)):
                    step = Cyclic(lab, run, captured=True)
                    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = deterministic, benchmark
                    rate = lab.rate(step, run.batch_size, step.steps)
                lab.show(what="flags", net=name, deterministic=deterministic, benchmark=benchmark, rate=round(rate))


def many(lab: Lab) -> None:
    """Images per second of several processes together."""
    for name in ("small bf16", "micro fp32, batch 32") if lab.on_gpu else ("micro fp32, batch 32",):
        for num in (1, 8, 14) if lab.on_gpu else (1, 2):
            command = [sys.executable, __file__, "worker", "--device", lab.device, "--seconds", str(lab.seconds)]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            workers = [subprocess.Popen([*command, "--name", name], **pipes) for _ in range(num)]  # type: ignore[call-overload]
            for worker in workers:
                assert worker.stdout.readline().strip() == "ready"
            for worker in workers:
                worker.stdin.write("\n")
                worker.stdin.flush()
            total = sum(float(worker.stdout.readline()) for worker in workers)
            for worker in workers:
                worker.wait()
            lab.show(what="many", net=name, processes=num, images_per_second=round(total))


def worker(lab: Lab, name: str) -> None:
    """Wait for a line, and print images per second of a captured run."""
    run = lab.run(*NETS[name])
    with on_own_stream(torch.device(lab.device)):
        step = Cyclic(lab, run, captured=True)
        for number in range(5):
            step(number % step.steps, number)
        lab.wait()
        print("ready", flush=True)
        sys.stdin.readline()
        print(lab.rate(step, run.batch_size, step.steps), flush=True)


class Traffic(TorchDispatchMode):
    """Sums the bytes of all inputs and outputs of every operation, as if each were one kernel without a cache."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not func.is_view:
            self.total += sum(t.numel() * t.element_size() for t in _tensors((args, kwargs, result)))
        return result


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)


def bounds(lab: Lab) -> None:
    """FLOPs and bytes of a step, and the card's rates for large products and copies."""
    ceilings: Row = {}
    if lab.on_gpu:
        for precision in ("tf32", "bf16"):
            torch.backends.cuda.matmul.allow_tf32 = True
            a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16 if precision == "bf16" else torch.float32)
            ceilings[f"{precision} TFLOP/s"] = round(2 * 8192**3 / timed(lambda a=a: a @ a) / 1e12)
        x = torch.empty(2**30, dtype=torch.uint8, device="cuda")
        y = torch.empty_like(x)
        ceilings["copy TB/s"] = round(2 * 2**30 / timed(lambda: y.copy_(x)) / 1e12, 2)
    for name, words in NETS.items():
        run = lab.run(*words)
        step = Cyclic(lab, run, captured=False)
        step(0, 0)
        counter, traffic = FlopCounterMode(display=False), Traffic()
        with counter:
            step(0, 1)
        with traffic:
            step(0, 2)
        flops, moved = counter.get_total_flops() / run.batch_size, traffic.total / run.batch_size
        lab.show(
            what="bounds", net=name, mflop_an_image=round(flops / 1e6, 2), mb_an_image=round(moved / 1e6, 3), **ceilings
        )


def timed(do: Callable[[], Any], repeats: int = 10) -> float:
    """Return the seconds of a piece of work on the GPU, the mean of `repeats` after three."""
    for _ in range(3):
        do()
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(repeats):
        do()
    torch.cuda.synchronize()
    return (time.perf_counter() - start) / repeats


def main(words: Sequence[str] | None = None) -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description="Measure training on one GPU.")
    known = {"equal": equal, "rates": rates, "flags": flags, "many": many, "bounds": bounds}
    parser.add_argument("what", choices=[*known, "worker"])
    parser.add_argument("--output", type=Path, default=Path("gpu_lab.jsonl"), help="file that gets the results")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--seconds", type=float, default=0.5, help="of each measurement (0.5)")
    parser.add_argument("--name", default="", help="of the net, for a worker")
    arguments = parser.parse_args(words)
    hardware.resolve_device(arguments.device)
    torch.set_num_threads(1)
    lab = Lab(arguments.device, arguments.output, arguments.seconds)
    if arguments.what == "worker":
        worker(lab, arguments.name)
    else:
        known[arguments.what](lab)


if __name__ == "__main__":
    main()

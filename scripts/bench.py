"""Compare the program's speed with alternatives, and write a table and a JSON file.

Usage: python scripts/bench.py WHAT [--data FOLDER] [--repeats N] [--device cpu|cuda] [--output FILE.json]

  train        images per second of training: the program, a bare loop, torchvision + DataLoader, Lightning
  sweep        wall time of 24 short runs: the program, and a Lightning script started once a run
  overhead     seconds of a sweep's run besides training and evaluation
  diagnostics  share of the training time that the default diagnostics take
  start        seconds until the help, a report, and the first training step
  scale        time and memory against runs, images and epochs

Contenders take turns. Every number is a median over the turns; ratios are medians of the ratios within a turn. The
machine should be idle otherwise.
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).resolve().parent
ABLATE = [sys.executable, "-m", "ablate"]
Row = dict[str, Any]


LONG = ("ablate", "bare")  # an epoch of the others takes seconds on a GPU too


class Contender:
    """A process of contenders.py that waits for requests to measure."""

    def __init__(self, name: str, args: argparse.Namespace, net: str, precision: str, images: int) -> None:
        words = [name, "--net", net, "--device", args.device, "--precision", precision, "--data", args.data]
        self.epochs = args.epochs if name in LONG else 1
        words += ["--images", str(images), "--epochs", str(self.epochs)]
        words += ["--threads", str(args.threads), "--batch-size", str(args.batch_size)]
        self.name, self.errors = name, tempfile.TemporaryFile("w+")  # noqa: SIM115 (as long as the process)
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "contenders.py"), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )
        while self.read() != "ready":
            pass

    def read(self) -> str:
        """Return the next line of the contender.

        Raises:
            SystemExit: it ended; its errors are shown.
        """
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            status = self.process.wait()
            self.errors.seek(0)
            raise SystemExit(f"{self.name} ended with status {status}:\n{self.errors.read()[-2000:]}")
        return line.strip()

    def seconds(self) -> float:
        """Return the seconds of an epoch, the mean of those of one measurement."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        while not re.fullmatch(r"[0-9.e+-]+", line := self.read()):
            pass
        return float(line) / self.epochs

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


FIELD = (
    ("ablate", "fp32"),
    ("bare", "fp32"),
    ("torchvision", "fp32"),
    ("lightning", "fp32"),
    ("ablate", "bf16"),
    ("bare", "bf16"),
    ("torchvision", "bf16"),
    ("lightning", "bf16"),
    ("ablate", "tf32"),
    ("bare", "tf32"),
)
RATIOS = (
    ("ablate fp32", "bare fp32", 0.97),
    ("ablate fp32", "torchvision fp32", 1.4),
    ("ablate fp32", "lightning fp32", 1.4),
    ("ablate tf32", "bare tf32", 0.97),
    ("ablate bf16", "bare bf16", 0.97),
    ("ablate bf16", "torchvision fp32", 2.3),
    ("ablate bf16", "lightning fp32", 2.3),
    ("ablate bf16", "lightning bf16", 1.35),
)


def train(args: argparse.Namespace) -> list[Row]:
    """Images per second of training, batch 128."""
    rows: list[Row] = []
    done: list[Row] = []
    for net in args.nets:
        images = args.images // (1 if net != "lecture" else 2) // args.batch_size * args.batch_size
        field = [(n, p) for n, p in FIELD if n in args.contenders and p in args.precisions]
        contenders = {f"{n} {p}": Contender(n, args, net, p, images) for n, p in field}
        rates: dict[str, list[float]] = {name: [] for name in contenders}
        for turn in range(args.repeats):
            names = list(contenders)
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                rates[name].append(images / contenders[name].seconds())
            print(f"{net}, turn {turn + 1}: " + ", ".join(f"{k} {v[-1]:.0f}" for k, v in rates.items()), flush=True)
            done += [{"net": net, "turn": turn + 1, "what": k, "images_per_second": v[-1]} for k, v in rates.items()]
            save(args, [*rows, *done])
        for contender in contenders.values():
            contender.close()
        rows += [{"net": net, "what": k, "images_per_second": round(statistics.median(v), 1)} for k, v in rates.items()]
        for mine, other, wanted in RATIOS:
            if not {mine, other} <= rates.keys():
                continue
            pairs = [a / b for a, b in zip(rates[mine], rates[other], strict=True)]
            rows.append({"net": net, "what": f"{mine} / {other}", "ratio": statistics.median(pairs), "wanted": wanted})
        for precision in args.precisions if "ablate" in args.contenders else ():
            peak = convolution_peak(net, args, precision)
            share = statistics.median(rates[f"ablate {precision}"]) / peak
            rows.append({"net": net, "what": f"convolutions alone {precision}", "images_per_second": round(peak, 1)})
            rows.append({"net": net, "what": f"ablate {precision} / convolutions alone", "ratio": share})
    return rows


def convolution_peak(net: str, args: argparse.Namespace, precision: str) -> float:
    """Return images per second at which forward and backward of the net's convolutions and products alone would run."""
    from torch import nn

    sys.path.insert(0, str(HERE))
    from contenders import plain_net

    from ablate.training import hardware

    torch.set_num_threads(args.threads)
    hardware.prepare_device(args.device, precision)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    model = plain_net(net).to(args.device)
    shapes: list[tuple[nn.Module, torch.Size]] = []
    hooks = [
        layer.register_forward_hook(lambda layer, inputs, _: shapes.append((layer, inputs[0].shape)))
        for layer in model
        if isinstance(layer, nn.Conv2d | nn.Linear)
    ]
    with torch.no_grad():
        model(torch.zeros(args.batch_size, 3, 32, 32, device=args.device))
    for hook in hooks:
        hook.remove()
    spans: list[list[Span]] = []
    for i, (layer, shape) in enumerate(shapes):
        layer = layer.to(dtype)
        x = torch.randn(shape, device=args.device, dtype=dtype)
        if x.ndim == 4:
            layer, x = layer.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
        x.requires_grad_(i > 0)  # no gradient for the images
        gradient = torch.randn_like(layer(x).detach())
        spans.append([])
        for _ in range(8):
            span = Span(args.device)
            for _ in range(span.calls):
                layer.zero_grad(set_to_none=True)
                layer(x).backward(gradient)
                x.grad = None
            span.end()
            spans[-1].append(span)
    # Read at the end, so that the GPU never waits for a layer's first launch.
    return args.batch_size / sum(min(span.seconds() for span in tries[2:]) for tries in spans)


class Span:
    """Seconds from its creation to its end: of the clock on the CPU, between two events of the device on CUDA.

    On CUDA nothing is waited for until the seconds are read, and a span holds several calls: with one, and with a wait
    behind it, the launches are what is measured.
    """

    def __init__(self, device: str) -> None:
        self.calls = 20 if device == "cuda" else 1
        self.events = [torch.cuda.Event(enable_timing=True) for _ in range(2)] if device == "cuda" else []
        if self.events:
            self.events[0].record()
        self.times = [time.perf_counter()]

    def end(self) -> None:
        """End the span."""
        if self.events:
            self.events[1].record()
        self.times.append(time.perf_counter())

    def seconds(self) -> float:
        """Return the seconds of one call."""
        if not self.events:
            return self.times[1] - self.times[0]
        self.events[1].synchronize()
        return float(self.events[0].elapsed_time(self.events[1])) / 1000 / self.calls


def timed(words: Sequence[str], **environment: str) -> tuple[float, str]:
    """Return wall seconds and output of a command.

    Raises:
        SystemExit: it failed; its errors are shown.
    """
    start = time.perf_counter()
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, **environment}, check=False)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} ended with status {done.returncode}:\n{done.stderr[-2000:]}")
    return seconds, done.stdout


PEAK = """import sys
from ablate.cli.main import main
try:
    main()
finally:
    print(open("/proc/self/status").read().split("VmHWM:")[1].split()[0], file=sys.stderr)
"""


def peak_megabytes(arguments: Sequence[str]) -> float:
    """Return the peak resident memory of `ablate ARGUMENTS` in 2**20 bytes, on Linux.

    The process reports it itself: `wait4` on a child includes the memory of this process when it forked.
    """
    done = subprocess.run([sys.executable, "-c", PEAK, *arguments], capture_output=True, text=True, check=True)
    return int(done.stderr.split()[-1]) / 1024


SHORT = ["net=micro", "data.train_size=2000", "data.val_size=1000", "data.test_size=2000", "trainer.epochs=2"]


def sweep(args: argparse.Namespace) -> list[Row]:
    """Wall time of 24 short runs (2 activations, 12 seeds; micro, 2,000 images, 2 epochs) on all cores."""
    cores = len(os.sched_getaffinity(0))
    arms = ["activation=relu,tanh", "seed=range(12)"]

    def ours(*words: str) -> float:
        where = [f"data.root={args.data}", f"output_dir={tempfile.mkdtemp()}", "hydra/launcher=joblib"]
        return timed([*ABLATE, "-m", "data=cifar10", *SHORT, *where, *arms, *words])[0]

    def template() -> float:
        """A Lightning script started once a run, as many at once as there are cores, one thread each."""
        start = time.perf_counter()
        waiting = [(a, str(s)) for s in range(12) for a in ("relu", "tanh")]
        running: list[subprocess.Popen[bytes]] = []
        while waiting or running:
            if any(process.poll() for process in running):
                raise SystemExit("template_run.py failed; try it alone, and pip install -e '.[bench]'")
            running = [process for process in running if process.poll() is None]
            while waiting and len(running) < cores:
                activation, seed = waiting.pop(0)
                words = [str(HERE / "template_run.py"), activation, seed, args.data]
                one = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
                running.append(subprocess.Popen([sys.executable, *words], env=one, stdout=subprocess.DEVNULL))
            time.sleep(0.05)
        return time.perf_counter() - start

    ways: dict[str, Callable[[], float]] = {
        f"ablate, {cores} workers of one thread": lambda: ours(f"hydra.launcher.n_jobs={cores}"),
        f"ablate, one worker of {cores} threads": lambda: ours("hydra.launcher.n_jobs=1"),
        f"Lightning script, {cores} at once": template,
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(args.repeats):
        for name, way in ways.items():
            found[name].append(way())
            print(f"{name}: {found[name][-1]:.1f} s", flush=True)
    first, *others = ways
    rows: list[Row] = [{"what": name, "seconds": round(statistics.median(v), 1)} for name, v in found.items()]
    for other in others:
        pairs = [b / a for a, b in zip(found[first], found[other], strict=True)]
        rows.append({"what": f"{other} / {first}", "ratio": statistics.median(pairs)})
    return rows


def overhead(args: argparse.Namespace) -> list[Row]:
    """Seconds of a sweep's run besides training and evaluation, in a process that has done one before."""
    found: list[float] = []
    for _ in range(args.repeats):
        output_dir = tempfile.mkdtemp()
        where = [f"data.root={args.data}", f"output_dir={output_dir}", "trainer.threads=1"]
        timed([*ABLATE, "-m", "data=cifar10", *SHORT, *where, "seed=range(13)"])
        folders = [path.parent for path in Path(output_dir).glob("runs/*/*/record.json")]
        ended = sorted((folder / "record.json").stat().st_mtime for folder in folders)
        busy = [json.loads((folder / "record.json").read_text())["wall_seconds"] for folder in folders]
        # From the end of the first run to the end of the last: twelve runs and the time between them.
        found.append((ended[-1] - ended[0] - sum(sorted(busy)[:-1])) / (len(ended) - 1))
    return [
        {"what": "a run, beside training and evaluation", "seconds": round(statistics.median(found), 3), "wanted": 0.3}
    ]


def diagnostics(args: argparse.Namespace) -> list[Row]:
    """Share of the training time that the default diagnostics take, in a default run and in short ones."""
    sys.path.insert(0, str(HERE))
    import contenders

    from ablate.cli.jobs import observers
    from ablate.diagnostics.track import Track
    from ablate.training.run import prepare

    rows: list[Row] = []
    for net, num_images, epochs, batch in (
        ("small", 45000, 8, 128),
        ("lecture", 45000, 8, 128),
        ("micro", 2000, 6, 32),
        ("micro", 4000, 5, 32),
    ):
        images = min(num_images, 2560)
        options = {"net": net, "precision": "fp32", "images": images, "batch_size": batch, "epochs": 1, "overrides": []}
        given = argparse.Namespace(**{**vars(args), **options})
        plan, run = contenders.planned(given)
        dataset = run.data.load()
        state, _ = prepare(run, dataset, run.build(dataset))
        (track,) = (observer for observer in observers(plan) if isinstance(observer, Track))
        train = contenders.bare(given)
        pairs = []
        train()
        track.measure(state)
        for _ in range(args.repeats):
            seconds = train()
            started = time.perf_counter()
            track.measure(state)
            pairs.append((time.perf_counter() - started) / seconds)
        every = -(-track.num_images // (num_images // 200))
        number = 1 + len({*range(every, epochs + 1, every), epochs})
        share = statistics.median(pairs) * images * number / (num_images * epochs)
        rows.append(
            {"what": f"{net}, {num_images} images, {epochs} epochs, {number} times", "share": share, "wanted": 0.03}
        )
    return rows


def start(args: argparse.Namespace) -> list[Row]:
    """Seconds from the command to its output, with warm disk caches."""
    output_dir = tempfile.mkdtemp()
    where = [f"data.root={args.data}", f"output_dir={output_dir}"]
    timed([*ABLATE, "-m", "data=cifar10", *SHORT, *where, "seed=0,1,2"])
    study = next(Path(output_dir, "studies").iterdir())
    code = (
        "import sys, time; started = float(sys.argv.pop(1)); from ablate.cli.main import main\n"
        "def show(self, state):\n    print('first step', time.time() - started, flush=True)\n    raise SystemExit\n"
        "import ablate.training.tensorboard as t; t.TensorBoard.on_step_end = show; main()"
    )
    found: dict[str, list[float]] = {}
    for i in range(args.repeats):
        found.setdefault("ablate --help", []).append(timed([*ABLATE, "--help"])[0])
        found.setdefault("ablate report", []).append(timed([*ABLATE, "report", str(study)])[0])
        words = ["data=cifar10", f"seed={100 + i}", *where]
        output = timed([sys.executable, "-c", code, str(time.time()), *words])[1]
        found.setdefault("first training step", []).append(float(output.split("first step")[1].split()[0]))
    wanted = {"ablate --help": 1.5, "first training step": 7.0}
    return [
        {"what": name, "seconds": round(statistics.median(v), 2), "wanted": wanted.get(name)}
        for name, v in found.items()
    ]


def scale(args: argparse.Namespace) -> list[Row]:
    """Time and memory against the numbers of runs, images and epochs."""
    rows: list[Row] = []
    for images, epochs in ((5000, 1), (5000, 2), (5000, 4), (45000, 1)):
        output_dir = tempfile.mkdtemp()
        words = [f"data.train_size={images}", f"trainer.epochs={epochs}", "net=micro", "trainer.threads=1"]
        timed([*ABLATE, "data=cifar10", *words, f"data.root={args.data}", f"output_dir={output_dir}"])
        record = json.loads(next(Path(output_dir).glob("runs/*/*/record.json")).read_text())
        seconds, memory = record["wall_seconds"], record["peak_memory_mb"]
        rows.append(
            {"what": f"{images} images, {epochs} epochs", "seconds": round(seconds, 1), "megabytes": round(memory)}
        )
    output_dir = tempfile.mkdtemp()
    where = [f"data.root={args.data}", f"output_dir={output_dir}", "data=cifar10", "trainer.threads=1", *SHORT]
    timed([*ABLATE, "-m", *where, "data.train_size=320", "trainer.epochs=1", "seed=range(2)"])
    arm = next(Path(output_dir, "runs").iterdir())
    for runs in (10, 100, 1000):
        clone(arm, runs)
        command = [*ABLATE, "-m", *where, "data.train_size=320", "trainer.epochs=1", f"seed=range({runs})"]
        seconds, _ = timed(command)
        study = max(Path(output_dir, "studies").iterdir(), key=lambda path: path.stat().st_mtime)
        alone, _ = timed([*ABLATE, "report", str(study)])
        peak = peak_megabytes(["report", str(study)])
        rows.append({"what": f"{runs} finished runs, skipped and reported", "seconds": round(seconds, 1)})
        rows.append(
            {"what": f"{runs} finished runs, report alone", "seconds": round(alone, 1), "megabytes": round(peak)}
        )
    return rows


def clone(arm: Path, runs: int) -> None:
    """Copy the finished run of seed 0 to further seeds: only reading is timed, not training."""
    import shutil

    for seed in range(2, runs):
        target = arm / f"seed-{seed}"
        if not target.exists():
            shutil.copytree(arm / "seed-0", target)
            record = target / "record.json"
            record.write_text(record.read_text().replace('"seed": 0', f'"seed": {seed}'))


BENCHMARKS = {work.__name__: work for work in (train, sweep, overhead, diagnostics, start, scale)}


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table."""
    keys = list(dict.fromkeys(key for row in rows for key in row))

    def cell(value: Any) -> str:
        return "" if value is None else f"{value:.3g}" if isinstance(value, float) and value < 100 else f"{value}"

    lines = [keys, ["---"] * len(keys), *([cell(row.get(key)) for key in keys] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def save(args: argparse.Namespace, rows: Sequence[Row]) -> None:
    """Write what is known so far, if a file is asked for: a measurement that is cut off leaves its turns there."""
    if args.output is None:
        return
    from ablate.training.environment import environment

    found = {
        "what": args.what,
        "repeats": args.repeats,
        "threads": args.threads,
        "device": environment(args.device, "fp32", args.threads),
        "python": platform.python_version(),
        "rows": list(rows),
    }
    args.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=BENCHMARKS)
    parser.add_argument("--nets", nargs="+", default=["small", "lecture"])
    names = list(dict.fromkeys(name for name, _ in FIELD))
    parser.add_argument("--contenders", nargs="+", choices=names, default=names)
    parser.add_argument("--precisions", nargs="+", choices=["fp32", "tf32", "bf16"], default=["fp32", "bf16"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--images", type=int, help="of an epoch (12,800; on CUDA 44,800); half as many for lecture")
    parser.add_argument("--epochs", type=int, help="of one measurement of ablate and bare (1; on CUDA 10)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--data", default=os.environ.get("ABLATE_DATA", "data"))
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    args.images = args.images or (44800 if args.device == "cuda" else 12800)
    args.epochs = args.epochs or (10 if args.device == "cuda" else 1)
    rows = BENCHMARKS[args.what](args)
    print(table(rows))
    save(args, rows)


if __name__ == "__main__":
    main()

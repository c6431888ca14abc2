"""Measure `recipe=speedrun`: accuracy over seeds, seconds per run, images per second compared with a bare loop.

Usage: python scripts/speedrun.py [--seeds N] [--bare-epochs E] [--output FILE] [KEY=VALUE ...]

    python scripts/speedrun.py --seeds 10 device=cuda                        # is it 94.0 %?
    python scripts/speedrun.py --seeds 10 device=cuda trainer.compile=true   # and compiled?
    python scripts/speedrun.py --seeds 10 device=cuda recipe=speedrun_muon   # with Muon, in 8 epochs
    python scripts/speedrun.py --seeds 2 device=cpu data.train_size=2000 data.test_size=1000 \
        trainer.epochs=2 trainer.batch_size=250                              # does it work, without a GPU

Only FILE is written: no run folder, no TensorBoard. The bare loop below has the recipe's numerics (net, precision,
flips and crops, smoothed labels, Nesterov, learning rates by group, schedule), but no random streams, history,
callbacks or checkpoints. Runs of both alternate. The speed excludes the first epoch, which chooses and compiles
kernels.

The numbers to compare with, Jordan's airbench94 on one A100: 94.01 % mean in 9.9 epochs, 3.83 s per run, 3.29 s
compiled (arXiv:2404.00498); its seconds include training and the test images, not start-up. scripts/airbench.py has it
as a bare loop, to run beside this script; conf/recipe/speedrun.yaml lists what the recipe lacks. Three seeds on an
H200 are in docs/performance.md; 94.0 % over 20 seeds has not been shown.
"""

import argparse
import json
import math
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from scipy.special import stdtrit
from torch import Tensor
from torch.nn import functional as F

from ablate.cli.arguments import check, expand
from ablate.cli.figure import composing
from ablate.cli.planning import make_run, plan
from ablate.config import catalog
from ablate.data.dataset import Dataset, Split
from ablate.optimization import parameter_groups, set_initial_lr
from ablate.training import hardware
from ablate.training.environment import environment
from ablate.training.kept_data import moved
from ablate.training.loop import loss_and_accuracy
from ablate.training.run import Run, prepare, train
from ablate.training.step import autocast


def make_runs(words: Sequence[str], num_seeds: int) -> Iterator[Run]:
    """Yield the recipe's run for each seed from 0, changed by the overrides `words`."""
    where = catalog.folders()
    recipe = [] if any(word.startswith("recipe=") for word in words) else ["recipe=speedrun"]
    overrides = expand([*recipe, *words], where)
    check(overrides, where, [])
    with composing(where) as compose:
        for seed in range(num_seeds):
            yield make_run(plan(*compose([*overrides, f"seed={seed}"])))


def measure(run: Run) -> dict[str, float]:
    """Train a run without observers; return its accuracy and the seconds of its parts."""
    start = time.perf_counter()
    dataset = run.data.load()
    state, examine = prepare(run, dataset, run.build(dataset))
    prepared = time.perf_counter()
    train(run, state, examine)
    trained = time.perf_counter()
    test = state.dataset.test
    metrics = loss_and_accuracy(examine.final(state.net, test), test.labels, "test")  # on the host: the device is done
    done = time.perf_counter()
    rows = state.history[1:] or state.history
    return {
        "seed": run.seed,
        "test_accuracy": metrics["test/accuracy"] or 0.0,
        "train_accuracy": state.history[-1]["train/accuracy"] or 0.0,
        "start_seconds": prepared - start,
        "train_seconds": trained - prepared,
        "test_seconds": done - trained,
        "images_per_second": statistics.median(row["images_per_second"] or 0.0 for row in rows),
    }


def bare(run: Run, num_epochs: int) -> dict[str, float]:
    """Train the run's net in a hand-written loop; return the median speed of its epochs without the first."""
    hardware.prepare_device(run.device, run.precision, run.gpu)
    device = torch.device(run.device)
    dataset: Dataset = run.data.load()
    net = run.build(dataset).to(device).train()
    forward = torch.compile(net, mode=str(run.compile)) if run.compile else net
    optimizer = run.optimizer(parameter_groups(net, run.regularizer.l2, run.bias_lr_factor))
    set_initial_lr(optimizer)
    split = moved(dataset, device).train
    num_steps = len(split) // run.batch_size
    speeds, correct = [], torch.zeros((), device=device)
    for epoch in range(num_epochs):
        start = time.perf_counter()
        order = torch.randperm(len(split), device=device)
        correct.zero_()
        for step in range(num_steps):
            images, labels = batch(split, order[step * run.batch_size : (step + 1) * run.batch_size], run.augmentation)
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * run.schedule(epoch + step / num_steps, num_epochs)
            optimizer.zero_grad(set_to_none=True)
            with autocast(device, run.precision):
                logits = forward(images)
            F.cross_entropy(logits.float(), labels, label_smoothing=run.regularizer.label_smoothing).backward()
            optimizer.step()
            correct += (logits.detach().argmax(1) == labels).sum()
        accuracy = correct.item() / (num_steps * run.batch_size)  # waits for the device
        speeds.append(num_steps * run.batch_size / (time.perf_counter() - start))
    return {"images_per_second": statistics.median(speeds[1:] or speeds), "train_accuracy": accuracy}


def batch(split: Split, indices: Tensor, augmentation: Any) -> tuple[Tensor, Tensor]:
    """Return images of integer intensities and their labels, flipped and cropped after reflection."""
    images, labels = split.images[indices], split.labels[indices]
    num, _, height, width = images.shape
    padding, device = augmentation.padding, images.device
    if augmentation.flip:
        flipped = torch.rand(num, 1, 1, 1, device=device) < augmentation.flip
        images = torch.where(flipped, images.flip(3), images)
    if padding:
        padded = F.pad(images.float(), (padding,) * 4, mode="reflect").permute(0, 2, 3, 1)
        top, left = torch.randint(2 * padding + 1, (2, num, 1), device=device)
        rows = (top + torch.arange(height, device=device))[:, :, None]
        columns = (left + torch.arange(width, device=device))[:, None, :]
        images = padded[torch.arange(num, device=device)[:, None, None], rows, columns].permute(0, 3, 1, 2)
    return images, labels


def interval(values: Sequence[float]) -> tuple[float, float | None]:
    """Return the mean and half the width of its 95 % t interval, None with a single value."""
    if len(values) < 2:
        return values[0], None
    n = len(values)
    return statistics.fmean(values), float(stdtrit(n - 1, 0.975)) * statistics.stdev(values) / math.sqrt(n)


def summary(run: Run, runs: Sequence[dict[str, float]], bares: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Return all results, ready for JSON; seconds are medians over the runs without the first."""
    mean, half_width = interval([row["test_accuracy"] for row in runs])
    later = runs[1:] or runs
    own = statistics.median(row["images_per_second"] for row in runs)
    other = statistics.median(row["images_per_second"] for row in bares)
    parts = ("start_seconds", "train_seconds", "test_seconds")
    return {
        "epochs": run.epochs,
        "mean_test_accuracy": mean,
        "half_width_95": half_width,
        "seconds": statistics.median(row["train_seconds"] + row["test_seconds"] for row in later),
        "seconds_with_start": statistics.median(sum(row[part] for part in parts) for row in later),
        "first_run_seconds_with_start": sum(runs[0][part] for part in parts),
        "images_per_second": own,
        "bare_images_per_second": other,
        "share_of_bare": own / other,
        "runs": list(runs),
        "bare_runs": list(bares),
        "settings": dict(run.settings),
        "environment": environment(run.device, run.precision, run.threads),
    }


def as_text(found: dict[str, Any]) -> str:
    """Return the summary as text."""
    half_width = found["half_width_95"]
    spread = "" if half_width is None else f" ± {100 * half_width:.2f} (95 % interval of the mean)"
    return "\n".join(
        [
            f"test accuracy {100 * found['mean_test_accuracy']:.2f} %{spread}, {len(found['runs'])} seeds",
            f"{found['epochs']} epochs, {found['seconds']:.2f} s for training and test, "
            f"{found['seconds_with_start']:.2f} s with data, preprocessing and net; "
            f"first run {found['first_run_seconds_with_start']:.2f} s",
            f"{found['images_per_second']:.0f} images/s, bare loop {found['bare_images_per_second']:.0f} images/s: "
            f"{found['share_of_bare']:.3f} of it",
            f"{found['environment']['device_name']}, {found['environment']['precision']}",
        ]
    )


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description="Measure recipe=speedrun: accuracy, seconds, images per second.")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="as for `ablate`, e.g. trainer.epochs=16")
    parser.add_argument("--seeds", type=int, default=5, help="number of runs (5)")
    parser.add_argument("--bare-epochs", type=int, default=3, help="epochs of each bare loop, the first not timed (3)")
    parser.add_argument("--output", type=Path, default=Path("speedrun.json"), help="file for all numbers")
    arguments = parser.parse_intermixed_args()
    if arguments.seeds < 1 or arguments.bare_epochs < 1:
        parser.error("--seeds and --bare-epochs must be at least 1")
    hardware.keep_memory()
    runs, bares = [], []
    try:
        for run in make_runs(arguments.overrides, arguments.seeds):
            torch.set_num_threads(run.threads)
            runs.append(measure(run))
            bares.append(bare(run, arguments.bare_epochs))
            print(json.dumps({**runs[-1], "bare_images_per_second": bares[-1]["images_per_second"]}), flush=True)
    except ValueError as error:
        parser.error(str(error))
    found = summary(run, runs, bares)
    arguments.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"\n{as_text(found)}\n{arguments.output}")


if __name__ == "__main__":
    main()

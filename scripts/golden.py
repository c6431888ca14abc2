"""Write tests/golden/numerics-<version>.json: the results of four small runs, to the last digit, with one thread.

Usage: python scripts/golden.py [--force] [--show]

tests/training/test_golden.py compares with it, part by part:

- "everywhere": the data, the split, and the net's inputs in each step. All are integers (the order, the crops and the
  flips too), and equal on every machine.
- "weights": the initial weights. Equal wherever ATen has AVX2 or AVX-512 kernels (both were compared). Its plain
  kernels round differently: log, cos and sin of torch's normal_ are computed in vectors or one by one, and uniform_
  multiplies and adds in one rounding or in two. There, their norm is compared.
- "kernels": losses and metrics. Convolutions and matrix products add in an order that oneDNN, MKL and ATen choose by
  instruction set and cache, exp and log have vectorised and plain forms, and both change with torch's version. They are
  compared to the last digit if torch and the processor are those in the file, otherwise within a tolerance.

The file of the present NUMERICS_VERSION is not overwritten: a change of a number needs a higher version in
src/ablate/training/identity.py, since the same settings then give other runs. --force is for a file that was never
released.
"""

import argparse
import hashlib
import json
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ablate.cli.figure import composing
from ablate.cli.planning import make_run, plan
from ablate.config.catalog import folders
from ablate.data.dataset import Source, split_source
from ablate.training.environment import cpu_name
from ablate.training.identity import NUMERICS_VERSION
from ablate.training.loop import Callback, State
from ablate.training.start import start

GOLDEN = Path(__file__).resolve().parents[1] / "tests" / "golden"
SHARED = [
    "data=shapes",
    "net=micro",
    "data.num_train=300",
    "data.num_test=60",
    "data.val_size=50",
    "data.train_size=200",
    "data.test_size=50",
    "trainer.batch_size=50",
    "trainer.eval_batch_size=50",
    "trainer.epochs=2",
    "trainer.threads=1",
    "device=cpu",
    "precision=fp32",
    "tensorboard.enabled=false",
    "diagnostics.measure=[]",
    "seed=3",
    "optimizer.lr=0.01",  # rounding errors stay small
]
CONFIGURATIONS = {
    "plain": ["normalization=none", "initializer=he_uniform"],
    "batch_norm": ["normalization=batch", "initializer=he_normal"],
    "dropout": ["normalization=batch", "dropout=everywhere", "initializer=xavier_uniform", "augmentation=cutout"],
    "bits_12": ["data.bits=12", "preprocessing=window", "normalization=none", "initializer=xavier_normal"],
}


class Witness(Callback):
    """Records the initial weights, the integers that the net gets in training, and the losses."""

    def on_fit_start(self, state: State) -> None:
        self.weights = digest(*(parameter.detach() for parameter in state.net.parameters()))
        self.weight_norm = float(sum(p.detach().double().square().sum() for p in state.net.parameters()).sqrt())
        self.losses: list[float] = []
        self.batches = hashlib.sha256()
        state.net.register_forward_pre_hook(self.see)

    def see(self, net: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if net.training:
            self.batches.update(digest(inputs[0]).encode())

    def on_step_end(self, state: State) -> None:
        self.losses.append(state.loss.item())


def digest(*arrays: Any) -> str:
    """Return the hash of arrays or tensors: their types, shapes and bytes in row-major order."""
    found = hashlib.sha256()
    for array in arrays:
        array = np.ascontiguousarray(array.numpy() if isinstance(array, torch.Tensor) else array)
        found.update(f"{array.dtype.str}{array.shape}".encode() + array.tobytes())
    return found.hexdigest()


def split_digests() -> dict[str, str]:
    """Return the hashes of the splits of a source whose images are their own indices."""
    labels = np.arange(700) % 10 % 7
    numbers = np.arange(700, dtype=np.uint16).reshape(-1, 1, 1, 1)
    source = Source(train_images=numbers, train_labels=labels, test_images=numbers[:90], test_labels=labels[:90])
    data = split_source(
        source,
        class_names=tuple("abcdefg"),
        bits=16,
        train_size=300,
        val_size=90,
        test_size=50,
        split_seed=5,
    )
    return {name: digest(getattr(data, name).images, getattr(data, name).labels) for name in ("train", "val", "test")}


def measure(cache: Path) -> dict[str, Any]:
    """Compute and return the content of the golden file.

    Args:
        cache: folder of the made images.
    """
    found: dict[str, Any] = {"numerics": NUMERICS_VERSION, "machine": machine()}
    found |= {"everywhere": {"split": split_digests()}, "weights": {}, "kernels": {}}
    with composing(folders()) as compose:
        for name, overrides in CONFIGURATIONS.items():
            measured = measure_one(compose([*SHARED, *overrides, f"data.cache_dir={cache}"]))
            for part, values in measured.items():
                found[part][name] = values
    return found


def measure_one(composed: tuple[Any, dict[str, Any]]) -> dict[str, Any]:
    """Return the three parts of one configuration."""
    run = make_run(plan(*composed))
    witness = Witness()
    data = run.data.load()
    with tempfile.TemporaryDirectory() as folder:
        record, _ = start(run, Path(folder) / "runs" / "golden-00000000" / "seed-3", [witness])
    splits = (data.train, data.val, data.test)
    return {
        "everywhere": {
            "data": digest(*(part for split in splits for part in (split.images, split.labels))),
            "batches": witness.batches.hexdigest(),
        },
        "weights": {"sha256": witness.weights, "norm": witness.weight_norm},
        "kernels": {
            "losses": witness.losses,
            "metrics": {k: v for k, v in sorted(record.metrics.items()) if not k.startswith("epochs_to/")},
        },
    }


def machine() -> dict[str, str]:
    """Return what determines torch's kernels: its version, and the processor in /proc/cpuinfo."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0]
    except OSError:
        lines = ""
    kinds = ("cpu family", "model", "stepping", "cache size", "flags")
    found = {key: re.search(rf"^{key}\s*: *(.*)$", lines, re.MULTILINE) for key in kinds}
    words = [cpu_name(), *(f"{key} {match[1]}" for key, match in found.items() if match and key != "flags")]
    flags = found["flags"][1] if found["flags"] else ""
    return {
        "torch": torch.__version__,
        "capability": torch.backends.cpu.get_cpu_capability(),
        "processor": ", ".join(words),
        "flags": hashlib.sha256(" ".join(sorted(flags.split())).encode()).hexdigest()[:16],
    }


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--force", action="store_true", help="overwrite the file of the present version")
    parser.add_argument("--show", action="store_true", help="print the values and write nothing")
    args = parser.parse_args(words)
    path = GOLDEN / f"numerics-{NUMERICS_VERSION}.json"
    if path.exists() and not args.force and not args.show:
        raise SystemExit(
            f"{path} exists. If a number changed, the same settings give other runs: raise NUMERICS_VERSION in "
            "src/ablate/training/identity.py and run this again; --force overwrites a file that was never released."
        )
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as cache:
        text = json.dumps(measure(Path(cache)), indent=1) + "\n"
    if args.show:
        print(text, end="")
        return
    path.write_text(text, encoding="utf-8")
    print(f"wrote {path}")


if __name__ == "__main__":
    main()

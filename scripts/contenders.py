"""Training loops that `bench.py` compares, each in its own process.

Usage (by bench.py): python scripts/contenders.py NAME --net small --device cpu --precision fp32 --threads 2 ...
A contender builds its net and data, trains once to warm up, and prints "ready". Then, for every line on its input, it
trains `--epochs` epochs of `--images` images and prints the seconds. It ends when its input ends.

All train the same net (He initialization, batch norm, SGD with Nesterov's momentum, crop and flip, cross-entropy) on
the same images with the same batch size; the differences are in each contender's docstring.
"""

import argparse
import contextlib
import dataclasses
import itertools
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Train = Callable[[], float]  # trains the images of one measurement and returns the seconds it took
LR, MOMENTUM, L2 = 0.05, 0.9, 5e-4


class Timer:
    """Measures seconds since its creation, including the device's work."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.start = 0.0
        self.start = self.seconds()

    def seconds(self) -> float:
        if self.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - self.start


def ablate(args: argparse.Namespace) -> Train:
    """The trainer as users run it, from the middle of a run: TensorBoard, diagnostics, checkpoint and progress.

    An epoch is `--images` long, so that all of these come several times as often as in a whole one of CIFAR-10.
    """
    from ablate.cli.jobs import observers
    from ablate.training.callbacks import Checkpoint, Progress
    from ablate.training.run import prepare, train

    plan, run = planned(args)
    dataset = run.data.load()
    state, examine = prepare(run, dataset, run.build(dataset))
    state.num_epochs = 1 + args.epochs
    folder = Path(tempfile.mkdtemp())

    def go() -> float:
        state.epoch, state.step, state.history = 1, state.steps_per_epoch, []  # the first epoch is done
        run_folder = Path(tempfile.mkdtemp(dir=folder))
        timer = Timer(args.device)
        with without_validation(examine):
            seen = observers(dataclasses.replace(plan, folder=run_folder))
            train(run, state, examine, [*seen, Checkpoint(run_folder, 1, run.fingerprint), Progress()])
        return timer.seconds()

    return go


@contextlib.contextmanager
def without_validation(examine: Any) -> Iterator[None]:
    """Switch validation off: no contender validates, so that only training is compared."""
    kind = type(examine)
    validate, kind.validate = kind.validate, lambda self, net: {}
    try:
        yield
    finally:
        kind.validate = validate


def bare(args: argparse.Namespace) -> Train:
    """A hand-written loop with the trainer's numerics: images in memory, augmented as a batch, nothing logged."""
    from ablate.training.step import autocast

    _, run = planned(args)
    dataset = run.data.load()
    net = run.build(dataset).to(args.device).train()
    images = dataset.train.images.to(args.device).contiguous(memory_format=torch.channels_last)
    labels = dataset.train.labels.to(args.device)
    weights = [p for p in net.parameters() if p.ndim >= 2]
    others = [p for p in net.parameters() if p.ndim < 2]
    groups = [{"params": weights, "weight_decay": L2}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=LR, momentum=MOMENTUM, nesterov=True)
    generator = torch.Generator(args.device).manual_seed(0)
    steps = args.images // args.batch_size

    def go() -> float:
        timer = Timer(args.device)
        for i in range(args.epochs * steps):
            if i % steps == 0:
                order = torch.randperm(len(labels)).to(args.device)
            index = order[i % steps * args.batch_size : (i % steps + 1) * args.batch_size]
            batch = images.permute(0, 2, 3, 1).index_select(0, index).permute(0, 3, 1, 2)
            batch = run.augmentation(batch, generator)
            optimizer.zero_grad(set_to_none=True)
            with autocast(torch.device(args.device), args.precision):
                loss = F.cross_entropy(net(batch).float(), labels[index])
            loss.backward()
            optimizer.step()
        loss.item()
        return timer.seconds()

    return go


def torchvision(args: argparse.Namespace) -> Train:
    """The usual code of tutorials: images one by one through torchvision's transforms, a DataLoader with workers."""
    net = plain_net(args.net).to(args.device).train()
    optimizer = torch.optim.SGD(net.parameters(), lr=LR, momentum=MOMENTUM, nesterov=True, weight_decay=L2)
    loader = cifar_loader(args)

    def go() -> float:
        timer = Timer(args.device)
        for images, labels in itertools.chain.from_iterable(itertools.repeat(loader, args.epochs)):
            images, labels = images.to(args.device), labels.to(args.device)
            optimizer.zero_grad()
            with torch.autocast(args.device, torch.bfloat16, enabled=args.precision == "bf16"):
                loss = F.cross_entropy(net(images), labels)
            loss.backward()
            optimizer.step()
        loss.item()
        return timer.seconds()

    return go


def lightning(args: argparse.Namespace) -> Train:
    """The same data through Lightning's Trainer, without logger, checkpoint and progress bar.

    Measures the seconds between the start of its first and the end of its last epoch, without the setup in `fit`.
    """
    import logging
    import warnings

    import lightning as L

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")

    class Module(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = plain_net(args.net)

        def on_train_epoch_start(self) -> None:
            if self.current_epoch == 0:
                self.timer = Timer(args.device)

        def on_train_epoch_end(self) -> None:
            self.taken = self.timer.seconds()

        def training_step(self, batch: tuple[Tensor, Tensor], batch_index: int) -> Tensor:
            images, labels = batch
            return F.cross_entropy(self.net(images), labels)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=LR, momentum=MOMENTUM, nesterov=True, weight_decay=L2)

    module, loader = Module(), cifar_loader(args)

    def go() -> float:
        trainer = L.Trainer(
            max_epochs=args.epochs,
            accelerator="gpu" if args.device == "cuda" else "cpu",
            devices=1,
            precision="bf16-mixed" if args.precision == "bf16" else "32-true",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(module, loader)
        return module.taken

    return go


CONTENDERS: dict[str, Callable[[argparse.Namespace], Train]] = {
    "ablate": ablate,
    "bare": bare,
    "torchvision": torchvision,
    "lightning": lightning,
}


def planned(args: argparse.Namespace) -> tuple[Any, Any]:
    """Return plan and run of the program's own configuration."""
    from hydra import compose, initialize_config_dir
    from omegaconf import open_dict

    from ablate.cli import planning
    from ablate.cli.hydra_version import of_composing
    from ablate.config import catalog
    from ablate.training import hardware

    overrides = [
        "data=cifar10",
        f"data.root={args.data}",
        f"data.train_size={args.images}",
        f"net={args.net}",
        f"trainer.batch_size={args.batch_size}",
        "trainer.epochs=1",
        f"trainer.threads={args.threads}",
        f"device={args.device}",
        f"precision={args.precision}",
        f"output_dir={tempfile.mkdtemp()}",
        *args.overrides,
    ]
    with initialize_config_dir(str(catalog.conf_dir()), **of_composing()):
        cfg = compose("config", overrides=overrides, return_hydra_config=True)
        choices = dict(cfg.hydra.runtime.choices)
        with open_dict(cfg):
            del cfg["hydra"]
        plan = planning.plan(cfg, choices)
        run = planning.make_run(plan)
    hardware.keep_memory()
    torch.set_num_threads(run.threads)
    return plan, run


def plain_net(name: str) -> nn.Module:
    """Return the hand-written net of a level of `net`."""
    widths = {"micro": (8, 16, 32), "tiny": (16, 32, 64), "small": (32, 64, 128), "lecture": (64, 128, 256)}[name]
    hidden = {"micro": 128, "tiny": 128, "small": 256, "lecture": 256}[name]
    layers: list[nn.Module] = []
    channels = 3
    for width in widths:
        for _ in range(2):
            layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    layers += [nn.Flatten(), nn.Linear(channels * 16, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(hidden, 10))


def cifar_loader(args: argparse.Namespace) -> Any:
    """Return the DataLoader of the tutorials over the first `--images` training images."""
    from torch.utils.data import DataLoader, Subset
    from torchvision import transforms
    from torchvision.datasets import CIFAR10

    transform = transforms.Compose(
        [
            transforms.RandomCrop(32, padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
        ]
    )
    data = Subset(CIFAR10(args.data, transform=transform), range(args.images))
    return DataLoader(
        data,
        batch_size=args.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=args.workers,
        persistent_workers=args.workers > 0,
        pin_memory=args.device == "cuda",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=CONTENDERS)
    parser.add_argument("--net", default="small")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2, help="of the DataLoader")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--images", type=int, default=12800, help="of an epoch, a multiple of the batch size")
    parser.add_argument("--epochs", type=int, default=1, help="of one measurement")
    parser.add_argument("--data", default="data")
    parser.add_argument("overrides", nargs="*", help="of the program's own configuration, for ablate and bare")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    # As `ablate.training.hardware.prepare_device` does it; importing ablate would give all contenders its huge pages.
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = False, True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = args.precision == "tf32"
    train = CONTENDERS[args.name](args)
    train()
    print("ready", flush=True)
    for _ in sys.stdin:
        print(train(), flush=True)


if __name__ == "__main__":
    main()

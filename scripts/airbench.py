"""Train airbench94 in a bare loop: what `recipe=speedrun` is compared with, on the same machine.

Usage: python scripts/airbench.py --data FOLDER [--runs N] [--muon] [--device cuda] [--json FILE] ...

    python scripts/airbench.py --data data --runs 20            # the plain form
    python scripts/airbench.py --data data --runs 20 --muon     # filters trained by Muon
    python scripts/airbench.py --data data --runs 2 --device cpu --epochs 4 --train-size 5000 --test-size 1000

airbench94 is Keller Jordan's training of a small net on CIFAR-10 to 94 % (arXiv:2404.00498;
github.com/KellerJordan/cifar10-airbench, legacy/airbench94.py and airbench94_muon.py). This is the uncompiled form,
written from the paper and these files: a frozen first layer that whitens patches of 2 x 2 pixels, with a bias that
learns for 3 epochs; convolutions that begin as identities; batch norm with its scale fixed, eps 1e-12 and fast biases;
label smoothing; flips that alternate between epochs; shifts by 2 pixels; Lookahead (plain form only); the average over
6 views of each test image. On a GPU weights and images are fp16 and batch norm is fp32, on a CPU all is fp32. Two
things are not theirs: Muon is `ablate.muon.Muon`, and the whitening is fitted by `ablate.data.whitening`, in float64.

Each run prints one line of JSON; with --json the same lines are appended to FILE. `seconds` covers the whitening,
training and the 6 views of the test images, without loading the data and making the net; the first run, which
also chooses kernels, does not count for the median. Published, on one A100: 94.01 %, 3.83 s; with Muon 94.01 %, 2.59 s
(compiled). Three runs of the plain form on an H200 are in docs/performance.md; the Muon form has not run on a GPU.
"""

import argparse
import json
import math
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from scipy.special import stdtrit
from torch import Tensor, nn
from torch.nn import functional as F

from ablate.data.cifar10 import Cifar10
from ablate.data.dataset import Split
from ablate.data.whitening import PatchWhiten
from ablate.errors import UserError
from ablate.muon import Muon
from ablate.training import hardware
from ablate.training.environment import environment

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
WIDTHS = (64, 256, 256)
SHIFT = 2  # pixels
WHITEN_EPOCHS = 3  # in which the bias behind the whitening learns
SMOOTHING = 0.2
MOMENTUM = 0.85  # of SGD, Nesterov's
TEST_BATCH = 2000


@dataclass(frozen=True, kw_only=True)
class Form:
    """What the plain form and that with Muon differ in."""

    epochs: float
    batch_size: int
    logit_scale: float


PLAIN = Form(epochs=9.9, batch_size=1024, logit_scale=1 / 9)
MUON = Form(epochs=8.0, batch_size=2000, logit_scale=1 / WIDTHS[-1])


class Conv(nn.Conv2d):
    """A 3x3 convolution without bias, whose first filters are the identities of its input channels."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__(channels, width, 3, padding=1, bias=False)
        nn.init.dirac_(self.weight.data[:channels])


def batch_norm(width: int) -> nn.BatchNorm2d:
    """Return batch norm with a fixed scale."""
    layer = nn.BatchNorm2d(width, eps=1e-12, momentum=0.4)
    layer.weight.requires_grad = False
    return layer


class Airbench(nn.Module):
    """The net. (N, 3, 32, 32) -> (N, 10)."""

    def __init__(self, form: Form) -> None:
        super().__init__()
        self.whiten = nn.Conv2d(3, 24, 2)
        self.whiten.weight.requires_grad = False
        layers: list[nn.Module] = [nn.GELU()]
        channels = 24
        for width in WIDTHS:
            layers += [Conv(channels, width), nn.MaxPool2d(2), batch_norm(width), nn.GELU()]
            layers += [Conv(width, width), batch_norm(width), nn.GELU()]
            channels = width
        self.layers = nn.Sequential(*layers, nn.MaxPool2d(3), nn.Flatten())
        self.head = nn.Linear(channels, 10, bias=False)
        self.logit_scale = form.logit_scale
        if form is PLAIN:
            nn.init.zeros_(self.whiten.bias)  # type: ignore[arg-type]  # it has one
        else:
            self.head.weight.data /= self.head.weight.data.std()

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(self.whiten(x))) * self.logit_scale


def make_net(form: Form, device: torch.device, dtype: torch.dtype) -> Airbench:
    """Return the net on the device, batch norm in float32."""
    net = Airbench(form).to(device, dtype, memory_format=torch.channels_last)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.float()
    return net


def make_optimizer(net: Airbench, form: Form, batch_size: int) -> torch.optim.Optimizer:
    """Return the optimizer, for losses summed over the batch; its last group is the bias behind the whitening."""
    filters = [p for p in net.layers.parameters() if p.ndim == 4]
    norm_biases = [p for p in net.layers.parameters() if p.ndim == 1 and p.requires_grad]
    if form is MUON:
        decay, bias_lr, head_lr = 2e-6 * batch_size, 0.053, 0.67
        groups: list[dict[str, Any]] = [
            {"params": filters},
            {"params": [net.head.weight], "lr": head_lr, "weight_decay": decay / head_lr},
            {"params": norm_biases, "lr": bias_lr, "weight_decay": decay / bias_lr},
            {"params": [net.whiten.bias], "lr": bias_lr, "weight_decay": decay / bias_lr},
        ]
        return Muon(groups, lr=0.24, momentum=0.6, num_iterations=3, fixed_norm=True, sgd_momentum=MOMENTUM)
    scale = 1024 * (1 + 1 / (1 - MOMENTUM))  # images of a step, and how much longer momentum makes it
    lr, decay = 11.5 / scale, 0.0153 * batch_size / scale
    groups = [
        {"params": [*filters, net.head.weight], "lr": lr, "weight_decay": decay / lr},
        {"params": norm_biases, "lr": 64 * lr, "weight_decay": decay / (64 * lr)},
        {"params": [net.whiten.bias], "lr": lr, "weight_decay": decay / lr},
    ]
    return torch.optim.SGD(groups, lr=lr, momentum=MOMENTUM, nesterov=True)


def lr_factor(form: Form, step: int, num_steps: int) -> float:
    """Return the factor on the learning rates: linear to 0 with Muon, else from 0.2 up to 1 and down to 0.07."""
    if form is MUON:
        return 1 - step / num_steps
    peak = int(0.23 * num_steps)
    return 0.2 + 0.8 * step / peak if step < peak else 1 - 0.93 * (step - peak) / (num_steps - peak)


class Lookahead:
    """A slow copy of all floating-point state, to which the net is set back each time it is moved."""

    def __init__(self, net: nn.Module) -> None:
        state = [tensor for tensor in net.state_dict().values() if tensor.is_floating_point()]
        kinds = {tensor.dtype for tensor in state}
        self.fast = [[tensor for tensor in state if tensor.dtype == kind] for kind in sorted(kinds, key=str)]
        self.slow = [[tensor.clone() for tensor in tensors] for tensors in self.fast]

    @torch.no_grad()
    def update(self, decay: float) -> None:
        """Move the copy by 1 - decay of the way to the net, and the net to the copy."""
        for slow, fast in zip(self.slow, self.fast, strict=True):
            torch._foreach_lerp_(slow, fast, 1 - decay)
            torch._foreach_copy_(fast, slow)


class Images:
    """Normalized images of an epoch: a flip drawn once, undone and done again in turn, and new shifts each epoch."""

    def __init__(self, images: Tensor) -> None:
        """Args: images: (N, 3, H, W), normalized."""
        flipped = torch.rand(len(images), 1, 1, 1, device=images.device) < 0.5
        images = torch.where(flipped, images.flip(3), images)
        self.padded = F.pad(images, (SHIFT,) * 4, mode="reflect").permute(0, 2, 3, 1).contiguous()

    def of_epoch(self, epoch: int) -> Tensor:
        """Return all images as (N, H, W, 3)."""
        num, height, width, _ = self.padded.shape
        device = self.padded.device
        top, left = torch.randint(2 * SHIFT + 1, (2, num, 1), device=device)
        rows = top + torch.arange(height - 2 * SHIFT, device=device)
        columns = left + torch.arange(width - 2 * SHIFT, device=device)
        number = torch.arange(num, device=device)[:, None, None]
        images = self.padded[number, rows[:, :, None], columns[:, None, :]]
        return images.flip(2) if epoch % 2 else images


@torch.no_grad()
def logits_of(net: nn.Module, images: Tensor, *, views: bool) -> Tensor:
    """Return the logits of images (N, 3, H, W), with `views` the mean over 6 views.

    The image and its mirror image count a quarter each; both, shifted by one pixel along the diagonal either way, an
    eighth each.
    """
    net.eval()
    if not views:
        return torch.cat([net(batch) for batch in images.split(TEST_BATCH)])

    def both(batch: Tensor) -> Tensor:
        return (net(batch) + net(batch.flip(3))) / 2

    found = []
    for batch in images.split(TEST_BATCH):
        height, width = batch.shape[2:]
        padded = F.pad(batch, (1,) * 4, mode="reflect")
        shifted = both(padded[:, :, :height, :width]) + both(padded[:, :, 2:, 2:])
        found.append(both(batch) / 2 + shifted / 4)
    return torch.cat(found)


def train(net: Airbench, form: Form, images: Tensor, labels: Tensor, epochs: float, batch_size: int) -> None:
    """Train on normalized images (N, 3, 32, 32); the images that fill no last batch of an epoch are left out of it."""
    whitening = PatchWhiten(kernel_size=2, eps=5e-4, num_images=5000).fit(images.float())
    assert whitening.weight_ is not None
    net.whiten.weight.data.copy_(whitening.weight_)
    optimizer = make_optimizer(net, form, batch_size)
    initial = [group["lr"] for group in optimizer.param_groups]
    lookahead = Lookahead(net) if form is PLAIN else None
    augmented = Images(images)
    per_epoch = len(labels) // batch_size
    num_steps, whiten_steps = math.ceil(epochs * per_epoch), WHITEN_EPOCHS * per_epoch
    net.train()
    for step in range(num_steps):
        epoch, place = divmod(step, per_epoch)
        if place == 0:
            pixels = augmented.of_epoch(epoch)
            order = torch.randperm(len(labels), device=labels.device)
        net.whiten.bias.requires_grad_(step < whiten_steps)  # type: ignore[union-attr]  # it has one
        factors = [lr_factor(form, step, num_steps)] * len(initial)
        if form is MUON:
            factors[-1] = 1 - step / whiten_steps  # below 0 later, when it has no gradient
        for group, lr, factor in zip(optimizer.param_groups, initial, factors, strict=True):
            group["lr"] = lr * factor
        chosen = order[place * batch_size : (place + 1) * batch_size]
        logits = net(pixels.index_select(0, chosen).permute(0, 3, 1, 2))
        loss = F.cross_entropy(logits, labels[chosen], label_smoothing=SMOOTHING, reduction="none").sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if lookahead and (step + 1) % 5 == 0:
            lookahead.update(0.95**5 * ((step + 1) / num_steps) ** 3)
    if lookahead:
        lookahead.update(1.0)


def on_device(split: Split, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return the normalized images of a split, channels last, and its labels."""
    mean, std = (torch.tensor(values, device=device, dtype=dtype).view(3, 1, 1) for values in (MEAN, STD))
    images = (split.images.to(device).to(dtype) / 255 - mean) / std
    return images.contiguous(memory_format=torch.channels_last), split.labels.to(device)


def measure(
    form: Form,
    seed: int,
    train_split: tuple[Tensor, Tensor],
    test_split: tuple[Tensor, Tensor],
    *,
    epochs: float,
    batch_size: int,
) -> dict[str, float]:
    """Train one net and return its accuracies and seconds."""
    torch.manual_seed(seed)
    images, labels = train_split
    test_images, test_labels = test_split
    net = make_net(form, images.device, images.dtype)
    synchronize(images.device)
    start = time.perf_counter()
    train(net, form, images, labels, epochs, batch_size)
    synchronize(images.device)
    trained = time.perf_counter()
    accuracy = accuracy_of(logits_of(net, test_images, views=True), test_labels)  # waits for the device
    done = time.perf_counter()
    return {
        "seed": seed,
        "test_accuracy": accuracy,
        "single_view_accuracy": accuracy_of(logits_of(net, test_images, views=False), test_labels),
        "train_seconds": trained - start,
        "test_seconds": done - trained,
        "seconds": done - start,
    }


def accuracy_of(logits: Tensor, labels: Tensor) -> float:
    """Return the fraction of images whose largest logit is that of their class."""
    return (logits.argmax(1) == labels).double().mean().item()


def synchronize(device: torch.device) -> None:
    """Wait until the device has done everything."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def as_text(runs: list[dict[str, float]], epochs: float, device: str) -> str:
    """Return mean accuracy with its 95 % t interval, and the median seconds of the runs without the first."""
    n = len(runs)
    lines = []
    for key, what in (("test_accuracy", "test accuracy"), ("single_view_accuracy", "of a single view")):
        values = [100 * run[key] for run in runs]
        half_width = float(stdtrit(n - 1, 0.975)) * statistics.stdev(values) / math.sqrt(n) if n > 1 else math.nan
        spread = f" ± {half_width:.2f} (95 % interval of the mean)" if n > 1 else ""
        lines.append(f"{what} {statistics.fmean(values):.2f} %{spread}, {n} seeds")
    seconds = statistics.median(run["seconds"] for run in runs[1:] or runs)
    lines.append(f"{epochs:g} epochs, {seconds:.2f} s for training and test; first run {runs[0]['seconds']:.2f} s")
    return "\n".join([*lines, device])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Train airbench94 in a bare loop: accuracy, seconds.")
    parser.add_argument("--data", required=True, metavar="FOLDER", help="it holds cifar-10-batches-py")
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="number of runs, seeds 0 to N - 1 (5)")
    parser.add_argument("--muon", action="store_true", help="the form of airbench94_muon")
    parser.add_argument("--device", default="auto", help="cpu, cuda or auto (auto)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="append the lines of JSON to it")
    parser.add_argument("--epochs", type=float, help="9.9, with Muon 8")
    parser.add_argument("--batch-size", type=int, help="1024, with Muon 2000")
    parser.add_argument("--train-size", type=int, help="number of training images (50000)")
    parser.add_argument("--test-size", type=int, help="number of test images (10000)")
    given = parser.parse_args()
    form = MUON if given.muon else PLAIN
    epochs = form.epochs if given.epochs is None else given.epochs
    batch_size = form.batch_size if given.batch_size is None else given.batch_size
    if given.runs < 1 or batch_size < 1 or not 0 < epochs < math.inf:
        parser.error("--runs and --batch-size must be at least 1, --epochs above 0")
    hardware.keep_memory()
    torch.backends.cudnn.benchmark = True
    try:
        device = torch.device(hardware.resolve_device(given.device))
        data = Cifar10(
            root=given.data, download=False, train_size=given.train_size, val_size=0, test_size=given.test_size
        ).load()
    except UserError as error:
        parser.error(str(error))
    if batch_size > len(data.train):
        parser.error(f"--batch-size must not exceed the {len(data.train)} training images, got {batch_size}")
    dtype = torch.float16 if device.type == "cuda" else torch.float32
    splits = on_device(data.train, device, dtype), on_device(data.test, device, dtype)
    found = environment(device.type, str(dtype).removeprefix("torch."), torch.get_num_threads())
    runs = []
    for seed in range(given.runs):
        runs.append(measure(form, seed, *splits, epochs=epochs, batch_size=batch_size))
        about = {"form": "muon" if given.muon else "plain", "epochs": epochs, "device": found["device_name"]}
        line = json.dumps({**about, **runs[-1]})
        print(line, flush=True)
        if given.json:
            with given.json.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
    print(f"\n{as_text(runs, epochs, found['device_name'])}")


if __name__ == "__main__":
    main()

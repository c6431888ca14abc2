"""One step of training: the batch, the forward and backward pass, and the optimizer's step.

It is done one operation after another; `ablate.training.captured_step` does the same as a CUDA graph.
"""

import contextlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ablate.data.dataset import Split
from ablate.nets import Net
from ablate.optimization import is_capturable
from ablate.seeding import Streams, seed_global_generators
from ablate.training.scoring import HitCounter

Augmentation = Callable[[Tensor, torch.Generator], Tensor]
Loss = Callable[[Tensor, Tensor], Tensor]


class Step:
    """Does the steps of a run, one batch each.

    Args:
        net, optimizer: trained in place, on the device of `data`.
        data: the training images.
        batch_size: at most their number.
        augmentation: (images, generator) -> images, on integers.
        loss: (logits, labels) -> 0-d tensor.
        streams: the run's randomness.
        precision: see `autocast`.
        compile_mode: None, or the mode of `compiled` for the forward pass.

    Attributes:
        sums: (2,) float64, of the epoch's batches: training loss, and plain cross-entropy.
        counter: hits of the epoch's batches.
    """

    def __init__(
        self,
        *,
        net: Net,
        optimizer: torch.optim.Optimizer,
        data: Split,
        batch_size: int,
        augmentation: Augmentation,
        loss: Loss,
        streams: Streams,
        precision: str,
        compile_mode: str | None = None,
    ) -> None:
        self.net, self.optimizer, self.data, self.batch_size = net, optimizer, data, batch_size
        self.augmentation, self.loss, self.streams, self.precision = augmentation, loss, streams, precision
        self.device = data.images.device
        self.forward = compiled(net, compile_mode) if compile_mode else net
        self.stochastic: list[tuple[str, Any]] = [(p, m) for p, m in net.named_modules() if is_keyed(m)]
        # In CUDA's fused optimizers a learning rate that is a tensor is rounded to fp32, one that is a number is not.
        tensors = self.device.type == "cuda" and is_capturable(optimizer)
        self.lrs = torch.zeros(len(optimizer.param_groups), device=self.device) if tensors else None
        self.sums = torch.zeros(2, dtype=torch.float64, device=self.device)
        self.counter = HitCounter()

    def begin_epoch(
        self, order: Tensor, factors: Sequence[float], first: int = 0, within: Mapping[str, Any] | None = None
    ) -> None:
        """Set what the steps of an epoch use.

        Args:
            order: (N,) indices of all training images, on the device.
            factors: on every group's initial learning rate, one per step.
            first: the step of the epoch with which it begins; above 0 after an interruption.
            within: sums and counts of the steps before it, see `loop.State`.
        """
        self.order, self.factors = order, factors
        self.sums.zero_()
        if within:
            self.sums += within["sums"].to(self.device)
        self.counter.reset(within["counts"].to(self.device) if within else None)

    def __call__(self, i: int, number: int) -> Tensor:
        """Do step `i` of the epoch, which is step `number` of the run; return the loss, a 0-d tensor."""
        key = self.streams.key
        seed_global_generators(key("global", number))
        for path, module in self.stochastic:
            module.reseed(key("noise", path, number))
        for k, group in enumerate(self.optimizer.param_groups):
            lr = group["initial_lr"] * self.factors[i]
            group["lr"] = lr if self.lrs is None else self.lrs[k].fill_(lr)
        indices = self.order[i * self.batch_size : (i + 1) * self.batch_size]
        return self.compute(indices, self.streams.generator("augmentation", number, device=self.device))

    def compute(self, indices: Tensor, generator: torch.Generator) -> Tensor:
        """Train on the images at `indices`, and add the batch to the sums and counts; nothing is read back."""
        images, labels = take(self.data, indices)
        images = self.augmentation(images, generator)
        self.optimizer.zero_grad(set_to_none=True)
        with autocast(self.device, self.precision):
            logits = self.forward(images)
            loss = self.loss(logits, labels)
        loss.backward()
        self.optimizer.step()
        loss = loss.detach()
        outputs = logits.detach().float()
        self.sums += torch.stack([loss, F.cross_entropy(outputs, labels)])
        self.counter.add(outputs, labels)
        return loss

    def end_epoch(self, i: int) -> None:
        """Leave the learning rates of step `i` in the optimizer as plain numbers, as a checkpoint holds them."""
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * self.factors[i]


def compiled(net: Net, mode: str) -> Callable[[Tensor], Tensor]:
    """Return the forward pass of `net` with its layers compiled; `net` and its state are unchanged.

    Dropout and noise are not compiled: they get a new key at every step, and the compiler would compile again for each
    key.

    Args:
        net: consecutive layers that draw no random numbers are compiled together.
        mode: of `torch.compile`: "default", or "reduce-overhead" for CUDA graphs.
    """
    parts: list[Callable[[Tensor], Tensor]] = []
    children = net.children() if isinstance(net, nn.Sequential) else [net]
    for draws, layers in itertools.groupby(children, key=lambda child: any(map(is_keyed, child.modules()))):
        part = nn.Sequential(*layers)
        parts.append(part if draws else torch.compile(part, mode=mode))

    def forward(x: Tensor) -> Tensor:
        if mode == "reduce-overhead":
            torch.compiler.cudagraph_mark_step_begin()
        for part in parts:
            x = part(x)
        return x

    return forward


def is_keyed(module: nn.Module) -> bool:
    """Return whether the module's random numbers are set by `reseed(key)`."""
    return hasattr(module, "reseed")


def take(split: Split, indices: Tensor) -> tuple[Tensor, Tensor]:
    """Return the images and labels at `indices`; the images stay in channels-last memory format.

    Example:
        >>> split = Split(images=torch.zeros(3, 1, 2, 2), labels=torch.tensor([0, 1, 2]))
        >>> images, labels = take(split, torch.tensor([2, 0]))
        >>> images.shape, labels.tolist()
        (torch.Size([2, 1, 2, 2]), [2, 0])
    """
    return split.images.permute(0, 2, 3, 1).index_select(0, indices).permute(0, 3, 1, 2), split.labels[indices]


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[object]:
    """Return the context in which convolutions and matrix products run in `precision`."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else contextlib.nullcontext()

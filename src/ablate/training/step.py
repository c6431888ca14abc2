"""One step of training: the batch, the forward and backward pass, and the optimizer's step.

`Step` does it operation by operation. `CapturedStep` records the operations of one step as a CUDA graph and replays
them, which saves the time of launching some 200 kernels one by one. Both give the same numbers: what changes from step
to step (the batch, the learning rates, the random numbers) is read from tensors and generators on the device.
"""

import contextlib
import functools
import gc
import itertools
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ablate.data.dataset import Split
from ablate.errors import Notice, UserError
from ablate.nets import Net
from ablate.optimization import is_capturable
from ablate.seeding import Streams, seed_global_generators
from ablate.training.scoring import HitCounter

Augmentation = Callable[[Tensor, torch.Generator], Tensor]
Loss = Callable[[Tensor, Tensor], Tensor]

WARM_UP = 2  # steps before a capture, in which buffers of the optimizer are made; the last is watched, see `waits`
WAITS = "called a synchronizing CUDA operation"  # what torch's warning says, see `torch.cuda.set_sync_debug_mode`


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


class CapturedStep(Step):
    """The same steps, recorded as a CUDA graph after `WARM_UP` of them and replayed from then on.

    All steps, and what happens between them, must be done within `on_own_stream`. What a replay changes keeps its
    place in memory: weights, gradients, the optimizer's buffers, sums and counts.

    A step that reads from the device or waits for it cannot be recorded. If the last step before the capture does so,
    nothing is recorded and a `Notice` says why: the steps go on one operation after another, with the same numbers.

    Args:
        required: raise an error instead of the notice.
        **parts: see `Step`; all parts must be able to be captured, see `ablate.training.capture.obstacle`.

    Raises:
        UserError: when called: the step cannot be recorded. After an error of the recording itself, the generators of
            this process are not as before, so the run does not go on.
    """

    def __init__(self, *, required: bool = False, **parts: Any) -> None:
        super().__init__(**parts)
        self.required = required
        self.is_recordable = True
        steps = len(self.data) // self.batch_size
        groups = len(self.optimizer.param_groups)
        self.lrs: Tensor = torch.zeros(groups, device=self.device)
        self.table = torch.zeros(steps, self.batch_size, dtype=torch.long, device=self.device)
        self.rates = torch.zeros(steps, groups, device=self.device)
        self.losses = torch.zeros(steps, device=self.device)
        self.at = torch.zeros(1, dtype=torch.long, device=self.device)
        self.draws = torch.Generator(self.device)
        self.graph: Any = None
        self.gradients: list[tuple[nn.Parameter, Tensor | None]] = []
        self.num_done = 0

    def begin_epoch(
        self, order: Tensor, factors: Sequence[float], first: int = 0, within: Mapping[str, Any] | None = None
    ) -> None:
        super().begin_epoch(order, factors, first, within)
        self.table.copy_(order[: self.table.numel()].view_as(self.table))
        rates = [[group["initial_lr"] * factor for group in self.optimizer.param_groups] for factor in factors]
        self.rates.copy_(torch.tensor(rates))
        self.at.fill_(first)
        for group, lr in zip(self.optimizer.param_groups, self.lrs, strict=True):
            group["lr"] = lr
        for parameter, gradient in self.gradients:  # an observer may have changed which tensor it is
            parameter.grad = gradient

    def __call__(self, i: int, number: int) -> Tensor:
        if self.graph is None and self.is_recordable and self.num_done == WARM_UP:
            self.graph = self.capture()
        key = self.streams.key
        seed_global_generators(key("global", number))
        self.draws.manual_seed(key("augmentation", number))
        for path, module in self.stochastic:
            if self.graph is None:
                module.reseed(key("noise", path, number))
            elif module.generator is not None:
                module.generator.manual_seed(key("noise", path, number))
        if self.graph is not None:
            self.graph.replay()
        elif self.num_done == WARM_UP - 1:
            with waits(self.device) as found:
                self.body()
            if found:
                self.refuse(found[0])
        else:
            self.body()
        self.num_done += 1
        return self.losses[i].clone()

    def refuse(self, where: str) -> None:
        """Record nothing in this run: a step waits for the device at `where`."""
        self.is_recordable = False
        why = f"a training step reads from the GPU or waits for it ({where}), so it cannot be recorded as a CUDA graph"
        if self.required:
            raise UserError(f"`trainer.capture=true`: {why}; set trainer.capture=auto")
        warnings.warn(
            f"{why}: the run goes on step by step, slower and with the same numbers; trainer.capture=false says so",
            Notice,
            stacklevel=2,
        )

    def body(self) -> None:
        """Do the step at `self.at` with tensors that keep their place."""
        self.lrs.copy_(self.rates.index_select(0, self.at)[0])
        loss = self.compute(self.table.index_select(0, self.at)[0], self.draws)
        self.losses.index_copy_(0, self.at, loss[None])
        self.at.add_(1)

    def capture(self) -> Any:
        """Record the body as a CUDA graph, and return it; nothing is computed."""
        self.optimizer.zero_grad(set_to_none=True)  # so that the gradients lie in the graph's memory
        graph = torch.cuda.CUDAGraph()
        for generator in (self.draws, *(module.generator for _, module in self.stochastic)):
            if generator is not None:
                graph.register_generator_state(generator)
        torch.cuda.synchronize()
        torch.cuda.empty_cache()  # the memory of earlier graphs: while one is recorded, nothing is given back
        with no_collection():  # what it frees must not be freed within the recording
            try:
                graph.capture_begin(capture_error_mode="thread_local")
                try:
                    self.body()
                except BaseException:
                    with contextlib.suppress(RuntimeError):  # it only says that the recording is not valid
                        graph.capture_end()
                    raise
                graph.capture_end()
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                why = " ".join(str(error).split())
                raise UserError(
                    f"the training step of this run was not recorded as a CUDA graph: {why}; set trainer.capture=false"
                ) from error
        self.gradients = [(p, p.grad) for p in self.net.parameters()]
        return graph


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    """Hold Python's garbage collector back inside the block."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextlib.contextmanager
def waits(device: torch.device) -> Iterator[list[str]]:
    """Yield a list that gets the file and line of each operation in the block that waits for the GPU.

    Torch knows of reads (`item`, `nonzero`) and of copies from the CPU's pageable memory, not of all operations.

    Example:
        >>> with waits(torch.device("cpu")) as found:
        ...     torch.ones(1).item()
        1.0
        >>> found
        []
    """
    found: list[str] = []
    if device.type != "cuda":
        yield found
        return
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        before = torch.cuda.get_sync_debug_mode()
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield found
        finally:
            torch.cuda.set_sync_debug_mode(before)
    for warning in shown:
        if WAITS in str(warning.message):
            found.append(f"{warning.filename}:{warning.lineno}")
        elif "Synchronization debug mode" not in str(warning.message):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


@functools.cache
def own_stream(gpu: int) -> Any:
    """Return the stream of this process for captured runs on a GPU: always the same one.

    Torch keeps freed memory, and cuBLAS a workspace, for each stream; with a new stream for each run they would add up.
    """
    return torch.cuda.Stream(gpu)


@contextlib.contextmanager
def on_own_stream(device: torch.device) -> Iterator[None]:
    """Do the block's work on `own_stream`, since the default stream cannot be captured; without CUDA, do nothing."""
    if device.type != "cuda":
        yield
        return
    before, stream = torch.cuda.current_stream(), own_stream(torch.cuda.current_device())
    stream.wait_stream(before)
    try:
        with torch.cuda.stream(stream):
            yield
    finally:
        before.wait_stream(stream)


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

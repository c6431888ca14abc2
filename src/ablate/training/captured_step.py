"""A step of training that is recorded once as a CUDA graph and replayed.

Replaying saves the time of launching some 200 kernels one by one. The numbers are those of `Step`: what changes from
step to step (the batch, the learning rates, the random numbers) is read from tensors and generators on the device.
"""

import contextlib
import functools
import gc
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ablate.errors import Notice, UserError
from ablate.seeding import seed_global_generators
from ablate.training.step import Step

WARM_UP = 2  # steps before a capture, in which buffers of the optimizer are made; the last is watched, see `waits`
WAITS = "called a synchronizing CUDA operation"  # what torch's warning says, see `torch.cuda.set_sync_debug_mode`


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

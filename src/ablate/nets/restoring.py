"""Leave a net as it was: its buffers, whatever its forward does to them, its modes, and its memory format."""

import contextlib
from collections.abc import Iterator

import torch
from torch import nn


@contextlib.contextmanager
def restoring_buffers(net: nn.Module) -> Iterator[None]:
    """Restore the buffers of a net when the block ends: first which tensors they are, then the values of these.

    A forward may change a buffer in place, give its name to another tensor, of another shape too, or set one that was
    None.

    Example:
        >>> net = nn.BatchNorm1d(2)
        >>> with restoring_buffers(net):
        ...     net.running_mean = torch.ones(5)
        >>> net.running_mean
        tensor([0., 0.])
    """
    bound = {module: dict(module._buffers) for module in net.modules()}
    values = [(b, b.detach().clone()) for buffers in bound.values() for b in buffers.values() if b is not None]
    try:
        yield
    finally:
        for module, buffers in bound.items():
            module._buffers.clear()
            module._buffers.update(buffers)
        with torch.no_grad():
            for buffer, value in values:
                buffer.copy_(value)


@contextlib.contextmanager
def restoring(model: nn.Module) -> Iterator[None]:
    """Restore modes and buffers when the block ends.

    Example:
        >>> model = nn.Linear(2, 1)
        >>> with restoring(model):
        ...     _ = model.eval()
        >>> model.training
        True
    """
    modes = {module: module.training for module in model.modules()}
    with restoring_buffers(model):
        try:
            yield
        finally:
            for module, training in modes.items():
                module.training = training


@contextlib.contextmanager
def in_channels_last(model: nn.Module) -> Iterator[None]:
    """Keep the weights in the memory format channels_last inside the block, and restore their own when it ends."""
    own = [(parameter, parameter.data) for parameter in model.parameters()]
    with restoring_buffers(model):
        try:
            model.to(memory_format=torch.channels_last)
            yield
        finally:
            for parameter, data in own:
                parameter.data = data

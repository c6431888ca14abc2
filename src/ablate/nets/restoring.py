"""Leave the buffers of a net as they were, whatever its forward does to them."""

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

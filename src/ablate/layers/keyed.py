"""Modules whose random numbers are a function of a key."""

import torch
from torch import nn


class Keyed(nn.Module):
    """Base of modules with a generator of their own: `reseed(key)` makes the next draws a function of the key.

    The generator stays the same object from the first draw on, so that a CUDA graph can hold it: seeding it before a
    replay gives the numbers that `reseed` gives before a step.

    Attributes:
        generator: source of the random numbers; None before the first draw after a `reseed`, which stands for torch's
            default generator.

    Example:
        >>> module = Keyed()
        >>> module.reseed(1)
        >>> first = torch.rand(2, generator=module.seeded(torch.device("cpu")))
        >>> module.reseed(1)
        >>> torch.equal(torch.rand(2, generator=module.seeded(torch.device("cpu"))), first)
        True
    """

    def __init__(self) -> None:
        super().__init__()
        self.generator: torch.Generator | None = None
        self._key: int | None = None

    def reseed(self, key: int) -> None:
        """Make the next draws a function of `key`; successive draws under one key are independent."""
        self._key = key

    def seeded(self, device: torch.device) -> torch.Generator | None:
        """Return the generator to draw from on `device`, seeded with the key if it is new."""
        if self._key is not None:
            if self.generator is None or self.generator.device != device:
                self.generator = torch.Generator(device)
            self.generator.manual_seed(self._key)
            self._key = None
        return self.generator

"""Independent random generators, each derived from the run's seed and a name.

Every random draw of a run is keyed by (seed, stream, place, time) instead of being the next draw of one generator. So
adding a dropout layer does not change the order of the batches, widening one layer does not change the initial weights
of another, and a run that goes on after an interruption needs no generator state.

Code that draws from a global generator (`torch.nn.RReLU`, `torch.nn.Dropout`, `np.random.normal`) is reproducible too:
the global generators are set from (seed, "global", step) before every training step, and from keys of their own around
building, inference and every diagnostic. So such a run is the same alone, at any place of a sweep and after an
interruption. A generator that code makes for itself without a seed (`np.random.default_rng()`) cannot be set.
"""

import contextlib
import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class Streams:
    """The named random streams of one run.

    Args:
        seed: the run's seed, any integer; runs of different arms with equal seeds are paired.

    Example:
        >>> first, again = (Streams(0).generator("init", "conv1_1") for _ in range(2))
        >>> torch.equal(torch.rand(3, generator=first), torch.rand(3, generator=again))
        True
    """

    seed: int

    def key(self, stream: str, *place: str | int) -> int:
        """Return the integer in [0, 2**63) that belongs to this stream and place.

        Args:
            stream: what is drawn: "init", "order", "augmentation", "noise", ...
            place: where and when: a layer's path, an epoch or a step.
        """
        name = "/".join(map(str, (self.seed, stream, *place)))
        return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") >> 1

    def generator(self, stream: str, *place: str | int, device: str | torch.device = "cpu") -> torch.Generator:
        """Return a fresh generator on `device` for this stream and place."""
        return torch.Generator(device).manual_seed(self.key(stream, *place))


def seed_global_generators(key: int) -> None:
    """Set the global generators: torch's default ones, numpy's legacy one and Python's.

    Args:
        key: in [0, 2**63), see `Streams.key`.

    Example:
        >>> seed_global_generators(1)
        >>> first = random.random()
        >>> seed_global_generators(1)
        >>> random.random() == first
        True
    """
    # torch.manual_seed takes 130 us where CUDA is not used, since it then keeps a traceback: too much for every step.
    torch.default_generator.manual_seed(key)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(key)
    np.random.seed(key % 2**32)  # noqa: NPY002 - the global generator is meant
    random.seed(key)


@contextlib.contextmanager
def global_generators(key: int | None = None) -> Iterator[None]:
    """Restore the global generators when the block ends; with a key they are set from it when it begins.

    What is drawn inside changes no draw outside, and with a key does not depend on what was drawn before.

    Example:
        >>> with global_generators(key=1):
        ...     first = torch.rand(3)
        >>> with global_generators(key=1):
        ...     torch.equal(torch.rand(3), first)
        True
    """
    python, legacy, default = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    if key is not None:
        seed_global_generators(key)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)  # noqa: NPY002
        torch.set_rng_state(default)
        if devices:
            torch.cuda.set_rng_state_all(devices)

"""One seed becomes many independent generators, each known by its name.

Every random draw of a run is keyed by (seed, stream, place, time) instead of being taken in turn from one generator.
So adding a dropout layer does not change the order of the batches, widening one layer does not change the initial
weights of another, and a run that goes on after an interruption needs no generator state.
"""

import hashlib
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Streams:
    """The named random streams of one run.

    Args:
        seed: the run's seed, any integer; runs of different arms with equal seeds are paired.
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

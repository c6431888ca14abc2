"""Which seeds a study has: a number of them, a list, or looks at growing numbers that are declared beforehand.

seeds: 5                                      0 to 4, in every arm
seeds: [0, 1, 7]
seeds: {from: 4, to: 16, looks: 4}            looks at 4, 8, 12 and 16 seeds; `first: 100` for 100 to 115
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ablate.config import schema
from ablate.errors import UserError


class Seeds(NamedTuple):
    """The seeds of a study.

    Args:
        seeds: all that an arm may get, in the order in which it gets them.
        schedule: number of seeds at each look; empty where every arm has all seeds from the beginning.
    """

    seeds: list[int]
    schedule: list[int]


def read_seeds(value: Any) -> Seeds:
    """Return the seeds that `seeds` of a study file describes.

    Raises:
        UserError: an incomplete schedule, or one with more looks than numbers of seeds.

    >>> read_seeds({"from": 4, "to": 16, "looks": 4}).schedule
    [4, 8, 12, 16]
    >>> read_seeds(3)
    Seeds(seeds=[0, 1, 2], schedule=[])
    """
    if isinstance(value, int):
        return Seeds(list(range(value)), [])
    if not isinstance(value, Mapping):
        return Seeds(list(value), [])
    given = {"first": 0, **schema.check_place(value, "study.seeds")}
    if missing := [key for key in ("from", "to", "looks") if key not in given]:
        raise UserError(
            f"`study.seeds.{missing[0]}` must be given, got {', '.join(value) or 'no key'} alone; an example is "
            "study.seeds={from: 4, to: 16, looks: 4}"
        )
    low, high, num_looks, first = (given[key] for key in ("from", "to", "looks", "first"))
    if high - low < num_looks - 1:
        raise UserError(
            f"`study.seeds` must add at least one seed at each look, got {num_looks} looks from {low} to {high} seeds; "
            f"for a fixed number give study.seeds={high}"
        )
    steps = num_looks - 1
    looks = [low + ((high - low) * i + steps // 2) // steps for i in range(num_looks)]
    return Seeds(list(range(first, first + high)), looks)

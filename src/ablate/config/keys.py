"""The keys that can be set, read from the files of the levels, and the nearest ones to a mistaken key."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ablate.config import catalog
from ablate.errors import UserError

ELSEWHERE = {  # names in other programs
    "aug": "augmentation",
    "dataset": "data",
    "init": "initializer",
    "learning_rate": "optimizer.lr",
    "model": "net",
    "norm": "normalization",
    "optim": "optimizer",
    "scheduler": "schedule",
    "weight_decay": "regularizer.l2",
    "wd": "regularizer.l2",
}


def every_key(where: Sequence[Path], chosen: Mapping[str, str] | None = None) -> list[str]:
    """Return the dotted keys of the chosen levels (by default the default ones), and the top-level keys.

    >>> {"seed", "optimizer", "optimizer.lr"} <= set(every_key(catalog.folders()))
    True
    """
    found = list(catalog.keys())
    settings = yaml.safe_load((catalog.conf_dir() / "config.yaml").read_text(encoding="utf-8"))
    nested = {key: value for key, value in settings.items() if key not in ("hydra", "defaults")}
    nested |= {
        g: catalog.content_of(g, level, where) or {} for g, level in (chosen or catalog.default_levels()).items()
    }
    return [*found, *(key for key in dotted(nested) if "." in key)]


def dotted(content: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the dotted name of every setting, mappings included, without Hydra's own such as _target_.

    >>> list(dotted({"net": {"_target_": "Net", "widths": [8]}, "seed": 0}))
    ['net', 'net.widths', 'seed']
    """
    for key, value in content.items():
        if not str(key).startswith("_"):
            yield f"{prefix}{key}"
            if isinstance(value, dict):
                yield from dotted(value, f"{prefix}{key}.")


def nearest_keys(name: str, keys: Sequence[str]) -> list[str]:
    """Return at most two keys that may be meant by `name`, the likeliest first.

    >>> nearest_keys("lr", ["optimizer.lr", "dry_run"]), nearest_keys("dry-run", ["optimizer.lr", "dry_run"])
    (['optimizer.lr'], ['dry_run'])
    """
    wanted = name.lower().replace("-", "_").strip("_.")
    parent, _, last = wanted.rpartition(".")
    if not last:
        return []
    elsewhere = ELSEWHERE.get(last, "")
    if elsewhere in keys and parent in ("", elsewhere.rpartition(".")[0]):
        return [elsewhere]
    if same := [key for key in keys if key.lower() == wanted and key != name]:
        return same
    ends = [key for key in keys if key.lower().rpartition(".")[2] == last]
    depth = min((key.count(".") for key in ends), default=0)
    found = [key for key in ends if key.count(".") == depth][:2]
    beside = [key for key in keys if key.rpartition(".")[0].lower() == parent]
    for pool in (beside, [] if parent else keys):  # a key of the same place before one of another
        tails: dict[str, str] = {}
        for key in sorted(pool, key=lambda key: key.count(".")):
            tails.setdefault(key.rpartition(".")[2].lower(), key)
        found += [tails[tail] for tail in difflib.get_close_matches(last, tails, n=2, cutoff=0.7)] if not found else []
        parts = set(last.split("_")) - {"num"}
        found += [key for tail, key in tails.items() if parts & set(tail.split("_"))] if not found else []
    return list(dict.fromkeys(found))[:2]


def no_key(name: str, keys: Sequence[str]) -> str:
    """Return the message for an unknown key, with the nearest ones.

    >>> no_key("trainer.epoch", ["trainer", "trainer.epochs"])
    "there is no key 'trainer.epoch'; did you mean trainer.epochs?"
    """
    if name in keys:
        return f"{name} has no such entry; +{name}.NAME=VALUE adds one"
    parts = name.split(".")
    for place in range(len(parts), 0, -1):  # the mistake may lie in a part before the last
        if near := nearest_keys(".".join(parts[:place]), keys):
            return f"there is no key {name!r}; did you mean {' or '.join(near)}?"
        parent = ".".join(parts[: place - 1])
        if siblings := [key for key in keys if key.rpartition(".")[0] == parent]:
            return f"there is no key {name!r}; there are {', '.join(siblings)}"
    return f"there is no key {name!r}"


def check_levels(group: str, levels: Sequence[str], known: Sequence[str]) -> None:
    """Refuse a level that the group does not have.

    Raises:
        UserError: with the nearest levels.
    """
    for level in levels:
        if level.startswith("{"):
            raise UserError(
                f"{group} must be the name of a level, got {level!r}; write these settings to a file "
                f"{group}/NAME.yaml in a folder, and give --config-dir FOLDER {group}=NAME"
            )
        if level not in known:
            near = difflib.get_close_matches(level.lower(), known, n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known)}"
            raise UserError(f"{group} has no level {level!r}; {hint}")

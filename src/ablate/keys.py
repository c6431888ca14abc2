"""The keys that can be set, read from the files of the levels, and which of them a mistaken one may be meant for."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ablate import catalog
from ablate.errors import UserError


def content_of(group: str, level: str, where: Sequence[Path]) -> dict[str, Any] | None:
    """Return the settings of a level as its file has them, None where there is no such level or no mapping in it."""
    path = catalog.levels(where, group).get(level)
    content = yaml.safe_load(path.read_text(encoding="utf-8")) if path else None
    if not isinstance(content, dict):
        return None
    found: dict[str, Any] = {}
    for other in content.pop("defaults", []):  # the settings of other levels, one after the other
        if isinstance(other, str) and other != "_self_":
            found = merged(found, content_of(group, other, where) or {})
    return merged(found, content)


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested mappings, one laid over the other."""
    both = {
        k: merged(base[k], changes[k]) for k in base if isinstance(base[k], dict) and isinstance(changes.get(k), dict)
    }
    return {**base, **changes, **both}


def every_key(where: Sequence[Path], chosen: Mapping[str, str] | None = None) -> list[str]:
    """Return the dotted keys of the chosen levels (of the default ones where none are given), groups and all."""
    found = list(catalog.keys())
    settings = yaml.safe_load((catalog.conf_dir() / "config.yaml").read_text(encoding="utf-8"))
    nested = {key: value for key, value in settings.items() if key not in ("hydra", "defaults")}
    nested |= {g: content_of(g, level, where) for g, level in (chosen or catalog.default_levels()).items()}
    return [*found, *(key for key in dotted(nested) if "." in key)]


def dotted(content: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the dotted name of every setting, mappings included, but for Hydra's own such as _target_."""
    for key, value in content.items():
        if not str(key).startswith("_"):
            yield f"{prefix}{key}"
            if isinstance(value, dict):
                yield from dotted(value, f"{prefix}{key}.")


def nearest_keys(name: str, keys: Sequence[str]) -> list[str]:
    """Return the keys that `name` may be meant for, the likeliest first: `lr` is optimizer.lr, `dry-run` is dry_run."""
    wanted = name.lower().replace("-", "_").strip("_.")
    if not wanted:
        return []
    same = [key for key in keys if key.lower() == wanted]
    ends = [key for key in keys if key.lower().endswith(f".{wanted}")]
    shortest = sorted(ends, key=lambda key: key.count("."))[:2]
    parent, _, last = wanted.rpartition(".")
    siblings = [key for key in keys if key.lower().rpartition(".")[0] == parent]
    inside = [
        f"{key}" for key in siblings if key.rpartition(".")[2].lower() in last.split("_") or last in key.split("_")
    ]
    lower = {key.lower(): key for key in keys}
    close = [lower[key] for key in difflib.get_close_matches(wanted, lower, n=3, cutoff=0.7)]
    if "." not in wanted:
        tails = {key.rpartition(".")[2].lower(): key for key in reversed(keys)}
        close += [tails[tail] for tail in difflib.get_close_matches(wanted, tails, n=2, cutoff=0.8)]
    found = list(dict.fromkeys([*same, *shortest, *inside, *close]))
    return [key for key in found if key != name][:3]


def no_key(name: str, keys: Sequence[str]) -> str:
    """Return that there is no key of this name, and the nearest ones."""
    near = nearest_keys(name, keys)
    parent = name.rpartition(".")[0]
    siblings = [key for key in keys if parent and key.rpartition(".")[0] == parent]
    others = siblings or [key for key in keys if "." not in key]
    return f"there is no key {name!r}; " + (
        f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(others)}"
    )


def check_levels(group: str, levels: Sequence[str], known: Sequence[str]) -> None:
    """Refuse a level that the group has not."""
    for level in levels:
        if level not in known:
            near = difflib.get_close_matches(level.lower(), known, n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known)}"
            raise UserError(f"{group} has no level {level!r}; {hint}")

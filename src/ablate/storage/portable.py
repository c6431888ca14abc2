"""Files to give away: without the paths of the computer that wrote them."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ablate.storage.integrity import CHECKSUM, sealed
from ablate.storage.paths import KEYS


def portable(content: Any) -> Any:
    """Return JSON data with the last part of each absolute path that is a setting in it, in every text.

    Such settings (`output_dir`, `data.root`, ...) say where files lie; no number depends on them.

    Args:
        content: a manifest, a record or a collection of studies; sealed data get a new checksum.

    Example:
        >>> portable({"output_dir": "/home/ann/out", "command": "ablate output_dir=/home/ann/out"})
        {'output_dir': 'out', 'command': 'ablate output_dir=out'}
    """
    paths = sorted(set(absolute_paths(content)) - {""}, key=len, reverse=True)  # "" is of the root folder, "/"
    if not paths:
        return content
    pattern = re.compile("|".join(rf"{re.escape(path)}(?![\w-]|\.\w)" for path in paths))
    changed = _replaced(content, pattern)
    if isinstance(changed, dict) and CHECKSUM in changed:
        changed = sealed({key: value for key, value in changed.items() if key != CHECKSUM})
    return changed


def portable_file(source: Path, target: Path) -> None:
    """Write the file `source` to `target`, a JSON file without the paths of this computer."""
    target.parent.mkdir(parents=True, exist_ok=True)
    data = source.read_bytes()
    if source.suffix == ".json":
        content = json.loads(data)
        if (changed := portable(content)) != content:
            data = json.dumps(changed, indent=1).encode()
    target.write_bytes(data)


def absolute_paths(content: Any, group: str = "") -> Iterator[str]:
    """Yield the absolute paths among the settings in JSON data, from mappings and from overrides (`data.root=...`).

    Args:
        content: JSON data.
        group: the key under which `content` was found.
    """
    if isinstance(content, Mapping):
        for key, value in content.items():
            is_path = key in KEYS or f"{group}.{key}" in KEYS
            if is_path and isinstance(value, str) and Path(value).is_absolute():
                yield value.rstrip("/")
            yield from absolute_paths(value, str(key))
    elif isinstance(content, list):
        for value in content:
            yield from absolute_paths(value)
    elif isinstance(content, str):
        for key, value in re.findall(r"([\w.]+)=(/[^\s'\",\]}]+)", content):
            if key in KEYS:
                yield value.rstrip("/")


def _replaced(content: Any, pattern: re.Pattern[str]) -> Any:
    if isinstance(content, str):
        return pattern.sub(lambda found: Path(found[0]).name, content)
    if isinstance(content, Mapping):
        return {key: _replaced(value, pattern) for key, value in content.items()}
    return [_replaced(value, pattern) for value in content] if isinstance(content, list) else content

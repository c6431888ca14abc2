"""Paths as users type them: with `~`, spaces or commas, or of another system."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from ablate.config.overrides import quoted
from ablate.errors import UserError

KEYS = ("output_dir", "data.root", "data.cache_dir")
"""Settings that are paths."""

_OPTIONS = ("--config-dir", "-cd")


def local(name: str, path: str | Path) -> Path:
    """Return a path of this system, with `~` and `~user` expanded.

    Args:
        name: of the setting, for the error.
        path: as the user typed it.

    Raises:
        UserError: if it is empty, has an unknown `~user`, or is a Windows path on another system.

    Example:
        >>> local("output_dir", "outputs").as_posix()
        'outputs'
    """
    text = str(path)
    if not text.strip() or "\0" in text:
        raise UserError(f"`{name}` must be the path of a folder, got {text!r}")
    if os.name == "posix" and re.match(r"[A-Za-z]:[\\/]|\\\\", text):
        drive = re.match(r"([A-Za-z]):[\\/](.*)", text)
        cure = f"/mnt/{drive[1].lower()}/{drive[2]}".replace("\\", "/") if drive else "the folder it is mounted on"
        raise UserError(
            f"`{name}` must be a path of this system, got {text!r}, which is one of Windows; under WSL give {cure}"
        )
    expanded = os.path.expanduser(text)
    if re.match(r"~[^/]*(/|$)", expanded) and not os.path.exists(expanded):
        raise UserError(f"`{name}` begins with ~, but that home folder is not known, got {text!r}; give the full path")
    return Path(expanded)


def localized(words: Sequence[str]) -> list[str]:
    """Return the words of a command line with their paths expanded, and quoted if Hydra would misread them.

    A shell expands `~` only at the beginning of a word, not after `=`. In a sweep, a comma separates values.

    Raises:
        UserError: see `local`.

    Example:
        >>> localized(["net=micro", "output_dir=my runs"])
        ['net=micro', 'output_dir=my runs']
    """
    sweeps = bool({"-m", "--multirun"} & set(words))
    return [_localized(word, sweeps) for word in words]


def _localized(word: str, sweeps: bool) -> str:
    name, equals, value = word.partition("=")
    key = name.lstrip("+")
    if not equals or (key not in KEYS and name not in _OPTIONS):
        return word
    if name in _OPTIONS:
        return f"{name}={local(name, value)}"
    if value.startswith(("'", '"', "[", "{")) or value == "null" or re.match(r"(choice|glob)\(", value):
        return word  # in Hydra's own syntax
    values = value.split(",") if sweeps else [value]
    return f"{name}={','.join(_as_value(str(local(key, one))) for one in values)}"


def _as_value(path: str) -> str:
    plain = re.fullmatch(r"[\w./@+-]([\w./@:+ -]*[\w./@:+-])?", path, re.ASCII) or "${" in path
    return path if plain else quoted(path)

"""Paths as users type them: with `~`, spaces or commas, or of another system."""

import hashlib
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ablate.config.overrides import quoted
from ablate.errors import UserError

KEYS = ("output_dir", "data.root", "data.path", "data.labels_path", "data.cache_dir")
"""Settings that are paths."""

MAX_NAME_LENGTH = 100
"""Of the readable part of a folder's name."""

_OPTIONS = ("--config-dir", "-cd")
_UNUSUAL = r"[^A-Za-z0-9_.,=+-]"


def safe_name(text: str, max_length: int = MAX_NAME_LENGTH, *, repeat: bool = True) -> str:
    """Return a text with "_" for every character that is unusual in a folder's name, cut to a length.

    Args:
        text: to be shown in the name.
        max_length: of the name.
        repeat: whether several such characters in a row become as many "_", or one.

    >>> safe_name("f([1, 2])"), safe_name("f([1, 2])", repeat=False)
    ('f__1,_2__', 'f_1,_2_')
    """
    return re.sub(_UNUSUAL if repeat else f"{_UNUSUAL}+", "_", text)[:max_length]


def named_folder(name: str, content: Any) -> str:
    """Return a folder's name, <name>-<hash8>: what differs in content has other folders.

    Args:
        name: readable and safe.
        content: the hash itself, as hexadecimal digits, or JSON data to hash; other objects by their text.

    >>> named_folder("tanh", "0123456789abcdef"), named_folder("tanh", {"epochs": 3})
    ('tanh-01234567', 'tanh-543da7ab')
    """
    if not isinstance(content, str):
        content = hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
    return f"{name}-{content[:8]}"


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

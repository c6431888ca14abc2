"""Overrides as strings KEY=VALUE, and their values, as on the command line, in study files and in Hydra."""

import re
from collections.abc import Sequence
from typing import Any

import yaml


def over(base: Sequence[str], changes: Sequence[str]) -> list[str]:
    """Return the overrides of `base` without the keys that `changes` set, followed by `changes`.

    >>> over(["seed=0", "net=micro"], ["seed=1"])
    ['net=micro', 'seed=1']
    """
    keys = {key_of(line) for line in changes}
    return [*(line for line in base if key_of(line) not in keys), *changes]


class _Loader(yaml.SafeLoader):
    """YAML in which 1e-3 is a number, as in YAML 1.2 and in Hydra."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"), list("-+0123456789.")
)


def from_yaml(content: str) -> Any:
    """Return the value of YAML text.

    >>> from_yaml("1e-3"), from_yaml("[relu, null]")
    (0.001, ['relu', None])
    """
    return yaml.load(content, _Loader)  # a safe loader: it creates no objects


def key_of(override: str) -> str:
    """Return the key of an override, without a leading + or ~.

    >>> key_of("+optimizer.lr=0.1")
    'optimizer.lr'
    """
    return override.partition("=")[0].lstrip("+~")


def text(value: Any) -> str:
    """Return a value in Hydra's override grammar.

    >>> text([1, True, None, "two words"])
    "[1,true,null,'two words']"
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{','.join(text(item) for item in value)}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{key}:{text(item)}' for key, item in value.items())}}}"
    if isinstance(value, float):
        return repr(value)
    return str(value) if not isinstance(value, str) or re.fullmatch(r"[\w./@:+-]+", value) else quoted(value)


def quoted(text: str) -> str:
    """Return text as a quoted string of Hydra's override grammar; quotes, and backslashes before them, are escaped.

    >>> print(quoted("it's"))
    'it\\'s'
    """
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", text)
    return "'" + re.sub(r"(\\+)$", r"\1\1", escaped) + "'"

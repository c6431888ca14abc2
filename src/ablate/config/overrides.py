"""Overrides as strings, and their values: what the command line, study files and Hydra write alike."""

import re
from collections.abc import Sequence
from typing import Any

import yaml


def over(base: Sequence[str], changes: Sequence[str]) -> list[str]:
    """Return overrides changed by others: what they say of a key takes the place of what the base says."""
    keys = {key_of(line) for line in changes}
    return [*(line for line in base if key_of(line) not in keys), *changes]


class _Loader(yaml.SafeLoader):
    """YAML in which 1e-3 is a number, as in YAML 1.2 and in Hydra."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+"), list("-+0123456789.")
)


def from_yaml(content: str) -> Any:
    """Return what a piece of YAML means."""
    return yaml.load(content, _Loader)  # a safe loader: it makes no objects


def key_of(override: str) -> str:
    """Return the key of an override string "key=value", without a leading + or ~."""
    return override.partition("=")[0].lstrip("+~")


def text(value: Any) -> str:
    """Return a value as Hydra's override grammar takes it."""
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
    """Return `text` as a string of Hydra's override grammar: a quote is escaped, and so are backslashes before one."""
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", text)
    return "'" + re.sub(r"(\\+)$", r"\1\1", escaped) + "'"

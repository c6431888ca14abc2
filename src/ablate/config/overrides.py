"""Overrides as strings KEY=VALUE, and their values, as on the command line, in study files and in Hydra."""

import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import yaml

from ablate.errors import UserError


def over(base: Sequence[str], changes: Sequence[str]) -> list[str]:
    """Return the overrides of `base` without the keys that `changes` set, followed by `changes`.

    >>> over(["seed=0", "net=micro"], ["seed=1"])
    ['net=micro', 'seed=1']
    """
    keys = {key_of(line) for line in changes}
    return [*(line for line in base if key_of(line) not in keys), *changes]


def in_profile(
    what: str, content: Mapping[str, Any], profile: str | None, merged: Collection[str] = ()
) -> dict[str, Any]:
    """Return the content of a file as one of its `profiles` has it; by default as it is without them.

    A line of the profile's `base` takes the place of those with the same key; every other key replaces the file's.

    Args:
        what: of which file, for the error.
        content: of the file.
        profile: name of the profile.
        merged: keys whose mappings are merged instead.

    Raises:
        UserError: there is no such profile.

    >>> content = {"base": ["net=micro"], "seeds": 3, "profiles": {"full": {"base": ["net=small"]}}}
    >>> in_profile("study s", content, "full")
    {'base': ['net=small'], 'seeds': 3}
    """
    content = dict(content)
    profiles = content.pop("profiles", {})
    if profile is None:
        return content
    if profile not in profiles:
        there = f"it has {', '.join(profiles)}" if profiles else "it has none"
        raise UserError(f"{what} has no profile {profile!r}; {there}")
    changed = dict(profiles[profile] or {})
    changed |= {key: {**content.get(key, {}), **changed[key]} for key in merged if key in changed}
    return {**content, **changed, "base": over(content.get("base", []), changed.get("base", []))}


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


def unquoted(content: str) -> str:
    """Return the text that `quoted` was given; a text without quotation marks as it is.

    >>> unquoted(quoted("it's a \\\\")) == "it's a \\\\", unquoted("relu")
    (True, 'relu')
    """
    if len(content) < 2 or content[0] not in "'\"" or content[-1] != content[0]:
        return content
    inner = re.sub(rf"(\\+){content[0]}", lambda m: "\\" * (len(m[1]) // 2) + content[0], content[1:-1])
    return re.sub(r"\\+$", lambda m: "\\" * (len(m[0]) // 2), inner)


ONLY_ONCE = (
    "extra_seeds=",
    "rerun=",
    "dry_run=",
    "wait=",
)  # of one command, and not of its repetition


def command_again(command: str, *more: str) -> str:
    """Return the command line that goes on with what a command began: without `ONLY_ONCE`, with `more`.

    Raises:
        ValueError: a quotation mark in the command is not closed.

    >>> command_again("ablate study=activation rerun=true", "extra_seeds=4")
    'ablate study=activation extra_seeds=4'
    """
    kept = [word for word in shlex.split(command) if not word.startswith(ONLY_ONCE)]
    return shlex.join([*kept, *more])

"""Which settings follow from which, and which differences between two arms are declared by a study's axes.

A setting that is an interpolation (`augmentation.bits: ${data.bits}`) follows from the settings that it names. Where a
declared axis varies these, what follows from them may differ too; nothing else may.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Protocol

from ablate.training.identity import canonical, differences, flatten

INNERMOST = re.compile(r"(?<!\\)\$\{([^${}]*)\}")
KEY = re.compile(r"[A-Za-z_][\w-]*(\.[\w-]+)*")
NAMELESS = ("oc.env", "oc.decode", "oc.create")  # resolvers whose arguments are no keys

Follows = Mapping[str, list[str]]


class Configured(Protocol):
    """A variant of an arm: see `manifest.Variant`."""

    @property
    def settings(self) -> Mapping[str, Any]: ...

    @property
    def follows(self) -> Follows: ...


def follows(unresolved: Mapping[str, Any], value_of: Callable[[str], Any]) -> dict[str, list[str]]:
    """Return {key: keys that its value names} of every setting that is or holds an interpolation.

    Args:
        unresolved: the composed configuration as plain data, interpolations as they are written.
        value_of: gives the value of an interpolation such as "${a.b}", to know what a nested one names.

    >>> follows({"data": {"bits": 8}, "augmentation": {"bits": "${data.bits}"}}, str)
    {'augmentation.bits': ['data.bits']}
    """
    found = {}
    for key, value in flatten(unresolved):
        texts = list(_texts(value))
        if names := list(dict.fromkeys(name for text in texts for name in _names(text, key, value_of))):
            found[key] = names
    return found


def undeclared(mine: Configured, other: Configured, declared: Collection[str]) -> dict[str, tuple[Any, Any]]:
    """Return {key: (mine, other)} for every scientific setting that differs and that no declared axis accounts for.

    An axis accounts for a setting that it covers, and for one that in both variants follows from settings of which some
    differ and all that differ are accounted for.

    Args:
        mine, other: the variants to compare.
        declared: axes: a group covers its keys ("activation": activation.*), a key itself and what lies below.
    """
    axes = [axis.lstrip("+~") for axis in declared]
    a, b = dict(flatten(mine.settings)), dict(flatten(other.settings))
    differing = [key for key in {**a, **b} if (key in a, canonical(a.get(key))) != (key in b, canonical(b.get(key)))]

    def accounted(key: str) -> bool:
        if any(_covers(axis, key) for axis in axes):
            return True
        sources = [_sources(side.follows, key) for side, own in ((mine, a), (other, b)) if key in own]
        causes = [cause for cause in differing if any(_covers(name, cause) for names in sources for name in names)]
        return all(sources) and bool(causes) and all(map(accounted, causes))

    return {key: pair for key, pair in differences(mine.settings, other.settings).items() if not accounted(key)}


def _covers(name: str, key: str) -> bool:
    """Return whether a key is the one that is named or lies below it."""
    return f"{key}.".startswith(f"{name}.")


def _sources(follows: Follows, key: str) -> list[str]:
    """Return what a setting follows from, itself or as a part of what is an interpolation as a whole."""
    return [name for place, names in follows.items() if _covers(place, key) for name in names]


def _texts(value: Any) -> Iterator[str]:
    """Yield the strings in a leaf, those in its lists included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _names(text: str, key: str, value_of: Callable[[str], Any]) -> Iterator[str]:
    """Yield the keys that the interpolations in a string name, the inner ones of a nested one first."""
    while found := INNERMOST.search(text):
        resolver, colon, arguments = found[1].partition(":") if ":" in found[1] else ("", "", found[1])
        words = [_absolute(word.strip(), key) for word in arguments.split(",")]
        if resolver not in NAMELESS:
            yield from (name for word in words if KEY.fullmatch(name := word.strip("'\"[]")))
        inner = f"${{{resolver}{colon}{','.join(words)}}}"
        is_nested = "${" in text[: found.start()]
        text = text[: found.start()] + (str(value_of(inner)) if is_nested else "") + text[found.end() :]


def _absolute(name: str, key: str) -> str:
    """Return the key that a relative one (".bits", "..data.bits") stands for in the value of `key`."""
    name = re.sub(r"(?<=\w)\[['\"]?([\w-]+)['\"]?\]", r".\1", name)  # data[bits] is data.bits
    num_dots = len(name) - len(name.lstrip("."))
    if not num_dots:
        return name
    return ".".join([*key.split(".")[:-num_dots], name.lstrip(".")])

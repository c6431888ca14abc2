"""Convert plain data from a file to a dataclass, checking its entries against the annotations."""

import functools
import types
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from ablate.errors import Unusable

T = TypeVar("T")


def as_dataclass(kind: type[T], content: Mapping[str, Any], path: Path) -> T:
    """Return `content` as a `kind`, including nested dataclasses.

    Args:
        kind: a dataclass of str, int, float, bool, None, unions of these, Any, and lists, dicts, dataclasses of them;
            also a dataclass, a list or a dict in a union with None.
        content: as read from JSON or YAML; entries that are no field of `kind` are ignored.
        path: of the file, for the message.

    Raises:
        Unusable: an entry is missing or of another type.

    Example:
        >>> from dataclasses import make_dataclass
        >>> as_dataclass(make_dataclass("Point", [("x", int)]), {"x": 1, "y": 2}, Path("point.json"))
        Point(x=1)
    """
    value: T = _dataclass(kind, content, path, "")
    return value


def _dataclass(kind: Any, content: Any, path: Path, where: str) -> Any:
    if not isinstance(content, Mapping):
        raise Unusable(f"{path} is damaged: {where or 'its content'} must be a mapping, got {content!r:.60}")
    hints = _hints(kind)
    names = {field.name: f"{where}.{field.name}".lstrip(".") for field in fields(kind)}
    required = [field.name for field in fields(kind) if field.default is MISSING and field.default_factory is MISSING]
    if lacking := [names[name] for name in required if name not in content]:
        raise Unusable(f"{path} is damaged: it lacks {', '.join(lacking)}")
    return kind(**{name: _value(hints[name], content[name], path, names[name]) for name in names if name in content})


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


@functools.cache
def _scalars(hint: Any) -> frozenset[type] | None:
    """Return the types that a scalar hint, or a union of scalars, accepts; None for any other hint."""
    if get_origin(hint) in (Union, types.UnionType):
        parts = [_scalars(part) for part in get_args(hint)]
        return None if None in parts else frozenset().union(*(part for part in parts if part))
    if hint is float:
        return frozenset({float, int})
    return frozenset({hint}) if hint in (str, int, bool, type(None)) else None


def _all_are(values: Iterable[Any], hint: Any) -> bool:
    scalars = _scalars(hint)
    return hint is Any or (scalars is not None and all(type(value) in scalars for value in values))


def _value(hint: Any, value: Any, path: Path, where: str) -> Any:
    scalars, origin, arguments = _scalars(hint), get_origin(hint), get_args(hint)
    if hint is Any or (scalars is not None and type(value) in scalars):
        return value
    if is_dataclass(hint) and isinstance(hint, type):
        return _dataclass(hint, value, path, where)
    if origin in (Union, types.UnionType) and scalars is None and type(None) in arguments:
        (present,) = (argument for argument in arguments if argument is not type(None))
        return None if value is None else _value(present, value, path, where)
    if origin is list and isinstance(value, list):
        if _all_are(value, arguments[0]):
            return value
        return [_value(arguments[0], item, path, f"{where}[{i}]") for i, item in enumerate(value)]
    if origin is dict and isinstance(value, dict):
        if _all_are(value, arguments[0]) and _all_are(value.values(), arguments[1]):
            return value
        return {
            _value(arguments[0], key, path, f"a key of {where}"): _value(arguments[1], item, path, f"{where}.{key}")
            for key, item in value.items()
        }
    expected = "a list" if origin is list else "a mapping" if origin is dict else _name(hint)
    raise Unusable(f"{path} is damaged: {where} must be {expected}, got {value!r:.60}")


def _name(hint: Any) -> str:
    names = {str: "a text", int: "a whole number", float: "a number", bool: "true or false", type(None): "null"}
    parts = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    return " or ".join(names.get(part, getattr(part, "__name__", str(part))) for part in parts)

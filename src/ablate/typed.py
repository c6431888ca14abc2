"""Plain data read from a file as a dataclass, its entries checked against the annotations."""

import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from ablate.errors import Unusable

T = TypeVar("T")


def as_dataclass(kind: type[T], content: Mapping[str, Any], path: Path) -> T:
    """Return `content` as a `kind`, nested dataclasses included.

    Args:
        kind: a dataclass of str, int, float, bool, Any, None, list, dict, unions of these, and dataclasses.
        content: as JSON or YAML gave it; entries that `kind` does not have are left out.
        path: of the file, for the message.

    Raises:
        Unusable: an entry is missing or of another type.
    """
    return _dataclass(kind, content, path, "")


def _dataclass(kind: type[T], content: Any, path: Path, where: str) -> T:
    if not isinstance(content, Mapping):
        raise Unusable(f"{path} is damaged: {where or 'its content'} must be a mapping, got {content!r:.60}")
    hints = get_type_hints(kind)
    assert is_dataclass(kind)
    names = {field.name: f"{where}.{field.name}".lstrip(".") for field in fields(kind)}
    required = [field.name for field in fields(kind) if field.default is MISSING and field.default_factory is MISSING]
    if lacking := [names[name] for name in required if name not in content]:
        raise Unusable(f"{path} is damaged: it lacks {', '.join(lacking)}")
    return kind(**{name: _value(hints[name], content[name], path, names[name]) for name in names if name in content})


def _value(hint: Any, value: Any, path: Path, where: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        for choice in arguments:
            try:
                return _value(choice, value, path, where)
            except Unusable:
                continue
    elif is_dataclass(hint) and isinstance(hint, type):
        return _dataclass(hint, value, path, where)
    elif origin is list and isinstance(value, list):
        return [_value(arguments[0], item, path, f"{where}[{i}]") for i, item in enumerate(value)]
    elif origin is dict and isinstance(value, dict):
        return {
            _value(arguments[0], key, path, f"a key of {where}"): _value(arguments[1], item, path, f"{where}.{key}")
            for key, item in value.items()
        }
    elif hint is type(None) and value is None:
        return None
    elif type(value) is hint or (hint is float and type(value) is int):
        return value
    expected = "a list" if origin is list else "a mapping" if origin is dict else _name(hint)
    raise Unusable(f"{path} is damaged: {where} must be {expected}, got {value!r:.60}")


def _name(hint: Any) -> str:
    names = {str: "a text", int: "a whole number", float: "a number", bool: "true or false", type(None): "null"}
    parts = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    return " or ".join(names.get(part, getattr(part, "__name__", str(part))) for part in parts)

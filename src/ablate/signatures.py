"""How a piece is named in a message, and how it can be called."""

import contextlib
import inspect
from collections.abc import Callable
from typing import Any


def name_of(piece: object) -> str:
    """Return what a message calls a piece: the import path of a class or function, else its class and value.

    Example:
        >>> name_of(len), name_of(ValueError), name_of(None), name_of(1.5)
        ('len', 'ValueError', 'None', 'float 1.5')
    """
    if piece is None:
        return "None"
    inner = getattr(piece, "func", piece)  # of a functools.partial
    named: Any = inner if hasattr(inner, "__name__") else type(piece)
    module = named.__module__ or ""
    name = named.__name__ if module in ("", "builtins") else f"{module}.{named.__name__}"
    return f"{name} {piece!r:.60}" if isinstance(piece, bool | int | float | complex | str) else name


def takes(function: Callable[..., Any], num: int) -> bool:
    """Return whether a function can be called with `num` positional arguments; True if its signature is not known.

    Example:
        >>> takes(lambda images: images, 1), takes(lambda images, generator: images, 1)
        (True, False)
    """
    try:
        inspect.signature(function).bind(*range(num))
    except TypeError:
        return False
    except ValueError:  # some functions written in C have no signature
        return True
    return True


def signature_of(function: Callable[..., Any]) -> str:
    """Return the signature of a function as text, "" if it is not known.

    Example:
        >>> signature_of(lambda images, generator=None: images)
        '(images, generator=None)'
    """
    with contextlib.suppress(TypeError, ValueError):
        return str(inspect.signature(function))
    return ""

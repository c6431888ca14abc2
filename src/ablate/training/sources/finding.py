"""Find the code that a run's settings name outside `ablate`, `torch` and `torchvision`, without importing it.

A setting names code by `_target_`, or by any text that is the dotted name of something in a user's module
(`{_target_: hydra.utils.get_method, path: mine.square}`). For a module in a user's folder the text counts, and the text
of all it imports from such folders, in functions too; for an installed package the version of its distribution.
Files that code reads at run time, and imports by a computed name, cannot be found from its text.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablate.errors import UserError
from ablate.training.identity import flatten, is_unscientific
from ablate.training.sources.modules import (
    PROGRAM,
    distributions_of,
    file_of,
    is_installed,
    places,
    read_module,
    relative_path,
    resolve,
)

DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")


@dataclass(frozen=True, kw_only=True)
class Source:
    """A user's module, or an installed distribution.

    Args:
        name: dotted name of the module, or the distribution's name.
        path: of the module's file, relative to the folder where it was found; None for a distribution.
        sha256: of the file's bytes; None for a distribution.
        version: of the distribution; None for a module.
        scientific: whether it is part of the fingerprint; code that only a diagnostic names is not.
    """

    name: str
    path: str | None = None
    sha256: str | None = None
    version: str | None = None
    scientific: bool = True


def find(settings: Mapping[str, Any]) -> list[Source]:
    """Return the code that resolved settings name outside the program, sorted by name.

    Raises:
        UserError: a file cannot be read, or was edited after this process had imported it.

    Example:
        >>> find({"activation": {"_target_": "torch.nn.ReLU"}})
        []
    """
    named = [
        (name, is_target, not is_unscientific(key))
        for key, value in flatten(settings)
        for name, is_target in names(key, value)
        if name.partition(".")[0] not in PROGRAM
    ]
    found: dict[str, Source] = {}
    for name, is_target, scientific in sorted(named, key=lambda one: not one[2]):
        for source in named_by(name, is_target, scientific):
            found.setdefault(source.name, source)
    return [found[name] for name in sorted(found)]


def names(key: str, value: Any) -> Iterator[tuple[str, bool]]:
    """Yield (dotted name, whether it is a `_target_` or path) of every text in a setting that may name code.

    Example:
        >>> list(names("activation._target_", "squared.SquaredReLU"))
        [('squared.SquaredReLU', True)]
    """
    if isinstance(value, str) and DOTTED.fullmatch(value):
        yield value, key.rpartition(".")[2] in ("_target_", "path")
    elif isinstance(value, list):
        for item in value:
            yield from names("", item)
    elif isinstance(value, Mapping):
        for inner, item in value.items():
            yield from names(str(inner), item)


def named_by(name: str, is_target: bool, scientific: bool) -> Iterator[Source]:
    """Yield the sources of a dotted name, including those that they import."""
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        name = waiting.pop()
        for module, spec in resolve(name):
            if module in seen:
                continue
            seen.add(module)
            if is_installed(spec) and (distributions := distributions_of(module.partition(".")[0])):
                if is_target:
                    for distribution, number in distributions:
                        yield Source(name=distribution, version=number, scientific=scientific)
                break
            if (file := file_of(spec)) is None:
                continue  # a package without __init__.py
            read = read_module(module, spec, file)
            yield Source(name=module, path=relative_path(module, file), sha256=read.sha256, scientific=scientific)
            is_target = True  # imports of the user's code are always needed
            waiting += read.imports


def as_identity(sources: Iterable[Source]) -> dict[str, str]:
    """Return {name: hash or version} of the sources that are part of the fingerprint.

    Example:
        >>> as_identity([Source(name="squared", path="squared.py", sha256="ab12")])
        {'squared': 'ab12'}
    """
    return {source.name: source.sha256 or source.version or "" for source in sources if source.scientific}


def files(sources: Iterable[Source]) -> list[Path]:
    """Return the files that this process has read of the modules that are part of the fingerprint."""
    return [places[source.name] for source in sources if source.scientific and source.name in places]


def check_unedited(sources: Sequence[Source], settings: Mapping[str, Any]) -> None:
    """Check that the code that was just imported is the code that was found before.

    Raises:
        UserError: a file was edited in between, or is in a folder that imported code added to Python's path.
    """
    if sources and (now := find(settings)) != list(sources):
        known = {source.name for source in sources}
        for source in now:
            if source.name not in known and source.name in places:
                folder = places[source.name].parents[(source.path or "").count("/")]
                raise UserError(
                    f"{source.name} is imported from {folder}, which is not on Python's path when the command starts, "
                    f"so the run cannot be identified; start it with PYTHONPATH={folder}"
                )
        edited = sorted({source.path or source.name for source in set(now) ^ set(sources)})
        raise UserError(f"{', '.join(edited)} changed while the run was being set up; start the command again")

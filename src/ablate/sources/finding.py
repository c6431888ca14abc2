"""Code that a run's settings name outside `ablate`, `torch` and `torchvision`: found without importing it.

A setting names code by `_target_`, or by any text that is the dotted name of something in a module of the user's own
(`{_target_: hydra.utils.get_method, path: mine.square}`). Of a module in a folder of the user's own the text counts,
and that of all it imports from such folders, in functions too; of an installed package the version of its distribution.
What code reads while it runs, and what it imports by a computed name, cannot be known from its text.
"""

import ast
import functools
import hashlib
import importlib.util
import marshal
import os
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import packages_distributions, version
from pathlib import Path
from types import CodeType
from typing import Any

from ablate.errors import UserError
from ablate.identity import flatten, is_unscientific

# What the program is made of: NUMERICS_VERSION stands for ablate, and a record's environment has the others' versions.
PROGRAM = {"ablate", "hydra", "hydra_plugins", "numpy", "omegaconf", "torch", "torchvision"}
DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")

Resolved = list[tuple[str, ModuleSpec]]


@dataclass(frozen=True, kw_only=True)
class Source:
    """A module of the user's own, or an installed distribution.

    Args:
        name: dotted name of the module, or the distribution's name.
        path: of the module's file, relative to the folder that it was found in; None for a distribution.
        sha256: of the file's bytes; None for a distribution.
        version: of the distribution; None for a module.
        scientific: whether it is part of the fingerprint; what only a diagnostic names is not.
    """

    name: str
    path: str | None = None
    sha256: str | None = None
    version: str | None = None
    scientific: bool = True


@dataclass(frozen=True, kw_only=True)
class Module:
    """A file as it was read: its hash, its bytes, and the dotted names that it imports."""

    sha256: str
    content: bytes
    imports: tuple[str, ...]


def find(settings: Mapping[str, Any]) -> list[Source]:
    """Return the code that resolved settings name, by name; nothing for settings that name none but the program's.

    Raises:
        UserError: a file cannot be read, or was edited after this process had imported it.
    """
    found: dict[str, Source] = {}
    for scientific in (True, False):
        for key, value in flatten(settings):
            if is_unscientific(key) is not scientific:
                for name, is_target in names(key, value):
                    for source in named_by(name, is_target, scientific):
                        found.setdefault(source.name, source)
    return [found[name] for name in sorted(found)]


def names(key: str, value: Any) -> Iterator[tuple[str, bool]]:
    """Yield (dotted name, whether it says what is called) of every text in a setting that may name code."""
    if isinstance(value, str) and DOTTED.fullmatch(value):
        yield value, key.rpartition(".")[2] in ("_target_", "path")
    elif isinstance(value, list):
        for item in value:
            yield from names("", item)
    elif isinstance(value, Mapping):
        for inner, item in value.items():
            yield from names(str(inner), item)


def named_by(name: str, is_target: bool, scientific: bool) -> Iterator[Source]:
    """Yield the sources behind a dotted name, those that they import included."""
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
            is_target = True  # what one's own code imports, it needs
            waiting += read.imports


def resolve(name: str) -> Resolved:
    """Return the modules on a dotted name's path that are not the program's or Python's, outermost first."""
    top = name.partition(".")[0]
    if top in PROGRAM:
        return []
    return _resolve(name, os.getcwd(), tuple(sys.path), top in sys.modules)


@functools.lru_cache(maxsize=4096)
def _resolve(name: str, folder: str, path: tuple[str, ...], is_imported: bool) -> Resolved:
    """Resolve a name; folder, path and whether its package is imported already decide where it is looked for."""
    first, *rest = name.split(".")
    try:
        spec = importlib.util.find_spec(first)
    except ValueError:  # __main__ of a script has no spec
        file = getattr(sys.modules.get(first), "__file__", None)
        spec = ModuleSpec(first, None, origin=file) if file else None
    found: Resolved = []
    module = first
    while spec is not None and not is_standard(spec):
        found.append((module, spec))
        if not rest or spec.submodule_search_locations is None:
            break
        module = f"{module}.{rest.pop(0)}"
        spec = PathFinder.find_spec(module, list(spec.submodule_search_locations))
    return found


def file_of(spec: ModuleSpec) -> Path | None:
    """Return the file that a module is loaded from, an archive where it lies in one; None where there is none."""
    if spec.origin is None:
        return None
    path = Path(spec.origin)
    return next((place for place in (path, *path.parents) if place.is_file()), None)


def is_standard(spec: ModuleSpec) -> bool:
    """Return whether a module comes with Python."""
    if spec.origin in ("built-in", "frozen"):
        return True
    folders = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
    return any(Path(spec.origin or "").is_relative_to(folder) for folder in folders) and not is_installed(spec)


def is_installed(spec: ModuleSpec) -> bool:
    """Return whether a module lies where packages are installed."""
    places = [spec.origin] if spec.origin else list(spec.submodule_search_locations or ())
    return all({"site-packages", "dist-packages"} & set(Path(place).parts) for place in places)


@functools.cache
def distributions_of(top: str) -> list[tuple[str, str]]:
    """Return (name, version) of the distributions that an importable name was installed by."""
    return [(name, version(name)) for name in sorted(set(_packages().get(top, ())))]


@functools.cache
def _packages() -> Mapping[str, list[str]]:
    return packages_distributions()


def relative_path(module: str, file: Path) -> str:
    """Return the path of a module's file from the folder that its outermost package was found in."""
    depth = module.count(".") + (file.name.startswith("__init__."))
    return "/".join(file.parts[-1 - depth :])


_read: dict[tuple[str, int, int], Module] = {}  # a file is read again when it was written again
_first: dict[str, str] = {}  # file -> its hash when this process first saw it
contents: dict[str, bytes] = {}  # hash -> the text of what was found
_places: dict[str, Path] = {}  # module -> the file that was read last


def read_module(module: str, spec: ModuleSpec, file: Path) -> Module:
    """Return a file's hash and imports, and make sure that they are those of what this process imports.

    Raises:
        UserError: it cannot be read, or was edited after this process had imported it.
    """
    try:
        state = file.stat()
        key = (str(file), state.st_mtime_ns, state.st_size)
        if key not in _read:
            content = file.read_bytes()
            imports = tuple(sorted(imported(content, module, spec))) if file.suffix == ".py" else ()
            _read[key] = Module(sha256=hashlib.sha256(content).hexdigest(), content=content, imports=imports)
    except OSError as error:
        raise UserError(f"cannot read {file} ({error.strerror}), the source of {module}") from error
    read = _read[key]
    if module not in sys.modules:
        _first[str(file)] = read.sha256
        drop_stale_bytecode(file, read.content)
    elif _first.setdefault(str(file), read.sha256) != read.sha256:
        raise UserError(
            f"{file} was edited while this command ran, and the earlier text is loaded; start the command again"
        )
    contents[read.sha256] = read.content
    _places[module] = file
    return read


def drop_stale_bytecode(file: Path, content: bytes) -> None:
    """Delete a module's compiled code where it is not that of its text.

    Python compares time (in whole seconds) and size alone: an edit of equal length within a second, or one that keeps
    the time of the file, would be recorded and the earlier code run.
    """
    if file.suffix != ".py":
        return
    with suppress(OSError, ValueError, SyntaxError, EOFError, TypeError, NotImplementedError):
        cached = Path(importlib.util.cache_from_source(str(file)))
        compiled = cached.read_bytes()
        stored = marshal.loads(compiled[16:])
        if isinstance(stored, CodeType) and stored != compile(content, str(file), "exec", dont_inherit=True):
            cached.unlink()


def imported(content: bytes, module: str, spec: ModuleSpec) -> set[str]:
    """Return the dotted names that a file imports, anywhere in it; of `from a import b` a.b, which may be a module."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):
        return set()  # importing it will say so
    package = module if spec.submodule_search_locations is not None else module.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found |= {f"{base}.{alias.name}" if alias.name != "*" else base for alias in node.names}
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if function in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                with suppress(ImportError, ValueError):
                    found.add(importlib.util.resolve_name(node.args[0].value, package))
    return found - {""}


def as_identity(sources: Iterable[Source]) -> dict[str, str]:
    """Return {name: hash or version} of what is part of the fingerprint."""
    return {source.name: source.sha256 or source.version or "" for source in sources if source.scientific}


def files(sources: Iterable[Source]) -> list[Path]:
    """Return the files of the modules that are part of the fingerprint, where this process has read them."""
    return [_places[source.name] for source in sources if source.scientific and source.name in _places]


def check_unedited(sources: Sequence[Source], settings: Mapping[str, Any]) -> None:
    """Make sure that what has just been imported is what was found before.

    Raises:
        UserError: a file was edited in between.
    """
    if sources and (now := find(settings)) != list(sources):
        edited = sorted({source.path or source.name for source in set(now) ^ set(sources)})
        raise UserError(f"{', '.join(edited)} changed while the run was being made; start the command again")

"""Find and read modules without importing them: their file, their text, and what it imports."""

import ast
import functools
import hashlib
import importlib.util
import marshal
import os
import sys
import sysconfig
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import packages_distributions, version
from pathlib import Path
from types import CodeType

from ablate.errors import UserError

# Not user code: NUMERICS_VERSION stands for ablate, and a record's environment holds the versions of the others.
PROGRAM = {"ablate", "hydra", "hydra_plugins", "numpy", "omegaconf", "torch", "torchvision"}
Resolved = list[tuple[str, ModuleSpec]]


@dataclass(frozen=True, kw_only=True)
class Module:
    """A file as it was read: its hash, its bytes, and the dotted names that it imports."""

    sha256: str
    content: bytes
    imports: tuple[str, ...]


def resolve(name: str) -> Resolved:
    """Return the modules of a dotted name, outermost first, without those of the program and of Python."""
    top = name.partition(".")[0]
    if top in PROGRAM:
        return []
    return _resolve(name, os.getcwd(), tuple(sys.path), top in sys.modules)


@functools.lru_cache(maxsize=4096)
def _resolve(name: str, folder: str, path: tuple[str, ...], is_imported: bool) -> Resolved:
    """Resolve a name; the other arguments only key the cache, since they decide where Python searches.

    Raises:
        UserError: it is defined in a notebook or at a prompt, which have no file.
    """
    first, *rest = name.split(".")
    try:
        spec = importlib.util.find_spec(first)
    except ValueError:  # __main__ of a script has no spec
        file = getattr(sys.modules.get(first), "__file__", None)
        if file is None:
            raise UserError(
                f"{name} is not defined in a file, so its text cannot be kept with the run; put it into a module"
            ) from None
        spec = ModuleSpec(first, None, origin=file)
    found: Resolved = []
    module = first
    while spec is not None and not is_standard(spec):
        found.append((module, spec))
        if not rest or spec.submodule_search_locations is None:
            break
        last = rest.pop(0)
        module = f"{module}.{last}"
        # With the last part alone: of a whole name, the folders of a package without __init__.py could only be read
        # after its parent was imported.
        spec = PathFinder.find_spec(last, list(spec.submodule_search_locations))
        if spec is not None and spec.submodule_search_locations is not None:
            spec.submodule_search_locations = list(spec.submodule_search_locations)
    return found


def file_of(spec: ModuleSpec) -> Path | None:
    """Return the file that a module is loaded from, or the archive that contains it; None if there is none."""
    if spec.origin is None:
        return None
    path = Path(spec.origin)
    return next((place for place in (path, *path.parents) if place.is_file()), None)


def is_standard(spec: ModuleSpec) -> bool:
    """Return whether a module is part of Python's standard library."""
    if spec.origin in ("built-in", "frozen"):
        return True
    folders = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
    return any(Path(spec.origin or "").is_relative_to(folder) for folder in folders) and not is_installed(spec)


def is_installed(spec: ModuleSpec) -> bool:
    """Return whether a module is in a folder of installed packages."""
    places = [spec.origin] if spec.origin else list(spec.submodule_search_locations or ())
    return all({"site-packages", "dist-packages"} & set(Path(place).parts) for place in places)


@functools.cache
def distributions_of(top: str) -> list[tuple[str, str]]:
    """Return (name, version) of the distributions that installed an importable name."""
    return [(name, version(name)) for name in sorted(set(_packages().get(top, ())))]


@functools.cache
def _packages() -> Mapping[str, list[str]]:
    return packages_distributions()


def relative_path(module: str, file: Path) -> str:
    """Return the path of a module's file relative to the folder that contains its outermost package."""
    depth = module.count(".") + (file.name.startswith("__init__."))
    return "/".join(file.parts[-1 - depth :])


_read: dict[tuple[str, int, int], Module] = {}  # (file, time, size) -> what was read
_first: dict[str, str] = {}  # file -> its hash when this process first saw it
contents: dict[str, bytes] = {}  # hash -> the text with it
places: dict[str, Path] = {}  # module -> the file that was read last


def read_module(module: str, spec: ModuleSpec, file: Path) -> Module:
    """Return a file's hash and imports, and check that this process imports the same text.

    Raises:
        UserError: it cannot be read, or was edited after this process imported it.
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
    places[module] = file
    return read


def drop_stale_bytecode(file: Path, content: bytes) -> None:
    """Delete a module's compiled code if it does not match its text.

    Python compares only time (in whole seconds) and size: after an edit of equal length within a second, or one that
    keeps the time of the file, the new text would be recorded and the old code run.
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
    """Return the dotted names that a file imports anywhere; for `from a import b` it is a.b, which may be a module."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):
        return set()  # importing it will raise the error
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

"""The code of a command: the files that its words name, what these import, and what the user lists."""

import ast
import hashlib
import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ablate.errors import UserError
from ablate.study.program import Program, placeholders, split
from ablate.training.sources import Source
from ablate.training.sources.modules import contents

MOST_BYTES_KEPT = 1_000_000  # of a file whose text is kept beside the runs


def code_of(program: Program, folder: Path) -> list[Source]:
    """Return the files whose content belongs to the identity of a command's runs, sorted by name.

    These are: words of the command that name a file, the module after `-m`, the files in `folder` and beside a Python
    file that it imports, and `sources`. The program itself (the first word) counts where it is a
    file in `folder`.

    Args:
        program: with a command.
        folder: that the command is started in.

    Raises:
        UserError: a file of `sources` does not exist, or cannot be read.
    """
    words = split(program.command)
    named = [word for word in words[1:] if not placeholders(word)]
    # An interpreter is no code of the study, even one that a link in the folder names (.venv/bin/python).
    named += [words[0]] if os.sep in words[0] and (folder / words[0]).resolve().is_relative_to(folder.resolve()) else []
    waiting = [path for word in named if (path := folder / word).is_file()]
    for flag, module in itertools.pairwise(words):
        waiting += list(files_of(module, [folder])) if flag == "-m" else []
    for name in program.sources:
        path = folder / name
        if path.is_dir():
            waiting += [inner for inner in sorted(path.rglob("*.py")) if inner.is_file()]
        elif path.is_file():
            waiting.append(path)
        else:
            raise UserError(
                f"`study.sources` must name files or folders below {folder}, got {name!r}, which is not there"
            )
    found: dict[Path, Source] = {}
    while waiting:
        path = waiting.pop().resolve()
        if path in found:
            continue
        data = read(path)
        source = as_source(path, data, folder)
        found[path] = source
        if path.suffix == ".py":
            waiting += imported(data, [path.parent, folder])
    return sorted(found.values(), key=lambda source: source.name)


def read(path: Path) -> bytes:
    """Return the content of a file.

    Raises:
        UserError: the system refuses it.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}); it belongs to the code of `study.command`"
        ) from error


def as_source(path: Path, data: bytes, folder: Path) -> Source:
    """Return a file as a source; the text of one that is small is kept for `training.sources.keep`."""
    inside = path.is_relative_to(folder.resolve())
    name = path.relative_to(folder.resolve()).as_posix() if inside else path.name
    sha256 = hashlib.sha256(data).hexdigest()
    if len(data) <= MOST_BYTES_KEPT:
        contents[sha256] = data
    return Source(name=name, path=name, sha256=sha256)


def imported(data: bytes, folders: Sequence[Path]) -> Iterator[Path]:
    """Yield the files in these folders that a Python file imports; none where it cannot be parsed."""
    try:
        tree = ast.parse(data)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from files_of(alias.name, folders)
        elif isinstance(node, ast.ImportFrom):
            base = folders[0]
            for _ in range(node.level - 1):
                base = base.parent
            where = [base] if node.level else folders
            module = node.module or ""
            for name in [module, *(f"{module}.{alias.name}".lstrip(".") for alias in node.names)]:
                yield from files_of(name, where)


def files_of(module: str, folders: Sequence[Path]) -> Iterator[Path]:
    """Yield the files of a module and of the packages that it is in, where they lie in one of these folders."""
    parts = [part for part in module.split(".") if part]
    for folder in folders:
        for length in range(1, len(parts) + 1):
            place = folder.joinpath(*parts[:length])
            candidates = [place.with_name(f"{place.name}.py"), place / "__init__.py"]
            candidates += [place / "__main__.py"] if length == len(parts) else []
            yield from (path for path in candidates if path.is_file())

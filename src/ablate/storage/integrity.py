"""Files that are written whole and checked when they are read.

A file takes its place in one rename, so that a killed process leaves the old one or the new one. It carries the SHA-256
of its content, so that what a disk, a copy or an editor changed is noticed: JSON and YAML under the key "sha256", over
the content in canonical form (a reader may lay it out anew); a binary file in a trailer behind its own bytes, which
`torch.load` passes over.
"""

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ablate.errors import CannotWrite, Unusable, UserError
from ablate.storage.typed import as_dataclass

T = TypeVar("T")

CHECKSUM = "sha256"
TRAILER = b"\nablate sha256 "  # followed by 64 hexadecimal digits and a line end
TRAILER_LENGTH = len(TRAILER) + 64 + 1
TEMPORARY = re.compile(r"\.[0-9a-f]{32}(-.*)?", re.DOTALL)
ABANDONED_AFTER_SECONDS = 600.0  # no write takes so long: a temporary file that is older is of a killed process


def digest(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of JSON data in canonical form: sorted keys, no white space, in 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain data as JSON has it (tuples as lists, every key a string) with its checksum as the last entry."""
    content = json.loads(json.dumps(content))
    return {**content, CHECKSUM: digest(content)}


def check_sealed(content: Mapping[str, Any], path: Path) -> None:
    """Check the checksum of plain data that was read from `path`.

    Raises:
        Unusable: it is missing or of another content.
    """
    if CHECKSUM not in content:
        raise Unusable(f"{path} is damaged: it has no checksum (`{CHECKSUM}`)")
    try:
        agrees = content[CHECKSUM] == digest({key: value for key, value in content.items() if key != CHECKSUM})
    except TypeError:  # YAML has values that JSON, and so what was written, has not
        agrees = False
    if not agrees:
        raise Unusable(f"{path} is damaged: its content does not agree with its checksum (`{CHECKSUM}`)")


def read_bytes(path: Path) -> bytes | None:
    """Return the bytes of a file, None where there is none.

    Raises:
        Unusable: it is no file.
        UserError: the system does not let it be read.
    """
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except IsADirectoryError as error:
        raise Unusable(f"{path} is damaged: it is a folder, and a file is expected") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); allow this user to read it") from error


def read_json(kind: type[T], path: Path, schema: int) -> T | None:
    """Return the content of a JSON file as a dataclass, None where there is no file.

    Args:
        kind: of the dataclass, see `typed.as_dataclass`.
        path: of the file.
        schema: that this version writes, the value of the key "schema".

    Raises:
        Unusable: it is damaged, or of an earlier schema.
        UserError: it is of a later schema, or cannot be read.
    """
    data = read_bytes(path)
    if data is None:
        return None
    if not data.strip():
        raise Unusable(f"{path} is damaged: it is empty")
    try:
        content = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise Unusable(f"{path} is damaged: it is not valid JSON ({error})") from error
    found = content.get("schema") if isinstance(content, dict) else None
    if type(found) is not int:
        raise Unusable(f"{path} is damaged: it has schema {found!r}, and this version of ablate reads {schema}")
    if found > schema:
        why = "a later version of ablate wrote it: update ablate"
        raise UserError(f"{path} has schema {found}, this version of ablate reads {schema}; {why}")
    if found < schema:
        why = "an earlier version of ablate wrote it"
        raise Unusable(f"{path} has schema {found}, this version of ablate reads {schema}; {why}")
    value = as_dataclass(kind, content, path)
    check_sealed(content, path)
    return value


def write_json(content: Mapping[str, Any], path: Path, *, allow_nan: bool = True) -> None:
    """Write plain data with its checksum as JSON, in one atomic step."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(sealed(content), indent=1, allow_nan=allow_nan) + "\n", encoding="utf-8")


def write_binary(data: bytes, path: Path) -> None:
    """Write bytes with their checksum behind them, in one atomic step."""
    trailer = TRAILER + hashlib.sha256(data).hexdigest().encode() + b"\n"
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(data)
        file.write(trailer)


def read_binary(path: Path) -> bytes | None:
    """Return what `write_binary` wrote, None where there is no file.

    Raises:
        Unusable: it is damaged.
        UserError: it cannot be read.
    """
    data = read_bytes(path)
    if data is None:
        return None
    if not data:
        raise Unusable(f"{path} is damaged: it is empty")
    content, trailer = data[:-TRAILER_LENGTH], data[-TRAILER_LENGTH:]
    if not trailer.startswith(TRAILER):
        raise Unusable(f"{path} is damaged: it does not end with its checksum, so it was cut or is another file")
    if trailer != TRAILER + hashlib.sha256(content).hexdigest().encode() + b"\n":
        raise Unusable(f"{path} is damaged: its content does not agree with its checksum")
    return content


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its place when the block ends well, and is removed otherwise.

    A reader sees the old file or the new one, never a part of it, whenever the process is killed or the power fails.
    Temporary files that killed processes left in the folder are removed.

    Raises:
        CannotWrite: the system refused; what was there before is unchanged.
    """
    temporary = path.with_name(f".{uuid.uuid4().hex}-{path.name}")
    try:
        remove_temporary(path.parent, older_than=ABANDONED_AFTER_SECONDS)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        if hasattr(os, "O_DIRECTORY"):  # the new name reaches the disk with its folder
            folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def cannot_write(path: Path, error: OSError) -> CannotWrite:
    """Return what to say of a write that failed: the file, why, the space that is left, and the cure."""
    cure = "allow this user to write there, or choose another folder with output_dir=..."
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        cure = "free some space, or choose another folder with output_dir=..."
    elif error.errno == errno.EFBIG:
        cure = "raise the limit on the size of a file (ulimit -f)"
    space = ""
    with contextlib.suppress(OSError):
        space = f"; {shutil.disk_usage(path.parent).free / 2**20:.1f} MiB are free in {path.parent}"
    return CannotWrite(
        f"cannot write {path} ({error.strerror or error}){space}; {cure}; what was written before is whole, and the "
        "same command goes on from there"
    )


def remove_temporary(folder: Path, *, older_than: float) -> None:
    """Remove the temporary files that killed processes left in a folder.

    Args:
        folder: may be missing.
        older_than: seconds since they were last written; 0 where a lock keeps every other writer away.
    """
    try:
        names = [entry.name for entry in os.scandir(folder) if TEMPORARY.fullmatch(entry.name)]
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        with contextlib.suppress(OSError):  # another process was quicker, or may do what this user may not
            if time.time() - (folder / name).lstat().st_mtime >= older_than:
                (folder / name).unlink()

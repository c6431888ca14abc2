"""Atomic writing of files, and checksums that are verified on reading.

A file is replaced in one rename, so that a killed process leaves the old one or the new one. It contains the SHA-256 of
its content, so that changes by a disk, a copy or an editor are detected: JSON and YAML under the key "sha256", over the
content in canonical form (so the layout may change); a binary file in a trailer after its bytes, which `torch.load`
ignores.
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
REFUSED = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)  # what `cannot_write` has a cure for
ABANDONED_AFTER_SECONDS = 600.0  # no write takes that long: an older temporary file is from a killed process


def digest(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of JSON data in canonical form: sorted keys, no white space, in 64 hexadecimal digits.

    Example:
        >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
        True
    """
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain data as JSON stores it (tuples as lists, keys as strings) with its checksum as the last entry.

    Example:
        >>> list(sealed({"sizes": (1, 2)}))
        ['sizes', 'sha256']
        >>> sealed({"sizes": (1, 2)})["sizes"]
        [1, 2]
    """
    content = json.loads(json.dumps(content))
    return {**content, CHECKSUM: digest(content)}


def check_sealed(content: Mapping[str, Any], path: Path) -> None:
    """Check the checksum of plain data that was read from `path`.

    Raises:
        Unusable: it is missing or does not match the content.

    Example:
        >>> check_sealed({**sealed({"a": 1}), "a": 2}, Path("a.json"))
        Traceback (most recent call last):
        ablate.errors.Unusable: a.json is damaged: its content does not agree with its checksum (`sha256`)
    """
    if CHECKSUM not in content:
        raise Unusable(f"{path} is damaged: it has no checksum (`{CHECKSUM}`)")
    try:
        agrees = content[CHECKSUM] == digest({key: value for key, value in content.items() if key != CHECKSUM})
    except TypeError:  # YAML has types that JSON, and so the written content, does not have
        agrees = False
    if not agrees:
        raise Unusable(f"{path} is damaged: its content does not agree with its checksum (`{CHECKSUM}`)")


def read_bytes(path: Path) -> bytes | None:
    """Return the bytes of a file, None if there is none.

    Raises:
        Unusable: it is a folder.
        UserError: the system refuses to read it.

    Example:
        >>> print(read_bytes(Path("no/such/file")))
        None
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
    """Return the content of a JSON file as a dataclass, None if there is no file.

    Args:
        kind: of the dataclass, see `typed.as_dataclass`.
        path: of the file.
        schema: the version that this program writes, the value of the key "schema".

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
    """Write bytes followed by their checksum, in one atomic step.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_binary(b"weights", Path(folder) / "a.pt")
        ...     print(read_binary(Path(folder) / "a.pt"))
        b'weights'
    """
    trailer = TRAILER + hashlib.sha256(data).hexdigest().encode() + b"\n"
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(data)
        file.write(trailer)


def read_binary(path: Path) -> bytes | None:
    """Return the bytes that `write_binary` wrote, None if there is no file.

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
        raise Unusable(
            f"{path} is damaged: it does not end with its checksum, so it was cut or is not a file of ablate"
        )
    if trailer != TRAILER + hashlib.sha256(content).hexdigest().encode() + b"\n":
        raise Unusable(f"{path} is damaged: its content does not agree with its checksum")
    return content


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path that replaces `path` when the block succeeds, and is removed otherwise.

    A reader sees the old file or the new one, never a part, even if the process is killed or the power fails. Old
    temporary files of killed processes are removed from the folder.

    Raises:
        CannotWrite: the system refused; the old file is unchanged.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with replacing(Path(folder) / "a.txt") as temporary:
        ...         size = temporary.write_text("done")
        ...     print((Path(folder) / "a.txt").read_text())
        done
    """
    temporary = path.with_name(f".{uuid.uuid4().hex}-{path.name}")
    try:
        remove_temporary(path.parent, older_than=ABANDONED_AFTER_SECONDS)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        if hasattr(os, "O_DIRECTORY"):  # the rename is on disk once its folder is
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
    """Return the error for a failed write: it names the file, the reason, the free space and the cure."""
    cure = "allow this user to write there, or choose another folder with output_dir=..."
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        cure = "free some space, or choose another folder with output_dir=..."
    elif error.errno == errno.EFBIG:
        cure = "raise the limit on the size of a file (ulimit -f)"
    elif error.errno == errno.EROFS:
        cure = "the file system is read-only: mount it for writing, or choose another folder with output_dir=..."
    space = ""
    existing = next((folder for folder in path.parents if folder.is_dir()), path.parent)
    with contextlib.suppress(OSError):
        space = f"; {shutil.disk_usage(existing).free / 2**20:.1f} MiB are free in {existing}"
        if error.errno == errno.EDQUOT:
            space = f"; this user's quota there is used up{space}"
    return CannotWrite(
        f"cannot write {path} ({error.strerror or error}){space}; {cure}; what was written before is whole, and the "
        "same command goes on from there"
    )


def remove_temporary(folder: Path, *, older_than: float) -> None:
    """Remove the temporary files of killed processes from a folder.

    Args:
        folder: may be missing.
        older_than: seconds since they were last written; 0 if a lock excludes other writers.
    """
    try:
        names = [entry.name for entry in os.scandir(folder) if TEMPORARY.fullmatch(entry.name)]
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        with contextlib.suppress(OSError):  # another process removed it, or this user has no permission
            if time.time() - (folder / name).lstat().st_mtime >= older_than:
                (folder / name).unlink()

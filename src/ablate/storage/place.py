"""What an output folder needs of its file system, tried before anything is computed.

| needed | why |
|---|---|
| new files and folders | every run writes into its own |
| locks (`flock`) that exclude a second holder | a run is done by one process at a time |
| a rename that replaces a file | a reader sees the old file or the new one, never a part |

A slow file system is enough. Of NFS, use version 4, or 3 with a lock daemon: an option such as `nolock` or
`local_lock=all` keeps locks on one computer, which a trial on that computer cannot see, and two computers could then do
one run at the same time.
"""

import contextlib
import errno
import os
import uuid
from pathlib import Path

from ablate.errors import UserError
from ablate.storage.integrity import REFUSED, cannot_write

_tried: set[tuple[Path, int]] = set()

_CURE = "choose a folder on another file system with output_dir=..."


def check_place(folder: Path) -> None:
    """Try in a folder, which is made where it is absent, what the table above lists; once per process and folder.

    Raises:
        CannotWrite: the system refuses to write: no right, read-only, no space or quota left.
        UserError: the file system lacks something; the message says what.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     check_place(Path(folder))
        ...     os.listdir(folder)
        []
    """
    folder = folder.absolute()
    stem = f".{uuid.uuid4().hex}"  # `remove_temporary` removes what a killed process leaves
    first, second, lock = (folder / f"{stem}-{name}" for name in ("first", "second", "lock"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        known = (folder, folder.stat().st_dev)
        if known in _tried:
            return
        for path in (first, second):
            path.write_bytes(path.name.encode())
        try:
            first.replace(second)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            why = f"does not allow a rename to replace a file ({error.strerror})"
            raise UserError(f"{folder} {why}; {_CURE}") from error
        if second.read_bytes() != first.name.encode():
            raise UserError(f"in {folder} a renamed file has its old content; {_CURE}")
        _check_lock(folder, lock)
    except OSError as error:
        if error.errno in (*REFUSED, errno.EACCES, errno.EPERM):
            raise cannot_write(Path(os.fsdecode(error.filename or folder)), error) from error
        raise UserError(f"cannot write in {folder} ({error.strerror}); choose another with output_dir=...") from error
    finally:
        for path in (first, second, lock):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
    _tried.add(known)


def _check_lock(folder: Path, path: Path) -> None:
    lacking = f"{folder} is on a file system without locks (flock), which keep two processes from doing the same run"
    try:
        import fcntl
    except ImportError:  # Windows, whose locks belong to every file system
        return
    with path.open("wb") as first, path.open("wb") as second:
        try:
            fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(f"{lacking} ({error.strerror}); {_CURE}") from error
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
            raise UserError(f"{lacking}: a second lock of a file was given; {_CURE}")

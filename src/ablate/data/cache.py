"""Arrays decoded or made once, then opened as memory maps."""

import contextlib
import json
import mmap
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from ablate.errors import notice

Arrays = dict[str, NDArray[Any]]

BESIDE = "ablate-cache"
"""Name of a cache folder beside the data."""

TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# A cache of ablate; it may be deleted at any time.\n"
"""Marks a folder that backup programs leave out (https://bford.info/cachedir/)."""

_INDEX = "index.json"
_ABSENT = (FileNotFoundError, NotADirectoryError)


def user_cache_folder() -> Path | None:
    """Return the user's cache folder, for data sets in read-only folders; None where it cannot be determined."""
    from platformdirs import user_cache_dir

    try:
        folder = Path(user_cache_dir("ablate"))
    except RuntimeError:  # newer versions of platformdirs; older ones return `~` as it is
        return None
    return folder if folder.is_absolute() else None


def cached_arrays(
    key: str, stamp: Mapping[str, Any], build: Callable[[], Arrays], folders: Sequence[Path | str | None]
) -> Arrays:
    """Open arrays from the first folder that holds them, or build them and keep them in the first writable folder.

    An entry is a folder of `.npy` files with an index that records the stamp and the size and CRC-32 of each file. It
    is moved into place whole, under a lock, so that several processes may use it; what it replaces is moved away
    first, so that no entry is ever half removed, and a reader's memory map of it stays valid. An entry with another
    stamp is built anew, and so is a damaged one, with a notice. Checksums are verified when a process first opens a
    file.

    Args:
        key: name of the entry, safe as a file name.
        stamp: what the arrays were made from; JSON values only.
        build: makes the arrays.
        folders: candidates, best first; None is skipped.

    Returns:
        Read-only memory maps by name; plain read-only arrays, with a notice, where no folder can be written.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     cached_arrays("squares", {"version": 1}, lambda: {"x": np.arange(3) ** 2}, [folder])["x"].tolist()
        [0, 1, 4]
    """
    stamp = json.loads(json.dumps(stamp))
    entries = [Path(folder) / key for folder in folders if folder is not None]
    for entry in entries:
        arrays, _ = _open(entry, stamp)
        if arrays is not None:
            return arrays
    known = json.dumps([list(map(str, entries)), stamp], sort_keys=True)
    if known in _unwritten:
        return _unwritten[known]
    built: Arrays | None = None
    reasons = []
    for entry in entries:
        try:
            lock = _lock(entry)
        except (OSError, NotImplementedError) as error:  # the latter: a file system without locks
            reasons.append(_reason(entry.parent, error))
            continue
        with lock:
            arrays, damage = _open(entry, stamp)
            if arrays is not None:
                return arrays
            if damage:
                notice(f"the data cache is made anew: {damage}")
            built = build() if built is None else built
            try:
                _write(entry, stamp, built)
                arrays, damage = _open(entry, stamp)
            except OSError as error:
                damage = _reason(entry.parent, error)
        if arrays is not None:
            return arrays
        reasons.append(damage)
    built = build() if built is None else built
    for array in built.values():
        array.flags.writeable = False
    notice(
        "the data set is not cached and will be made anew at every start: "
        + ("; ".join(reasons) or "this user has no home folder; give a folder with data.cache_dir=...")
    )
    _unwritten.clear()  # one data set at a time may cost memory
    _unwritten[known] = built
    return built


# Arrays that this process could write nowhere, by entries and stamp.
_unwritten: dict[str, Arrays] = {}

# Files whose checksum this process has verified: path, and the inode, size and modification time that they had.
_verified: set[tuple[str, int, int, int]] = set()


def _open(entry: Path, stamp: Mapping[str, Any]) -> tuple[Arrays | None, str]:
    """Return the arrays of an entry, and what is damaged; neither where it is absent or was made from another stamp."""
    try:
        index = json.loads((entry / _INDEX).read_text(encoding="utf-8"))
        if index["stamp"] != stamp or "crc32" not in index:
            return None, ""
        arrays = {}
        for name, expected in index["crc32"].items():
            file = entry / f"{name}.npy"
            identity = _identity(file)
            if file.stat().st_size != index["sizes_bytes"][name]:
                return None, f"{file} has {file.stat().st_size:,} bytes, not {index['sizes_bytes'][name]:,}"
            if identity not in _verified and (actual := _crc32(file)) != expected:
                return None, f"{file} has the checksum {actual:08x}, not the recorded {expected:08x}"
            arrays[name] = np.load(file, mmap_mode="r")
            if _identity(file) != identity:
                return None, ""  # another process replaced it meanwhile; the caller tries again under the lock
            _verified.add(identity)
        return arrays, ""
    except _ABSENT as error:
        damaged = entry.is_dir() and error.filename != str(entry)
        return None, f"{error.filename} is missing" if damaged else ""
    except PermissionError:
        return None, ""
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return None, f"{entry} cannot be read ({' '.join(str(error).split()) or type(error).__name__})"


def _identity(file: Path) -> tuple[str, int, int, int]:
    stat = file.stat()
    return str(file.absolute()), stat.st_ino, stat.st_size, stat.st_mtime_ns


def _crc32(file: Path) -> int:
    with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return zlib.crc32(content)


def _lock(entry: Path) -> FileLock:
    """Return the lock of an entry, taken; its folder is made where it is absent.

    Raises:
        OSError: the folder or the lock cannot be written, for example because the lock belongs to another user.
    """
    folder = entry.parent
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    if not existing.is_dir():
        raise NotADirectoryError(f"{existing} is no folder")
    # The mode bits are checked too, since root can write to a folder that its owner made read-only.
    if not existing.stat().st_mode & 0o222:
        raise PermissionError(f"{existing} is read-only")
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    if is_new or folder.name == BESIDE:
        _mark(folder)
    lock = FileLock(f"{entry}.lock")
    lock.acquire()
    return lock


def _mark(folder: Path) -> None:
    """Exclude a cache folder from git and backup programs; files that are already there are not changed."""
    for name, content in ((".gitignore", "# A cache of ablate.\n*\n"), ("CACHEDIR.TAG", TAG)):
        if not (folder / name).exists():
            (folder / name).write_text(content, encoding="utf-8")


def _write(entry: Path, stamp: Mapping[str, Any], arrays: Arrays) -> None:
    for left in entry.parent.glob(f"{entry.name}.*"):
        if left.is_dir():  # of a process that was killed while it wrote: the lock is held
            shutil.rmtree(left, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(prefix=f"{entry.name}.", dir=entry.parent))
    old = temporary.with_name(f"{temporary.name}.old")
    try:
        files = {name: temporary / f"{name}.npy" for name in arrays}
        for name, array in arrays.items():
            np.save(files[name], array)
        index = {
            "stamp": stamp,
            "sizes_bytes": {name: file.stat().st_size for name, file in files.items()},
            "crc32": {name: _crc32(file) for name, file in files.items()},
        }
        (temporary / _INDEX).write_text(json.dumps(index, indent=1), encoding="utf-8")
        temporary.chmod(0o755)  # mkdtemp's 0o700 would hide a shared cache from others
        with contextlib.suppress(FileNotFoundError):
            entry.rename(old)
        try:
            temporary.rename(entry)
        except OSError:
            if old.exists():
                old.rename(entry)
            raise
    finally:
        for folder in (temporary, old):
            shutil.rmtree(folder, ignore_errors=True)


def _reason(folder: Path, error: Exception) -> str:
    reason = (os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "") or str(error)
    return f"{folder} cannot be written ({reason})"

"""Arrays decoded or made once, then opened as memory maps."""

import json
import shutil
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]

_INDEX = "index.json"


def user_cache_folder() -> Path:
    """The user's own cache folder, the last resort beside a read-only data set."""
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("ablate"))


def cached_arrays(
    key: str, stamp: Mapping[str, Any], build: Callable[[], Arrays], folders: Sequence[Path | str]
) -> Arrays:
    """Open arrays from the first folder that holds them, or build them and keep them in the first writable folder.

    An entry is a folder of `.npy` files with an index that records the stamp and the size of each file. It is moved
    into place whole, under a lock, so that processes may meet here. One with another stamp, or whose files have not the
    recorded sizes, is built anew.

    Args:
        key: name of the entry, safe as a file name.
        stamp: what the arrays were made from; JSON values only.
        build: makes the arrays.
        folders: candidates, best first.

    Returns:
        Read-only memory maps by name; plain arrays, with a warning, where no folder can be written.
    """
    stamp = json.loads(json.dumps(stamp))
    entries = [Path(folder) / key for folder in folders]
    for entry in entries:
        if (arrays := _open(entry, stamp)) is not None:
            return arrays
    home = next((entry for entry in entries if _writable(entry.parent)), None)
    if home is None:
        return _uncached(build(), "no folder can be written of " + ", ".join(map(str, folders)))
    home.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{home}.lock"):
        if (arrays := _open(home, stamp)) is not None:
            return arrays
        arrays = build()
        try:
            _write(home, stamp, arrays)
        except OSError as error:
            return _uncached(arrays, str(error))
        opened = _open(home, stamp)
        assert opened is not None
        return opened


def _open(entry: Path, stamp: Mapping[str, Any]) -> Arrays | None:
    try:
        index = json.loads((entry / _INDEX).read_text())
        if index["stamp"] != stamp:
            return None
        files = {name: entry / f"{name}.npy" for name in index["sizes_bytes"]}
        if any(file.stat().st_size != index["sizes_bytes"][name] for name, file in files.items()):
            return None
        return {name: np.load(file, mmap_mode="r") for name, file in files.items()}
    except (OSError, ValueError, KeyError, TypeError):
        return None  # absent or damaged: both are cured by building


def _write(entry: Path, stamp: Mapping[str, Any], arrays: Arrays) -> None:
    temporary = Path(tempfile.mkdtemp(prefix=f"{entry.name}.", dir=entry.parent))
    try:
        for name, array in arrays.items():
            np.save(temporary / f"{name}.npy", array)
        sizes_bytes = {name: (temporary / f"{name}.npy").stat().st_size for name in arrays}
        (temporary / _INDEX).write_text(json.dumps({"stamp": stamp, "sizes_bytes": sizes_bytes}, indent=1))
        temporary.chmod(0o755)  # mkdtemp's 0o700 would hide a shared cache from others
        if entry.exists():
            shutil.rmtree(entry)
        temporary.rename(entry)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _writable(folder: Path) -> bool:
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    try:
        # The mode bits are asked too, since root may write where the owner asked nobody to.
        if not existing.is_dir() or not existing.stat().st_mode & 0o222:
            return False
        with tempfile.TemporaryFile(dir=existing):
            return True
    except OSError:
        return False


def _uncached(arrays: Arrays, reason: str) -> Arrays:
    warnings.warn(f"the data set is not cached and will be made anew at every start: {reason}", stacklevel=4)
    return arrays

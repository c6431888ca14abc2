"""Reads .npy and .npz without unpickling anything; an error names the file and the cure."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ablate.errors import UserError


def load_array(file: Path, save: str) -> NDArray[Any]:
    """Return the array of an .npy.

    Args:
        file: to read.
        save: a call that saves such a file, for errors.

    Raises:
        UserError: the file is damaged, holds Python objects, or is no .npy.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(f"{folder}/x.npy", np.arange(3))
        ...     load_array(Path(folder, "x.npy"), "np.save(...)").tolist()
        [0, 1, 2]
    """
    content = _open(file, save)
    if not isinstance(content, np.ndarray):
        content.close()
        raise UserError(f"{file} must be an .npy with one array, but its content is an .npz; rename it")
    return content


def load_arrays(file: Path, save: str) -> dict[str, NDArray[Any]]:
    """Return the arrays of an .npz by name; see `load_array`."""
    archive = _open(file, save)
    if isinstance(archive, np.ndarray):
        raise UserError(f"{file} must be an .npz, but its content is one array; rename it to .npy")
    content, name = {}, ""
    with archive:
        try:
            for name in archive.files:
                content[name] = archive[name]
        except Exception as error:  # a damaged file may raise anything within numpy
            raise _unreadable(file, error, save, name) from error
    return content


def _open(file: Path, save: str) -> Any:
    """Return the array of an .npy or the archive of an .npz, whatever the suffix."""
    try:
        with file.open("rb") as stream:
            beginning = stream.read(6)
        if not beginning.startswith((b"PK", b"\x93NUMPY")):
            raise UserError(
                f"{file} is not a file that numpy saved (it begins with {beginning!r}); save one with {save}"
            )
        return np.load(file, allow_pickle=False)
    except UserError:
        raise
    except Exception as error:  # as above
        raise _unreadable(file, error, save) from error


def _unreadable(file: Path, error: Exception, save: str, name: str = "") -> UserError:
    where = f"{name} of {file}" if name else f"{file}"
    if "allow_pickle" in str(error):
        return UserError(
            f"{where} holds Python objects, which are not unpickled, since that could run any code; save numbers, e.g. "
            "np.stack(images).astype(np.uint8), and names of classes as np.array(names)"
        )
    reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return UserError(f"{where} cannot be read by numpy: {reason}; save it again with {save}")

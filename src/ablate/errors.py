"""Errors of the user have a type of their own, so that a fault of the program is never shown as bad input.

    Exception
    └── ValueError
        └── UserError    the command shows its message alone and ends with status 2
            ├── Unusable     a file is there and cannot be used
            ├── CannotWrite  the system refused to write a file
            └── training.start.Busy  another process is doing the run

Every other exception is a fault of `ablate`, of a library, or of code of the user's own: it is shown with its
traceback. A `Notice` stops nothing: it is a warning that the command shows as one line.
"""

import contextlib
import errno
import os
import re
import shutil
import traceback
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

HYDRA = "hydra"


class UserError(ValueError):
    """Input that is refused: the message names the thing, the constraint, the value received and the likely cure.

    Example:
        >>> raise UserError("`trainer.epochs` must be a whole number of at least 1, got 0")
        Traceback (most recent call last):
        ablate.errors.UserError: `trainer.epochs` must be a whole number of at least 1, got 0
    """


class Unusable(UserError):
    """A file is there and cannot be used: it is damaged, or an earlier version of `ablate` wrote it."""


class CannotWrite(UserError):
    """The system refused to write a file: no space left, no right, a limit on its size."""


class Notice(UserWarning):
    """What the user should know and what stops nothing, such as files that were left out."""


def notice(message: str) -> None:
    """Show a line; not in the worker processes of a sweep, which would repeat the line of their parent.

    Example:
        >>> with warnings.catch_warnings(record=True) as shown:
        ...     notice("3 files are left out")
        >>> str(shown[0].message)
        '3 files are left out'
    """
    from multiprocessing import current_process

    if current_process().name == "MainProcess":
        warnings.warn(message, Notice, stacklevel=2)


def explain(error: OSError) -> str:
    """Return one line for what the system refused: the file, the reason, and what may help.

    Example:
        >>> explain(FileNotFoundError(errno.ENOENT, "No such file or directory", "data.csv"))
        'data.csv: No such file or directory'
    """
    reason = (os.strerror(error.errno) if error.errno else "") or str(error) or type(error).__name__
    files = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
    where = " -> ".join(name if len(name) <= 200 else f"{name[:100]}...{name[-60:]}" for name in files)
    line = f"{where or 'a file or the output'}: {reason}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        line += f"{_free_space(files[0]) if files else ''}; free some space, or choose another place (output_dir=...)"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        line += "; change its permissions, or choose another place (output_dir=..., data.root=..., data.cache_dir=...)"
    elif error.errno == errno.ENAMETOOLONG:
        longest = max((len(part) for name in files for part in name.split(os.sep)), default=0)
        line += f" ({longest} characters between two slashes)"
    return line


def _free_space(file: str) -> str:
    for folder in (Path(file), *Path(file).absolute().parents):
        try:
            return f" ({shutil.disk_usage(folder).free / 1e6:,.1f} MB free in {folder})"
        except OSError:
            continue
    return ""


def is_refusal(error: BaseException, caller: str) -> bool:
    """Return whether a class or function refuses what it was called with.

    It does so by a `UserError`; by the TypeError of a call that its signature does not allow; and by a ValueError that
    it raises itself, in its first frame, or a class in `__init__` or `__post_init__`. Whatever else it raises, or is
    raised within what it calls, is a fault.

    Args:
        error: what was caught.
        caller: the file that holds the call; Hydra may stand between it and what is called.
    """
    frames = traceback.extract_tb(error.__traceback__)
    calls = [i for i, frame in enumerate(frames) if frame.filename == caller or HYDRA in Path(frame.filename).parts]
    within = [frame.name for frame in frames[max(calls, default=-1) + 1 :]]
    if isinstance(error, UserError):
        return True
    if isinstance(error, TypeError):
        of_module = within == ["__init__"] and frames[-1].filename.endswith(os.path.join("nn", "modules", "module.py"))
        return not within or of_module  # torch's Module takes no arguments, which is raised within it
    return isinstance(error, ValueError) and (len(within) <= 1 or set(within) <= {"__init__", "__post_init__"})


def argument_cure(group: str, error: BaseException, *, is_called: bool = True) -> str:
    """Return how to cure a call that does not fit the signature of a class or function, "" for another error.

    Args:
        group: of the setting that describes what was called.
        error: of the call.
        is_called: whether it may be meant to be called later, by the run.

    Example:
        >>> print(argument_cure("augmentation", TypeError("flip() missing 1 required positional argument: 'images'")))
        ; give its arguments in its level (images: VALUE), or, if the run is to call it with them, add `_partial_: true`
    """
    text = str(error)
    if found := re.search(r"missing \d+ required .*?arguments?: (.*)", text):
        names = ", ".join(f"{name}: VALUE" for name in re.findall(r"'(\w+)'", found[1]))
        later = ", or, if the run is to call it with them, add `_partial_: true`" if is_called else ""
        return f"; give its arguments in its level ({names}){later}"
    found = re.search(r"unexpected keyword argument '(\w+)'", text)
    if found or "takes no arguments" in text:
        file = f"{group.partition('.')[0]}/NAME.yaml"
        return (
            f"; remove {found[1] if found else 'its arguments'}, or, if it is of the level that you changed, write a "
            f"level of your own, a file {file} in a folder for --config-dir"
        )
    return ""


def unexpected_keyword(error: BaseException, settings: Mapping[str, object]) -> str:
    """Return the key of `settings` that a TypeError says is not taken, "" if it says something else.

    A function that passes its arguments on raises it in the function behind it.

    Example:
        >>> unexpected_keyword(TypeError("f() got an unexpected keyword argument 'widht'"), {"widht": 3})
        'widht'
    """
    found = re.search(r"unexpected keyword argument '(\w+)'", str(error)) if isinstance(error, TypeError) else None
    return found[1] if found and found[1] in settings else ""


@contextlib.contextmanager
def making(name: str, caller: str) -> Iterator[None]:
    """Turn what a factory refuses, called in the block, into a `UserError` that names the factory.

    Args:
        name: of the setting that describes it.
        caller: see `is_refusal`.

    Example:
        >>> with making("net", __file__):
        ...     int("many")
        Traceback (most recent call last):
        ablate.errors.UserError: `net` cannot be made from its settings: invalid literal for int() with base 10: 'many'
    """
    try:
        yield
    except (TypeError, ValueError) as error:
        if not is_refusal(error, caller):
            raise
        cure = argument_cure(name, error, is_called=False)
        raise UserError(f"`{name}` cannot be made from its settings: {error}{cure}") from error

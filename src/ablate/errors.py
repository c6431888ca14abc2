"""What a user can do wrong, as a type of its own, so that a fault of the program is never shown as bad input.

    Exception
    └── ValueError
        └── UserError    the command shows its message alone and ends with status 2
            └── run.Busy     another process is doing the run

Every other exception is a fault of `ablate`, of a library, or of code of the user's own: it is shown with its
traceback.
"""

import contextlib
import traceback
from collections.abc import Iterator
from pathlib import Path

HYDRA = "hydra"


class UserError(ValueError):
    """Input that is refused: the message names the thing, the constraint, the value received and the likely cure.

    Example:
        >>> raise UserError("`trainer.epochs` must be a whole number of at least 1, got 0")
        Traceback (most recent call last):
        ablate.errors.UserError: `trainer.epochs` must be a whole number of at least 1, got 0
    """


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
        return not within
    return isinstance(error, ValueError) and (len(within) <= 1 or set(within) <= {"__init__", "__post_init__"})


@contextlib.contextmanager
def making(name: str, caller: str) -> Iterator[None]:
    """Turn what a factory refuses, called in the block, into a `UserError` that names the factory.

    Args:
        name: of the setting that describes it.
        caller: see `is_refusal`.
    """
    try:
        yield
    except (TypeError, ValueError) as error:
        if not is_refusal(error, caller):
            raise
        raise UserError(f"`{name}` cannot be made from its settings: {error}") from error

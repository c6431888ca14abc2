"""What a user can do wrong, as a type of its own, so that a fault of the program is never shown as bad input.

    Exception
    └── ValueError
        └── UserError    the command shows its message alone and ends with status 2
            ├── Unusable     a file is there and cannot be used
            ├── CannotWrite  the system refused to write a file
            └── run.Busy     another process is doing the run

Every other exception is a fault of `ablate`, of a library, or of code of the user's own: it is shown with its
traceback.
"""


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

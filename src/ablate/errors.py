"""What a user can do wrong, as a type of its own, so that a fault of the program is never shown as bad input.

    Exception
    └── ValueError
        └── UserError    the command shows its message alone and ends with status 2
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

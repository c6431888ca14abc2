"""What a run needs of each piece: adapted where that is possible, and refused with the line to add where it is not.

A piece is called once with a small input, and only its signature and its result are judged: an exception raised inside
is left to the true call, which shows it with its traceback.
"""

import difflib
from collections.abc import Mapping
from typing import Any

from ablate.data.dataset import Dataset
from ablate.data.own_augmentation import as_augmentation
from ablate.data.preprocessing import as_preprocessing
from ablate.errors import UserError
from ablate.seeding import global_generators
from ablate.signatures import name_of, signature_of, takes
from ablate.training.layer_pieces import check_activation, check_dropout, check_initializer, check_normalization
from ablate.training.loop import Callback
from ablate.training.rule_pieces import check_optimizer, check_regularizer, check_schedule

DATA = 'def load(self): return ablate.data.Dataset(...)` and `def fingerprint(self): return "a text for its content'


@global_generators(0)
def conform(parts: Mapping[str, Any], num_epochs: int) -> dict[str, Any]:
    """Return the pieces of a run by group, adapted to what a run calls.

    Args:
        parts: as made from the settings; the net and the data are not looked at.
        num_epochs: of the run, for the schedule.

    Raises:
        UserError: a piece does not have the interface of its group.
    """
    check_activation(parts["activation"])
    check_normalization(parts["normalization"])
    check_dropout(parts["dropout"])
    check_initializer(parts["initializer"])
    check_regularizer(parts["regularizer"])
    check_optimizer(parts["optimizer"], parts["regularizer"].l2)
    check_schedule(parts["schedule"], num_epochs)
    adapted = {
        "preprocessing": as_preprocessing(parts["preprocessing"]),
        "augmentation": as_augmentation(parts["augmentation"]),
    }
    return {**parts, **adapted}


def check_data(data: Any) -> None:
    """Check that a data set can be loaded and identified.

    Raises:
        UserError: it cannot.
    """
    missing = [name for name in ("load", "fingerprint") if not callable(getattr(data, name, None))]
    if missing or isinstance(data, type):
        raise UserError(
            f"`data` must have the methods load and fingerprint, got {name_of(data)} without "
            f'{" and ".join(missing) or "its arguments"}; write `{DATA}"`'
        )
    if not isinstance(found := data.fingerprint(), str) or not found:
        raise UserError(
            f"`fingerprint` of {name_of(data)} must return text that differs where the images differ, got {found!r}; "
            "return a hash of them, or the name of their version"
        )


def check_loaded(found: Any, data: Any) -> None:
    """Check that `load` returned a data set.

    Raises:
        UserError: it did not.
    """
    if not isinstance(found, Dataset):
        raise UserError(
            f"`load` of {name_of(data)} must return an ablate.data.Dataset, got {name_of(found)}; end it with `return "
            "Dataset(train=..., val=..., test=..., class_names=..., bits=8)`, or use ablate.data.dataset.split_source"
        )


HOOKS = [name for name in vars(Callback) if name.startswith("on_")]


def check_callback(name: str, piece: Any) -> Callback:
    """Return a callback that is one.

    Args:
        name: of its setting, for the error.
        piece: as made from the settings.

    Raises:
        UserError: it is none, or has a method with a name like a hook's that is never called.

    Example:
        >>> check_callback("callbacks.mine", print)
        Traceback (most recent call last):
        ablate.errors.UserError: `callbacks.mine` must be an ablate.training.loop.Callback, got print; write `class ...
    """
    form = "class Mine(ablate.training.loop.Callback)` with `def on_epoch_end(self, state): ...`"
    if not isinstance(piece, Callback):
        raise UserError(f"`{name}` must be an ablate.training.loop.Callback, got {name_of(piece)}; write `{form}")
    for method in dir(piece):
        if method.startswith("on_") and method not in HOOKS:
            near = difflib.get_close_matches(method, HOOKS, n=1, cutoff=0)
            raise UserError(f"`{name}`: {name_of(piece)}.{method} is never called; did you mean {near[0]}?")
    for method in HOOKS:
        if not takes(getattr(piece, method), 1):
            got = signature_of(getattr(piece, method))
            raise UserError(
                f"`{name}`: `{method}` of {name_of(piece)} must take the state, got {got}; write "
                f"`def {method}(self, state): ...`"
            )
    return piece

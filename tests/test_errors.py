import errno

import pytest

from ablate.errors import UserError, explain, making


def refuse(value):
    raise ValueError(f"not {value}")


class Picky:
    def __init__(self, value):
        refuse_within(value)


def refuse_within(value):
    raise ValueError(f"not {value}")


class PickyItself:
    def __init__(self, value):
        raise ValueError(f"not {value}")


@pytest.mark.parametrize("call", [lambda: refuse(1), lambda: PickyItself(1), lambda: refuse(1, 2)])
def test_what_a_factory_refuses_names_the_setting(call):
    with pytest.raises(UserError, match="`net` cannot be made from its settings"), making("net", __file__):
        _call_from_elsewhere(call)


def test_a_fault_within_a_factory_stays_as_it_is():
    with pytest.raises(ValueError, match="not 1") as caught, making("net", "elsewhere"):
        Picky(1)
    assert not isinstance(caught.value, UserError)
    with pytest.raises(ZeroDivisionError), making("net", __file__):
        _ = 1 / 0


def _call_from_elsewhere(call):
    return call()


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EACCES, "change its permissions"),
        (errno.ENAMETOOLONG, "(8 characters between two slashes)"),
    ],
)
def test_what_the_system_refused_has_a_cure(number, words):
    assert words in explain(OSError(number, "", "/nowhere/data.csv"))


def test_a_move_names_both_files():
    assert explain(OSError(errno.EXDEV, "", "a", None, "b")).startswith("a -> b: ")

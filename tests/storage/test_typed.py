"""Plain data as dataclasses: types, missing and unknown entries."""

from dataclasses import dataclass
from typing import Any

import pytest

from ablate.errors import Unusable
from ablate.storage.typed import as_dataclass


@dataclass(frozen=True, kw_only=True)
class Inner:
    name: str


@dataclass(frozen=True, kw_only=True)
class Outer:
    schema: int
    numbers: list[float]
    inner: list[Inner]
    maybe: dict[str, int | None]
    anything: Any = None
    flag: bool = False


def outer(**changes):
    return {"schema": 2, "numbers": [1, 0.1], "inner": [{"name": "a"}], "maybe": {"x": None, "y": 3}, **changes}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"numbers": ["1"]}, r"numbers\[0\] must be a number, got '1'"),
        ({"numbers": [True]}, r"numbers\[0\] must be a number, got True"),
        ({"numbers": 1}, "numbers must be a list, got 1"),
        ({"inner": [{}]}, r"lacks inner\[0\].name"),
        ({"inner": [3]}, r"inner\[0\] must be a mapping, got 3"),
        ({"maybe": {"x": 0.5}}, "maybe.x must be a whole number or null, got 0.5"),
        ({"maybe": {1: 1}}, "a key of maybe must be a text, got 1"),
        ({"flag": 1}, "flag must be true or false, got 1"),
        ({"schema": "2"}, "schema must be a whole number, got '2'"),
    ],
)
def test_a_wrong_type_is_named(tmp_path, changes, words):
    with pytest.raises(Unusable, match=words):
        as_dataclass(Outer, outer(**changes), tmp_path / "file.json")


def test_all_that_is_missing_is_named(tmp_path):
    with pytest.raises(Unusable, match=r"lacks schema, numbers, inner, maybe$"):
        as_dataclass(Outer, {}, tmp_path / "file.json")


def test_defaults_and_unknown_entries(tmp_path):
    found = as_dataclass(Outer, outer(unknown=3), tmp_path)
    assert found == Outer(schema=2, numbers=[1, 0.1], inner=[Inner(name="a")], maybe={"x": None, "y": 3})


@dataclass(frozen=True, kw_only=True)
class Holder:
    inner: Inner | None


def test_a_dataclass_may_be_absent(tmp_path):
    assert as_dataclass(Holder, {"inner": None}, tmp_path).inner is None
    assert as_dataclass(Holder, {"inner": {"name": "a"}}, tmp_path).inner == Inner(name="a")
    with pytest.raises(Unusable, match=r"lacks inner\.name"):
        as_dataclass(Holder, {"inner": {}}, tmp_path)
    with pytest.raises(Unusable, match="inner must be a mapping, got 3"):
        as_dataclass(Holder, {"inner": 3}, tmp_path)

import math

import pytest

from ablate.config.notation import REFUSED, parse
from ablate.errors import UserError


@pytest.mark.parametrize(
    ("notation", "good", "bad"),
    [
        ("number in [0, 1)", [0, 0.0, 0.5], [1, -0.1, True, "0.5", None, math.nan]),
        ("number in (0, 1]", [1, 1e-9], [0, 1.1]),
        ("number > 0, <= 1e6", [1e-30, 1_000_000], [0, 1_000_001, math.inf, -math.inf]),
        ("number", [-1e300, 0], [math.nan, math.inf, False, "1"]),
        ("whole in [1, 16]", [1, 16, 8.0], [0, 17, 1.5, True, "8", math.nan, math.inf, []]),
        ("max or avg or none", ["max", "none"], ["maxx", "", None, 0]),
        ("same or whole >= 0", ["same", 0], ["sam", -1, True]),
        ("true or false", [True, False], [1, 0, "true", None]),
        ("8", [8, 8.0], ["8", 9, True]),
        ("whole >= 1 or null", [None, 3], ["null", 0]),
        ("text", ["a"], ["", "  ", 1, None, "a\0b"]),
        ("string", ["", "a"], [1, None]),
        ("path", ["a/b", 2024], ["", True, 1.5, None, "a\0b"]),
        ("list of number in (0, 1)", [[], [0.5, 0.1]], [[0], [True], 0.5, "ab", [[0.5]]]),
        ("list of 2 number", [[1, 2]], [[1], [1, 2, 3], [1, None]]),
        ("nonempty list of text", [["a"]], [[], [""], "a"]),
        ("list of (whole >= 1 or nonempty list of whole >= 1)", [[1, [2, 3]], []], [[[]], [0], ["1"]]),
        (
            "mapping of piece",
            [{}, {"a": {"_target_": "x"}}],
            [{"a": {}}, {"a.b": {"_target_": "x"}}, {1: {}}, [], None],
        ),
        ("mapping of number", [{"a=b": 1}], [{"a": "b"}, 1]),
        ("any", [None, [], 1], []),
    ],
)
def test_a_rule_accepts_what_its_notation_says(notation, good, bad):
    rule = parse(notation)
    assert all(rule.accept(value) is not REFUSED for value in good)
    assert [value for value in bad if rule.accept(value) is not REFUSED] == []
    assert rule.describe()


def test_whole_floats_become_integers_where_the_rule_wants_one():
    assert [type(v) for v in parse("list of whole").accept([1e2, 3])] == [int, int]
    assert type(parse("number").accept(3)) is int
    assert parse("path").accept(2024) == "2024"


@pytest.mark.parametrize("notation", ["number in [0 1]", "list of", "whole > x", "a|b", ""])
def test_an_invalid_rule_is_refused(notation):
    with pytest.raises(UserError, match="is not a rule"):
        parse(notation)

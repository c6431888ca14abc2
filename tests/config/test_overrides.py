import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.config.overrides import from_yaml, key_of, over, quoted, text


@pytest.mark.parametrize("content", ["plain", "it's", "a\\b", "a=[1,'x']", "back\\'slash", "two\\\\'s", 'd"q'])
def test_quoted_survives_hydras_grammar(content):
    from hydra.core.override_parser.overrides_parser import OverridesParser

    (override,) = OverridesParser.create().parse_overrides([f"key={quoted(content)}"])
    assert str(override.value()) == content


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False), st.lists))
def test_a_value_survives_hydras_grammar(value):
    from hydra.core.override_parser.overrides_parser import OverridesParser

    (override,) = OverridesParser.create().parse_overrides([f"key={text(value)}"])
    assert override.value() == value


def test_later_overrides_replace_those_of_the_same_key():
    assert over(["a=1", "+b=2", "c=3"], ["b=4", "~c"]) == ["a=1", "b=4", "~c"]
    assert [key_of(word) for word in ("a.b=c=d", "++a", "~a.b")] == ["a.b", "a", "a.b"]


def test_exponents_without_a_point_are_numbers():
    assert [from_yaml(content) for content in ("1e-3", "-2E5", "1e3x", "'1e3'")] == [0.001, -2e5, "1e3x", "1e3"]

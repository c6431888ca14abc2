import pytest
from hydra.errors import HydraException

from ablate.cli.grammar import parse, plainly, values_of
from ablate.config import catalog
from ablate.errors import UserError


@pytest.mark.parametrize(
    ("sweep", "values"),
    [
        ("range(0.1,0.4,0.1)", [0.1, 0.2, 0.3]),
        ("range(0.1,0.35,0.1)", [0.1, 0.2, 0.3]),
        ("range(0.4,0.1,-0.1)", [0.4, 0.3, 0.2]),
        ("range(1e-3,4e-3,1e-3)", [0.001, 0.002, 0.003]),
        ("range(0,1,0.25)", [0.0, 0.25, 0.5, 0.75]),
        ("range(3)", [0, 1, 2]),
        ("range(1,8,3)", [1, 4, 7]),
        ("shuffle(range(4))", [0, 1, 2, 3]),
        ("choice(0.1,'a b',[1,2])", [0.1, "a b", [1, 2]]),
        ("3,null,true", [3, None, True]),
        ("0.7", [0.7]),
    ],
)
def test_the_values_of_a_sweep(sweep, values):
    found = values_of(parse(f"optimizer.lr={sweep}"))
    assert found == values
    assert [type(value) for value in found] == [type(value) for value in values]


def test_a_glob_stands_for_levels():
    assert values_of(parse("activation=glob(*elu)"), ["relu", "tanh", "elu"]) == ["relu", "elu"]


@pytest.mark.parametrize("word", ["=1", "a b=1", "a..b=1", "a=", "a=“b”", "a=[1", "a=foo(1)", "a='b"])
def test_a_word_outside_the_grammar_is_refused_by_name(word):
    with pytest.raises(UserError) as caught:
        parse(word)
    assert repr(word) in str(caught.value)


def test_an_error_of_hydra_becomes_one_line():
    error = HydraException("Could not override 'optimizer.lrr'.\nTo append to your config use +optimizer.lrr=1")
    message = plainly(error, catalog.folders(), ["optimizer=sgd"])
    assert message == "there is no key 'optimizer.lrr'; did you mean optimizer.lr?"


def test_a_key_that_the_chosen_level_lacks_is_not_proposed():
    error = HydraException("Interpolation key 'data.bits' not found\n    full_key: augmentation.bits")
    message = plainly(error, catalog.folders(), ["data=mine"])
    assert "the chosen level of `data` has no key 'bits'; give the value itself, augmentation.bits=VALUE" in message
    assert "did you mean" not in message
    error = HydraException("Interpolation key 'data.bit' not found\n    full_key: augmentation.bits")
    assert plainly(error, catalog.folders()).endswith("did you mean ${data.bits}?")

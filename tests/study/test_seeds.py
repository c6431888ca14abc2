"""The seeds of a study file: a number, a list, a schedule."""

import itertools

import pytest

from ablate.errors import UserError
from ablate.study.seeds import read_seeds
from ablate.study.study import parse


def test_a_schedule_has_all_seeds_and_the_numbers_of_its_looks():
    study = parse("s", {"seeds": {"from": 4, "to": 16, "looks": 4}})
    assert study.seeds == list(range(16)) and study.schedule == [4, 8, 12, 16] and study.looks == 4
    assert read_seeds({"from": 3, "to": 10, "looks": 3, "first": 100}) == (list(range(100, 110)), [3, 7, 10])
    assert parse("s", {"seeds": [5, 7]}).schedule == [] and parse("s", {"seeds": 2, "looks": 3}).looks == 3
    assert study.with_overrides(["trainer.epochs=2"]).schedule == [4, 8, 12, 16]


@pytest.mark.parametrize(("low", "high", "looks"), [(2, 3, 2), (4, 16, 13), (5, 100, 7)])
def test_every_look_adds_seeds(low, high, looks):
    numbers = read_seeds({"from": low, "to": high, "looks": looks}).schedule
    assert numbers[0] == low and numbers[-1] == high and len(numbers) == looks
    assert all(b > a for a, b in itertools.pairwise(numbers))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"seeds": {"from": 4, "to": 16}}, r"`study.seeds.looks` must be given, got from, to alone"),
        ({"seeds": {"from": 4, "to": 6, "looks": 4}}, r"at least one seed at each look, got 4 looks from 4 to 6 seeds"),
        ({"seeds": {"from": 1, "to": 6, "looks": 2}}, r"`study.seeds.from` must be .*, got 1"),
        ({"seeds": {"from": 4, "to": 6, "looks": 1}}, r"`study.seeds.looks` must be .*, got 1"),
        ({"seeds": {"from": 4, "to": 6, "look": 2}}, r"study.seeds has no key look"),
        ({"seeds": {"from": 4, "to": 8, "looks": 2}, "looks": 3}, r"`study.looks` must be that of `study.seeds`, 2"),
        ({"seeds": {"from": 4, "to": 8, "looks": 2, "first": 999_999}}, r"must lie below 1000000"),
        ({"minutes": 0}, r"`study.minutes` must be"),
    ],
)
def test_what_is_no_schedule_is_refused(content, words):
    with pytest.raises(UserError, match=words):
        parse("s", content)

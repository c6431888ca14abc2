import pytest

from ablate.tables import aligned, clock


def test_a_column_of_text_is_aligned_left_and_one_of_numbers_right():
    rows = [["arm", "note", "n"], ["a", "long text", "10"], ["b", "x", ""]]
    assert aligned(rows).splitlines() == ["arm  note        n", "a    long text  10", "b    x"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (59.4, "0:59"), (59.6, "1:00"), (3599, "59:59"), (3600, "1:00:00"), (90_061, "25:01:01")],
)
def test_seconds_as_a_clock(seconds, text):
    assert clock(seconds) == text

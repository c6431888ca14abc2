"""Text in the width of the screen."""

import io
import os
import shlex

import pytest

from ablate import screen


@pytest.fixture
def terminal(monkeypatch):
    """A function (columns) -> a terminal with so many columns."""

    def make(columns):
        monkeypatch.delenv("COLUMNS", raising=False)
        monkeypatch.delenv("LINES", raising=False)
        stream = io.StringIO()
        stream.fileno = lambda: -1
        monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((columns, 24)))
        return stream

    return make


def test_the_width_is_that_of_the_terminal(terminal):
    assert screen.width(terminal(97)) == 97


def test_columns_takes_precedence(terminal, monkeypatch):
    stream = terminal(97)
    monkeypatch.setenv("COLUMNS", "70")
    assert screen.width(stream) == 70
    monkeypatch.setenv("LINES", "24")
    assert screen.width(stream) == 70


def test_a_pipe_has_no_width_unless_columns_alone_is_set(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.delenv("LINES", raising=False)
    assert screen.width(io.StringIO()) is None
    monkeypatch.setenv("COLUMNS", "80")
    assert screen.width(io.StringIO()) == 80
    monkeypatch.setenv("LINES", "24")
    assert screen.width(io.StringIO()) is None


def test_a_path_that_is_too_long_has_its_own_line():
    path = "/".join(["a folder with-hyphens".replace(" ", "_")] * 4)
    assert screen.fitted(f"record {path} is damaged", 40).splitlines() == ["record", path, "  is damaged"]


def test_an_interval_and_a_part_stay_whole():
    line = "supported: of a claim  +3.00 points [−22.41, +28.41]  (2 of 2 failed)"
    whole = ["supported: of a claim", "  +3.00 points [−22.41, +28.41]", "  (2 of 2 failed)"]
    assert screen.fitted(line, 36).splitlines() == whole
    assert screen.fitted("the difference is [−22.41, +28.41]", 30).splitlines()[1] == "  [−22.41, +28.41]"


def test_lines_that_fit_are_as_they_were():
    text = "arm    test %\nrelu     54.1\n\n    measured: 1  against 2"
    assert screen.fitted(text, 26) == text


@pytest.mark.parametrize("columns", [30, 40, 61, 80])
def test_a_command_can_be_copied(columns):
    words = ["ablate", "study=activation", "study.only=[relu_beats_tanh]", "a b=it's", "data.root=/mnt/with a blank"]
    shown = screen.copyable(f"  {shlex.join(words)}", columns)
    assert shlex.split(shown.replace("\\\n", "")) == words
    assert all(len(line) <= max(columns, 40) for line in shown.splitlines())
    assert shown.startswith("  ablate")

"""Every subcommand answers --help and -h, and takes neither for a folder."""

import sys

import pytest

from ablate.cli.main import SUBCOMMANDS, run_command

OPTIONS = {"report": "--watch", "map": "out=FOLDER", "verify": "ARCHIVE", "list": "all", "export": "--to"}


@pytest.mark.parametrize("option", ["--help", "-h"])
@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_help_has_usage_options_and_an_example(name, option, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["ablate", name, option])
    run_command()
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: ablate {name}")
    assert OPTIONS.get(name, "") in shown
    assert f"\n  ablate {name} " in shown or f"\n  ablate {name}\n" in shown  # the example
    assert all(len(line) <= 79 for line in shown.partition("\nfigure\n")[0].splitlines())


def test_help_counts_behind_other_words_too(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["ablate", "verify", "some/folder", "--help"])
    run_command()
    assert capsys.readouterr().out.startswith("usage: ablate verify")

"""What a command that a signal stops says, and when it begins to handle signals."""

import os
import signal
import subprocess
import sys

import pytest

from ablate import stopping
from ablate.cli import main


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ["study=activation", "study.only=[relu_beats_tanh]", "rerun=true"],
            "to continue from the last checkpoint:\n  ablate study=activation 'study.only=[relu_beats_tanh]'\n"
            "it trains no finished run again: one that was still to be trained again\n"
            "keeps its old record; rerun=true trains all of them from the first\n",
        ),
        (["seed=1", "rerun=true"], "to continue from the last checkpoint:\n  ablate seed=1\n"),
        (["recipe=speedrun"], "to continue from the last checkpoint:\n  ablate recipe=speedrun\n"),
        (["report", "my study"], "to start it again:\n  ablate report 'my study'\n"),
    ],
)
def test_the_command_is_shown_as_it_was_typed(monkeypatch, capsys, words, expected):
    """Not with the settings that a study or a recipe stands for."""

    def stop(*arguments):
        raise stopping.Stopped(signal.SIGHUP)

    monkeypatch.setattr(sys, "argv", ["ablate", *words])
    monkeypatch.setattr(main, "compose_and_train", stop)
    monkeypatch.setitem(main.SUBCOMMANDS, "report", stop)
    monkeypatch.setattr(main.console, "abandon", lambda: None)
    with pytest.raises(SystemExit) as ended:
        main.run_command()
    assert ended.value.code == 129
    assert capsys.readouterr().err == f"\nstopped by SIGHUP; {expected}"


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_while_modules_are_imported_is_no_traceback(tmp_path, name):
    (tmp_path / "yaml.py").write_text(f"import os, signal\nos.kill(os.getpid(), signal.{name})\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "ablate", "--help"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 128 + getattr(signal, name)
    assert done.stderr == f"\nstopped by {name} before anything was begun\n"

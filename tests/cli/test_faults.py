"""A user's mistake is one line; a bug, in the program or in the user's code, is shown with its traceback."""

import subprocess
import sys
from functools import partial

import pytest
import torch

from ablate.cli.planning import make
from ablate.errors import UserError

OWN = """
import torch


class Careful(torch.nn.Module):
    def __init__(self, slope):
        super().__init__()
        if slope < 0:
            raise ValueError(f"slope must be at least 0, got {slope}")

    def forward(self, x):
        return x.relu()


class Plain(torch.nn.Module):
    pass


class NoArguments:
    pass


class Faulty(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.table = {}["missing"]


class Deep(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = parse("abc")


def parse(text):
    return float(text)


class Typed(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.nn.ReLU(nothing=1)
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own_pieces.py").write_text(OWN)
    (tmp_path / "broken_pieces.py").write_text("import torch\nvalue = torch.nothing_there\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"_target_": "own_pieces.Careful", "slope": -1}, "activation: slope must be at least 0, got -1"),
        ({"_target_": "own_pieces.Careful", "slop": 1}, "activation: .*unexpected keyword argument 'slop'"),
        (
            {"_target_": "own_pieces.Careful"},
            r"activation: .*missing 1 required positional argument: 'slope'; give its arguments in its level \(slope: "
            r"VALUE\), or, if the run is to call it with them, add `_partial_: true`",
        ),
        ({"_target_": "own_pieces.Plain", "fit": 1}, "unexpected keyword argument 'fit'; remove fit, or, .*NAME.yaml"),
        ({"_target_": "own_pieces.NoArguments", "fit": 1}, "takes no arguments; remove its arguments, or"),
        ({"_target_": "own_pieces.Carefull", "slope": 1}, "Did you mean own_pieces.Careful?"),
        ({"_target_": "own_piecess.Careful", "slope": 1}, "Did you mean own_pieces.Careful?"),
        ({"_target_": "own_pieces.Carefull", "slope": 1}, "Carefull.*import path.*PYTHONPATH"),
        ({"_target_": "own_piece.Careful", "slope": 1}, "No module named 'own_piece'.*PYTHONPATH"),
        ({"_target_": "own_pieces..Careful"}, "activation: .*own_pieces..Careful"),
    ],
)
def test_a_refused_setting_of_a_level_is_a_users_mistake(own, settings, words):
    with pytest.raises(UserError, match=words):
        make("activation", settings)


@pytest.mark.parametrize("name", ["own_pieces.Faulty", "own_pieces.Deep", "own_pieces.Typed", "broken_pieces.X"])
def test_an_error_within_a_piece_is_a_bug(own, name):
    with pytest.raises(Exception, match=r"Error|missing|float|nothing") as caught:  # Hydra 1.4 does not wrap it
        make("activation", {"_target_": name})
    assert not isinstance(caught.value, UserError)


def test_mistakes_and_bugs_differ_for_the_factories_of_a_run(own, make_run):
    import own_pieces

    with pytest.raises(UserError, match="`activation` cannot be made from its settings: slope must"):
        make_run(activation=partial(own_pieces.Careful, -1))
    with pytest.raises(UserError, match=r"`activation` cannot be made.*'size'"):
        make_run(activation=partial(torch.nn.ReLU, size=1))
    for faulty, kind in ((own_pieces.Faulty, KeyError), (own_pieces.Deep, ValueError), (own_pieces.Typed, TypeError)):
        with pytest.raises(kind) as caught:
            make_run(activation=faulty)
        assert not isinstance(caught.value, UserError)


def test_the_command_shows_a_bug_with_its_traceback_and_how_to_report_it(own, tmp_path):
    def ablate(*words):
        line = [sys.executable, "-m", "ablate", "data=shapes", "data.train_size=200", "net=micro", *words]
        return subprocess.run(line, capture_output=True, text=True, cwd=own)

    result = ablate("activation._target_=own_pieces.Faulty")
    assert result.returncode == 1
    assert "Traceback" in result.stderr and "KeyError: 'missing'" in result.stderr
    last = result.stderr.splitlines()[-1]
    assert last.startswith("ablate: this is a bug") and "activation._target_=own_pieces.Faulty" in last
    assert "HYDRA_FULL_ERROR" not in result.stderr
    for words in (["net.widths=[1"], ["preprocessing.steps.standardize=[]"], ["+hydra/launcher=nowhere"]):
        result = ablate(*words)
        assert (result.returncode, result.stderr.count("\n")) == (2, 1), result.stderr
        assert result.stderr.startswith("ablate: ")

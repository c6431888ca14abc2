"""A program that runs from its source, without being installed, as on a computer without a network."""

from importlib.metadata import PackageNotFoundError

import pytest

from ablate import installed
from ablate.cli.ending import end_with
from ablate.study.registration import plan_of
from ablate.study.study import Study
from ablate.training.environment import environment


@pytest.fixture
def not_installed(monkeypatch):
    def version(package):
        raise PackageNotFoundError(package)

    monkeypatch.setattr(installed, "version", version)


def test_a_study_is_planned(not_installed):
    assert plan_of(Study(name="s"), [])["program"]["ablate"] is None


def test_a_record_has_its_environment(not_installed):
    assert environment("cpu", "fp32", 1)["versions"]["ablate"] is None


def test_a_fault_is_shown_as_it_is(not_installed, capsys):
    with pytest.raises(SystemExit):
        end_with(RuntimeError("the fault itself"))
    assert "this is a bug" in capsys.readouterr().err

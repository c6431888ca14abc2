"""The files and commands of docs/foreign_runs.md do what the page says."""

import os
import re
import shlex
import sys
from pathlib import Path

import pytest

from ablate.cli.judge import judge_command
from ablate.cli.program_study import do_program_study
from ablate.config import catalog

PAGE = Path(__file__).resolve().parents[2] / "docs" / "foreign_runs.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def page(tmp_path, monkeypatch, capsys):
    """A function (beginning of a command, further words) -> what its commands on the page print."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    blocks = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    for _, block in blocks:
        head, _, content = block.partition("\n")
        if head.startswith("# file: "):
            path = tmp_path / head.removeprefix("# file: ")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
    lines = [line for kind, block in blocks if kind == "bash" for line in block.splitlines()]

    def go(beginning, *more):
        printed = []
        for line in lines:
            words = [*shlex.split(line, comments=True), *more]
            if not line.startswith(beginning):
                continue
            if words[1] == "judge":
                judge_command(words[2:], [])
            else:
                assert words[1:3] == ["--config-dir", "mine"]
                do_program_study(words[3:], [*catalog.folders(), tmp_path / "mine"], shlex.join(words))
            printed.append(capsys.readouterr().out)
        return printed

    return go


def test_a_study_of_a_numpy_program(page):
    plan, result, again = page("ablate --config-dir mine study=scaling")
    assert plan.splitlines()[-1] == "python train.py --scaling standardize --lr 0.01 --seed 0"
    assert "18 of 18 tuning" not in plan
    assert "Standardized inputs are better than raw ones." in result
    assert "supported" in result
    assert "no run is left" in again
    assert again.splitlines()[-3:] == result.splitlines()[-3:]


def test_a_study_of_a_torch_program(page):
    (result,) = page("ablate --config-dir mine study=circle", "study.seeds=1")
    assert "inconclusive: A circle needs an activation." in result


def test_results_that_are_there(page):
    plain, declared = page("ablate judge")
    assert "supported: ReLU is better than tanh." in plain
    assert "studies/declared-" in declared

import csv

import pytest

from ablate.cli.judge import judge_command
from builders.foreign import CLAIMS


@pytest.fixture
def judge(tmp_path, monkeypatch, capsys):
    """A function (results, words) -> (rows of verdicts.csv, study's folder, what was printed)."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "claims.yaml").write_text(CLAIMS)

    def go(results, *words, claims="claims.yaml"):
        judge_command([str(results), "--claims", str(claims), *words], [])
        printed = capsys.readouterr()
        page = tmp_path / printed.out.split()[-1]
        with (page.parent / "verdicts.csv").open(encoding="utf-8") as file:
            return list(csv.DictReader(file)), page.parent, printed

    return go

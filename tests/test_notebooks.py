"""Every notebook runs from top to bottom."""

import json
from pathlib import Path

import matplotlib
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "docs" / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    matplotlib.use("agg")
    cells = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    names = {"__name__": "__main__"}
    for number, cell in enumerate(cells, 1):
        assert not cell["outputs"], f"cell {number} is committed with outputs, which no test holds to the code"
        exec(compile("".join(cell["source"]), f"{path.name}, cell {number}", "exec"), names)
    results = names["results"]
    assert set(results.runs.state) == {"finished"}
    assert len(results.histories) == 12
    out = capsys.readouterr().out
    assert "6/6" in out  # the output of the command is shown
    assert out.count("exploratory") >= 2
    matplotlib.pyplot.close("all")


def test_there_is_a_notebook():
    assert NOTEBOOKS

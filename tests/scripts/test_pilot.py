"""scripts/pilot.py: which controls passed at which budget."""

import importlib.util
from pathlib import Path

import pytest

from ablate.report.budget_map import budget_map
from builders.budgets import at

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "pilot.py"
RELU_WINS, TANH_WINS = {"relu": 160, "tanh": 120}, {"relu": 120, "tanh": 160}


@pytest.fixture
def pilot():
    spec = importlib.util.spec_from_file_location("pilot", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_names_the_least_budget_at_which_all_holds(pilot, tmp_path):
    folders = [at(tmp_path, "s-b", RELU_WINS, images=400), at(tmp_path, "s-a", TANH_WINS, images=100)]
    shown = pilot.page(budget_map("s", folders))
    head, _, row = [line for line in shown.splitlines() if line.startswith("|")]
    assert head == "| statement | width 12, 100 images, 1 epoch | width 12, 400 images, 1 epoch |"
    assert row.startswith("| ReLU wins. | ✗ contradicted: −20.00 points [") and "| ✓ supported: +20.00 points [" in row
    assert "All statements hold from width 12, 400 images, 1 epoch on." in shown
    assert "At none of these budgets do all statements hold." in pilot.page(budget_map("s", folders[1:]))


def test_without_finished_studies_it_says_so(pilot, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["pilot.py", str(tmp_path)])
    with pytest.raises(SystemExit, match="found no study pilot in"):
        pilot.main()

"""scripts/gpu_lab.py at a toy size on the CPU, where nothing is captured: two runs of one seed are equal."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "gpu_lab.py"


@pytest.fixture
def lab(monkeypatch):
    spec = importlib.util.spec_from_file_location("gpu_lab", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "gpu_lab", module)  # its dataclass looks there
    spec.loader.exec_module(module)
    return module


def test_equal_runs_are_shown_as_equal_and_other_runs_are_not(lab, tmp_path, monkeypatch):
    monkeypatch.setattr(lab, "EQUAL", {"fp32": []})
    output = tmp_path / "lab.jsonl"
    words = ["equal", "--device", "cpu", "--output", str(output)]
    lab.main(words)
    seeds = iter(range(3))
    make = lab.weights_and_losses
    monkeypatch.setattr(lab, "weights_and_losses", lambda run: make(lab.dataclasses.replace(run, seed=next(seeds))))
    lab.main(words)
    same, other = map(json.loads, output.read_text().splitlines())
    assert (same["twice"], same["captured"], same["same_losses"]) == (0.0, 0.0, True)
    assert other["twice"] > 0 and not other["same_losses"]


def test_the_bounds_of_a_step_are_counted(lab, tmp_path, monkeypatch):
    monkeypatch.setattr(lab, "NETS", {"micro": ["net=micro", "trainer.batch_size=32"]})
    output = tmp_path / "lab.jsonl"
    lab.main(["bounds", "--device", "cpu", "--output", str(output)])
    row = json.loads(output.read_text())
    assert row["mflop_an_image"] == 15.44  # as counted on the H200: it does not depend on the device
    assert row["mb_an_image"] > 1

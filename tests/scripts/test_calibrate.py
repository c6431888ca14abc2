"""The calibration script runs, checks itself against `decide`, and its committed output is complete."""

import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]


def layout(text: str) -> list[str]:
    """Return titles and table rows without their numbers and bold type."""
    return [re.sub(r"[\d.*]+", "", line) for line in text.splitlines() if line.startswith(("## ", "| "))]


@pytest.fixture(scope="module")
def calibrate() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("calibrate", ROOT / "scripts" / "calibrate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["calibrate"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["calibrate"]


def test_quick_run_writes_every_section(calibrate: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "docs" / "calibration.md"
    monkeypatch.setattr(sys, "argv", ["calibrate.py", "--quick", "--output", str(output)])
    calibrate.main()
    text = output.read_text(encoding="utf-8")
    committed = (ROOT / "docs" / "calibration.md").read_text(encoding="utf-8")
    assert "nan" not in text
    assert "100 repetitions a cell" in text
    # The committed document has the same sections and cells, from more repetitions.
    assert layout(text) == layout(committed)
    assert int(re.search(r"(\d+) repetitions a cell", committed)[1]) >= 20_000


def test_rates_are_reproducible_and_carry_their_error(calibrate: ModuleType) -> None:
    rate = calibrate.Rate([True] * 5 + [False] * 95)
    assert str(rate) == f"5.00 ± {100 * (0.05 * 0.95 / 100) ** 0.5:.2f}"
    assert calibrate.Rate([False] * 100).se == pytest.approx((0.005 * 0.995 / 100) ** 0.5)
    one, other = (calibrate.looks(np.random.default_rng(1), 50) for _ in range(2))
    assert [[str(cell) for cell in row] for row in one] == [[str(cell) for cell in row] for row in other]


def test_a_wrong_vectorisation_would_be_noticed(calibrate: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    d = np.random.default_rng(0).normal(1.0, 1, (50, 5, 3))
    calibrate.outcomes(d, 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(calibrate.special, "stdtr", lambda df, t: np.full_like(t, 0.2))
        with pytest.raises(AssertionError):
            calibrate.outcomes(d, 0.0)


def test_wrong_looks_would_be_noticed(calibrate: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    d = np.random.default_rng(0).normal(1.0, 1, (10, 16, 3))
    found = calibrate.looked_at(d, 0.5)
    assert set(found.seeds.ravel().tolist()) == {8, 12, 16} and found.decided.any() and not found.decided.all()
    with monkeypatch.context() as patch:
        patch.setattr(calibrate, "steps_down", lambda p, left, levels: p < 0.05)  # no correction for the family
        with pytest.raises(AssertionError):
            calibrate.looked_at(d, 0.5)


def test_a_budget_takes_whole_looks_of_the_claim_that_is_nearest(calibrate: ModuleType) -> None:
    d = np.random.default_rng(1).standard_normal((50, 16, 3))
    reach = calibrate.by_budget(d, 0.0, 2)
    assert (reach.sum(axis=1) <= 3 + 2).all() and reach.max() == 3 and reach.min() == 1

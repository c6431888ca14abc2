"""The rooms and their ranks: a module imports from lower ranks only."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "ablate"
RANKS = {
    "errors": -3,
    "overrides": -2,
    "typed": -2,
    "integrity": -1,
    "console": 0,
    "paths": 0,
    "layers": 0,
    "seeding": 0,
    "scoring": 0,
    "hardware": 0,
    "identity": 0,
    "declaration": 1,
    "record": 0,
    "statistics": 0,
    "tables": 0,
    "catalog": -1,
    "claim": 0,
    "plotting": 0,
    "notation": -1,
    "schema": 0,
    "study": 1,
    "study_files": 2,
    "keys": 1,
    "grammar": 2,
    "options": 2,
    "words": 3,
    "arguments": 4,
    "manifest": 2,
    "results": 3,
    "judging": 4,
    "optimization": 0,
    "regularization": 0,
    "data": 1,
    "nets": 1,
    "diagnostics": 2,
    "training": 2,
    "home": 2,
    "sources": 1,
    "callbacks": 3,
    "tensorboard": 3,
    "tracking": 3,
    "unsaved": 3,
    "evaluation": 3,
    "run": 4,
    "report": 5,
    "watch": 4,
    "forecast": 5,
    "collection": 3,
    "sweep": 5,
    "figures": 5,
    "drafting": 7,
    "planning": 6,
    "composition": 5,
    "jobs": 7,
    "cli": 8,
    "__main__": 9,
    "__init__": 9,
}
# Where each third-party package may be imported; a package that is not named may be imported anywhere.
HYDRA_IN = {"planning", "composition", "drafting", "cli", "grammar", "words", "arguments"}
NO_TORCH_IN = {
    "composition",
    "identity",
    "sources",
    "integrity",
    "typed",
    "declaration",
    "paths",
    "console",
    "home",
    "record",
    "tables",
    "catalog",
    "plotting",
    "keys",
    "grammar",
    "options",
    "words",
    "arguments",
    "claim",
    "study",
    "manifest",
    "results",
    "notation",
    "schema",
    "watch",
    "judging",
    "sweep",
    "report",
    "cli",
    "statistics",
}


def room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """The dotted names that a module imports, at its top or in a function."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


FILES = sorted(SOURCE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_module_imports_from_lower_ranks_only(path):
    mine = room(path)
    for name in imported(path):
        package, _, rest = name.partition(".")
        if package == "ablate" and rest:
            other = rest.partition(".")[0]
            assert other == mine or RANKS[other] < RANKS[mine], f"{mine} imports {other}"
        if package in ("hydra", "omegaconf"):
            assert mine in HYDRA_IN, f"{mine} imports {package}"
        if package in ("torch", "torchvision"):
            assert mine not in NO_TORCH_IN, f"{mine} imports {package}"


def test_every_room_has_a_rank():
    assert {room(path) for path in FILES} == set(RANKS)


@pytest.mark.parametrize("module", ["ablate.cli", "ablate.catalog", "ablate.report"])
def test_light_modules_load_nothing_heavy(module):
    code = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert module in loaded
    assert not {"torch", "hydra", "tensorboard", "numpy"} & set(loaded)

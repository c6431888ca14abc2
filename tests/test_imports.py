"""The rooms and their ranks: a module imports from lower ranks only."""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "ablate"
RANKS = {
    "errors": 0,
    "installed": 0,
    "seeding": 0,
    "signatures": 0,
    "stopping": 0,
    "screen": 0,
    "tables": 0,
    "statistics": 0,
    "layers": 1,
    "nets": 2,
    "muon": 1,
    "optimization": 1,
    "regularization": 3,
    "config": 1,
    "storage": 2,
    "data": 3,
    "training": 4,
    "diagnostics": 5,
    "study": 5,
    "judging": 6,
    "report": 7,
    "sweep": 8,
    "lecture": 8,
    "foreign": 9,
    "export": 9,
    "cli": 10,
    "__main__": 11,
    "__init__": 11,
}
HYDRA_IN = {"cli"}
# Packages, and modules of others, that start without torch.
NO_TORCH_IN = (
    "errors",
    "installed",
    "signatures",
    "stopping",
    "screen",
    "tables",
    "statistics",
    "config",
    "storage",
    "study",
    "judging",
    "sweep",
    "report",
    "foreign",
    "export",
)
NO_TORCH_IN += (
    "training/identity",
    "training/record",
    "training/directory",
    "training/sources",
    "cli/main",
    "cli/ending",
)


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
            place = path.relative_to(SOURCE).with_suffix("").as_posix()
            assert not f"{place}/".startswith(tuple(f"{name}/" for name in NO_TORCH_IN)), f"{place} imports {package}"


def test_every_room_has_a_rank():
    assert {room(path) for path in FILES} == set(RANKS)


@pytest.mark.parametrize("module", ["ablate.cli.main", "ablate.config.catalog", "ablate.report"])
def test_light_modules_load_nothing_heavy(module):
    code = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert module in loaded
    assert not {"torch", "hydra", "tensorboard", "numpy"} & set(loaded)


def at_module_level(path: Path) -> set[str]:
    """The modules of ablate, dotted, that a module imports outside functions, for types too."""
    modules = {module_name(path) for path in FILES}
    needed = set()
    statements = ast.parse(path.read_text(encoding="utf-8")).body
    while statements:
        node = statements.pop()
        if isinstance(node, ast.If | ast.Try | ast.With | ast.ClassDef):
            statements += [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]
        elif isinstance(node, ast.Import):
            needed |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            submodules = {f"{node.module}.{alias.name}" for alias in node.names} & modules
            # `from package import module` needs the module, not what the package's __init__ imports.
            needed |= submodules if len(submodules) == len(node.names) else {*submodules, node.module}
    return (needed & modules) - {module_name(path)}


def module_name(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_no_modules_import_one_another_in_a_circle():
    needed = {module_name(path): at_module_level(path) for path in FILES}
    try:
        TopologicalSorter(needed).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))

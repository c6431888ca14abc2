"""The scripts that try other versions and measure a process."""

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def versions():
    spec = importlib.util.spec_from_file_location("versions", REPOSITORY / "scripts" / "versions.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_lowest_versions_are_those_of_pyproject(versions):
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert len(versions.lowest()) == len({*project["dependencies"], *project["optional-dependencies"]["launchers"]})
    assert "hydra-core==1.3" in versions.lowest()
    light = versions.environments("python")["lowest-light"].requirements
    assert set(versions.lowest()) - set(light) == {line for line in versions.lowest() if line.startswith("torch")}


def test_the_smoke_tests_exist(versions):
    assert all((REPOSITORY / path).exists() for path in versions.SMOKE)


def test_versions_that_cannot_be_installed_are_said_and_not_a_failure(versions, tmp_path):
    nowhere = versions.Environment(requirements=["ablate-no-such-package"], over=True, options=["--no-index"])
    line = versions.run_set("none", nowhere, tmp_path, [])
    assert line.startswith("not run: ") and str(tmp_path / "none.log") in line


def test_the_security_page_names_the_lowest_versions(versions):
    page = (REPOSITORY / "SECURITY.md").read_text()
    for name, lowest in re.findall(r"^\| (torch|pillow|filelock|jinja2) \| ([\d.]+) \|", page, re.MULTILINE):
        assert f"{name}=={lowest}" in versions.lowest()

"""What wheel and sdist hold: all that the program, the documents and the licence need, and nothing else."""

import email
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("src", "conf", "tests", "scripts", "docs", ".ci", ".github")
TEXTS = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "CODE_OF_CONDUCT.md", "LICENSE", "CITATION.cff")


def files_below(folder):
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {path.as_posix() for path in found if "__pycache__" not in path.parts and path.suffix != ".pyc"}


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    """The names of the files in the sdist, without its first folder."""
    folder = tmp_path_factory.mktemp("sdist")
    command = [sys.executable, "-m", "build", "--sdist", "--outdir", folder, ROOT]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    (archive,) = folder.glob("ablate-*.tar.gz")
    with tarfile.open(archive) as content:
        return {name.partition("/")[2] for name in content.getnames()}


def test_the_sdist_holds_the_project(sdist):
    wanted = {f"{folder}/{name}" for folder in FOLDERS for name in files_below(ROOT / folder)} | set(TEXTS)
    assert sorted(wanted - sdist) == []
    assert any(name.startswith("docs/images/figures/") for name in sdist)
    assert not any(name.startswith(("outputs/runs", "data/", ".venv")) for name in sdist)


def test_the_sdist_holds_what_git_has(sdist):
    if not (ROOT / ".git").exists():
        pytest.skip("not a git repository, such as an unpacked sdist")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    tracked = {name for name in listed.split("\0") if name and (ROOT / name).exists()}
    assert sorted(tracked - sdist) == []


def test_the_wheel_holds_the_program_and_its_licence(installed):
    for source, target in (("src/ablate", "ablate"), ("src/hydra_plugins", "hydra_plugins"), ("conf", "ablate/conf")):
        assert sorted(files_below(ROOT / source) - files_below(installed / target)) == [], source
    (information,) = installed.glob("ablate-*.dist-info")
    assert (information / "licenses" / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    metadata = email.message_from_string((information / "METADATA").read_text(encoding="utf-8"))
    assert (metadata["Name"], metadata["License-Expression"]) == ("ablate", "MIT")
    assert metadata.get_payload().startswith("# ablate")
    assert {path.name for path in installed.iterdir()} == {"ablate", "hydra_plugins", "bin", information.name}


def test_citation_and_package_say_the_same():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    (version,) = re.findall(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.M)
    assert (citation["version"], citation["license"]) == (version, "MIT")
    assert citation["cff-version"] == "1.2.0" and citation["title"] == "ablate"
    assert [author["name"] for author in citation["authors"]] == ["the ablate authors"]


def test_the_workflow_runs_the_check_and_forms_are_complete():
    workflow = yaml.safe_load((ROOT / ".github/workflows/check.yml").read_text(encoding="utf-8"))
    (job,) = workflow["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
    assert workflow[True] == {"push": {"branches": ["main"]}, "pull_request": None}  # YAML 1.1 reads `on` as true
    forms = [path for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml"]
    assert len(forms) == 3
    for path in forms:
        form = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert form["name"] and form["description"] and len({part["id"] for part in form["body"]}) == len(form["body"])
        assert all(part["attributes"]["label"] for part in form["body"]), path.name


def test_no_message_installs_the_other_project_of_this_name():
    """In the index, `ablate` is another project, with or without an extra."""
    files = [*ROOT.glob("src/**/*.py"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("docs/**/*.ipynb"), ROOT / "README.md"]
    lines = [(path.name, line) for path in files for line in path.read_text(encoding="utf-8").splitlines()]
    assert len(lines) > 10_000
    wrong = re.compile(r"(?<!Do not run `)pip install (-\S+ )*['\"]?ablate\b")
    assert [found for found in lines if wrong.search(found[1])] == []

#!/usr/bin/env python
"""Make an environment for each set of versions and run tests in it; print what was installed and how it ended.

    scripts/versions.py [SET ...] [--all | --tests PATH ...] [--folder DIR] [--python PYTHON]

Without SET it does all of them, without --all and --tests it runs the tests in SMOKE.

| set | versions |
|---|---|
| newest | the newest that pyproject.toml allows |
| lowest | the lowest that it allows, of the packages it names |
| lowest-light | the same without torch and torchvision, over those of the environment that runs this script |
| hydra-1.3 | hydra-core 1.3, over the environment that runs this script |
| hydra-1.4 | hydra-core 1.4 with its launchers, pre-releases too, over the environment that runs this script |
| torch-next | the newest torch and torchvision, pre-releases too |
| python-3.12, python-3.13, ... | the newest versions, with that interpreter if it is on PATH |

`newest`, `lowest`, `torch-next` and the interpreters install torch (some GB each). With hydra-1.4, deprecation warnings
of Hydra are errors. `--all` runs the whole suite. A set whose interpreter or versions cannot be had is named and
skipped. The exit status is 1 if tests failed in a set.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
SMOKE = (
    *("tests/cli/test_hydra_version.py", "tests/cli/test_composition.py", "tests/cli/test_faults.py"),
    *("tests/storage", "tests/test_imports.py", "tests/test_tables.py", "tests/training/test_golden.py"),
    *("tests/training/test_tensorboard.py", "tests/report/test_page.py", "tests/sweep/test_one_run.py"),
)
HEAVY = ("torch", "torchvision")


@dataclass(frozen=True, kw_only=True)
class Environment:
    """What to install, in which interpreter, and on top of what.

    Args:
        requirements: of pip.
        python: the interpreter.
        over: install without dependencies, in front of the packages of the running environment.
        options: of pip.
        variables: of the environment in which the tests run.
    """

    requirements: list[str]
    python: str = sys.executable
    over: bool = False
    options: list[str] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)


def lowest() -> list[str]:
    """Return the lowest versions that pyproject.toml allows, as requirements.

    >>> "torch==2.10" in lowest()
    True
    """
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = [*project["dependencies"], *project["optional-dependencies"]["launchers"]]
    return [f"{found[1]}=={found[2]}" for line in named if (found := re.match(r"([\w-]+)>=([\w.]+)", line))]


def environments(python: str) -> dict[str, Environment]:
    """Return the sets by name."""
    own = f"{REPOSITORY}[dev]"
    light = [line for line in lowest() if line.partition("==")[0] not in HEAVY]
    hydra = ["hydra-core==1.4.*", "omegaconf==2.4.*", "hydra-joblib-launcher==1.4.*", "hydra-submitit-launcher==1.4.*"]
    found = {
        "newest": Environment(requirements=[own], python=python),
        "lowest": Environment(requirements=[own, *lowest()], python=python),
        "lowest-light": Environment(requirements=light, over=True),
        "hydra-1.3": Environment(requirements=["hydra-core==1.3.*", "omegaconf==2.3.*"], over=True),
        "hydra-1.4": Environment(
            requirements=hydra,
            over=True,
            options=["--pre"],
            variables={"HYDRA_DEPRECATION_WARNINGS_AS_ERRORS": "1"},
        ),
        "torch-next": Environment(requirements=[own, *HEAVY], python=python, options=["--pre", "--upgrade"]),
    }
    for minor in range(12, 20):
        if interpreter := shutil.which(f"python3.{minor}"):
            found[f"python-3.{minor}"] = Environment(requirements=[own], python=interpreter)
    return found


def run_set(name: str, environment: Environment, folder: Path, tests: list[str]) -> str:
    """Install a set, run the tests, and return how it ended in one line."""
    place = folder / name
    variables = {**os.environ, "OMP_NUM_THREADS": "1", **environment.variables}
    if environment.over:
        pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--target", str(place)]
        python = sys.executable
        variables["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # entry points of the versions below are seen too
        variables["PYTHONPATH"] = os.pathsep.join([str(place), str(REPOSITORY / "src")])
    else:
        subprocess.run([environment.python, "-m", "venv", str(place)], check=True)
        python = str(place / "bin" / "python")
        pip = [python, "-m", "pip", "install"]
    log = folder / f"{name}.log"
    with log.open("w", encoding="utf-8") as file:
        command = [*pip, "--quiet", "--disable-pip-version-check", *environment.options, *environment.requirements]
        if subprocess.run(command, stdout=file, stderr=subprocess.STDOUT).returncode:
            return f"not run: these versions cannot be installed, see {log}"
    shown = [line.partition("==")[0].partition("[")[0] for line in environment.requirements if "/" not in line]
    names = sorted({*shown, "torch", "hydra-core", "numpy"})
    ask = "import sys; from importlib.metadata import version as v; print(sys.version.split()[0], *(f'{n} {v(n)}' "
    ask += f"for n in {names!r}))"
    versions = subprocess.run([python, "-c", ask], env=variables, capture_output=True, text=True).stdout.strip()
    start = time.monotonic()
    with log.open("a", encoding="utf-8") as file:
        command = [python, "-m", "pytest", "-q", "-p", "no:xdist", *tests]
        status = subprocess.run(
            command, env=variables, cwd=REPOSITORY, stdout=file, stderr=subprocess.STDOUT
        ).returncode
    last = log.read_text(encoding="utf-8").strip().splitlines()[-1]
    ended = "passed" if status == 0 else "FAILED"
    return f"{ended} in {time.monotonic() - start:.0f} s: Python {versions}; {last.strip('= ')}; {log}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", metavar="SET")
    parser.add_argument("--all", action="store_true", help="run the whole suite")
    parser.add_argument("--tests", nargs="+", default=SMOKE, metavar="PATH", help="run these")
    parser.add_argument("--folder", type=Path, default=None, help="where the environments are made and kept")
    parser.add_argument("--python", default=sys.executable, help="interpreter of newest, lowest and torch-next")
    args = parser.parse_args()
    known = environments(args.python)
    if unknown := [name for name in args.sets if name not in known]:
        parser.error(f"there is no set {unknown[0]}, or its interpreter is not on PATH; known are {', '.join(known)}")
    folder = args.folder or Path(tempfile.mkdtemp(prefix="ablate-versions-"))
    folder.mkdir(parents=True, exist_ok=True)
    failed = False
    for name in args.sets or known:
        line = run_set(name, known[name], folder.resolve(), [] if args.all else list(args.tests))
        print(f"{name}: {line}", flush=True)
        failed |= line.startswith("FAILED")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

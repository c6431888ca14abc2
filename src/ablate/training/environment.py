"""The environment in a record: hardware, versions, and the commits of the code."""

import functools
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ablate.installed import version_of


def environment(device: str, precision: str, threads: int, own_files: Sequence[Path] = ()) -> dict[str, Any]:
    """Return what may change the last digits of a run's results: hardware, versions, commits.

    Args:
        device, precision, threads: as resolved.
        own_files: the user's own code in this run, whose repository is named; if empty, that of the current folder is.
    """
    return {
        "device": device,
        "device_name": torch.cuda.get_device_name() if device == "cuda" else cpu_name(),
        "precision": precision,
        "threads": threads,
        "host": platform.node(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "versions": {
            name: version_of(name) for name in ("ablate", "torch", "torchvision", "numpy", "hydra-core", "omegaconf")
        },
        "cuda": torch.version.cuda if device == "cuda" else None,
        "cudnn": torch.backends.cudnn.version() if device == "cuda" else None,
        "ablate_git_commit": git_commit(),
        **own_repository(tuple(own_files)),
    }


@functools.cache
def cpu_name() -> str:
    """Return the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


@functools.cache
def git_commit() -> str | None:
    """Return the commit of the repository this package is in ("+" appended: with changes), None outside one."""
    here = Path(__file__).resolve()
    if git(here.parent, "ls-files", "--error-unmatch", here.name) is None:  # a venv inside another repository
        return None
    return commit_of(here.parent)


@functools.cache
def own_repository(files: tuple[Path, ...] = ()) -> dict[str, str | None]:
    """Return name and commit ("+" appended: with changes) of the user's repository, None if there is none.

    Args:
        files: the user's own code, whose repository is meant; if empty, that of the current folder. A file that is not
            under version control counts as a change.
    """
    folder = files[0].parent if files else Path.cwd()
    top = git(folder, "rev-parse", "--show-toplevel")
    here = Path(__file__).resolve()
    if top is None or (here.is_relative_to(Path(top).resolve()) and git_commit() is not None):
        return {"own_repository": None, "own_git_commit": None}
    commit = commit_of(folder)
    inside = [str(file.resolve()) for file in files if file.resolve().is_relative_to(Path(top).resolve())]
    if commit and inside and git(folder, "ls-files", "--error-unmatch", *inside) is None:
        commit = commit.removesuffix("+") + "+"
    return {"own_repository": Path(top).name, "own_git_commit": commit}


def commit_of(folder: Path) -> str | None:
    """Return the commit that is checked out in a repository, with "+" appended if files differ from it."""
    commit = git(folder, "rev-parse", "HEAD")
    changes = git(folder, "status", "--porcelain", "--untracked-files=no")
    return None if commit is None or changes is None else commit + ("+" if changes else "")


def git(folder: Path, *arguments: str) -> str | None:
    """Return what git prints, None if it fails or is not installed."""
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()

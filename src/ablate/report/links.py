"""Safe names of folders, and links by which TensorBoard finds runs under them."""

import os
import re
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path

from ablate.storage.paths import safe_name


def folder_names(labels: Iterable[str]) -> list[str]:
    """Return a folder name for each label: readable, safe for a shell, and unique.

    A comma separates the parts of a label; any other unusual character becomes "_".

    Example:
        >>> folder_names(["activation=relu lr=0.1", "a/b", "a:b"])
        ['activation=relu,lr=0.1', 'a_b', 'a_b-2']
    """
    names: list[str] = []
    for label in labels:
        name = stem = safe_name(re.sub(r"\s+", ",", label.strip())).strip(".,-") or "arm"
        number = 2
        while name in names:
            name, number = f"{stem}-{number}", number + 1
        names.append(name)
    return names


def link_runs(folder: Path, runs: Mapping[str, Path]) -> None:
    """Make `folder`/<name> a relative link to each run's folder; an old link is replaced, anything else is kept.

    Args:
        folder: created if it does not exist.
        runs: {name: run's folder}; a name may have several parts, <arm>/seed-<s>.
    """
    for name, run in runs.items():
        link = folder / name
        target = os.path.relpath(run, link.parent)
        link.parent.mkdir(parents=True, exist_ok=True)
        if (link.is_symlink() and os.readlink(link) == target) or (link.exists() and not link.is_symlink()):
            continue
        temporary = link.with_name(f".{uuid.uuid4().hex}")
        temporary.symlink_to(target, target_is_directory=True)
        temporary.replace(link)

"""Advice for a `_target_` that was not found."""

import difflib
import importlib
import re
from pathlib import Path


def suggestion(problem: str) -> str:
    """Return the name most like one that was not found: in its module, or with a module of the current folder.

    >>> suggestion("Error locating target 'torch.nn.ReLu', set env var HYDRA_FULL_ERROR=1")
    ' Did you mean torch.nn.ReLU?'
    """
    found = re.search(r"Error (?:locating target|loading) '([\w.]+)'", problem)
    module, _, name = (found[1] if found else "").rpartition(".")
    if not module:
        return ""
    try:
        names = dir(importlib.import_module(module))
    except Exception:  # the module is not found, or has a bug, which the message shows
        stems = [path.stem for path in Path.cwd().glob("*.py")]
        return "".join(f" Did you mean {stem}.{name}?" for stem in difflib.get_close_matches(module, stems, n=1))
    return "".join(f" Did you mean {module}.{one}?" for one in difflib.get_close_matches(name, names, n=1))

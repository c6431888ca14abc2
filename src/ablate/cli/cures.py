"""Advice for a `_target_` that was not found, and for a GPU that has too little memory."""

import difflib
import importlib
import re
import sys
from pathlib import Path

from ablate.errors import UserError

NO_MEMORY = ("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")  # in errors of no class of their own


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


def too_little_memory(error: BaseException) -> UserError | None:
    """Return what to do about an error that says that the memory of the GPU is full; None for any other error.

    >>> import torch
    >>> str(too_little_memory(RuntimeError("CUDA error: out of memory")))[:65]
    'the memory of the GPU is full: lower `trainer.batch_size` or `tra'
    """
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(error, RuntimeError):
        return None
    if not isinstance(error, torch.OutOfMemoryError) and not any(words in str(error) for words in NO_MEMORY):
        return None
    return UserError(
        "the memory of the GPU is full: lower `trainer.batch_size` or `trainer.eval_batch_size`, take precision=bf16, "
        "or let fewer runs share a GPU (`workers_per_gpu`, 1 at the least); torch says: "
        f"{' '.join(str(error).split())[:200]}"
    )

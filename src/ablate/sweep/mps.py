"""NVIDIA's Multi-Process Service: kernels of several processes run on one GPU at the same time, not in turn.

It needs no root, and its control program comes with the driver. Where it is not found or does not start, the workers
take turns: the same numbers, more time.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

CONTROL = "nvidia-cuda-mps-control"
WITH_DRIVER = "/usr/local/nvidia/bin"  # where containers have the driver's programs, not always on the PATH
PIPE, LOG = "CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY"
LIMIT = 20  # seconds for the control program to start or to end


@contextlib.contextmanager
def shared_gpus(num_workers: int, num_gpus: int) -> Iterator[bool]:
    """Run the service for processes that are started inside the block, if several of them share a GPU.

    A service that the user has started (`CUDA_MPS_PIPE_DIRECTORY` is set) is used as it is.

    Args:
        num_workers: processes that run at once.
        num_gpus: how many GPUs they share, 0 on the CPU.

    Example:
        >>> with shared_gpus(4, num_gpus=0) as running:
        ...     running
        False
    """
    path = os.pathsep.join([os.environ.get("PATH", ""), WITH_DRIVER])
    control = shutil.which(CONTROL, path=path)
    if num_gpus == 0 or num_workers <= num_gpus or control is None or PIPE in os.environ:
        yield False
        return
    with tempfile.TemporaryDirectory(prefix="ablate-mps-") as folder:
        places = {PIPE: str(Path(folder) / "pipe"), LOG: str(Path(folder) / "log")}
        for place in places.values():
            Path(place).mkdir()
        environment = {**os.environ, **places}
        if not _call([control, "-d"], environment):
            yield False
            return
        os.environ.update(places)
        try:
            yield True
        finally:
            for name in places:
                os.environ.pop(name, None)
            _call([control], environment, words="quit\n")


def _call(command: list[str], environment: dict[str, str], words: str = "") -> bool:
    """Run the control program; return whether it succeeded, and print why not."""
    try:
        done = subprocess.run(
            command, env=environment, input=words, capture_output=True, text=True, timeout=LIMIT, check=False
        )
        reason = "" if done.returncode == 0 else (done.stderr.strip() or f"status {done.returncode}")
    except (OSError, subprocess.SubprocessError) as error:
        reason = str(error)
    if reason:
        print(f"ablate: NVIDIA's Multi-Process Service: {CONTROL} failed ({reason})", file=sys.stderr)
    return not reason

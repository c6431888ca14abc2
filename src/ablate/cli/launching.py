"""The command line from Python: `ablate.run`."""

import os
import signal
import subprocess
import sys
import tempfile
from collections import deque
from pathlib import Path

from ablate.errors import UserError
from ablate.export.loaded import Loaded, data_frame, load
from ablate.storage.announced import VARIABLE


def run(*words: str) -> Loaded:
    """Do `ablate WORDS` in a process of its own, show what it prints, and return its results: see `ablate.run`."""
    data_frame()  # refused before anything is trained
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "folder.txt"
        process = subprocess.Popen(
            [sys.executable, "-m", "ablate", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, VARIABLE: str(file)},
        )
        assert process.stdout is not None
        last: deque[str] = deque(maxlen=3)
        try:
            for line in process.stdout:
                print(line, end="", flush=True)
                last.append(line.strip())
        except BaseException:
            process.send_signal(signal.SIGINT)  # it saves its runs
            raise
        finally:
            process.wait()
        if process.returncode:
            raise UserError(f"ablate {' '.join(words)} ended with status {process.returncode}: {' '.join(last)}")
        if not file.exists():
            raise UserError(f"ablate {' '.join(words)} has no result to load; give settings that train, or a study")
        return load(file.read_text(encoding="utf-8"))

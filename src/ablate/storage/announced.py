"""Telling the process that started a command in which folder its result is."""

import os
from pathlib import Path

VARIABLE = "ABLATE_RESULT_FILE"


def announce(folder: Path) -> None:
    """Write the path of a result into the file that the environment variable names, if it does."""
    if file := os.environ.get(VARIABLE):
        Path(file).write_text(str(folder.resolve()), encoding="utf-8")

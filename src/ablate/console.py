"""The terminal as it may be: without some characters, closed, full, or a pipe whose reader has left."""

import os
import sys
import warnings

from ablate.errors import Notice

BROKEN_PIPE = 141
"""Exit status of a command whose reader has left: 128 + SIGPIPE, as a shell shows it for other programs."""


def prepare() -> None:
    """Print what a terminal cannot show as `?`, and a notice as one line and once."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # None where it is closed; another object in a notebook or a test
            stream.reconfigure(errors="replace")
    inner, shown = warnings.showwarning, set()

    def show(message, category, filename, lineno, file=None, line=None):  # type: ignore[no-untyped-def]
        if not issubclass(category, Notice):
            inner(message, category, filename, lineno, file, line)
        elif str(message) not in shown:  # Python forgets what it has shown whenever a library changes the filters
            shown.add(str(message))
            print(f"ablate: {message}", file=file or sys.stderr)

    warnings.showwarning = show


def flush() -> None:
    """Write what is still held back, so that an error shows now and not while the process ends."""
    if sys.stdout is not None:
        sys.stdout.flush()


def abandon() -> None:
    """Discard what could not be written to standard output: Python would try again, and fail, while it ends."""
    if sys.stdout is not None and hasattr(sys.stdout, "fileno"):
        try:
            place = sys.stdout.fileno()
        except OSError:
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, place)
        os.close(nowhere)

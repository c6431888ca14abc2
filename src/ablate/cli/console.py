"""Output to terminals that lack characters, are closed, write to a full disk, or to a pipe whose reader has ended."""

import logging
import os
import sys
import warnings

from ablate.errors import Notice
from ablate.screen import say
from ablate.tables import printable

BROKEN_PIPE = 141
"""Exit status of a command whose reader has ended: 128 + SIGPIPE, as a shell shows it."""


def prepare() -> None:
    """Print characters that a terminal cannot show as `?`, and each notice once, in one line."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # None if it is closed; another class in a notebook or a test
            stream.reconfigure(errors="replace")
    inner, shown = warnings.showwarning, set()

    def show(message, category, filename, lineno, file=None, line=None):  # type: ignore[no-untyped-def]
        if not issubclass(category, Notice):
            inner(message, category, filename, lineno, file, line)
        elif str(message) not in shown:  # Python repeats a warning after a library changes the filters
            shown.add(str(message))
            say(f"ablate: {printable(str(message))}", file or sys.stderr)

    warnings.showwarning = show
    logging.getLogger("matplotlib").addFilter(_is_not_about_folders)


def _is_not_about_folders(record: logging.LogRecord) -> bool:
    """Return False for matplotlib's messages about its configuration folder: without one it uses a temporary one."""
    message = record.getMessage()
    return not (message.startswith("mkdir -p failed") or "MPLCONFIGDIR" in message)


def flush() -> None:
    """Write buffered output now, so that an error is raised here and not while the process ends."""
    if sys.stdout is not None:
        sys.stdout.flush()


def abandon() -> None:
    """Discard buffered standard output: otherwise Python tries to write it, and fails, while it ends."""
    if sys.stdout is not None and hasattr(sys.stdout, "fileno"):
        try:
            place = sys.stdout.fileno()
        except OSError:
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, place)
        os.close(nowhere)

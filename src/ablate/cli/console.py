"""The terminal as it may be: without some characters, closed, full, or a pipe whose reader has left."""

import logging
import os
import sys
import threading
import warnings

from ablate.errors import Notice, explain

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
    threading.excepthook = _show_of_thread
    logging.getLogger("matplotlib").addFilter(_is_not_about_folders)


def _show_of_thread(args: threading.ExceptHookArgs) -> None:
    """Show an error of the system in a thread, such as TensorBoard's on a full disk, as one line."""
    if isinstance(args.exc_value, OSError) and args.exc_value.errno is not None:
        print(f"ablate: {explain(args.exc_value)}", file=sys.stderr)
    else:
        threading.__excepthook__(args)


def _is_not_about_folders(record: logging.LogRecord) -> bool:
    """Return False for what matplotlib says where there is no writable home; it then works with a temporary folder."""
    message = record.getMessage()
    return not (message.startswith("mkdir -p failed") or "MPLCONFIGDIR" in message)


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

"""How a command ends that did not succeed: after a signal, a mistake in the input, or a fault of the program."""

import contextlib
import errno
import os
import shlex
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import yaml

from ablate import screen, stopping
from ablate.cli import console
from ablate.cli.cures import too_little_memory
from ablate.config.overrides import command_again
from ablate.config.yaml_file import invalid
from ablate.errors import CannotWrite, UserError, explain
from ablate.installed import version_of
from ablate.screen import say
from ablate.storage.integrity import REFUSED, cannot_write
from ablate.tables import printable

SHOW_ALL = os.environ.get("HYDRA_FULL_ERROR") == "1"


def end_stopped(stopped: stopping.Stopped, words: Sequence[str], how: str) -> NoReturn:
    """End the process after a signal: say how to go on, with the status that a shell expects.

    Args:
        stopped: the signal.
        words: of the command line, as typed.
        how: what the printed command does.
    """
    command = command_again(shlex.join(["ablate", *words]))
    with contextlib.suppress(OSError):  # the terminal is gone after SIGHUP
        console.flush()
        again = screen.copyable(f"  {command}", screen.width(sys.stderr))
        print(f"\nstopped by {stopped}; {how}:\n{again}", file=sys.stderr, flush=True)
        if "rerun=true" in words and any(word in ("-m", "--multirun") or word.startswith("study=") for word in words):
            print(
                "it trains no finished run again: one that was still to be trained again\n"
                "keeps its old record; rerun=true trains all of them from the first",
                file=sys.stderr,
                flush=True,
            )
    console.abandon()
    sys.exit(stopped.status)


def end_with(error: Exception, command: str = "") -> NoReturn:
    """End the process: a user's mistake is shown in one line, a bug with its traceback and how to report it.

    Args:
        error: what ends it.
        command: goes on where writing failed; the command line of the process if it is empty.
    """
    if SHOW_ALL:
        traceback.print_exception(error)
    error = too_little_memory(error) or error
    if isinstance(error, OSError) and error.errno in REFUSED and error.filename:
        error = cannot_write(Path(os.fsdecode(error.filename)), error)
    if isinstance(error, yaml.YAMLError):  # of a file that Hydra reads
        error = invalid(error)
    if isinstance(error, CannotWrite):
        fail(f"{error}:\n  {command or shlex.join(['ablate', *sys.argv[1:]])}")
    if isinstance(error, UserError):
        fail(error)
    if isinstance(error, OSError) and error.errno is not None:
        if error.errno == errno.EIO and stopping.requested():  # the terminal was closed; its signal counts
            console.abandon()
            sys.exit(128 + signal.SIGHUP)
        fail_system(error)
    if not SHOW_ALL:
        traceback.print_exception(error)
    command = shlex.join(["ablate", *sys.argv[1:]])
    fail(
        f"this is a bug, not a mistake in your input. If the last file above is your own, the bug is there; otherwise "
        f"please report it to ablate's authors with the lines above, this command and the versions: {command}  "
        f"(ablate {version_of()}, Python {sys.version.split()[0]}, torch {version_of('torch')})",
        status=1,
    )


def fail_system(error: OSError) -> NoReturn:
    """End the process with one line for an error of the system: a file, a full disk, a closed pipe."""
    console.abandon()
    if isinstance(error, BrokenPipeError):
        sys.exit(console.BROKEN_PIPE)
    fail(explain(error))


def fail(message: object, status: int = 2) -> NoReturn:
    """End the process with an error message."""
    say(f"ablate: {printable(str(message))}", sys.stderr)
    sys.exit(status)

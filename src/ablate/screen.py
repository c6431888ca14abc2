"""Text in the width of the screen; standard library only.

The width is `COLUMNS`, where it is set, or that of the terminal. Output into a pipe or a file has no width: its lines
stay whole, for the programs that read them.
"""

import os
import re
import sys
import textwrap
from collections.abc import Iterator
from typing import TextIO

NARROWEST = 20  # characters; COLUMNS=1 would put each word on a line of its own
# A word of a shell's command line: quoted parts, escaped characters, and others but for blanks.
_WORD = re.compile(r"(?:'[^']*'|\"(?:\\.|[^\"\\])*\"|\\.|[^\s'\"\\])+")


def width(stream: TextIO | None = None) -> int | None:
    """Return the characters in a line of `stream`, by default standard output; None where there is no limit."""
    stream = stream or sys.stdout
    columns = os.environ.get("COLUMNS", "")
    try:
        found = int(columns) if columns.isdecimal() else os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError, AttributeError):  # no terminal; closed; without a file
        return None
    return max(found, NARROWEST) if found else None


def say(text: str, stream: TextIO | None = None) -> None:
    """Print lines in the width of `stream`, by default standard output, at once.

    Example:
        >>> say("no run is left")
        no run is left
    """
    print(fitted(text, width(stream)), file=stream, flush=True)


def fitted(text: str, columns: int | None) -> str:
    """Return a text whose longer lines are broken between words; a word that is longer, as a path, has its own line.

    What follows on a new line is indented by two more characters than the line that it continues.

    Args:
        text: lines without control characters.
        columns: characters in a line, or None for any number.

    Example:
        >>> print(fitted("  measured: the gradient of the first layer", 24))
          measured: the gradient
            of the first layer
        >>> fitted("as it was", None)
        'as it was'
    """
    if columns is None:
        return text
    return "\n".join(part for line in text.split("\n") for part in _parts(line, columns))


def _parts(line: str, columns: int) -> Iterator[str]:
    if len(line) <= columns:
        yield line
        return
    indent = " " * (len(line) - len(line.lstrip(" ")))
    yield from textwrap.wrap(
        line,
        columns,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
        expand_tabs=False,
    )


def copyable(text: str, columns: int | None) -> str:
    r"""Return a shell's command line whose lines are broken between words with a backslash, so that it can be copied.

    Args:
        text: the command, which may be indented and end in a comment.
        columns: characters in a line, or None for any number.

    Example:
        >>> print(copyable("  ablate study=activation 'seed=range(5)'   # more seeds", 30))
          # more seeds
          ablate study=activation \
            'seed=range(5)'
    """
    if columns is None or len(text) <= columns:
        return text
    indent = " " * (len(text) - len(text.lstrip(" ")))
    rest, hash_, comment = text.partition("   # ")
    lines = [fitted(f"{indent}# {comment}", columns)] if hash_ else []
    line = ""
    for word in _WORD.findall(rest):
        if line and len(line) + len(word) + 3 > columns:  # a blank, and a blank with the backslash
            lines.append(f"{line} \\")
            line = f"{indent}  {word}"
        else:
            line = f"{line} {word}" if line else f"{indent}{word}"
    return "\n".join([*lines, line])

"""Text in the width of the screen; standard library only.

The width is that of the terminal, or `COLUMNS` where it is set. Output into a pipe or a file has no width: its lines
stay whole, for the programs that read them, unless `COLUMNS` asks for less.
"""

import os
import re
import sys
from typing import TextIO

NARROWEST = 20  # characters; COLUMNS=1 would put each word on a line of its own
_INTERVAL = re.compile(r"\[[^\[\]]{1,30}\]")
_NO_BREAK = "\xa0"
# A word of a shell's command line: quoted parts, escaped characters, and others but for blanks.
_WORD = re.compile(r"(?:'[^']*'|\"(?:\\.|[^\"\\])*\"|\\.|[^\s'\"\\])+")


def width(stream: TextIO | None = None) -> int | None:
    """Return the characters in a line of `stream`, by default standard output; None where there is no limit."""
    try:
        found = os.get_terminal_size((stream or sys.stdout).fileno()).columns
    except (OSError, ValueError, AttributeError):  # no terminal; closed; without a file
        found = 0
    # Programs with readline, such as pytest, set COLUMNS together with LINES in all that they start.
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and (found or "LINES" not in os.environ):
        found = int(columns)
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

    What follows on a new line is indented by two more characters than the line that it continues. Parts that two blanks
    separate stay whole where they fit into a line, and so does an interval in brackets.

    Args:
        text: lines without control characters.
        columns: characters in a line, or None for any number.

    Example:
        >>> print(fitted("  measured: the gradient of the first layer", 24))
          measured: the gradient
            of the first layer
        >>> print(fitted("supported: ReLU is better  +3.0 points [+1.0, +5.0]", 32))
        supported: ReLU is better
          +3.0 points [+1.0, +5.0]
        >>> fitted("as it was", None)
        'as it was'
    """
    if columns is None:
        return text
    return "\n".join(_broken(line, columns) if len(line) > columns else line for line in text.split("\n"))


def _broken(line: str, columns: int) -> str:
    begin = re.match(" *", line)[0]  # type: ignore[index]
    indent = f"{begin}  "
    whole = _INTERVAL.sub(lambda found: found[0].replace(" ", _NO_BREAK), line.strip(" "))
    lines, present = [], begin
    for part in re.split("  +", whole):
        gap = "  " if present.strip(" ") else ""
        if gap and len(indent) + len(part) <= columns < len(present) + 2 + len(part):
            lines.append(present)
            present, gap = indent, ""
        for word in part.split(" "):
            if present.strip(" ") and len(present) + len(gap) + len(word) > columns:
                lines.append(present)
                present, gap = indent if len(indent) + len(word) <= columns else "", ""
            present, gap = f"{present}{gap}{word}", " "
    return "\n".join([*lines, present]).replace(_NO_BREAK, " ")


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

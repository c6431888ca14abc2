"""Rows of text as an aligned table, as Markdown or as CSV, and seconds as a clock; standard library only.

Names come from files, folders and command lines, so what a terminal or a spreadsheet would carry out is made text.
"""

import csv
import io
import re
import textwrap
from collections.abc import Sequence
from itertools import zip_longest

Rows = Sequence[Sequence[str]]

# Control characters but for line end and tab, and those that change the direction of text.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_NUMBER = re.compile(r"[+-]?[0-9.]+(e[+-]?[0-9]+)?", re.IGNORECASE)


def printable(text: str) -> str:
    r"""Return text that a terminal shows and does not carry out: control characters become their escapes.

    Example:
        >>> print(printable("a\x1b[2Jb"))
        a\x1b[2Jb
    """
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def aligned(rows: Rows, columns: int | None = None) -> str:
    """Return `rows`, the first of them the header, in columns: text to the left, numbers after it to the right.

    Args:
        rows: cells of text.
        columns: characters in a line, or None for any number; longer texts continue in a line below, indented.

    Example:
        >>> print(aligned([["arm", "accuracy"], ["relu", "0.9"]]))
        arm   accuracy
        relu       0.9
        >>> print(aligned([["arm", "accuracy"], ["activation=relu normalization=none", "0.9"]], 32))
        arm                   accuracy
        activation=relu            0.9
          normalization=none
    """
    rows = [[printable(cell) for cell in row] for row in rows]
    right = [i > 0 and all(not row[i] or row[i][0] in "+-−0123456789" for row in rows[1:]) for i in range(len(rows[0]))]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    while columns and sum(widths) + 2 * (len(widths) - 1) > columns:
        for place in sorted(range(len(widths)), key=lambda i: -widths[i]):
            needed = max(len(line) for row in rows for line in _lines(row[place], widths[place] - 1))
            if needed < widths[place]:
                widths[place] = needed
                break
        else:  # every column is as narrow as its longest word
            widest = max(range(len(widths)), key=widths.__getitem__)
            widths[widest] = max(12, widths[widest] - (sum(widths) + 2 * (len(widths) - 1) - columns))
            break
    lines = []
    for row in rows:
        cells = [_lines(cell, width, break_words=True) for cell, width in zip(row, widths, strict=True)]
        for parts in zip_longest(*cells, fillvalue=""):
            shown = (f"{part:{'>' if r else '<'}{w}}" for part, w, r in zip(parts, widths, right, strict=True))
            lines.append("  ".join(shown).rstrip())
    return "\n".join(lines)


def _lines(cell: str, width: int, *, break_words: bool = False) -> list[str]:
    """Return a cell in lines of at most `width` characters, but for longer words, unless these are broken too."""
    if len(cell) <= width:
        return [cell]
    indent = "  " if "=" in cell else ""  # the settings of an arm, and not a heading
    return textwrap.wrap(cell, width, subsequent_indent=indent, break_long_words=break_words, break_on_hyphens=False)


def markdown(rows: Rows) -> str:
    """Return `rows`, the first of them the header, as a Markdown table.

    Example:
        >>> print(markdown([["arm", "accuracy"], ["relu", "0.9"]]))
        | arm | accuracy |
        |---|---|
        | relu | 0.9 |
    """
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in map(printable, row)) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def comma_separated(rows: Rows) -> str:
    """Return `rows` as CSV; a cell that a spreadsheet would compute as a formula begins with an apostrophe.

    Example:
        >>> comma_separated([["=1+1", "-0.5", "-x"]])
        "'=1+1,-0.5,'-x\\n"
        >>> comma_separated([["arm", "accuracy"], ["relu", "0.9"]])
        'arm,accuracy\\nrelu,0.9\\n'
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([as_text(cell) for cell in row] for row in rows)
    return text.getvalue()


def as_text(cell: str) -> str:
    """Return a cell that a spreadsheet shows as it is.

    Source: https://owasp.org/www-community/attacks/CSV_Injection

    Example:
        >>> as_text("@SUM(A1)"), as_text("+1.5e-3")
        ("'@SUM(A1)", '+1.5e-3')
    """
    cell = printable(cell)
    return f"'{cell}" if cell[:1] in tuple("=+-@\t|%") and not _NUMBER.fullmatch(cell) else cell


def clock(seconds: float) -> str:
    """Return seconds as h:mm:ss or m:ss.

    Example:
        >>> clock(3723)
        '1:02:03'
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

"""Rows of text as an aligned table, as Markdown or as CSV, and seconds as a clock; standard library only."""

import csv
import io
from collections.abc import Sequence

Rows = Sequence[Sequence[str]]


def aligned(rows: Rows) -> str:
    """Return `rows`, the first of them the header, in columns: text to the left, numbers after it to the right.

    Example:
        >>> print(aligned([["arm", "accuracy"], ["relu", "0.9"]]))
        arm   accuracy
        relu       0.9
    """
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    right = [i > 0 and all(not row[i] or row[i][0] in "+-−0123456789" for row in rows[1:]) for i in range(len(rows[0]))]
    lines = (
        "  ".join(f"{cell:{'>' if r else '<'}{w}}" for cell, w, r in zip(row, widths, right, strict=True))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def markdown(rows: Rows) -> str:
    """Return `rows`, the first of them the header, as a Markdown table.

    Example:
        >>> print(markdown([["arm", "accuracy"], ["relu", "0.9"]]))
        | arm | accuracy |
        |---|---|
        | relu | 0.9 |
    """
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def comma_separated(rows: Rows) -> str:
    """Return `rows` as CSV.

    Example:
        >>> comma_separated([["arm", "accuracy"], ["relu", "0.9"]])
        'arm,accuracy\\nrelu,0.9\\n'
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def clock(seconds: float) -> str:
    """Return seconds as h:mm:ss or m:ss.

    Example:
        >>> clock(3723)
        '1:02:03'
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

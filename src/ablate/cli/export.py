"""`ablate export FOLDER --to FORMAT [--out DIR]`: results as tables for a paper, as data, or to a tracker."""

from collections.abc import Callable, Sequence
from pathlib import Path

from ablate.config.catalog import nearest
from ablate.errors import UserError

FORMATS = ("latex", "markdown", "parquet", "mlflow", "wandb", "trackio")
USAGE = f"""\
usage: ablate export FOLDER --to FORMAT [--out DIR]

FOLDER is that of a study, of a collection such as the lecture, or, for parquet
and trackers, of runs. DIR is FOLDER/export unless it is given.

FORMAT is one of {", ".join(FORMATS)}:
  latex, markdown          tables of arms, differences and verdicts
  parquet                  runs, histories and verdicts as data frames
  mlflow, wandb, trackio   each finished run with settings, history, metrics;
                           into files in DIR, nothing is sent

  ablate export outputs/studies/activation-1a2b3c4d --to latex
"""


def export_command(words: Sequence[str], where: Sequence[Path]) -> None:
    """`ablate export`: write the results and print where they are.

    Raises:
        UserError: a word is refused, or the package of the format is missing.
    """
    if {"-h", "--help"} & set(words):
        print(USAGE, end="")
        return
    folder, form, target = split(words)
    for path in writer(form)(folder, target):
        print(path)


def writer(form: str) -> Callable[[Path, Path], list[Path]]:
    """Return the function that writes a format: (folder of the results, folder to write into) -> what was written."""
    from ablate.export import files, trackers

    found = getattr(files if form in FORMATS[:3] else trackers, f"to_{form}")
    assert callable(found)
    return found


def split(words: Sequence[str]) -> tuple[Path, str, Path]:
    """Return the folder of the results, the format, and the folder to write into.

    >>> split(["a", "--to", "latex"])[1:]
    ('latex', PosixPath('a/export'))
    """
    given: dict[str, str] = {}
    places: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if name in ("--to", "--out"):
            given[name] = value if equals else rest.pop(0) if rest else ""
        elif word.startswith("-"):
            raise UserError(f"`ablate export` has no option {word!r}; there are --to FORMAT and --out DIR")
        else:
            places.append(word)
    if len(places) != 1:
        got = f"got {', '.join(places)}" if places else "got none"
        raise UserError(f"`ablate export` needs the folder of one study, {got}; see ablate export --help")
    form = given.get("--to", "")
    if form not in FORMATS:
        hint = nearest(form, FORMATS) if form else f"write --to {'|'.join(FORMATS)}"
        raise UserError(f"`ablate export` needs a format, got {form!r}; {hint}")
    if given.get("--out", "x") == "":
        raise UserError("`--out` needs a folder: --out DIR")
    return Path(places[0]), form, Path(given.get("--out") or Path(places[0]) / "export")

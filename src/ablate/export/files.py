"""Export to files: tables for a paper (LaTeX, Markdown), and the data frames as Parquet."""

from collections.abc import Sequence
from pathlib import Path

from ablate.errors import UserError
from ablate.export.loaded import load, studies_in
from ablate.report.contrasts import contrasts
from ablate.report.table import shown_rows, write_text
from ablate.study.results import Results
from ablate.tables import Rows, markdown

SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
SPECIAL |= {character: f"\\{character}" for character in "&%$#_{}"}
SIGNS = {"−": "$-$", "×": r"$\times$", "≤": r"$\le$", "–": "--", "∞": r"$\infty$"}


def tables_of(folder: Path) -> list[tuple[str, Rows]]:
    """Return (title, rows) of the tables of each study in a folder: its arms, then its differences or verdicts.

    Raises:
        UserError: the folder holds no study.
    """
    found = studies_in(folder)
    if not found:
        raise UserError(f"{folder} holds no study; to LaTeX and Markdown a study can be exported, single runs cannot")
    tables: list[tuple[str, Rows]] = []
    for name, results in found:
        tables.append((f"{name}: arms", shown_rows(results)))
        if differences := contrasts(results):
            tables.append((f"{name}: differences (exploratory)", differences))
        if len(rows := claim_rows(results)) > 1:
            tables.append((f"{name}: verdicts", rows))
    return tables


def claim_rows(results: Results) -> Rows:
    """Return the head and a row for each claim that was judged, effects in the unit of the metric.

    The level is the confidence of the interval; an outcome is "supported, post hoc" where the claim is post hoc.
    """
    from ablate.export.loaded import verdict_rows
    from ablate.report.phrases import percent, unit_of

    claims = {claim.name: claim for claim in results.study.claims}
    rows = [["claim", "verdict", "effect", "interval", "level", "seeds"]]
    for row in verdict_rows(results):
        unit = unit_of(claims[row["claim"]])
        outcome = row["outcome"] + ", post hoc" * bool(row["post_hoc"])
        interval = unit.interval(row["low"], row["high"])
        level = percent(row["level"]) if interval else ""
        rows.append([row["text"], outcome, unit.effect(row["estimate"]), interval, level, str(row["num_seeds"] or 0)])
    return rows


def to_markdown(folder: Path, target: Path) -> list[Path]:
    """Write the tables of the studies in `folder` to tables.md in `target`, and return its path."""
    path = target / "tables.md"
    write_text(path, "\n\n".join(f"## {title}\n\n{markdown(rows)}" for title, rows in tables_of(folder)) + "\n")
    return [path]


def to_latex(folder: Path, target: Path) -> list[Path]:
    """Write the tables of the studies in `folder` to tables.tex in `target`, and return its path.

    They need the package booktabs.
    """
    path = target / "tables.tex"
    parts = [latex(rows, title) for title, rows in tables_of(folder)]
    write_text(path, "% \\usepackage{booktabs}\n" + "\n".join(parts))
    return [path]


def to_parquet(folder: Path, target: Path) -> list[Path]:
    """Write runs.parquet, histories.parquet and verdicts.parquet into `target`; a frame without rows is left out.

    Raises:
        UserError: pyarrow is missing.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise UserError("pyarrow is missing, which writes Parquet: pip install 'pyarrow>=14'") from error
    loaded, paths = load(folder), []
    target.mkdir(parents=True, exist_ok=True)
    for name in ("runs", "histories", "verdicts"):
        frame = getattr(loaded, name)
        if len(frame):
            mixed = [key for key in frame if frame[key].map(type).nunique() > 1 and frame[key].dtype == object]
            frame = frame.astype({key: "string" for key in mixed if not _is_numeric(frame[key])})
            paths.append(target / f"{name}.parquet")
            frame.to_parquet(paths[-1], index=False)
    return paths


def latex(rows: Rows, title: str) -> str:
    """Return a table for LaTeX with booktabs: the first column to the left, the others to the right.

    >>> print(latex([["arm", "test %"], ["lr_0.1", "54.1"]], "mine"), end="")
    \\begin{table}
    \\caption{mine}
    \\begin{tabular}{lr}
    \\toprule
    arm & test \\% \\\\
    \\midrule
    lr\\_0.1 & 54.1 \\\\
    \\bottomrule
    \\end{tabular}
    \\end{table}
    """
    head, *body = (" & ".join(map(escaped, row)) + r" \\" for row in rows)
    columns = "l" + "r" * (len(rows[0]) - 1)
    lines = [r"\begin{table}", rf"\caption{{{escaped(title)}}}", rf"\begin{{tabular}}{{{columns}}}"]
    return "\n".join(
        [*lines, r"\toprule", head, r"\midrule", *body, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""]
    )


def escaped(cell: str) -> str:
    """Return text with the characters that LaTeX reads as commands escaped.

    >>> escaped("a_b −1 %")
    'a\\\\_b $-$1 \\\\%'
    """
    return "".join(SPECIAL.get(character, SIGNS.get(character, character)) for character in cell)


def _is_numeric(values: Sequence[object]) -> bool:
    return all(value is None or isinstance(value, int | float) for value in values)

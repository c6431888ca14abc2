"""The verdicts of a study or of a page as rows of verdicts.csv, and what differs from a file with such rows."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.report.notes import failed
from ablate.report.page_level import Judged, page_level
from ablate.tables import as_text

if TYPE_CHECKING:
    from ablate.judging import Judgement

VERDICTS_TABLE = "verdicts.csv"
CSV_CLAIM = ("name", "text", "form", "metric", "smallest_effect", "at_least", "family", "source", "published")
CSV_NUMBERS = (
    "outcome", "reason", "treatment", "control", "treatment_mean", "control_mean", "estimate", "low", "high", "level",
    "p", "p_adjusted", "equivalence_p", "equivalence_p_adjusted", "equivalence_low", "equivalence_high",
    "equivalence_level", "num_seeds", "further_seeds", "sign_flip_p", "sign_flip_smallest_p", "improvement",
    "value_sensitive", "budget", "num_images", "did_not_train", "look", "next_look", "post_hoc", "finished_before",
)  # fmt: skip

# What `differing_rows` compares: the verdict and its numbers, not the words, which another version may change.
COMPARED = (
    "outcome", "estimate", "low", "high", "level", "p", "p_adjusted", "equivalence_p", "equivalence_p_adjusted",
    "equivalence_low", "equivalence_high", "equivalence_level", "num_seeds", "num_images", "look", "q",
)  # fmt: skip


def csv_rows(judgements: "Sequence[Judgement]") -> list[list[str]]:
    """Return head and one row per claim, numbers in the metric's own unit, with all digits."""
    rows = [[*CSV_CLAIM, *CSV_NUMBERS]]
    for judgement in judgements:
        values = [getattr(judgement.claim, name) for name in CSV_CLAIM]
        shown = {
            "did_not_train": failed(judgement),
            "finished_before": " of ".join(map(str, judgement.finished_before or ())),
        }
        values += [shown[name] if name in shown else getattr(judgement, name) for name in CSV_NUMBERS]
        rows.append(["" if value is None else str(value) for value in values])
    return rows


def page_rows(judged: Judged) -> list[list[str]]:
    """Return head and one row per claim of a collection: its study, the columns of `csv_rows`, and its q value."""
    level = page_level(judged)
    rows = [["study", *csv_rows([])[0], "q"]]
    for results, judgements in judged:
        name = results.study.name
        for row, judgement in zip(csv_rows(judgements)[1:], judgements, strict=True):
            q = level.q.get((name, judgement.claim.name))
            rows.append([name, *row, "" if q is None else str(q)])
    return rows


def differing_rows(path: Path, rows: Sequence[Sequence[str]]) -> list[str]:
    """Return in what the rows of a collection differ from those that a file has, one sentence each.

    Args:
        path: of a verdicts.csv. Of the columns in `COMPARED`, those that it lacks are not compared: another version
            wrote it.
        rows: of `page_rows`.
    """
    from ablate.judging.verification import alike

    with path.open(encoding="utf-8", newline="") as file:
        kept = list(csv.DictReader(file))
    head, *claims = [[as_text(cell) for cell in row] for row in rows]
    found = []
    for cells in claims:
        now = dict(zip(head, cells, strict=True))
        where = f"claim {now['name']} of study {now['study']}"
        then = next((row for row in kept if all(row.get(key) == now[key] for key in ("study", "name"))), None)
        if then is None:
            found.append(f"{where} is missing")
            continue
        kept.remove(then)
        found += [
            f"{where}: {column} is {then[column] or '(empty)'} in the file, {value or '(empty)'} recomputed"
            for column, value in now.items()
            if column in COMPARED and then.get(column) is not None and not alike(_number(then[column]), _number(value))
        ]
    return found + [f"no study has the claim {row.get('name')} of study {row.get('study')}" for row in kept]


def _number(cell: str) -> float | str:
    """Return the value of a cell that is a finite number, any other cell as it is."""
    try:
        value = float(cell)
    except ValueError:
        return cell
    return value if math.isfinite(value) else cell

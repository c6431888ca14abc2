"""The results in a folder as data frames: one row a run, one an epoch, one a claim."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablate.errors import UserError
from ablate.study.collection import read_collection
from ablate.study.manifest import read_manifest
from ablate.study.results import Results, collect
from ablate.study.run_rows import columns, measured, run_rows
from ablate.study.verdict_file import read_verdicts
from ablate.training.record import RECORD_NAME, Record, read_record

if TYPE_CHECKING:
    from pandas import DataFrame

CURE = "pandas is missing: pip install 'pandas>=2.2'"
OF_A_RUN = ("arm", "seed", "folder")  # columns that histories share with runs, beside the factors
OF_A_VERDICT = (
    "claim", "text", "form", "metric", "outcome", "estimate", "low", "high", "level", "p", "p_adjusted", "num_seeds",
    "smallest_effect", "treatment", "control", "treatment_mean", "control_mean", "reason", "post_hoc",
    "finished_before",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """The results of a study, of a collection of studies, or of single runs.

    Args:
        folder: where they are from.
        runs: one row a run, with the columns of runs.csv: arm, seed, state, folder, role, factors, all metrics; runs
            that are missing have a row too. With several studies the first column is "study".
        histories: one row an epoch of a finished run: arm, seed, folder, factors, and the history of the record.
        verdicts: one row a claim as judged last, effects in the unit of the metric (accuracies are fractions); empty
            before the first report. "level" is the confidence of the interval from "low" to "high"; "post_hoc" says why
            the claim does not count as made before its runs, "" where it does; "finished_before" is "10 of 12" where
            so many of its runs had finished when it was registered, "" where none had.
    """

    folder: Path
    runs: DataFrame
    histories: DataFrame
    verdicts: DataFrame


def load(folder: str | Path) -> Loaded:
    """Return the results in `folder`: see `ablate.load`."""
    DataFrame = data_frame()
    folder = Path(folder).expanduser()
    runs, histories, verdicts = [], [], []
    found = studies_in(folder)
    for study, results in found:
        own = {"study": study} if len(found) > 1 else {}
        rows = run_rows(results)
        runs += [own | row for row in rows]
        histories += [own | row for row in history_rows(results)]
        verdicts += [own | row for row in verdict_rows(results)]
    if not found:
        for record, place in records_in(folder):
            first = {"arm": record.arm, "seed": record.seed, "state": "finished", "folder": place, **record.levels}
            runs.append(first | measured(record))
            histories += [{key: v for key, v in first.items() if key != "state"} | row for row in record.history]
    named = [*(["study"] if len(found) > 1 else []), *OF_A_VERDICT]
    return Loaded(
        folder=folder,
        runs=DataFrame(runs, columns=columns(runs)),
        histories=DataFrame(histories, columns=columns(histories)),
        verdicts=DataFrame(verdicts, columns=named),
    )


def data_frame() -> type[DataFrame]:
    """Return the class of pandas.

    Raises:
        UserError: pandas is not installed.
    """
    try:
        from pandas import DataFrame
    except ImportError as error:
        raise UserError(CURE) from error
    return DataFrame


def studies_in(folder: Path) -> list[tuple[str, Results]]:
    """Return (name, results) of the study in a folder, or of each study of a collection; none where it holds neither.

    Raises:
        UserError: the folder is not there, or cannot be read.
    """
    if not folder.is_dir():
        raise UserError(f"load needs the folder of a study or of a run, got {folder}, which is no folder")
    collection = read_collection(folder)
    if collection is not None:
        return [(manifest.name, collect(manifest, place)) for manifest, place in collection.studies(folder)]
    manifest = read_manifest(folder)
    return [] if manifest is None else [(manifest.name, collect(manifest, folder))]


def records_in(folder: Path) -> Iterator[tuple[Record, str]]:
    """Yield (record, its folder relative to `folder`) of every finished run in a folder.

    Raises:
        UserError: there is none, or one cannot be read.
    """
    paths = sorted(folder.rglob(RECORD_NAME))
    if not paths:
        raise UserError(
            f"load needs the folder of a study or of a run, and {folder} holds neither; it looks like "
            "outputs/studies/NAME or outputs/runs/NAME/seed-0"
        )
    for path in paths:
        record = read_record(path.parent)
        assert record is not None
        yield record, path.parent.relative_to(folder).as_posix()


def history_rows(results: Results) -> Iterator[dict[str, Any]]:
    """Yield a row for each epoch of each finished report run."""
    for arm in results.arms:
        assert arm.chosen is not None or not arm.records
        for seed, record in arm.records.items():
            place = f"{arm.chosen.folder}/seed-{seed}" if arm.chosen else ""
            for row in record.history:
                yield {"arm": arm.label, "seed": seed, "folder": place, **arm.axes, **row}


def verdict_rows(results: Results) -> Iterator[dict[str, Any]]:
    """Yield a row for each claim of verdicts.json; none where the study was not judged."""
    known = read_verdicts(results.folder)
    claims = {claim.name: claim for claim in results.study.claims}
    for verdict in known.verdicts if known else ():
        row = {name: number(verdict.get(name)) for name in OF_A_VERDICT}
        row["post_hoc"] = verdict.get("post_hoc") or ""
        row["finished_before"] = " of ".join(map(str, verdict.get("finished_before") or ()))
        if claim := claims.get(verdict["claim"]):
            row |= {name: getattr(claim, name) for name in ("text", "form", "metric", "smallest_effect")}
            yield row


def number(value: Any) -> Any:
    """Return a value of verdicts.json, "inf", "-inf" and "nan" as numbers.

    >>> number("-inf"), number("supported")
    (-inf, 'supported')
    """
    if isinstance(value, str) and value in ("inf", "-inf", "nan"):
        return float(value)
    return value


def is_known(value: Any) -> bool:
    """Return whether a cell of a data frame holds something.

    >>> is_known(0.0), is_known(math.nan), is_known(None)
    (True, False, False)
    """
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the cells of a row that hold something."""
    return {str(key): value for key, value in row.items() if is_known(value)}

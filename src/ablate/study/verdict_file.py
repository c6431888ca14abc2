"""verdicts.json: the verdicts of a study with all their numbers, and when each number of seeds was first judged."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Protocol

from ablate.errors import Unusable
from ablate.storage.dates import utc_now
from ablate.storage.integrity import read_json, write_json
from ablate.study.claim import Claim
from ablate.study.results import Results

VERDICTS_NAME = "verdicts.json"
SCHEMA_VERSION = 1
REPORTS = ("verdicts.csv", "report.html")  # what earlier versions wrote when they judged


class Judged(Protocol):
    """See `ablate.judging.Judgement`."""

    @property
    def estimate(self) -> float | None: ...


@dataclass(frozen=True, kw_only=True)
class Looked:
    """That the results of so many report seeds were shown, and when for the first time, see `storage.dates`."""

    seeds: int
    date: str


@dataclass(frozen=True, kw_only=True)
class VerdictFile:
    """The content of verdicts.json.

    Args:
        study: name of the study.
        registration: SHA-256 of its plan, "" where it was not registered.
        seeds: report seeds of the present look.
        looks: of which results were shown, in order.
        verdicts: one a claim, see `as_plain`.
    """

    schema: int = SCHEMA_VERSION
    study: str
    registration: str
    seeds: list[int]
    looks: list[Looked] = field(default_factory=list)
    verdicts: list[dict[str, Any]] = field(default_factory=list)


def as_plain(value: Any) -> Any:
    """Return a judgement as JSON data: claims by name; numbers that are not finite as "inf", "-inf" or "nan".

    Example:
        >>> as_plain({"low": -math.inf, "pair": (1, 2.5)})
        {'low': '-inf', 'pair': [1, 2.5]}
    """
    if isinstance(value, Claim):
        return value.name
    if is_dataclass(value):
        return {f.name: as_plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, dict):
        return {key: as_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_plain(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def write_verdicts(results: Results, judgements: Sequence[Judged]) -> None:
    """Write the verdicts of a study into its folder; the dates of earlier looks are kept.

    A file that is damaged is renamed to verdicts.json.damaged; then the earlier looks have the present date.
    """
    path = results.folder / VERDICTS_NAME
    known: list[Looked] = []
    try:
        found = read_verdicts(results.folder)
        known = found.looks if found else []
    except Unusable:
        path.rename(path.with_name(f"{VERDICTS_NAME}.damaged"))
        known = [Looked(seeds=number, date=utc_now()) for number in results.manifest.looks[:-1]]
    number = len(results.study.seeds)
    if number not in [look.seeds for look in known] and any(j.estimate is not None for j in judgements):
        known = [*known, Looked(seeds=number, date=utc_now())]
    registration = results.manifest.registration
    content = VerdictFile(
        study=results.study.name,
        registration=registration.sha256 if registration else "",
        seeds=list(results.study.seeds),
        looks=known,
        verdicts=[as_plain(judgement) for judgement in judgements],
    )
    write_json(asdict(content), path, allow_nan=False)


def read_verdicts(folder: Path) -> VerdictFile | None:
    """Return the verdicts of the study in `folder`, None where it has not been judged.

    Raises:
        Unusable: the file is damaged, or of an earlier version.
        UserError: it is of a later version, or cannot be read.
    """
    return read_json(VerdictFile, folder / VERDICTS_NAME, SCHEMA_VERSION)


def looks_at(folder: Path, numbers: Sequence[int]) -> list[Looked]:
    """Return the looks at the results of the study in `folder`, of which dates may be "", not known.

    Args:
        folder: of the study.
        numbers: of report seeds at its looks so far.
    """
    try:
        found = read_verdicts(folder)
    except Unusable:
        found = None
    else:
        if found is not None:
            return found.looks
    exists = any((folder / name).exists() for name in (VERDICTS_NAME, *REPORTS))
    return [Looked(seeds=number, date="") for number in numbers] if exists else []

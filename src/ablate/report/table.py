"""Tables of arms: one row per arm, over its seeds."""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ablate.config.overrides import text
from ablate.errors import Unusable
from ablate.report.headline import headlines
from ablate.report.phrases import of_runs
from ablate.report.provenance import Rows
from ablate.storage.integrity import replacing
from ablate.study.results import ArmResult, Results
from ablate.study.study import Study
from ablate.training.identity import as_typed, flatten, scientific
from ablate.training.record import Record

HEAD = (
    "seeds",
    "test accuracy %",
    "std",
    "val accuracy %",
    "train accuracy %",
    "diverged",
    "not finite",
    "seconds a run",
)
FAILED = "failed to train"
COUNTS = ("diverged", "not finite")  # columns that are 0 in most studies


def arm_labels(records: Iterable[Record]) -> dict[str, str]:
    """Return {fingerprint: label}, a label naming only what differs between arms.

    The levels of the groups that vary come first, then the settings that vary although the level is the same; where all
    this is equal, the folder or file of the images.
    """
    arms = {record.fingerprint: record for record in records}
    varying = [g for g in next(iter(arms.values())).levels if len({r.levels.get(g) for r in arms.values()}) > 1]
    by_levels: dict[tuple[str, ...], list[Record]] = defaultdict(list)
    for record in arms.values():
        by_levels[tuple(record.levels.get(group, "") for group in varying)].append(record)
    varying_keys: set[str] = set()
    for alike in [*by_levels.values(), list(arms.values())]:
        settings = [scientific(record.settings) for record in alike]
        across = alike is not by_levels.get(tuple(alike[0].levels.get(group, "") for group in varying))
        for key in set.union(*map(set, settings)):
            of_a_varying_group = across and key.partition(".")[0] in varying
            if not of_a_varying_group and len({as_typed(s.get(key)) for s in settings}) > 1:
                varying_keys.add(key)

    def label(record: Record) -> str:
        settings = scientific(record.settings)
        parts = [f"{group}={record.levels.get(group, '')}" for group in varying]
        parts += [f"{key}={as_typed(settings[key])}" for key in sorted(varying_keys) if key in settings]
        return " ".join(parts) or record.arm

    labels = {fingerprint: label(record) for fingerprint, record in arms.items()}
    for place in ("root", "path"):
        places = {key: as_typed(record.settings.get("data", {}).get(place)) for key, record in arms.items()}
        if len(set(labels.values())) < len(labels) and len(set(places.values())) > 1:  # equal settings, other images
            return {key: f"{label} data.{place}={places[key]}" for key, label in labels.items()}
    return labels


def arm_rows(records: Sequence[Record], planned: Mapping[str, int] | None = None) -> list[list[str]]:
    """Return the head and one row per arm, best test accuracy first.

    Where fewer runs have finished than are `planned`, by fingerprint, the row says "2 of 3".

    Accuracies are means over seeds in percent; "std" is the standard deviation (n - 1) of test accuracy over seeds;
    training accuracy is measured at inference with the final weights. A diverged run counts as guessing; "not finite"
    is the number of runs with outputs that are not finite at inference, whose images count as wrong.
    """
    labels = arm_labels(records)
    arms: dict[str, dict[int, Record]] = defaultdict(dict)
    for record in records:
        arms[record.fingerprint][record.seed] = record
    runs = {fingerprint: list(by_seed.values()) for fingerprint, by_seed in arms.items()}
    best_first = sorted(runs, key=lambda f: (-mean_percent(runs[f], "test/accuracy"), labels[f]))
    return [["arm", *HEAD], *([labels[key], *cells(runs[key], (planned or {}).get(key, 0))] for key in best_first)]


def study_rows(results: Results) -> list[list[str]]:
    """Return the head and one row per arm of a study, as `arm_rows`, with the study's labels.

    Two columns follow: how many runs failed to train, with the upper limit of their share (95 %), and, where a setting
    is tuned, the value that each arm is judged at. Arms without a finished run come last.
    """
    study, first = results.study, headlines(results)[0]

    def rank(arm: ArmResult) -> float:
        values = first.values(list(arm.records.values()))
        return (1 if first.minimize else -1) * statistics.fmean(values) if values else math.inf

    rows = [["arm", *(program_head(results) if study.foreign else HEAD), FAILED]]
    rows[0] += [study.nuisance] if study.nuisance else []
    for arm in sorted(results.arms, key=rank):
        runs = list(arm.records.values())
        value = [tuned_value(arm, study)] if study.nuisance else []
        own = program_cells(results, runs) if study.foreign else cells(runs)
        rows.append([arm.label, *own, failed_runs(results, arm), *value])
    return rows


def program_head(results: Results) -> list[str]:
    """Return the head of `program_cells`: the first metric with its deviation, then the others."""
    first, *others = headlines(results)
    return ["seeds", first.name, "std", *(other.name for other in others), "diverged", "seconds a run"]


def program_cells(results: Results, runs: Sequence[Record]) -> list[str]:
    """Return the cells of one arm whose runs another program made; means are over the runs that have the metric."""
    shown = []
    for place, headline in enumerate(headlines(results)):
        values = headline.values(runs)
        of = of_runs(len(values), len(runs))
        shown.append(f"{headline.number(statistics.fmean(values))}{of}" if values else "")
        if place == 0:
            shown.append(headline.number(statistics.stdev(values)) if len(values) > 1 else "")
    seconds = statistics.fmean(run.wall_seconds for run in runs) if runs else 0.0
    diverged = sum(run.status == "diverged" for run in runs)
    return [str(len(runs)), *shown, str(diverged), f"{seconds:.1f}" if seconds else ""]


def shown_rows(results: Results) -> list[list[str]]:
    """Return `study_rows` for display: an arm with missing runs has "2 of 3" seeds."""
    head, *rows = study_rows(results)
    planned = {arm.label: len(results.seeds_of(arm)) for arm in results.arms}
    return [head, *([row[0], of_seeds(int(row[1]), planned[row[0]]), *row[2:]] for row in rows)]


def without_idle_columns(rows: Rows) -> Rows:
    """Return rows of arms without the columns that are empty, or count something that happened in no run.

    The first three (arm, seeds, the score) stay.

    Example:
        >>> without_idle_columns([["arm", "seeds", "test accuracy %", "std", "diverged"], ["a", "1", "50.00", "", "0"]])
        [['arm', 'seeds', 'test accuracy %'], ['a', '1', '50.00']]
    """
    idle = {name: {"", "0"} if name in COUNTS else {""} for name in rows[0]}
    kept = [i for i, name in enumerate(rows[0]) if i < 3 or {row[i] for row in rows[1:]} - idle[name]]
    return [[row[i] for i in kept] for row in rows]


def planned_by_fingerprint(results: Results) -> dict[str, int]:
    """Return the number of report runs that each chosen variant needs, by fingerprint."""
    planned: dict[str, int] = {}
    for arm in (arm for arm in results.arms if arm.chosen is not None):
        assert arm.chosen is not None
        planned[arm.chosen.fingerprint] = max(planned.get(arm.chosen.fingerprint, 0), len(results.seeds_of(arm)))
    return planned


def of_seeds(known: int, planned: int) -> str:
    """Return "3", or "2 of 3" where some are missing.

    Example:
        >>> of_seeds(2, 3), of_seeds(3, 3)
        ('2 of 3', '3')
    """
    return f"{known} of {planned}" if known < planned else str(known)


def failed_runs(results: Results, arm: ArmResult) -> str:
    """Return how many runs of an arm failed to train and how large their share may be.

    "" without a finished run, and "not known" where the predictions that the records name cannot be read.
    """
    from ablate.judging.image_interval import labels_of, read_predictions
    from ablate.judging.trained import failures_of, which_trained

    if not arm.records:
        return ""
    try:
        labels = labels_of([arm], results.output_dir, read_predictions)
    except Unusable:
        return "not known"
    found = failures_of([which_trained(arm.records, labels, results.study.foreign)])
    return f"{found.failed} of {found.total}, ≤ {100 * found.at_most:.0f} %"


def tuned_value(arm: ArmResult, study: Study) -> str:
    """Return the value of the tuned setting that an arm is judged at, "" where none is chosen yet."""
    if arm.chosen is None:
        return ""
    return text(arm.chosen.value if study.tuning else dict(flatten(arm.chosen.settings)).get(study.nuisance))


def mean_percent(runs: Sequence[Record], metric: str) -> float:
    """Return the mean of an accuracy over runs, at least one, in percent; one that is null counts as 0."""
    return 100 * statistics.fmean(run.metrics[metric] or 0.0 for run in runs)


def shown_mean(runs: Sequence[Record], metric: str) -> str:
    """Return `mean_percent` as text over the runs that have the metric, "" where none has (data.val_size=0)."""
    having = [run for run in runs if metric in run.metrics]
    return f"{mean_percent(having, metric):.2f}{of_runs(len(having), len(runs))}" if having else ""


def cells(runs: Sequence[Record], num_seeds: int = 0) -> list[str]:
    """Return the cells under `HEAD` for the runs of one arm, of `num_seeds` planned runs."""
    if not runs:
        return ["0", "", "", "", "", "0", "0", ""]
    accuracies = [100 * (run.metrics["test/accuracy"] or 0.0) for run in runs]
    return [
        of_seeds(len(runs), num_seeds),
        f"{statistics.fmean(accuracies):.2f}",
        f"{statistics.stdev(accuracies):.2f}" if len(runs) > 1 else "",
        shown_mean(runs, "val/accuracy"),
        f"{mean_percent(runs, 'train_eval/accuracy'):.2f}",
        str(sum(run.status == "diverged" for run in runs)),
        str(sum(run.non_finite > 0 for run in runs)),
        f"{statistics.fmean(run.wall_seconds for run in runs):.1f}",
    ]


def write_text(path: Path, content: str) -> None:
    """Write a file in one atomic step; its folder is created if it does not exist."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(content, encoding="utf-8")

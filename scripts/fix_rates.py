"""Print the values chosen by a study's tuning, in the format of a study file, and write the tuning runs to a table.

Usage: python scripts/fix_rates.py FOLDER ... [--within POINTS] [--csv FILE.csv]

FOLDER is the folder of a tuned study, or of a collection with tuned studies (outputs/studies/...). The output replaces
`tuning` in the study's profile; the table has one row for each tuning run. With `--within 1` an arm gets the middle one
(the smaller of two) of the values whose means are within one point of the best: with three seeds, a value that is best
by little may be close to where training breaks, or to where it is too slow. An arm also counts as on the edge of its
grid if all values are within that distance, as they are where none trains.
"""

import argparse
import json
import statistics
from pathlib import Path

from ablate.config.overrides import text
from ablate.study.collection import read_collection
from ablate.study.manifest import read_manifest
from ablate.study.results import ArmResult, Results, collect, metric_value
from ablate.tables import comma_separated

HEAD = ["study", "arm", "setting", "value", "seed", "validation accuracy", "chosen"]


def tuned(folder: Path) -> list[Results]:
    """Return the results of the studies in `folder` that were tuned.

    Raises:
        SystemExit: there is no study, or none that was tuned to the end.
    """
    collection, manifest = read_collection(folder), read_manifest(folder)
    studies = collection.studies(folder) if collection else [(manifest, folder)] if manifest else []
    found = [results for results in (collect(*study) for study in studies) if results.study.tuning]
    if not found or any(arm.chosen is None for results in found for arm in results.arms):
        raise SystemExit(f"{folder} holds no study whose tuning is complete")
    return found


def good(results: Results, arm: ArmResult, within: float) -> list[int]:
    """Return the indices of an arm's values whose mean scores are within `within` of the best.

    A value with a tuning run that diverged or was not finite at inference is left out where another has none.
    """
    assert results.study.tuning is not None
    metric = results.study.tuning.metric
    means = [statistics.fmean(metric_value(record, metric) for record in records.values()) for records in arm.tuning]
    unsound = [any(not record.is_sound for record in records.values()) for records in arm.tuning]
    kept = {i: mean for i, mean in enumerate(means) if not unsound[i] or all(unsound)}
    return [i for i, mean in kept.items() if mean >= max(kept.values()) - within]


def middle(indices: list[int]) -> int:
    """Return the middle one, the smaller of two."""
    return indices[(len(indices) - 1) // 2]


def block(results: Results, source: str, within: float) -> str:
    """Return the `fixed` entry of a study's file."""
    assert results.study.tuning is not None
    lines = [
        f"fixed:  # {results.study.name}",
        f"  key: {results.study.tuning.key}",
        f"  source: {source}",
        "  values:",
    ]
    edges = []
    for arm in results.arms:
        found, last = good(results, arm, within), len(arm.planned.variants) - 1
        lines.append(f"    {json.dumps(arm.label)}: {text(arm.planned.variants[middle(found)].value)}")
        edges += [arm.label] if middle(found) in (0, last) or len(found) > last else []
    lines += ["  edges:", *(f"    - {json.dumps(label)}" for label in edges)] if edges else []
    return "\n".join(lines)


def rows(results: Results, within: float) -> list[list[str]]:
    """Return one row for each tuning run, see `HEAD`."""
    tuning = results.study.tuning
    assert tuning is not None
    found = []
    for arm in results.arms:
        chosen = arm.planned.variants[middle(good(results, arm, within))]
        for variant, records in zip(arm.planned.variants, arm.tuning, strict=True):
            for seed, record in records.items():
                row = [results.study.name, arm.label, tuning.key, text(variant.value), str(seed)]
                found.append([*row, f"{metric_value(record, tuning.metric):.4f}", "yes" * (variant == chosen)])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--within", type=float, default=0.0, help="points of validation accuracy")
    parser.add_argument("--csv", type=Path)
    args = parser.parse_args()
    found = [results for folder in args.folders for results in tuned(folder.resolve())]
    source = str(args.csv or "tuning.csv")
    print("\n".join(block(results, source, args.within / 100) for results in found))
    if args.csv:
        args.csv.parent.mkdir(parents=True, exist_ok=True)
        table = [HEAD, *(row for results in found for row in rows(results, args.within / 100))]
        args.csv.write_text(comma_separated(table), encoding="utf-8")


if __name__ == "__main__":
    main()

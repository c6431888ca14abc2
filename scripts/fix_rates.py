"""Print the values chosen by a study's tuning, in the format of a study file, and write the tuning runs to a table.

Usage: python scripts/fix_rates.py FOLDER ... [--csv FILE.csv]
       python scripts/fix_rates.py --table FILE.csv STUDY [--profile PROFILE]

FOLDER is the folder of a tuned study, or of a collection with tuned studies (outputs/studies/...). The output replaces
`tuning` in the study's profile; the table has one row for each tuning run. The values are chosen by the study's own
rule. `sensitive` names the claims that the tuning runs answer otherwise with one arm at a neighbouring value.

The second form chooses again from the rows that a table has of a study, by the rule `one_standard_error`: what the
study's file holds has to agree with it.
"""

import argparse
import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ablate.config import catalog
from ablate.config.overrides import from_yaml, text
from ablate.judging import tuning as sensitivity
from ablate.judging.selection import select
from ablate.study.collection import read_collection
from ablate.study.manifest import Manifest, PlannedArm, Variant, read_manifest
from ablate.study.results import ArmResult, Results, choice_of, choose, collect, metric_value
from ablate.study.study import TUNING_SEED, Study, shallow
from ablate.study.tuned import Tuning
from ablate.sweep.request import named_studies
from ablate.tables import comma_separated
from ablate.training.record import Record

HEAD = ["study", "arm", "setting", "value", "seed", "validation accuracy", "chosen"]
RULE = "one_standard_error"


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


def fixed(results: Iterable[Results], source: str) -> dict[str, Any]:
    """Return the `fixed` entry of a study's file, from results of arms that were tuned over the same values."""
    values: dict[str, Any] = {}
    edges: list[str] = []
    sensitive: list[str] = []
    key = ""
    for found in results:
        tuning = found.study.tuning
        assert tuning is not None
        key = tuning.key
        for arm in found.arms:
            assert arm.chosen is not None
            values[arm.label] = arm.chosen.value
            edges += [arm.label] if choice_of(tuning, arm.tuning).is_edge else []
        sensitive += sensitive_claims(found)
    entry = {"key": key, "source": source, "values": values, "edges": edges, "sensitive": sensitive}
    return {name: value for name, value in entry.items() if value}


def sensitive_claims(results: Results) -> list[str]:
    """Return the claims on test accuracies that depend on the chosen values, of those whose arms are all there."""
    labels, found = {arm.label for arm in results.arms}, []
    for claim in results.study.claims:
        planned = select(claim, results.study.arms()).cells
        if claim.metric != "test/accuracy" or not all(arm.label in labels for cell in planned for arm in cell):
            continue
        if sensitivity.value_sensitive(claim, select(claim, results.arms).cells, results.study):
            found.append(claim.name)
    return found


def block(entry: Mapping[str, Any], name: str) -> str:
    """Return a `fixed` entry as YAML."""
    lines = [f"fixed:  # {name}", f"  key: {entry['key']}", f"  source: {entry.get('source', '')}", "  values:"]
    lines += [f"    {json.dumps(label)}: {text(value)}" for label, value in entry["values"].items()]
    for part in ("edges", "sensitive"):
        lines += [f"  {part}:", *(f"    - {json.dumps(one)}" for one in entry[part])] if part in entry else []
    return "\n".join(lines)


def rows(results: Results) -> list[list[str]]:
    """Return one row for each tuning run, see `HEAD`."""
    tuning = results.study.tuning
    assert tuning is not None
    found = []
    for arm in results.arms:
        for variant, records in zip(arm.planned.tuned, arm.tuning, strict=True):
            for seed, record in records.items():
                row = [results.study.name, arm.label, tuning.key, text(variant.value), str(seed)]
                chosen = "yes" * (arm.chosen is not None and variant.value == arm.chosen.value)
                found.append([*row, f"{metric_value(record, tuning.metric):.4f}", chosen])
    return found


def read_table(path: Path, study: Study) -> list[Results]:
    """Return the tuning runs that a table has of a study, one result for each grid of values that arms share.

    Raises:
        SystemExit: the table has no row of the study.
    """
    arms: dict[str, dict[Any, dict[int, float]]] = {}
    key = ""
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["study"] == study.name:
                runs = arms.setdefault(row["arm"], {}).setdefault(from_yaml(row["value"]), {})
                runs[int(row["seed"])], key = float(row["validation accuracy"]), row["setting"]
    if not arms:
        raise SystemExit(f"{path} has no tuning run of study {study.name}")
    axes = {arm.label: arm.axes for arm in study.arms()}
    grids: dict[tuple[Any, ...], list[str]] = {}
    for label, runs_of in arms.items():
        grids.setdefault(tuple(sorted(runs_of)), []).append(label)
    found = []
    for values, labels in grids.items():
        num_seeds = min(len(arms[label][value]) for label in labels for value in values)
        tuning = Tuning(key=key, values=list(values), seeds=num_seeds, rule=RULE)
        own = Study(**{**shallow(study), "fixed": None, "tuning": tuning})
        results = [made_arm(label, axes.get(label, {}), arms[label], own) for label in labels]
        manifest = Manifest(
            name=study.name, title="", source="", definition={}, overrides=[], command="",
            arms=[arm.planned for arm in results], looks=[len(study.seeds)],
        )  # fmt: skip
        found.append(Results(study=own, manifest=manifest, output_dir=Path(), folder=Path(), arms=results))
    return found


def made_arm(label: str, axes: dict[str, Any], runs: Mapping[Any, Mapping[int, float]], study: Study) -> ArmResult:
    """Return an arm with records that hold a validation accuracy and nothing else."""
    variants, records = [], []
    for value in sorted(runs):
        name = f"{label} {value}"
        variants.append(
            Variant(
                value=value, overrides=[], arm=label, fingerprint=name, levels={}, folder="",
                settings={"trainer": {"epochs": 1}},
            )
        )  # fmt: skip
        records.append(
            {
                TUNING_SEED + i: Record(
                    arm=label, fingerprint=name, seed=TUNING_SEED + i, status="finished", levels={}, settings={},
                    metrics={"val/accuracy": accuracy}, history=[], wall_seconds=0.0, images_per_second=0.0,
                    peak_memory_mb=0.0, environment={},
                )
                for i, accuracy in enumerate(runs[value].values())
            }
        )  # fmt: skip
    planned = PlannedArm(axes=axes, label=label, variants=variants)
    return ArmResult(planned=planned, chosen=choose(planned, study, records), records={}, tuning=records)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", metavar="FOLDER")
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--table", type=Path)
    parser.add_argument("--profile", default="quick")
    args = parser.parse_args()
    if args.table:
        for name in args.folders:
            (request,) = named_studies(name, args.profile, [], [], catalog.folders())
            print(block(fixed(read_table(args.table, request.study), str(args.table)), name))
        return
    found = [results for folder in args.folders for results in tuned(Path(folder).resolve())]
    for results in found:
        print(block(fixed([results], str(args.csv or "tuning.csv")), results.study.name))
    if args.csv:
        args.csv.parent.mkdir(parents=True, exist_ok=True)
        args.csv.write_text(
            comma_separated([HEAD, *(row for results in found for row in rows(results))]), encoding="utf-8"
        )


if __name__ == "__main__":
    main()

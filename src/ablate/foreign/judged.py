"""Results of another program as a study: its manifest and the records of its runs, as if they had been run.

From there on judging, report and verification are those of any study. The folder of the study depends on what is
compared, not on the scores: a file that has grown by further units is the study's next look, which must be declared
(`looks`), and a score that has changed since it was judged is refused.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ablate.config.overrides import text
from ablate.errors import UserError
from ablate.foreign.arms import Arms, ForeignArm, arms_of
from ablate.foreign.event_files import has_events, read_logs
from ablate.foreign.files import read_file
from ablate.foreign.mlflow_store import is_store, read_store
from ablate.foreign.options import Options
from ablate.foreign.table import Table
from ablate.judging import check_claims
from ablate.storage.integrity import digest, replacing
from ablate.storage.paths import local, named_folder, safe_name
from ablate.study.manifest import Manifest, PlannedArm, Variant, read_manifest, write_manifest
from ablate.study.results import read_own
from ablate.study.study import parse
from ablate.sweep.begin import begin, compared
from ablate.training.directory import write_or_check_config
from ablate.training.identity import canonical, run_folder
from ablate.training.record import FAILURE_NAME, Record, write_record


def read_results(path: Path, options: Options) -> Table:
    """Return the runs in a file, a folder of TensorBoard logs or an MLflow file store, columns renamed.

    Raises:
        UserError: it is none of these, or cannot be read.
    """
    if not path.is_dir():
        table = read_file(path, options.status)
    elif is_store(path):
        table = read_store(path, options.experiment)
    elif has_events(path):
        table = read_logs(path, options.pattern)
    else:
        raise UserError(
            f"{path} is a folder that holds neither event files of TensorBoard nor runs of an MLflow file store; give "
            "one of these, or a file (CSV, Parquet, JSON)"
        )
    return table.renamed(options.rename)


def begin_judged(
    path: Path, claims: Mapping[str, Mapping[str, Any]], options: Options, command: str
) -> tuple[Manifest, Path, list[str]]:
    """Write the study of another program's results: manifest, records, and failures.

    Args:
        path: of the results.
        claims, options: see `options.read_claims`.
        command: the command line.

    Returns:
        The manifest, the study's folder, and remarks on what was left out.

    Raises:
        UserError: the results or claims are refused, a score has changed, or a look was not declared.
    """
    table = read_results(path, options)
    definition: dict[str, Any] = {"judged": table.name, "claims": {n: dict(c) for n, c in claims.items()}}
    definition |= options.of_the_study()
    study = parse(options.name, definition, options.title)
    arms = arms_of(table, [*study.claims, *study.controls], options)
    definition["metrics"] = list(dict.fromkeys([*(claim.metric for claim in study.claims), *options.metrics]))
    axes = list(arms.arms[0].axes)
    definition["grids"] = [{"zip": {axis: [arm.axes[axis] for arm in arms.arms] for axis in axes}}]
    folder = folder_of(local("output_dir", options.output_dir), options, table, arms)
    known = read_manifest(folder)
    earlier = known.definition if known else {}
    numbers, names = arms.numbered(earlier.get("units", []), may_grow=options.looks > 1)
    definition["seeds"] = earlier.get("seeds", numbers)  # of the first look
    if names:
        definition["units"] = names
    seeds = dict(zip(names, numbers, strict=True)) if names else {u: int(u) for u in arms.units}
    manifest = Manifest(
        name=options.name,
        title=options.title,
        source="",
        definition=definition,
        overrides=[],
        command=command,
        arms=[planned(arm, arms, table, options, folder.parent.parent) for arm in arms.arms],
        looks=[len(numbers)],
    )
    check_claims(manifest.study())  # all that is refused is refused before anything is written
    records = {
        (arm.variants[0].folder, seeds[unit]): record_of(arm, found, unit, seeds[unit], table)
        for arm, found in zip(manifest.arms, arms.arms, strict=True)
        for unit in found.runs
    }
    output_dir = folder.parent.parent
    units = {seeds[unit]: unit for unit in arms.units}
    check_same_scores(records, output_dir, table, units)
    manifest = next_look(manifest, known, folder, table, units) if known else begin(manifest, folder, write=False)
    write_runs_of(manifest, arms, records, seeds, output_dir)
    if known is None:  # registered after the records are there, since the runs were there before the claims
        manifest = begin(replace(manifest, registration=None), folder)
    write_manifest(manifest, folder)
    return manifest, folder, arms.remarks


def folder_of(output_dir: Path, options: Options, table: Table, arms: Arms) -> Path:
    """Return the study's folder: its name and the hash of what is compared, how it is paired, and the results' name."""
    content = {"judged": table.name, "unit": options.unit, "arms": [arm.label for arm in arms.arms]}
    name = safe_name(options.name, 80, repeat=False).strip("_,.") or "judged"
    return output_dir / "studies" / named_folder(name, content)


def planned(arm: ForeignArm, arms: Arms, table: Table, options: Options, output_dir: Path) -> PlannedArm:
    """Return an arm of the manifest."""
    content = {"judged": table.name, "study": options.name, "metrics": sorted(arms.metrics), "settings": arm.settings}
    fingerprint = hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
    everywhere = {key: text(canonical(value)) for key, value in arm.settings.items()}
    home = run_folder(output_dir, arm.label.replace(" ", ","), fingerprint, 0).parent
    variant = Variant(
        value=None,
        overrides=[f"{key}={value}" for key, value in arm.axes.items()],
        arm=arm.label,
        fingerprint=fingerprint,
        levels={},
        settings=arm.settings,
        folder=home.relative_to(output_dir).as_posix(),
        results=digest({"judged": table.name, "settings": everywhere}),
    )
    return PlannedArm(axes=arm.axes, label=arm.label, variants=[variant])


def record_of(planned: PlannedArm, arm: ForeignArm, unit: str, seed: int, table: Table) -> Record:
    """Return the record of a run; what another program does not say is 0 or empty."""
    found, variant = arm.runs[unit], planned.variants[0]
    return Record(
        arm=variant.arm,
        fingerprint=variant.fingerprint,
        seed=seed,
        status="diverged" if found.diverged else "finished",
        levels={},
        settings=arm.settings,
        metrics=found.metrics,
        history=[],
        wall_seconds=0.0,
        images_per_second=0.0,
        peak_memory_mb=0.0,
        environment={
            "read from": f"{table.name} ({table.kind})",
            "SHA-256 of the results": table.sha256,
            **{key: str(value) for key, value in found.notes.items()},
        },
        program=table.name,
    )


def check_same_scores(
    records: Mapping[tuple[str, int], Record], output_dir: Path, table: Table, units: Mapping[int, str]
) -> None:
    """Refuse scores that differ from those that were judged before.

    Raises:
        UserError: names the run, the metric, and both scores.
    """
    for (folder, seed), record in records.items():
        before, _ = read_own(output_dir / folder / f"seed-{seed}", record.fingerprint, seed)
        if before is None or (before.metrics, before.status) == (record.metrics, record.status):
            continue
        names = sorted(before.metrics.keys() | record.metrics.keys())
        name = next((n for n in names if before.metrics.get(n) != record.metrics.get(n)), "status")
        then, now = before.metrics.get(name, before.status), record.metrics.get(name, record.status)
        raise UserError(
            f"{table.name}: {name} of {record.arm}, unit {units[seed]}, was {then} when it was judged before and "
            f"is {now}; restore it, or judge the new results under another name (name=NAME), or in another "
            "output_dir=FOLDER"
        )


def next_look(manifest: Manifest, known: Manifest, folder: Path, table: Table, units: Mapping[int, str]) -> Manifest:
    """Return the manifest of a study that was judged before, with units that have been added as its next look.

    Raises:
        UserError: units are missing that were there, or the declared looks are used up.
    """
    then = known.study().seeds
    if gone := [seed for seed in then if seed not in units]:
        raise UserError(
            f"{table.name} had the unit {unit_of(gone[0], known)} when it was judged before, and lacks it "
            "now; restore it, or judge it under another name (name=NAME)"
        )
    begun = begin(manifest, folder, write=False)
    if added := [seed for seed in units if seed not in then]:
        looks = manifest.definition.get("looks", 1)
        if len(begun.looks) >= looks:
            shown = ", ".join(units[seed] for seed in added)
            raise UserError(
                f"{table.name} has units that were not there when it was judged before ({shown}): a further look "
                f"at the data: {looks} declared, {len(begun.looks)} taken. More seeds raise the error level, "
                f"so declare them before the first look (looks=2), or judge all with name=NAME looks={looks + 1}, "
                "which marks the claims as post hoc"
            )
        begun = compared(replace(begun, looks=[*begun.looks, len(units)]), folder)
    return begun


def unit_of(seed: int, manifest: Manifest) -> str:
    """Return the name of a unit of a study that was judged before."""
    names = manifest.definition.get("units", [])
    return str(names[seed] if names else seed)


def write_runs_of(
    manifest: Manifest,
    arms: Arms,
    records: Mapping[tuple[str, int], Record],
    seeds: Mapping[str, int],
    output_dir: Path,
) -> None:
    """Write the records that are not there yet, and for each run without a result why it has none."""
    for (name, seed), record in records.items():
        folder = output_dir / name / f"seed-{seed}"
        if read_own(folder, record.fingerprint, seed)[0] is None:
            folder.mkdir(parents=True, exist_ok=True)
            write_or_check_config(record, folder)
            write_record(record, folder)
    for planned, arm in zip(manifest.arms, arms.arms, strict=True):
        for unit, why in arm.failures.items():
            folder = output_dir / planned.variants[0].folder / f"seed-{seeds[unit]}"
            folder.mkdir(parents=True, exist_ok=True)
            with replacing(folder / FAILURE_NAME) as temporary:
                temporary.write_text(f"{why}\n", encoding="utf-8")

"""A study's records, read from the folders of its runs, and which runs are missing."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ablate.errors import UserError
from ablate.study.choice import Choice, choose_place
from ablate.study.claim import Axes
from ablate.study.manifest import Manifest, PlannedArm, Variant
from ablate.study.metrics import metric_value
from ablate.study.study import Study
from ablate.study.tuned import Tuning
from ablate.training.record import FAILURE_NAME, RECORD_NAME, Record, is_finished, read_record


@dataclass(frozen=True, kw_only=True)
class Job:
    """A run to do: a variant of an arm and a seed."""

    label: str
    variant: Variant
    seed: int

    @property
    def folder(self) -> str:
        """Folder of the run, relative to the output folder."""
        return f"{self.variant.folder}/seed-{self.seed}"

    @property
    def overrides(self) -> list[str]:
        return [*self.variant.overrides, f"seed={self.seed}"]


@dataclass(frozen=True, kw_only=True)
class ArmResult:
    """The records of an arm.

    Args:
        planned: the arm.
        chosen: the variant to judge; None until the tuning is complete.
        records: of the chosen variant, by report seed, missing runs left out.
        tuning: by position of the variant, records by tuning seed; empty where nothing is tuned.
        failures: by seed, the last line of a failed run's error; report and tuning runs.
        refused: by folder of the run, relative to the output folder, why the record in it is not this arm's; such a run
            is missing.
        seeds: report seeds that it needs now; None for all of the study's.
    """

    planned: PlannedArm
    chosen: Variant | None
    records: dict[int, Record]
    tuning: list[dict[int, Record]] = field(default_factory=list)
    failures: dict[int, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    seeds: list[int] | None = None

    @property
    def identity(self) -> tuple[str, ...]:
        """Equal for arms with the same report runs: the fingerprint of the chosen variant, or until then of all."""
        return (self.chosen.fingerprint,) if self.chosen else self.planned.identity

    @property
    def label(self) -> str:
        return self.planned.label

    @property
    def axes(self) -> Axes:
        return self.planned.axes

    @property
    def is_untunable(self) -> bool:
        """Whether every tuned value has a run that diverged or gave outputs that are not finite."""
        unsound = [any(not record.is_sound for record in records.values()) for records in self.tuning]
        return bool(unsound) and self.chosen is not None and all(unsound)

    @property
    def num_non_finite(self) -> int:
        """How many report runs gave outputs that are not finite at inference."""
        return sum(record.non_finite > 0 for record in self.records.values())

    def scores(self, metric: str, seeds: Sequence[int]) -> list[float]:
        """Return the metric of each report seed: nan where the run is missing, inf where it is null (never reached)."""
        return [metric_value(self.records.get(seed), metric) for seed in seeds]


@dataclass(frozen=True, kw_only=True)
class Results:
    """A study's arms with their records.

    Args:
        study: with the seeds of the present look.
        manifest: of the study.
        output_dir: folder that the runs' folders are relative to.
        folder: of the study.
        arms: in the study's order.
    """

    study: Study
    manifest: Manifest
    output_dir: Path
    folder: Path
    arms: list[ArmResult]

    @property
    def look(self) -> int:
        """Which look this is, from 1."""
        return len(self.manifest.looks)

    def seeds_of(self, arm: ArmResult) -> list[int]:
        """Return the report seeds that an arm needs now."""
        return self.study.seeds if arm.seeds is None else arm.seeds

    def with_seeds(self, needed: Mapping[str, int]) -> "Results":
        """Return the results in which each arm has so many seeds, by its label, and no records of others."""
        arms = []
        for arm in self.arms:
            seeds = self.study.seeds[: needed[arm.label]]
            records = {seed: arm.records[seed] for seed in seeds if seed in arm.records}
            arms.append(replace(arm, seeds=seeds, records=records))
        return replace(self, arms=arms)

    def at(self, num_seeds: int) -> "Results":
        """Return the results of the study's first seeds alone, as a study with a fixed number of seeds has them."""
        trimmed = self.with_seeds({arm.label: num_seeds for arm in self.arms})
        return replace(trimmed, study=replace(self.study, seeds=self.study.seeds[:num_seeds]))


def collect(manifest: Manifest, folder: Path) -> Results:
    """Read the records of every arm from the runs' folders."""
    output_dir = folder.parent.parent
    study = manifest.study()
    return Results(
        study=study,
        manifest=manifest,
        output_dir=output_dir,
        folder=folder,
        arms=[collect_arm(planned, study, output_dir) for planned in manifest.arms],
    )


def collect_arm(planned: PlannedArm, study: Study, output_dir: Path) -> ArmResult:
    """Read the records of one arm."""
    refused: dict[str, str] = {}

    def read(variant: Variant, seeds: Sequence[int]) -> dict[int, Record]:
        found, reasons = read_seeds(output_dir / variant.folder, variant.fingerprint, seeds)
        refused.update({f"{variant.folder}/seed-{seed}": reason for seed, reason in reasons.items()})
        return found

    tuning = [read(variant, study.tuning_seeds) for variant in planned.tuned] if study.tuning else []
    chosen = choose(planned, study, tuning)
    runs = [(variant.folder, seed) for variant in planned.tuned for seed in study.tuning_seeds]
    runs += [(chosen.folder, seed) for seed in study.seeds] if chosen else []
    failures = {seed: found for folder, seed in runs if (found := read_failure(output_dir / folder / f"seed-{seed}"))}
    records = read(chosen, study.seeds) if chosen else {}
    return ArmResult(planned=planned, chosen=chosen, records=records, tuning=tuning, failures=failures, refused=refused)


def choose(planned: PlannedArm, study: Study, tuning: Sequence[dict[int, Record]]) -> Variant | None:
    """Return the variant to judge by the study's rule, see `choice.choose_place`; None while tuning runs are missing.

    A value at which a tuning run diverged or gave outputs that are not finite is chosen only where every value has such
    a run (see `ArmResult.is_untunable`): then it is one with the fewest.
    """
    if study.tuning is None:
        return planned.variants[0]
    if any(len(records) < study.tuning.seeds for records in tuning):
        return None
    return planned.variants[choice_of(study.tuning, tuning).place]


def choice_of(tuning: Tuning, runs: Sequence[dict[int, Record]]) -> Choice:
    """Return the choice from complete tuning runs, by position of the value their records by seed."""
    scores = [[tuning_score(record, tuning) for record in records.values()] for records in runs]
    num_unsound = [sum(not record.is_sound for record in records.values()) for records in runs]
    return choose_place(scores, num_unsound, tuning.rule)


def tuning_score(record: Record, tuning: Tuning) -> float:
    """Return the score of a tuning run, greater for a better one; without a score it is the worst there is."""
    value = metric_value(record, tuning.metric)
    return (-value if tuning.minimize else value) if math.isfinite(value) else -math.inf


def read_seeds(folder: Path, fingerprint: str, seeds: Sequence[int]) -> tuple[dict[int, Record], dict[int, str]]:
    """Return the records of the finished seeds, and for each unusable record the reason, by seed."""
    found: dict[int, Record] = {}
    refused: dict[int, str] = {}
    for seed in seeds:
        record, reason = read_own(folder / f"seed-{seed}", fingerprint, seed)
        if record is not None:
            found[seed] = record
        elif reason:
            refused[seed] = reason
    return found, refused


def read_own(folder: Path, fingerprint: str, seed: int) -> tuple[Record | None, str]:
    """Return the record in `folder`, or None and why it cannot be used, "" where there is none.

    An unreadable record, or one of another run (copied there by hand), must not stop the others from being counted.
    """
    try:
        record = read_record(folder)
    except UserError as error:
        return None, str(error)
    if record is None or (record.fingerprint, record.seed) == (fingerprint, seed):
        return record, ""
    owner = f"arm {record.arm}, seed {record.seed}, fingerprint {record.fingerprint[:8]}"
    return None, (
        f"{folder / RECORD_NAME} is the record of another run ({owner}); this folder belongs to seed {seed}, "
        f"fingerprint {fingerprint[:8]}"
    )


def read_failure(folder: Path) -> str:
    """Return the last line of a failed run's error, "" where it did not fail or has finished since."""
    try:
        lines = (folder / FAILURE_NAME).read_text(encoding="utf-8").strip().splitlines()
    except OSError:
        return ""
    return "" if not lines or is_finished(folder) else lines[-1]


def missing_runs(results: Results) -> Iterator[Job]:
    """Yield the runs to do next, in the order of seeds: tuning runs first, then report runs of the tuned arms.

    To be called again when these are done, until it yields nothing. A run that two arms share is yielded once.
    """
    seen: set[str] = set()
    study = results.study
    jobs = [
        Job(label=arm.label, variant=variant, seed=seed)
        for seed in study.tuning_seeds
        for arm in results.arms
        for variant, records in zip(arm.planned.tuned, arm.tuning, strict=True)
        if seed not in records
    ] + [
        Job(label=arm.label, variant=arm.chosen, seed=seed)
        for seed in study.seeds
        for arm in results.arms
        if arm.chosen is not None and seed not in arm.records and seed in results.seeds_of(arm)
    ]
    for job in jobs:
        if job.folder not in seen:
            seen.add(job.folder)
            yield job


def state_of(folder: Path) -> str:
    """Return the state of the run in `folder`, see `run_rows.run_rows`."""
    if is_finished(folder):
        return "finished"
    if (folder / FAILURE_NAME).exists():
        return "failed"
    return "begun" if (folder / "config.yaml").exists() else "to do"

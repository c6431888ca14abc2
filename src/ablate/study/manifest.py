"""A study's manifest: which runs its arms are.

The manifest (outputs/studies/<name>-<hash8>/manifest.json) connects arms and runs by fingerprint. Whether a run is done
is read from the run's own folder, so a study that was killed, was continued by hand or shares runs needs no repair.
"""

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ablate.config.overrides import over
from ablate.errors import Unusable, UserError
from ablate.storage.integrity import read_json, write_json
from ablate.study.claim import Axes
from ablate.study.registration import Registration, plan_of
from ablate.study.study import Arm, Study, parse
from ablate.training.identity import RECORDED_ONLY, differences, fingerprint
from ablate.training.sources import Source, as_identity, edited, keep

MANIFEST_NAME = "manifest.json"
SCHEMA_VERSION = 2
VALIDATED = re.compile(
    "((epochs_to|best|reaches|at/train/cross_entropy/[0-9.]+)/)?val/"
)  # metrics of validation images


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One setting that seeds are run of: an arm at one value of the tuned setting.

    Args:
        value: of the tuned setting; None where nothing is tuned.
        overrides: the command line without the seed.
        arm: readable name, see `record.Record`.
        fingerprint, levels, settings: see `record.Record`.
        folder: of its runs, relative to the output folder.
        sources: see `record.Record`; their text is kept beside the manifest, in sources/<path>.
        follows: the keys that each interpolated setting names, see `declaration.follows`.
        data: hash of the content of the data; "" in manifests of earlier versions.
        results: of judged results, the hash of the results' name and of the settings: their fingerprints are those of
            one study, and this is the same in all that judge them. "" otherwise.
    """

    value: Any
    overrides: list[str]
    arm: str
    fingerprint: str
    levels: dict[str, str]
    settings: dict[str, Any]
    folder: str
    sources: list[dict[str, Any]] = field(default_factory=list)
    follows: dict[str, list[str]] = field(default_factory=dict)
    data: str = ""
    results: str = ""

    @cached_property
    def identities(self) -> frozenset[str]:
        """What tells its runs from others, in all studies: two variants with a common one have the same scores.

        The fingerprint; of judged results also `results`; of runs of this version of the numerics also the fingerprint
        without the settings that decide only what is recorded.
        """
        found = {self.fingerprint, self.results} - {""}
        code = as_identity(Source(**source) for source in self.sources)
        if self.data and fingerprint(self.settings, self.data, code) == self.fingerprint:
            found.add(fingerprint(self.settings, self.data, code, without=RECORDED_ONLY))
        return frozenset(found)


@dataclass(frozen=True, kw_only=True)
class PlannedArm:
    """An arm of the study with its variants, one for each value of the tuned setting, in the order of the values.

    `trials` are the same variants with `tuning.base`; empty where tuning runs have the budget of the report.
    """

    axes: Axes
    label: str
    variants: list[Variant]
    trials: list[Variant] = field(default_factory=list)

    @property
    def tuned(self) -> list[Variant]:
        """The variants that tuning runs are of: those of the report, unless tuning has a budget of its own."""
        return self.trials or self.variants

    @property
    def every(self) -> list[Variant]:
        """All variants that the arm has runs of."""
        return [*self.variants, *self.trials]

    @property
    def identity(self) -> tuple[str, ...]:
        """The fingerprints of its variants: arms with equal ones are the same runs."""
        return tuple(variant.fingerprint for variant in self.variants)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a study is and which runs it consists of.

    Args:
        name: of the study.
        definition: the study file's content, changes from the command line included.
        title, source: of the study.
        overrides: changes of every arm from the command line.
        command: the command line that started the study.
        arms: in the study's order.
        looks: number of report seeds at each look so far, the present one last; where the study declares them
            beforehand, of all its looks.
        registration: of its plan before the first run; None in manifests of earlier versions.
    """

    schema: int = SCHEMA_VERSION
    name: str
    title: str
    source: str
    definition: dict[str, Any]
    overrides: list[str]
    command: str
    arms: list[PlannedArm]
    looks: list[int]
    registration: Registration | None = None

    def study(self) -> Study:
        """Return the study, with the seeds of the present look."""
        study = parse(self.name, self.definition, self.title, self.source).with_overrides(self.overrides)
        seeds = list(study.seeds)
        while len(seeds) < self.looks[-1]:
            seeds.append(max(seeds) + 1)
        return Study(**{**{name: getattr(study, name) for name in study.__dataclass_fields__}, "seeds": seeds})

    def units(self) -> list[str | int]:
        """Return the seeds of `study`, or the names of the units that they number in judged results."""
        study = self.study()
        names = self.definition.get("units", [])
        is_judged = study.foreign is not None and bool(study.foreign.judged)
        return [(names[seed] if names else str(seed)) if is_judged else seed for seed in study.seeds]

    def plan(self) -> dict[str, Any]:
        """Return the plan of the study, see `registration.plan_of`."""
        return plan_of(parse(self.name, self.definition), self.arms)


def write_manifest(manifest: Manifest, folder: Path) -> None:
    """Write the manifest atomically, and the sources of its variants beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    keep({Source(**source) for arm in manifest.arms for variant in arm.every for source in variant.sources}, folder)
    write_json(asdict(manifest), folder / MANIFEST_NAME)


def read_manifest(folder: Path) -> Manifest | None:
    """Return the manifest in `folder`, None where there is none.

    Raises:
        UserError: it is damaged or of another version; only it records the looks that the study has had, so it is
            not made again.
    """
    path = folder / MANIFEST_NAME
    try:
        manifest = read_json(Manifest, path, SCHEMA_VERSION)
        if manifest is not None:
            check_possible(manifest, path)
    except Unusable as error:
        raise UserError(
            f"{error}. It says which looks at the data the study has had, so it is not made again: restore it from a "
            f"backup; or move {folder} away, and the command that began the study begins it again (its finished runs "
            "are kept)"
        ) from error
    return manifest


def check_possible(manifest: Manifest, path: Path) -> None:
    """Refuse a manifest that no version writes: without arms or variants, or with impossible looks.

    Raises:
        Unusable: names what is impossible.
    """
    looks = manifest.looks
    if not looks or looks[0] < 1 or any(b <= a for a, b in itertools.pairwise(looks)):
        raise Unusable(f"{path} is damaged: looks must be increasing numbers of seeds, at least one, got {looks}")
    if not manifest.arms:
        raise Unusable(f"{path} is damaged: arms is empty")
    numbers = {arm.label: len(arm.variants) for arm in manifest.arms}
    if len(set(numbers.values())) > 1 or 0 in numbers.values():
        raise Unusable(f"{path} is damaged: every arm must have as many variants, at least one, got {numbers}")
    if lacking := [arm.label for arm in manifest.arms if arm.trials and len(arm.trials) != len(arm.variants)]:
        raise Unusable(f"{path} is damaged: arm {lacking[0]} must have as many trials as variants, or none")


def check_unchanged(planned: Sequence[PlannedArm], manifest: Manifest, folder: Path) -> None:
    """Refuse to continue a study whose arms now mean other runs.

    Raises:
        UserError: names the arms, or the first settings, that differ.
    """
    labels, known_labels = [arm.label for arm in planned], [arm.label for arm in manifest.arms]
    if labels != known_labels:
        raise UserError(
            f"{folder} was begun with other arms ({', '.join(known_labels)}), got {', '.join(labels)}; undo the change "
            "to go on, or move the folder away to begin again"
        )
    for mine, known in zip(planned, manifest.arms, strict=True):
        for new, old in zip(mine.every, known.every, strict=True):
            if new.fingerprint != old.fingerprint:
                pairs = differences(new.settings, old.settings).items()
                shown = "; ".join(f"{key} is {now!r}, was {then!r}" for key, (now, then) in pairs)
                then, now = ([Source(**source) for source in variant.sources] for variant in (old, new))
                shown = "; ".join(filter(None, [shown, edited(then, now, folder)]))
                raise UserError(
                    f"{folder} was begun with another meaning of arm '{mine.label}': "
                    f"{shown or 'the data or the numerics changed'}; undo the change to go on, or move the folder "
                    "away to begin again"
                )


def plan_arms(arms: Sequence[Arm], study: Study, resolve: Any) -> list[PlannedArm]:
    """Return the arms with their variants resolved.

    Args:
        arms: `study.arms()`.
        study: gives the values of the tuned setting.
        resolve: (overrides, value) -> Variant.
    """
    values = study.tuning.values if study.tuning else [None]
    base = study.tuning.base if study.tuning else []
    return [
        PlannedArm(
            axes=arm.axes,
            label=arm.label,
            variants=[resolve(arm.overrides, value) for value in values],
            trials=[resolve(over(arm.overrides, base), value) for value in values] if base else [],
        )
        for arm in arms
    ]


def coinciding(arms: Iterable[PlannedArm]) -> list[list[str]]:
    """Return the labels of the arms that are the same runs, in groups of two and more."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for arm in arms:
        groups.setdefault(arm.identity, []).append(arm.label)
    return [labels for labels in groups.values() if len(labels) > 1]


def same_runs(labels: Sequence[str]) -> str:
    """Return the sentence that arms of these labels coincide.

    >>> same_runs(["a=1", "a=1.0"])
    'a=1 and a=1.0 are the same runs: nothing that decides a result differs'
    """
    listed = f"{', '.join(labels[:-1])} and {labels[-1]}"
    return f"{listed} are the same runs: nothing that decides a result differs"


def check_validated(study: Study, arms: Sequence[PlannedArm]) -> None:
    """Refuse a tuning or a claim that needs validation images where an arm has none.

    Raises:
        UserError: names the arm and what needs them: the tuning, or the claim about val/...
    """
    if study.foreign:
        return  # what it measures on is known to the program alone
    needs = ["`study.tuning`"] if study.tuning else []
    about = {claim.name: (claim.metric, *claim.explained_by) for claim in study.statements}
    needs += [f"claim {n!r}" for n, metrics in about.items() if any(map(VALIDATED.match, metrics))]
    for arm in arms:
        if needs and any(variant.settings["data"].get("val_size") == 0 for variant in arm.every):
            without = "study.tuning=null" if study.tuning else "study.only names the claims to judge"
            raise UserError(
                f"{needs[0]} needs validation images, and arm '{arm.label}' has none (data.val_size=0); raise "
                f"data.val_size, or do without it ({without})"
            )

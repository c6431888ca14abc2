"""Results of studies without any run, from a function of axes, seed and tuned value."""

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from ablate.study.manifest import Manifest, PlannedArm, Variant
from ablate.study.results import ArmResult, Results, choose
from ablate.study.study import Study, parse
from ablate.training.identity import fingerprint
from ablate.training.record import Record

# (axes, seed, tuned value) -> metrics, one number for test/accuracy, or None where the run is missing.
Metrics = Callable[[dict[str, Any], int, Any], Mapping[str, float | None] | float | None]

SETTINGS: dict[str, Any] = {
    "seed": 0,
    "data": {"train_size": 2000, "bits": 8},
    "preprocessing": {"bits": 8},
    "optimizer": {"lr": 0.1},
    "trainer": {"epochs": 8},
}


def settings_of(overrides: list[str]) -> dict[str, Any]:
    """Settings in which a group's level is one key of the group."""
    settings = copy.deepcopy(SETTINGS)
    for override in overrides:
        path, _, value = override.partition("=")
        group, _, key = path.partition(".")
        settings.setdefault(group, {})[key or "level"] = int(value) if value.isdigit() else value
    return settings


def make_record(variant: Variant, seed: int, metrics: Mapping[str, float | None]) -> Record:
    return Record(
        arm=variant.arm,
        fingerprint=variant.fingerprint,
        seed=seed,
        status="diverged" if None in metrics.values() else "finished",
        levels=variant.levels,
        settings=variant.settings,
        metrics=dict(metrics),
        history=[],
        wall_seconds=1.0,
        images_per_second=1.0,
        peak_memory_mb=1.0,
        environment={},
    )


def make_arm(
    arm: Any,
    study: Study,
    metrics: Metrics,
    failures: Mapping[str, Mapping[int, str]],
    change: Callable[[dict[str, Any], dict[str, Any]], None],
) -> ArmResult:
    values = study.tuning.values if study.tuning else [None]
    variants = []
    for value in values:
        overrides = [*arm.overrides, *([f"{study.tuning.key}={value}"] if study.tuning else [])]
        settings = settings_of(overrides)
        change(arm.axes, settings)
        identity = fingerprint(settings, "images")
        variants.append(
            Variant(
                value=value,
                overrides=overrides,
                arm=arm.label,
                fingerprint=identity,
                levels={"net": arm.axes.get("net", "micro"), "data": "made"},
                settings=settings,
                folder=f"runs/{identity[:8]}",
            )
        )

    def records(variant: Variant, seeds: list[int]) -> dict[int, Record]:
        found = {}
        for seed in seeds:
            scored = metrics(arm.axes, seed, variant.value)
            if scored is not None:
                scored = scored if isinstance(scored, Mapping) else {"test/accuracy": scored, "val/accuracy": scored}
                found[seed] = make_record(variant, seed, scored)
        return found

    planned = PlannedArm(axes=arm.axes, label=arm.label, variants=variants)
    tuning = [records(variant, study.tuning_seeds) for variant in variants] if study.tuning else []
    chosen = choose(planned, study, tuning)
    return ArmResult(
        planned=planned,
        chosen=chosen,
        records=records(chosen, study.seeds) if chosen else {},
        tuning=tuning,
        failures=dict(failures.get(arm.label, {})),
    )


@pytest.fixture
def make_results() -> Callable[..., Results]:
    """A function (definition of the study, metrics) -> its results."""

    def make(
        definition: Mapping[str, Any],
        metrics: Metrics,
        *,
        output_dir: Path = Path("outputs"),
        look: int = 1,
        failures: Mapping[str, Mapping[int, str]] | None = None,
        change: Callable[[dict[str, Any], dict[str, Any]], None] = lambda axes, settings: None,
    ) -> Results:
        study = parse("toy", definition)
        arms = [make_arm(arm, study, metrics, failures or {}, change) for arm in study.arms()]
        manifest = Manifest(
            name="toy",
            title="",
            source="",
            definition=dict(definition),
            overrides=[],
            command="ablate study=toy",
            arms=[arm.planned for arm in arms],
            looks=[len(study.seeds)] * look,
        )
        return Results(study=study, manifest=manifest, output_dir=output_dir, folder=output_dir / "toy", arms=arms)

    return make

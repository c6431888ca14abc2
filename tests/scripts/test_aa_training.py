"""The A/A script reads a study's records, and its rates are those of the splits it draws."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from scipy import stats

from ablate.study.manifest import Manifest, PlannedArm, Variant, write_manifest
from ablate.study.results import collect
from ablate.training.record import Record, write_record

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = {"data": {"train_size": 2000}, "trainer": {"epochs": 8}}


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("aa_training", ROOT / "scripts" / "aa_training.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_study(folder: Path, scores: Any, *, num_arms: int = 1, skip: int = 0) -> Manifest:
    """Write a study of equal arms whose first `skip` runs are missing."""
    arms = []
    for i in range(num_arms):
        variant = Variant(
            value=None,
            overrides=[],
            arm="default",
            fingerprint="ab" * 32,
            levels={"net": "micro"},
            settings=SETTINGS,
            folder=f"runs/{i}",
        )
        arms.append(PlannedArm(axes={}, label=f"arm {i}", variants=[variant]))
        for seed, score in list(enumerate(scores))[skip:]:
            run_folder = folder.parent.parent / variant.folder / f"seed-{seed}"
            run_folder.mkdir(parents=True)
            record = Record(
                arm="default",
                fingerprint=variant.fingerprint,
                seed=seed,
                status="finished",
                levels=variant.levels,
                settings=SETTINGS,
                metrics={"test/accuracy": float(score)},
                history=[],
                wall_seconds=1.0,
                images_per_second=1.0,
                peak_memory_mb=1.0,
                environment={},
            )
            write_record(record, run_folder)
    manifest = Manifest(
        name="aa",
        title="",
        source="",
        definition={"seeds": len(scores)},
        overrides=[],
        command="ablate study=aa",
        arms=arms,
        looks=[len(scores)],
    )
    write_manifest(manifest, folder)
    return manifest


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "outputs" / "studies" / "aa-01234567"


def test_it_prints_the_rates_of_the_splits_it_drew(script, folder, monkeypatch, capsys) -> None:
    scores = np.random.default_rng(5).normal(0.6, 0.01, 40)
    make_study(folder, scores)
    monkeypatch.setattr(sys, "argv", ["aa_training.py", str(folder), "--seed", "3"])
    script.main()
    text = capsys.readouterr().out
    assert f"mean {scores.mean():.4f}" in text
    assert "records of 40 runs of one setting, seeds 0 to 39" in text

    # The same splits judged by scipy.
    rng, expected = np.random.default_rng(3), []
    for block in (10, 20):
        for smallest in (0, 0.01):
            hits = 0
            for _ in range(200):
                one, other = rng.permutation(scores)[: 2 * block].reshape(2, block)
                hits += stats.ttest_rel(one, other).pvalue <= 0.05 and abs(np.mean(one - other)) >= smallest
            expected.append((str(block), f"{smallest:g}", f"{hits / 2:.1f}"))
    rows = [line.split("|") for line in text.splitlines() if line.startswith("| ")][2:]
    assert [(row[1].strip(), row[2].strip(), row[3].split("±")[0].strip()) for row in rows] == expected


def test_rates_of_a_line_sum_to_one(script) -> None:
    counts = script.count_outcomes(np.arange(12) / 12, 6, 0.3, 50, np.random.default_rng(0))
    assert sum(counts.values()) == 50
    assert script.rate(10, 200) == f"5.0 ± {100 * (0.05 * 0.95 / 200) ** 0.5:.1f}"
    assert script.rate(0, 200) == "0.0 ± 0.4"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_arms": 2}, "one arm, got 2"),
        ({"skip": 3}, "3 of 12 runs are missing"),
    ],
)
def test_other_than_a_finished_study_of_one_arm_is_refused(script, folder, options: dict[str, int], words: str) -> None:
    manifest = make_study(folder, np.arange(12) / 12, **options)
    with pytest.raises(ValueError, match=words):
        script.scores_of(collect(manifest, folder))


def test_too_few_seeds_are_refused(script, folder) -> None:
    manifest = make_study(folder, np.arange(7) / 12)
    with pytest.raises(ValueError, match="at least 8 seeds"):
        script.scores_of(collect(manifest, folder))


def test_a_folder_without_a_study_is_named(script, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["aa_training.py", str(tmp_path)])
    with pytest.raises(SystemExit):
        script.main()
    assert "has no manifest" in capsys.readouterr().err

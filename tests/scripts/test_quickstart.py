"""The first command, as it is typed, with `ablate` and the installation replaced by programs that note their words."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def quickstart(tmp_path):
    (tmp_path / "scripts").mkdir()
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "quickstart.sh", tmp_path / "scripts")
    for path, body in ((".venv/bin/ablate", 'printf "word:%s\\n" "$@"'), ("scripts/setup.sh", "echo setting up")):
        (tmp_path / path).write_text(f"#!/usr/bin/env bash\n{body}\n")
        (tmp_path / path).chmod(0o755)

    def run(*words):
        command = ["bash", str(tmp_path / "scripts" / "quickstart.sh"), *words]
        return subprocess.run(command, capture_output=True, text=True, env=dict(os.environ))

    return run


@pytest.mark.parametrize(
    ("words", "passed"),
    [
        ([], []),
        (["shapes", "seed=1"], ["seed=1"]),
        (["cifar10"], ["profile=cifar10"]),
        (["cifar10", "trainer.epochs=2", "data.root=a b"], ["profile=cifar10", "trainer.epochs=2", "data.root=a b"]),
        (["trainer.epochs=2"], ["trainer.epochs=2"]),
    ],
)
def test_every_word_is_passed_on(quickstart, words, passed):
    done = quickstart(*words)
    assert done.returncode == 0, done.stderr
    own = ["study=quickstart", "hydra/launcher=joblib", "hydra.launcher.n_jobs=-1"]
    given = [line.removeprefix("word:") for line in done.stdout.splitlines() if line.startswith("word:")]
    assert sorted(given) == sorted([*own, *passed])


def test_it_says_what_will_happen_and_ends_with_three_commands(quickstart):
    before, _, after = quickstart().stdout.partition("word:study=quickstart")
    assert "15 runs" in before
    assert sum(line.startswith("  ablate ") for line in after.splitlines()) == 3
    assert "profile=cifar10" in quickstart("cifar10").stdout.partition("Next")[2]


def test_another_word_is_refused_with_the_usage(quickstart):
    done = quickstart("imagenet")
    assert done.returncode == 2
    assert "scripts/quickstart.sh cifar10" in done.stderr

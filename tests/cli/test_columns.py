"""In a terminal of 80 columns no line is longer, but for paths and other single words."""

import os
import subprocess
import sys

import pytest

COMMANDS = """
--help
list
list activation
list relu
figure --help
judge --help
explain --help
export --help
list published_speed
explain C16
doctor
activation=rleu
{run} nosuchkey=1
{run} net=lecture dry_run=true
{run}
{run}
-m {run} activation=maxout_equal_parameters normalization=batch_after_no_affine,batch_population seed=0,1
-m {run} net.pool_size=8 name=fails seed=0,1
--config-dir mine study=long dry_run=true
--config-dir mine study=long
--config-dir mine explain first_wins
report {study}
verify {study}
export {study} --to markdown
report outputs/studies
figure dropout_masks data=shapes net=micro data.num_train=200 data.num_test=50 data.train_size=100 data.val_size=50
"""
STUDY = """
base: [data=shapes, data.num_train=200, data.num_test=50, data.train_size=100, data.val_size=50, net=micro,
       trainer.epochs=1, trainer.threads=1, trainer.batch_size=50]
grids: [product: {initializer: [xavier_as_printed, torch_default], optimizer.momentum: [0.95]}]
seeds: 2
claims:
  first_wins:
    text: Xavier's weights as the lecture prints them are more accurate by far than those of PyTorch with this momentum.
    form: greater
    treatment: {initializer: xavier_as_printed}
    control: {initializer: torch_default}
    smallest_effect: 0.02
    explained_by: [initial/gradient_norm/first_last]
"""
DRIVER = """
import glob, shlex, sys
from ablate.cli import main
for line in sys.stdin.read().splitlines():
    print(f"$ {line}")
    sys.argv = ["ablate", *shlex.split(line)]
    if "{study}" in line:
        sys.argv = [word.replace("{study}", glob.glob("outputs/studies/long-*")[0]) for word in sys.argv]
    try:
        main.main()
    except SystemExit:
        pass
    sys.stdout.flush()
    sys.stderr.flush()
"""
RUN = (
    "data=shapes data.num_train=200 data.num_test=50 data.train_size=100 data.val_size=50 net=micro trainer.epochs=1 "
    "trainer.threads=1 trainer.batch_size=30"
)


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """What each command prints in 80 columns: {line: text}."""
    folder = tmp_path_factory.mktemp("columns")
    (folder / "mine" / "study").mkdir(parents=True)
    (folder / "mine" / "study" / "long.yaml").write_text(STUDY)
    environment = {name: value for name, value in os.environ.items() if name not in ("LINES", "ABLATE_DATA")}
    done = subprocess.run(
        [sys.executable, "-c", DRIVER],
        input=COMMANDS.strip().replace("{run}", RUN),
        cwd=folder,
        env={**environment, "COLUMNS": "80", "XDG_CACHE_HOME": str(folder / "cache")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    assert "Traceback" not in done.stdout, done.stdout[-3000:]
    parts = (part.partition("\n") for part in done.stdout.removeprefix("$ ").split("\n$ "))
    return {line: text for line, _, text in parts}


def test_no_line_is_longer_than_the_terminal(printed):
    assert len(printed) == len(COMMANDS.split("\n")) - 3  # the same run twice, and the ends
    long = [row for text in printed.values() for row in text.splitlines() if len(row) > 80 and " " in row.strip()]
    assert not long


def test_nothing_is_cut(printed):
    (study,) = (text for line, text in printed.items() if line.endswith("study=long"))
    words = " ".join(study.split())
    assert "are more accurate by far than those of PyTorch with this momentum." in words
    assert "initializer=xavier_as_printed optimizer.momentum=0.95" in words

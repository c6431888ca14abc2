"""The command line as a user runs it: in its own process, in an empty folder."""

import csv
import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ablate.training.hardware import resolve_device
from builders.command import ALONE, SHAPES

REPOSITORY = Path(__file__).resolve().parents[2]


def only_record(folder):
    (path,) = Path(folder).glob("runs/*/seed-*/record.json")
    return json.loads(path.read_text())


def results(record):
    history = [{k: v for k, v in row.items() if k != "images_per_second"} for row in record["history"]]
    return record["metrics"], history, record["fingerprint"]


def test_help_lists_every_group(ablate):
    result = ablate("--help")
    assert result.returncode == 0
    for word in (
        "usage:",
        "activation",
        "lecun_tanh",
        "relu*",
        "image_folder",
        "triangular",
        "speedrun",
        "ablate list",
    ):
        assert word in result.stdout


def test_list_describes_levels(ablate):
    result = ablate("list activation net")
    assert result.returncode == 0
    assert "lecun_tanh" in result.stdout
    assert "1.7159" in result.stdout
    assert "batch_population" not in result.stdout
    assert "no group 'nett'" in ablate("list nett").stderr


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("activation=rleu", ["activation has no level 'rleu'", "relu"]),
        ("recipe=speedrn", ["recipe has no level 'speedrn'", "speedrun"]),
        (f"{ALONE} gpu=0 device=cpu", ["`gpu` must be null with device=cpu"]),
        (f"{ALONE} trainer.compile=fast", ["trainer.compile", "reduce-overhead"]),
        ("data.root=nowhere data.download=false", ["nowhere", "data.root", "data=shapes"]),
        ("data=image_folder", ["data.root has no default"]),
        (f"{ALONE} device=cuda", ["device=cuda", "device=cpu"]),
        (f"{ALONE} net.pool_size=8", ["pool2 would shrink its 4x4 input below 1x1"]),
        ("optimizer.learning_rate=1", ["optimizer=nesterov has no key", "lr"]),
        (f"{ALONE} +note=hello", ["no key 'note'"]),
        (f"{ALONE} ~augmentation", ["augmentation cannot be removed"]),
        (f"{ALONE} +optimizer.weight_decay=1", ["regularizer.l2"]),
        (f"{ALONE} net.num_hidden=0 dropout=hidden", ["dropout.hidden=0.5", "no place"]),
        (f"{ALONE} normalization.momentum=3", ["normalization", "momentum", "got 3"]),
    ],
)
def test_errors_are_one_clear_line(ablate, tmp_path, line, words):
    if "cuda" in line:
        import torch

        if torch.cuda.is_available():
            pytest.skip("this machine has a GPU")
    result = ablate(line)
    assert result.returncode == 2
    assert result.stderr.startswith("ablate: ")
    assert "Traceback" not in result.stderr
    assert all(word in result.stderr for word in words)
    assert not list(tmp_path.glob("outputs/runs/*/*"))


def test_a_run_and_the_same_run_again(ablate, tmp_path):
    first = ablate(f"{ALONE} device=cpu trainer.epochs=2")
    assert first.returncode == 0, first.stderr
    assert "epoch 2/2" in first.stdout
    assert "tensorboard --logdir" in first.stdout
    record = only_record(tmp_path / "outputs")
    assert record["status"] == "finished"
    assert record["levels"]["data"] == "shapes"
    assert f"test   accuracy {100 * record['metrics']['test/accuracy']:.2f} %" in first.stdout
    again = ablate(f"{ALONE} device=cpu trainer.epochs=2 activation=relu trainer.eval_batch_size=7")
    assert "finished already" in again.stdout
    assert "epoch" not in again.stdout
    anew = ablate(f"{ALONE} device=cpu trainer.epochs=2 rerun=true")
    assert "epoch 2/2" in anew.stdout
    assert results(only_record(tmp_path / "outputs")) == results(record)
    assert len(list(tmp_path.glob("outputs/replaced/*/seed-0.1/record.json"))) == 1


def test_dry_run_shows_the_layers_and_trains_nothing(ablate, tmp_path):
    result = ablate(f"{ALONE} dry_run=true net.widths=[10] net.kernel_size=5 net.convs_per_stage=1 normalization=none")
    assert result.returncode == 0, result.stderr
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("conv1_1")]
    assert line.split() == ["conv1_1", "Conv2d", "10x32x32", "760"]
    assert not (tmp_path / "outputs" / "runs").exists()


def test_a_killed_run_continues_and_ends_bitwise_equal(ablate, tmp_path):
    line = f"{ALONE} device=cpu trainer.epochs=8 dropout=lecture regularizer=input_noise"
    whole = ablate(f"{line} output_dir=whole")
    assert whole.returncode == 0, whole.stderr
    for kill in (signal.SIGKILL, signal.SIGINT):
        process = ablate.start(f"{line} output_dir=killed", env={**os.environ, "PYTHONUNBUFFERED": "1"})
        for printed in process.stdout:
            if printed.startswith("epoch ") and "left" in printed:
                break
        process.send_signal(kill)
        _, err = process.communicate(timeout=60)
        if kill == signal.SIGINT:
            assert process.returncode == 130
            assert "to continue from the last checkpoint" in err
            assert "output_dir=killed" in err
        else:
            assert process.returncode == -signal.SIGKILL
        assert not list(tmp_path.glob("killed/runs/*/*/record.json"))
        assert len(list(tmp_path.glob("killed/runs/*/*/checkpoint.pt"))) == 1
    resumed = ablate(f"{line} output_dir=killed")
    assert "epoch 1/8" not in resumed.stdout
    assert "epoch 8/8" in resumed.stdout
    assert results(only_record(tmp_path / "killed")) == results(only_record(tmp_path / "whole"))


def test_a_sweep_ends_with_a_table_and_the_failures(ablate, tmp_path):
    line = f"-m {SHAPES} trainer.epochs=1 activation=relu,tanh optimizer.lr=0.05 net.pool_size=2,8 'seed=range(2)'"
    launcher = "hydra/launcher=joblib hydra.launcher.n_jobs=2"
    dry = ablate(f"{line} {launcher} dry_run=true")
    assert f"device={resolve_device('auto')}\ntrainer.threads=1\n8 runs left" in dry.stdout
    assert not (tmp_path / "outputs").exists()
    line += " device=cpu"
    result = ablate(f"{line} {launcher}")
    assert result.returncode == 1
    assert "trainer.threads=1\n8 runs left; how long one takes is not known yet" in result.stdout
    assert "[8/8, 0:00 left]" in result.stdout + result.stderr
    assert result.stderr.count("FAILED: pool2 would shrink its 4x4 input below 1x1") == 4
    table = result.stdout.split("arm  ")[1].split("\n\n")[0].splitlines()
    rows = [row.split()[:2] for row in table if row.startswith("activation=")]
    assert sorted(rows) == [["activation=relu", "2"], ["activation=tanh", "2"]]
    assert "4 runs failed:" in result.stderr
    assert "to do what is left:\n  ablate -m " in result.stderr.replace("__main__.py", "ablate")
    (page,) = tmp_path.glob("outputs/studies/*/report.html")
    board = page.parent.relative_to(tmp_path) / "tensorboard"
    assert f"tensorboard --logdir {shlex.quote(str(board))}" in result.stdout
    states = [row["state"] for row in csv.DictReader((page.parent / "runs.csv").read_text().splitlines())]
    assert sorted(states) == ["failed"] * 4 + ["finished"] * 4
    assert len(list((tmp_path / board).glob("*/seed-*/events*"))) == 4
    records = {path: json.loads(path.read_text()) for path in tmp_path.glob("outputs/runs/*/*/record.json")}
    assert len({record["fingerprint"] for record in records.values()}) == 2
    assert {record["environment"]["threads"] for record in records.values()} == {1}  # OMP_NUM_THREADS of the tests
    written = {path: path.stat().st_mtime_ns for path in records}
    again = ablate(line.replace("0.05", "0.05,5e-2").replace("=2,8", "=2"))
    assert again.returncode == 0, again.stderr
    assert "no run is left" in again.stdout  # 0.05 typed twice is one arm, and its runs are shared between sweeps
    assert written == {path: path.stat().st_mtime_ns for path in tmp_path.glob("outputs/runs/*/*/record.json")}
    report = ablate(f"report {shlex.quote(str(page.parent))}")
    assert report.returncode == 0
    assert "activation=relu" in report.stdout


def test_a_killed_sweep_continues_and_repeats_no_run(ablate, tmp_path):
    line = f"-m {SHAPES} device=cpu trainer.epochs=2 activation=relu,tanh 'seed=range(3)' hydra/launcher=joblib"
    whole = ablate(f"{line} output_dir=whole")
    assert whole.returncode == 0, whole.stderr
    process = ablate.start(f"{line} output_dir=killed", start_new_session=True)
    for printed in process.stdout:
        if printed.startswith("[1/6"):
            break
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    done = {path: path.stat().st_mtime_ns for path in tmp_path.glob("killed/runs/*/*/record.json")}
    assert 1 <= len(done) < 6
    resumed = ablate(f"{line} output_dir=killed")
    assert resumed.returncode == 0, resumed.stderr
    assert f"{6 - len(done)} runs left" in resumed.stdout
    assert (
        done.items() <= {path: path.stat().st_mtime_ns for path in tmp_path.glob("killed/runs/*/*/record.json")}.items()
    )

    def table(folder):
        (path,) = tmp_path.glob(f"{folder}/studies/*/table.csv")
        rows = list(csv.reader(path.read_text().splitlines()))
        return [[cell for cell, head in zip(row, rows[0], strict=True) if "seconds" not in head] for row in rows]

    assert table("killed") == table("whole")


STUDY = """\
# Is ReLU better than tanh?
# Source: a test.
base: [net=micro, data=shapes, data.num_train=300, data.num_test=60, data.val_size=60, trainer.batch_size=20,
  trainer.epochs=2]
grids: [{product: {activation: [relu, tanh]}}]
seeds: 2
tuning: {key: optimizer.lr, values: [0.01, 0.05], seeds: 3}
looks: 2
claims:
  relu_wins: {text: ReLU beats tanh., form: greater, treatment: {activation: relu}, control: {activation: tanh},
    smallest_effect: 0.02}
"""


def test_a_study_is_tuned_judged_reported_and_extended(ablate, tmp_path, cache):
    (tmp_path / "mine" / "study").mkdir(parents=True)
    (tmp_path / "mine" / "study" / "small.yaml").write_text(STUDY)
    line = f"--config-dir mine study=small data.cache_dir={cache} hydra/launcher=joblib hydra.launcher.n_jobs=2"
    first = ablate(line)
    assert first.returncode == 0, first.stderr
    assert "16 runs left" in first.stdout  # 2 arms x 2 values x 3 tuning seeds, then 2 arms x 2 seeds
    assert "ReLU beats tanh." in first.stdout
    (page,) = tmp_path.glob("outputs/studies/small-*/report.html")
    assert "ReLU beats tanh." in page.read_text()
    assert len(list(tmp_path.glob("outputs/runs/*/seed-100000?/record.json"))) == 12
    written = {path: path.stat().st_mtime_ns for path in tmp_path.glob("outputs/runs/*/*/record.json")}
    more = ablate(f"{line} extra_seeds=1")
    assert more.returncode == 0, more.stderr
    after = {path: path.stat().st_mtime_ns for path in tmp_path.glob("outputs/runs/*/*/record.json")}
    assert written.items() <= after.items()
    assert len(after) == len(written) + 2
    refused = ablate(f"{line} extra_seeds=1")
    assert refused.returncode == 2
    assert "declares 2 looks" in refused.stderr
    assert "varies optimizer.lr itself" in ablate(f"{line} optimizer.lr=0.2").stderr
    changed = ablate(f"{line} study.claims.relu_wins.smallest_effect=0.001")
    assert changed.returncode == 2
    assert "begun with other claims" in changed.stderr
    assert "smallest_effect: 0.001 now, 0.02 then" in changed.stderr


def test_a_level_of_ones_own(tmp_path, cache):
    (tmp_path / "mine" / "activation").mkdir(parents=True)
    level = "# Squared ReLU.\n# Source: me.\n_target_: squared.SquaredReLU\n_partial_: true\n"
    (tmp_path / "mine" / "activation" / "squared_relu.yaml").write_text(level)
    code = [
        "import torch",
        "class SquaredReLU(torch.nn.Module):",
        "    def forward(self, x):",
        "        return x.relu()**2",
    ]
    (tmp_path / "squared.py").write_text("\n".join(code))
    line = f"--config-dir mine activation=squared_relu {SHAPES} trainer.epochs=1 data.cache_dir={cache}"
    script = Path(sys.executable).with_name("ablate")
    result = subprocess.run([script, *shlex.split(line)], cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert result.returncode == 0, result.stderr
    assert only_record(tmp_path / "outputs")["levels"]["activation"] == "squared_relu"


def test_an_installed_wheel_works_in_an_empty_folder(tmp_path, cache, installed):
    """Its own conf and sweeper are used, not the repository's."""
    site, empty = installed, tmp_path / "empty"
    empty.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(site)}

    def run(*arguments):
        command = [sys.executable, "-m", "ablate", *arguments]
        return subprocess.run(command, cwd=empty, env=environment, capture_output=True, text=True, timeout=240)

    where = "import hydra_plugins.ablate_sweeper as s; from ablate.config import catalog"
    where += "; print(catalog.conf_dir(), s.__file__)"
    found = subprocess.run([sys.executable, "-c", where], cwd=empty, env=environment, capture_output=True, text=True)
    assert found.stdout.split() == [str(site / "ablate/conf"), str(site / "hydra_plugins/ablate_sweeper.py")]
    sweep = run("-m", *shlex.split(SHAPES), "trainer.epochs=1", "activation=relu,elu", f"data.cache_dir={cache}")
    assert sweep.returncode == 0, sweep.stderr
    assert len(list(empty.glob("outputs/runs/*/seed-0/record.json"))) == 2
    assert len(list(empty.glob("outputs/studies/*/report.html"))) == 1
    record = json.loads(next(empty.glob("outputs/runs/*/seed-0/record.json")).read_text())
    assert record["environment"]["ablate_git_commit"] is None

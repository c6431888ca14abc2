"""A study whose runs are a command of another program: run, failed, edited, tuned, reported."""

import csv
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ablate.cli.program_study import do_program_study, has_command
from ablate.config import catalog
from ablate.errors import UserError
from ablate.judging.verification import verify_study
from builders.html import Page

PYTHON = f"{shlex.quote(sys.executable)} -S"  # without site-packages it starts faster
SCRIPT = """\
import json, os, sys
from shared import offset
act, lr, seed = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
print("a line before")
score = {"relu": 0.8, "tanh": 0.75}[act] - abs(lr - 0.1) + 0.01 * (seed % 5) + 0.001 * ((seed * len(act)) % 3) + offset
if os.path.exists("odd") and act == "tanh" and seed == 1:
    exec(open("odd").read())
print(json.dumps({"test": {"accuracy": score}, "val/accuracy": score, "name": "text"}))
print("a line after")
"""
STUDY = """\
# ReLU or tanh in another program?
# Source: a test.
command: {python} train.py {{activation}} {{lr}} {{seed}}
base: [lr=0.1]
grids: [{{product: {{activation: [relu, tanh]}}}}]
seeds: 3
guessing: 0.1
test_images: 1000
claims:
  better:
    text: ReLU is better than tanh.
    form: greater
    treatment: {{activation: relu}}
    control: {{activation: tanh}}
    smallest_effect: 0.01
"""


@pytest.fixture
def study(tmp_path, monkeypatch, capsys):
    """A function (words) -> what was printed; with its folder, and whether a run failed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine" / "study").mkdir(parents=True)
    (tmp_path / "mine" / "study" / "other.yaml").write_text(STUDY.format(python=PYTHON))
    (tmp_path / "train.py").write_text(SCRIPT)
    (tmp_path / "shared.py").write_text("offset = 0\n")

    def go(*words, fails=False):
        line = ["study=other", *words]
        where = [*catalog.folders(), tmp_path / "mine"]
        assert has_command(line, where)
        status = 0
        try:
            do_program_study(line, where, shlex.join(["ablate", *line]))
        except SystemExit as ended:
            status = ended.code
        assert status == int(fails)
        return capsys.readouterr()

    go.folder = lambda: max((tmp_path / "outputs" / "studies").iterdir(), key=lambda p: p.stat().st_mtime)
    go.verdict = lambda: next(csv.DictReader((go.folder() / "verdicts.csv").open(encoding="utf-8")))
    return go


def runs(tmp_path, state="record.json"):
    return sorted(path.parent for path in (tmp_path / "outputs" / "runs").rglob(f"seed-*/{state}"))


def test_a_study_is_run_judged_and_not_run_again(study, tmp_path):
    first = study()
    assert first.out.count("test/accuracy 0.8") == 3
    assert study.verdict()["outcome"] == "supported if trained"
    assert float(study.verdict()["estimate"]) == pytest.approx(0.05, abs=0.003)
    assert len(runs(tmp_path)) == 6
    record = json.loads((runs(tmp_path)[0] / "record.json").read_text())
    assert record["settings"]["lr"] == 0.1
    assert [source["path"] for source in record["sources"]] == ["shared.py", "train.py"]
    assert "a line before" in (runs(tmp_path)[0] / "stdout.txt").read_text()
    assert (runs(tmp_path)[0] / "sources" / "train.py").read_text() == SCRIPT
    written = {path: path.stat().st_mtime_ns for path in runs(tmp_path)}
    again = study()
    assert "no run is left" in again.out
    assert {path: path.stat().st_mtime_ns for path in runs(tmp_path)} == written
    page = Page((study.folder() / "report.html").read_text(encoding="utf-8"))
    assert "test accuracy %" in page.text
    assert "train.py" in page.text


def test_neither_torch_nor_hydra_is_loaded(study, tmp_path):
    code = (
        "import sys; from ablate.cli import main; sys.argv = ['ablate', '--config-dir', 'mine', 'study=other',"
        "'study.seeds=1', 'dry_run=true']; main.main(); print(sorted({'torch', 'hydra'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.endswith("[]\n"), done.stdout + done.stderr
    assert "train.py relu 0.1 0" in done.stdout
    assert not (tmp_path / "outputs").exists()


FAILURES = {
    "raise ValueError('no luck')": "it ended with status 1: ValueError: no luck",
    "sys.exit(3)": "it ended with status 3: it wrote nothing to standard error",
    "os.kill(os.getpid(), 9)": "it was ended by SIGKILL",
    "sys.stdout.flush(); os._exit(0)": "it printed no line with a JSON object such as",
    "print('{}'); sys.exit()": "the last JSON line has no 'test/accuracy'; it has nothing",
    "print('[1]'); sys.exit()": "its last line is '[1]'",
    'print(\'{"test/accuracy": "high"}\'); sys.exit()': "accuracy in the last JSON line must be a number, got 'high'",
    "print('{\"test/accuracy\": 81}'); sys.exit()": "must be a fraction in [0, 1], as an accuracy is, got 81",
    "import time; time.sleep(60)": "it took longer than",
}


def test_failures_are_named_and_the_others_are_done(study, tmp_path):
    for code, message in FAILURES.items():
        (tmp_path / "odd").write_text(code)
        limit = ["study.timeout_minutes=0.02"] if "sleep" in code else []
        printed = study("study.seeds=[1]", *limit, fails=True)
        assert message in printed.err, code
        failure = next(iter(runs(tmp_path, "failure.txt"))) / "failure.txt"
        assert message in failure.read_text().splitlines()[-1]
        assert study.verdict()["outcome"] == "incomplete"
        assert "1 failed" in study.verdict()["reason"]
        assert message.split("'")[0] in Page((study.folder() / "report.html").read_text()).text
    (tmp_path / "odd").unlink()
    study("study.seeds=[1]")
    assert study.verdict()["outcome"] == "inconclusive"
    assert runs(tmp_path, "failure.txt") == []


def test_a_run_without_a_finite_score_has_diverged(study, tmp_path):
    (tmp_path / "odd").write_text('print(\'{"test/accuracy": NaN, "val/accuracy": 0.4}\'); sys.exit()')
    study()
    assert float(study.verdict()["control_mean"]) < 0.6  # one of three is 0.1
    assert "1 of 3" in study.verdict()["did_not_train"]
    study("study.guessing=null")
    assert "1 of 3 runs have no test/accuracy, 1 diverged" in study.verdict()["reason"]


def test_an_edit_is_another_run_and_a_begun_study_refuses_it(study, tmp_path):
    study("study.seeds=[1]")
    (tmp_path / "shared.py").write_text("offset = 0.01\n")
    with pytest.raises(UserError, match=r"another meaning of arm .*shared.py was edited \(line 1: - offset = 0"):
        study("study.seeds=[1]")
    study("study.seeds=[1]", "output_dir=elsewhere")
    (tmp_path / "shared.py").write_text("offset = 0\n")
    assert "no run is left" in study("study.seeds=[1]").out


def test_tuning_takes_the_best_value_by_validation_and_less_may_be_better(study, tmp_path):
    tuning = "study.tuning={key: lr, values: [0.05, 0.1, 0.3], seeds: 3}"
    printed = study(tuning, "hydra/launcher=joblib", "hydra.launcher.n_jobs=3", "study.seeds=[1]")
    manifest = json.loads((study.folder() / "manifest.json").read_text())
    assert [variant["settings"]["lr"] for variant in manifest["arms"][0]["variants"]] == [0.05, 0.1, 0.3]
    rows = list(csv.DictReader((study.folder() / "table.csv").open()))
    assert {row["lr"] for row in rows} == {"0.1"}
    tuned = [line for line in printed.out.splitlines() if "seed 10000" in line]
    assert len(tuned) == 18
    assert not any("accuracy" in line for line in tuned)  # a tuning run's test score must decide nothing
    study(tuning.replace("seeds: 3", "seeds: 3, minimize: true"), "study.seeds=[1]")
    assert {row["lr"] for row in csv.DictReader((study.folder() / "table.csv").open())} == {"0.3"}


def test_further_seeds_and_a_rerun_keep_what_was_done(study, tmp_path):
    study("study.looks=2", "study.seeds=2")
    study("study.looks=2", "study.seeds=2", "extra_seeds=1")
    assert study.verdict()["num_seeds"] == "3"
    assert len(runs(tmp_path)) == 6
    study("study.looks=2", "study.seeds=2", "rerun=true")
    assert study.verdict()["num_seeds"] == "3"
    assert len(runs(tmp_path)) == 6
    assert len(list((tmp_path / "outputs" / "replaced").rglob("seed-*.1/record.json"))) == 6
    with pytest.raises(UserError, match="2 looks"):
        study("study.looks=2", "study.seeds=2", "extra_seeds=1")


LINEAR = SCRIPT.replace('"tanh": 0.75', '"tanh": 0.75, "linear": 0.3')
CONTROL = (
    "study.controls={upside_down: {text: A linear net is above ReLU., form: greater, treatment: {activation: linear}, "
    "control: {activation: relu}, metric: METRIC, smallest_effect: 0.1}}"
)


def test_a_control_is_judged_and_its_metric_is_needed(study, tmp_path):
    (tmp_path / "train.py").write_text(LINEAR)
    arms = ["study.grids=[{product: {activation: [relu, tanh, linear]}}]", "study.seeds=2"]
    printed = study(*arms, CONTROL.replace("METRIC", "test/third"), fails=True)
    assert printed.err.count("the last JSON line has no 'test/third'") == 12  # when it ends, and in the end
    study(*arms, CONTROL.replace("METRIC", "val/accuracy"), "output_dir=second")
    (verdicts,) = (tmp_path / "second" / "studies").glob("*/verdicts.csv")
    assert "not interpretable" in next(csv.DictReader(verdicts.open(encoding="utf-8")))["outcome"]
    assert verify_study(verdicts.parent).is_ok


def test_open_claims_take_their_looks_within_the_minutes(study, tmp_path):
    (tmp_path / "train.py").write_text(SCRIPT.replace("+ offset", '+ 0.05 * (seed % 3) * (act == "relu")'))
    seeds = "study.seeds={from: 2, to: 6, looks: 3}"
    printed = study(seeds, "study.minutes=0.00001")
    assert len(runs(tmp_path)) == 4
    assert "open after study.minutes=1e-05: better; the same command goes on" in printed.out
    study(seeds)
    assert len(runs(tmp_path)) > 4
    assert len(list((tmp_path / "outputs" / "studies").iterdir())) == 1
    assert verify_study(study.folder()).is_ok


REFUSED = [
    (["keep_weights=true"], "does not name {keep_weights}, so that it would change nothing"),
    (["study.minutes=3"], "declares none"),
    (["study.seeds={from: 2, to: 6, looks: 3}", "extra_seeds=1"], "declares all its looks"),
    (["study.command=python3 train.py {activation} {lr}"], "must hold {seed}"),
    (["study.command=python3 train.py {lr} {seed}"], "does not name {activation}"),
    (["study.command=python3 {activation} {lr} {seed} {epochs}"], "{epochs}, which has no value"),
    (["epochs=3"], "does not name {epochs}"),
    (["study.command=python3 {activation} {lr} {seed} {"], "single {"),
    (["study.command=python3 {activation} {lr} {seed} {}"], "must be a key"),
    (["study.command='python3 {activation} {lr} {seed} \"'"], "cannot be split into words"),
    (["study.command=no-such-program {activation} {lr} {seed}"], "can be started, got 'no-such-program'"),
    (["study.command=./train.py {activation} {lr} {seed}"], "chmod +x"),
    (["study.sources=[missing.py]"], "missing.py"),
    (["study.record=a/b"], "name of a file in {folder}"),
    (["activation=relu"], "varies activation itself"),
    (["seed=3"], "varies seed itself"),
    (["rerun=maybe"], "`rerun` must be true or false"),
    (["hydra/launcher=submitit_slurm"], "joblib"),
    (["hydra.job.name=x"], "is for runs that ablate trains"),
    (["extra_seeds=x"], "whole number"),
    (["word"], "KEY=VALUE"),
    (["study.guessing=1.5"], "guessing"),
    (["study.tuning={key: lr, values: [0.1, 0.2], metric: test/accuracy}"], "test images are not for tuning"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "message"), REFUSED, ids=[case[0][0] for case in REFUSED])
def test_refused_before_anything_is_written(study, tmp_path, words, message):
    with pytest.raises(UserError, match=re.escape(message)) as error:
        study(*words)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "outputs").exists()


def test_values_are_words_whatever_is_in_them(study, tmp_path):
    (tmp_path / "train.py").write_text(
        "import json, sys\nprint(json.dumps({'test/accuracy': 0.5, 'words': sys.argv[1:]}))\n"
    )
    hostile = "$(touch hacked); `id` \\'*' > x | {lr}"
    study(
        "study.grids=[{product: {activation: [tanh, " + json.dumps(hostile) + "]}}]", "study.claims={}", "study.seeds=1"
    )
    outputs = [json.loads((run / "stdout.txt").read_text())["words"] for run in runs(tmp_path)]
    assert sorted(outputs) == sorted([[hostile, "0.1", "0"], ["tanh", "0.1", "0"]])
    assert not (tmp_path / "hacked").exists()
    assert not (tmp_path / "x").exists()


def test_the_record_may_be_a_file_in_the_folder_of_the_run(study, tmp_path):
    (tmp_path / "train.py").write_text(
        "import json, sys\njson.dump({'test/accuracy': float(sys.argv[1])}, open(sys.argv[2] + '/m.json', 'w'))\n"
    )
    command = f"study.command={PYTHON} train.py {{activation}} {{folder}} {{seed}}"
    grid = "study.grids=[{product: {activation: [0.5, 0.75]}}]"
    study(command, grid, "study.base=[]", "study.record=m.json", "study.claims={}", "study.seeds=2")
    assert len(runs(tmp_path, "m.json")) == len(runs(tmp_path)) == 4
    printed = study(
        command, grid, "study.base=[]", "study.record=x.json", "study.claims={}", "study.seeds=1", fails=True
    )
    assert "it did not write x.json into {folder}" in printed.err


def test_a_killed_study_goes_on_and_never_runs_a_command_twice_at_once(study, tmp_path):
    (tmp_path / "train.py").write_text(
        SCRIPT.replace(
            'print("a line before")',
            "import time\n"
            'log = open(f"log-{act}-{seed}", "a"); log.write("begin\\n"); log.flush()\n'
            'time.sleep(3 if seed == 1 and act == "relu" else 0)\n'
            'log.write("end\\n"); log.flush()',
        )
    )
    line = [sys.executable, "-m", "ablate", "--config-dir", "mine", "study=other", "study.seeds=2"]
    process = subprocess.Popen(line, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    marker = tmp_path / "log-relu-1"
    deadline = time.monotonic() + 120
    while not (marker.exists() and marker.read_text()) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert marker.read_text() == "begin\n"
    assert len(runs(tmp_path)) == 2
    study("study.seeds=2")
    # The command outlived the killed process; it was waited for, and then run anew.
    assert marker.read_text() == "begin\nend\nbegin\nend\n"
    assert (tmp_path / "log-relu-0").read_text() == "begin\nend\n"
    assert len(runs(tmp_path)) == 4
    assert verify_study(study.folder()).is_ok


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_study_ends_its_commands(study, tmp_path, how):
    (tmp_path / "train.py").write_text(
        "import os, time\nopen('pid', 'w').write(str(os.getpid()))\nos.rename('pid', 'pid.txt')\ntime.sleep(100)\n"
    )
    line = [sys.executable, "-m", "ablate", "--config-dir", "mine", "study=other", "study.seeds=2"]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(line, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, before)
    deadline = time.monotonic() + 120
    while not (tmp_path / "pid.txt").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(how)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 128 + how, err
    assert err.splitlines()[-2:] == [
        f"stopped by {how.name}; to continue:",
        "  ablate --config-dir mine study=other study.seeds=2",
    ]
    assert not is_running(int((tmp_path / "pid.txt").read_text()))
    assert runs(tmp_path, "failure.txt") == []


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        pass
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return not Path("/proc/self").exists()

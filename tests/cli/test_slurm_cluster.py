"""A study on a real SLURM cluster of two nodes; `scripts/slurm_local.sh up` starts one."""

import contextlib
import csv
import json
import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

HOME = Path(os.environ.get("SLURM_LOCAL", "/tmp/slurm-local"))
SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "slurm_local.sh"
pytestmark = pytest.mark.slurm


def slurm(*words):
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(autouse=True)
def cluster(monkeypatch):
    """The local cluster, idle; skips where there is none."""
    if not (HOME / "slurm.conf").exists() or shutil.which("sinfo") is None:
        pytest.skip("there is no local SLURM cluster: scripts/slurm_local.sh up starts one")
    monkeypatch.setenv("SLURM_CONF", str(HOME / "slurm.conf"))
    if subprocess.run(["sinfo", "--noheader"], capture_output=True, check=False).returncode:
        pytest.skip("the local SLURM cluster does not answer; start it again with scripts/slurm_local.sh")
    yield
    subprocess.run(["scancel", "--me"], check=False)


def until(condition, seconds=300):
    """Wait for a condition and return its value."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.3)
    return found


def running():
    """{job id: node} of the jobs that run."""
    lines = slurm("squeue", "--noheader", "--array", "--states=running", "--format=%i %N").splitlines()
    return dict(line.split() for line in lines)


def metrics(output):
    """{(arm's folder, seed): test metrics} of the finished runs."""
    found = {}
    for path in output.glob("runs/*/seed-*/record.json"):
        record = json.loads(path.read_text())
        found[record["fingerprint"], record["seed"]] = (
            record["metrics"],
            [{key: value for key, value in row.items() if key != "images_per_second"} for row in record["history"]],
        )
    return found


SETTINGS = (
    "data=shapes net=micro data.train_size=200 data.val_size=50 data.test_size=50 trainer.epochs=20 trainer.threads=1 "
    "trainer.batch_size=10 tensorboard.enabled=false"
)
SWEEP = f"-m {SETTINGS} activation=relu,tanh 'seed=range(2)'"
STUDY = """
grids:
  - product: {activation: [relu, tanh]}
seeds: [3, 4]
tuning: {key: optimizer.lr, values: [0.02, 0.05], seeds: 3}
claims:
  relu:
    text: ReLU beats tanh.
    form: greater
    treatment: {activation: relu}
    control: {activation: tanh}
    smallest_effect: 0.02
"""


def verdicts(output):
    (path,) = output.glob("studies/*/verdicts.csv")
    return path.read_text()


def test_a_study_survives_a_cancelled_job_a_requeued_one_and_a_dead_node(ablate, tmp_path):
    """A tuned study: its report runs are submitted once the tuning has chosen."""
    (tmp_path / "mine" / "study").mkdir(parents=True)
    (tmp_path / "mine" / "study" / "pair.yaml").write_text(STUDY)
    study = f"--config-dir mine study=pair {SETTINGS}"
    command = f"{study} output_dir=cluster hydra/launcher=submitit_slurm"
    driver = ablate.start(command)
    output = tmp_path / "cluster"
    try:
        jobs = until(lambda: len(found := running()) == 2 and found)
        first, second = sorted(jobs)
        until(lambda: len(list(output.glob("runs/*/*/checkpoint.pt"))) == 2)
        slurm("scancel", first)
        with contextlib.suppress(subprocess.TimeoutExpired):  # scancel repeats it while the job queues itself again
            subprocess.run(["scancel", "--signal=USR2", second], capture_output=True, check=False, timeout=5)
        until(lambda: second not in running())
        assert "SIGUSR2: the run is saved" in (output / f".submitit/{second}/{second}_0_log.err").read_text()
        others = until(lambda: len(found := running()) == 2 and found)
        (victim,) = (job for job, node in others.items() if node == "n2")
        os.kill(int((HOME / "n2.pid").read_text()), signal.SIGKILL)  # its job goes on, and SLURM queues it again
        until(lambda: victim not in running())
    finally:
        if "n2" not in slurm("sinfo", "--noheader", "--Node", "--states=idle,alloc", "--format=%N").split():
            slurm(str(SCRIPT), "node", "n2")

    def has_ended():
        for job in (second, victim):  # SLURM lets a job that was queued again wait for two minutes
            subprocess.run(["scontrol", "update", f"JobId={job}", "StartTime=now"], capture_output=True, check=False)
        return driver.poll() is not None

    until(has_ended, seconds=600)
    out, err = driver.communicate()
    assert driver.returncode == 1, err
    assert out.count("this cluster keeps no accounting") == 1 and "sacct" not in err
    assert f"its SLURM job {first} was cancelled" in err
    assert err.count("failed:") == 1 and "1 runs failed:" in err
    assert "report.html" in out  # what there is is judged
    with next(output.glob("studies/*/runs.csv")).open(newline="") as file:
        states = Counter(row["state"] for row in csv.DictReader(file))
    assert (states["failed"], states["finished"]) == (1, 11 + 2)
    again = ablate(command)
    assert again.returncode == 0, again.stderr
    assert "1 runs submitted in 1 SLURM jobs" in again.stdout and "2 runs submitted in 2" in again.stdout
    local = ablate.start(f"{study} output_dir=local")
    assert local.communicate(timeout=900) and local.returncode == 0
    assert metrics(output) == metrics(tmp_path / "local") and len(metrics(output)) == 12 + 4
    assert verdicts(output) == verdicts(tmp_path / "local")


def test_submit_leave_and_come_back(ablate, tmp_path):
    """With two runs in a job; the second command finds the jobs in the queue and submits nothing."""
    quick = SWEEP.replace("epochs=20", "epochs=1")
    command = f"{quick} output_dir=left hydra/launcher=submitit_slurm runs_per_job=2"
    held = f"{command} +hydra.launcher.additional_parameters.hold=true"
    left = ablate(f"{held} leave=true")
    assert left.returncode == 0, left.stderr
    assert "4 runs submitted in 2 SLURM jobs" in left.stdout
    folder = left.stdout.partition("ablate report ")[2].splitlines()[0]
    report = ablate(f"report {folder}")
    assert report.returncode == 0 and "report.html" in report.stdout
    driver = ablate.start(command)
    assert any("all 4 runs are in the queue already" in line for line in driver.stdout)
    queue = slurm("squeue", "--noheader", "--array", "--format=%i").split()
    assert len(queue) == 2
    slurm("scontrol", "release", queue[0].partition("_")[0])
    out, err = driver.communicate(timeout=400)
    assert driver.returncode == 0, err
    assert "submitted in" not in out
    assert len(list((tmp_path / "left").glob("runs/*/*/record.json"))) == 4

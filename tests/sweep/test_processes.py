"""Sweeps over several processes: stopped by a signal, and several commands on one output folder."""

import json
import signal
import time
from collections import Counter

SETTINGS = (
    "data=shapes net=micro data.train_size=200 data.val_size=50 data.test_size=50 trainer.threads=1 "
    "trainer.batch_size=50 tensorboard.enabled=false diagnostics.measure=[] output_dir=outputs"
)
LOGGED = """
import os
import torch


class Logged(torch.optim.SGD):
    def step(self, closure=None):
        with open("steps.txt", "a") as file:
            file.write(f"{os.getpid()}\\n")
        return super().step(closure)
"""


def until(condition, process):
    """Wait for a condition while a process runs."""
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)


def test_sigterm_stops_the_workers_of_joblib_and_says_how_to_go_on(ablate, tmp_path):
    line = f"-m {SETTINGS} trainer.epochs=100000 'seed=range(3)' hydra/launcher=joblib hydra.launcher.n_jobs=2"
    driver = ablate.start(line)
    found = tmp_path / "outputs"
    until(lambda: len(list(found.glob("runs/*/*/checkpoint.pt"))) == 2, driver)
    driver.send_signal(signal.SIGTERM)
    _, err = driver.communicate(timeout=120)
    assert driver.returncode == 143, err
    assert "SIGTERM: the runs stop at their next step" in err
    assert "stopped by SIGTERM; to continue from the last checkpoint:\n  ablate -m data=shapes" in err
    assert "Traceback" not in err and "gave up" not in err
    assert len(list(found.glob("runs/*/seed-*/config.yaml"))) == 2  # no further run was begun
    assert not list(found.glob("runs/*/*/failure.txt"))


def test_three_plain_processes_share_the_work_and_do_no_step_twice(ablate, tmp_path):
    """Three commands that know nothing of each other, as on three computers with one file system."""
    (tmp_path / "logged.py").write_text(LOGGED)
    arms = "optimizer._target_=logged.Logged activation=relu,tanh 'seed=range(2)'"
    line = f"-m {SETTINGS} trainer.epochs=3 {arms}"
    processes = [ablate.start(line) for _ in range(3)]
    ends = [process.communicate(timeout=240) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], ends
    steps = Counter((tmp_path / "steps.txt").read_text().split())
    assert sum(steps.values()) == 4 * 3 * 4  # runs, epochs, steps
    assert all(count % 12 == 0 for count in steps.values())  # each run was done by one process
    records = [json.loads(path.read_text()) for path in tmp_path.glob("outputs/runs/*/*/record.json")]
    assert sorted(record["seed"] for record in records) == [0, 0, 1, 1]
    assert all("report.html" in out for out, _ in ends)

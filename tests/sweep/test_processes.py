"""Sweeps over several processes: stopped by a signal, several commands on one output folder, and Dask's workers."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from importlib.util import find_spec

import pytest

SETTINGS = (
    "data=shapes net=micro data.train_size=200 data.val_size=50 data.test_size=50 trainer.threads=1 "
    "trainer.batch_size=50 tensorboard.enabled=false diagnostics.measure=[] output_dir=outputs"
)
LOGGED = """
import os
import time

import torch


class Logged(torch.optim.SGD):
    def step(self, closure=None):
        with open("steps.txt", "a") as file:
            file.write(f"{os.getpid()}\\n")
        return super().step(closure)


class Slow(torch.optim.SGD):
    def step(self, closure=None):
        time.sleep(0.2)  # so that waiting for the other worker costs nothing
        return super().step(closure)
"""


def until(condition, process):
    """Wait for a condition while a process runs."""
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)


def test_sigterm_stops_the_workers_of_joblib_and_says_how_to_go_on(ablate, tmp_path):
    (tmp_path / "logged.py").write_text(LOGGED)
    slow = f"{SETTINGS} optimizer._target_=logged.Slow trainer.epochs=100000"
    line = f"-m {slow} 'seed=range(3)' hydra/launcher=joblib hydra.launcher.n_jobs=2"
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


FORK = """
import json, os, shlex, sys
import ablate.cli.main, ablate.cli.planning, ablate.report, ablate.sweep.studies  # once for all commands

def do(number, line):
    for stream in (1, 2):
        os.dup2(os.open(f"{number}.{stream}", os.O_CREAT | os.O_WRONLY), stream)
    sys.argv = ["ablate", *shlex.split(line)]
    try:
        ablate.cli.main.main()
        status = 0
    except SystemExit as ended:
        status = ended.code or 0
    sys.stdout.flush()
    os._exit(status)

pids = []
for number, line in enumerate(sys.argv[1:]):
    pid = os.fork()
    pids += [pid] if pid else [do(number, line)]
print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]))
"""


@pytest.fixture(scope="module")
def ended(tmp_path_factory, cache):
    """The folder in which the commands of the following tests have ended, and of each (status, output, errors)."""
    folder = tmp_path_factory.mktemp("processes")
    (folder / "logged.py").write_text(LOGGED)
    shared = f"-m {SETTINGS} data.cache_dir={cache}"
    plain = f"{shared} trainer.epochs=2 optimizer._target_=logged.Logged activation=relu,tanh 'seed=range(2)'"
    dask = (
        f"{shared.replace('=outputs', '=dask')} trainer.epochs=1 seed=0,1 hydra/launcher=dask hydra.launcher.n_jobs=1"
    )
    lines = [plain] * 3 + [dask] * (find_spec("distributed") is not None)
    done = subprocess.run([sys.executable, "-c", FORK, *lines], cwd=folder, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    texts = [[(folder / f"{number}.{stream}").read_text() for stream in (1, 2)] for number in range(len(lines))]
    return folder, [(status, *text) for status, text in zip(json.loads(done.stdout), texts, strict=True)]


def test_three_plain_processes_share_the_work_and_do_no_step_twice(ended):
    """Three commands that know nothing of each other, as on three computers with one file system."""
    folder, ends = ended
    assert [status for status, _, _ in ends[:3]] == [0, 0, 0], ends
    steps = Counter((folder / "steps.txt").read_text().split())
    assert sum(steps.values()) == 4 * 2 * 4  # runs, epochs, steps
    assert all(count % 8 == 0 for count in steps.values())  # each run was done by one process
    records = [json.loads(path.read_text()) for path in folder.glob("outputs/runs/*/*/record.json")]
    assert sorted(record["seed"] for record in records) == [0, 0, 1, 1]
    assert all("report.html" in out for _, out, _ in ends[:3])


def test_a_sweep_on_dask(ended):
    pytest.importorskip("distributed")
    folder, ends = ended
    status, out, err = ends[3]
    assert status == 0, err
    assert "[2/2, 0:00 left]" in out and "report.html" in out
    assert "Traceback" not in err
    assert len(list(folder.glob("dask/runs/*/*/record.json"))) == 2

"""What every test may use: one thread, where CIFAR-10 lies, and a quick way from overrides to settings."""

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from builders import probes, runs

REPOSITORY = Path(__file__).resolve().parents[1]
DEVICE = os.environ.get("ABLATE_TEST_DEVICE", "cpu")  # of the fixture `device`; bitwise comparisons are on the CPU

# Tests run in several processes; each, and what it starts, keeps to one thread.
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def cifar_root() -> Path:
    """The folder that holds cifar-10-batches-py: $ABLATE_DATA, ../shared/data or data in the repository."""
    candidates = [os.environ.get("ABLATE_DATA"), REPOSITORY.parent / "shared" / "data", REPOSITORY / "data"]
    for candidate in candidates:
        if candidate and (Path(candidate) / "cifar-10-batches-py" / "test_batch").is_file():
            return Path(candidate)
    pytest.skip("CIFAR-10 is not here: set ABLATE_DATA to the folder that holds cifar-10-batches-py")


@pytest.fixture(scope="session")
def installed(tmp_path_factory) -> Path:
    """The folder into which the wheel is installed, built as a user's pip builds it; for PYTHONPATH."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "-q", "--no-deps", "-w", folder, REPOSITORY], check=True, capture_output=True)
    (wheel,) = folder.glob("ablate-*.whl")
    site = folder / "site"
    subprocess.run([*pip, "install", "-q", "--no-deps", "--target", site, wheel], check=True, capture_output=True)
    return site


@pytest.fixture(scope="session")
def device() -> str:
    """Where tests train that mean no particular device: $ABLATE_TEST_DEVICE, "cpu" or "cuda"."""
    from ablate.training.hardware import resolve_device

    return resolve_device(DEVICE)


@pytest.fixture
def compose(device):
    """A function (overrides) -> what the command line would compose from them, and the levels that were chosen.

    The device is that of the tests unless it is among the overrides.
    """
    from hydra import compose, initialize_config_dir
    from omegaconf import open_dict

    from ablate.cli.hydra_version import of_composing

    with initialize_config_dir(str(REPOSITORY / "conf"), **of_composing()):

        def go(overrides):
            named = any(line.startswith("device=") for line in overrides)
            overrides = list(overrides) if named else [*overrides, f"device={device}"]
            cfg = compose("config", overrides=overrides, return_hydra_config=True)
            choices = dict(cfg.hydra.runtime.choices)
            with open_dict(cfg):
                del cfg["hydra"]
            return cfg, choices

        yield go


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def ablate(tmp_path, cache):
    """A function (command line) -> finished process, started in an empty folder."""

    def start(line, **options):
        command = [sys.executable, "-m", "ablate", *shlex.split(line)]
        command += [f"data.cache_dir={cache}"] if "data=shapes" in line else []
        options = {"cwd": tmp_path, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
        before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background has it ignored
        try:
            return subprocess.Popen(command, **options)
        finally:
            signal.signal(signal.SIGINT, before)

    def go(line, **options):
        process = start(line, **options)
        out, err = process.communicate(timeout=240)
        return subprocess.CompletedProcess(line, process.returncode, out, err)

    go.start = start
    return go


@pytest.fixture
def make_run():
    """See `builders.runs.make_run`."""
    return runs.make_run


@pytest.fixture
def make_probe():
    """See `builders.probes.make_probe`."""
    return probes.make_probe

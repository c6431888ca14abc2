"""The scripts for a machine with a GPU, on the CPU: sweeps as dry runs, and the way from packing to unpacking."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("part1", "part2", "part3", "part4")


def call(script, *words, **environment):
    """Run a script; return what it prints.

    Raises:
        AssertionError: it ended with a status other than 0.
    """
    environment = {**os.environ, "PYTHON": sys.executable, **environment}
    done = subprocess.run([ROOT / "scripts" / script, *words], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_sweeps_of_the_check_are_commands_that_the_program_accepts(tmp_path, cifar_root):
    call("gpu_check.sh", tmp_path, "accuracy", "full", DEVICE="cpu", DRY_RUN="true", DATA=str(cifar_root))
    log = (tmp_path / "log.txt").read_text()
    assert log.count("status 0 of -m ablate") == 3, log
    assert "20 runs" in log
    assert "4 runs" in log


def test_records_of_a_sweep_come_back_in_one_file_and_its_large_files_do_not(tmp_path):
    """The sweep is nothing here: what an earlier one has left is packed."""
    run = tmp_path / "work" / "outputs" / "runs" / "arm" / "seed-0"
    run.mkdir(parents=True)
    for name in ("record.json", "checkpoint.pt", "events.out.tfevents.1"):
        (run / name).write_text("content")
    out = tmp_path / "out"
    call("gpu_check.sh", out, "skips", WORK=str(tmp_path / "work"), PYTHON="true")
    assert sorted(path.name for path in out.iterdir()) == ["log.txt", "outputs.tgz"]
    listed = subprocess.run(["tar", "-tzf", out / "outputs.tgz"], capture_output=True, text=True, check=True).stdout
    assert "record.json" in listed
    assert "checkpoint" not in listed
    assert "events" not in listed


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="the size of the tree is that of git's files")
def test_what_is_packed_is_unpacked_when_all_parts_have_come(tmp_path):
    batches = tmp_path / "data" / "cifar-10-batches-py"
    batches.mkdir(parents=True)
    content = os.urandom(10_000)
    (batches / "test_batch").write_bytes(content)
    pack, work = tmp_path / "pack", tmp_path / "work"
    shown = call("gpu_pack.sh", pack, DATA=str(tmp_path / "data"), PIP="true")
    assert "of 64 MiB" in shown
    assert sorted(path.name for path in pack.iterdir()) == [*PARTS, "whl"]
    kept = tmp_path / "kept"
    pack.rename(kept)
    unpacked = work / "data" / "cifar-10-batches-py" / "test_batch"
    for part in PARTS:  # one a call, as the transfers bring them
        shutil.rmtree(pack, ignore_errors=True)
        pack.mkdir()
        shutil.copytree(kept / "whl", pack / "whl")
        shutil.copytree(kept / part, pack / part)
        assert not unpacked.exists()
        call("gpu_session.sh", pack, OUT=str(tmp_path / "out"), WORK=str(work))
    assert unpacked.read_bytes() == content

"""The Multi-Process Service, with a program in its place."""

import os
import subprocess
import sys

import pytest

from ablate.sweep.mps import CONTROL, PIPE, shared_gpus


@pytest.fixture
def control(tmp_path, monkeypatch):
    """A control program that notes its arguments, its input and its folder; returns (notes, a function to break it)."""
    notes, program = tmp_path / "notes", tmp_path / "bin" / CONTROL
    program.parent.mkdir()

    def write(status):
        program.write_text(
            f'#!/bin/sh\n[ "$1" = -d ] && words= || words=$(cat)\n'
            f'echo "$1 $words ${PIPE}" >> {notes}\nls -d "${PIPE}" > /dev/null || exit 3\nexit {status}\n'
        )
        program.chmod(0o755)

    write(0)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    monkeypatch.delenv(PIPE, raising=False)
    return notes, write


def test_workers_that_share_a_gpu_get_the_service_and_it_ends(control):
    notes, _ = control
    with shared_gpus(4, num_gpus=1) as running:
        assert running
        seen = subprocess.run(
            [sys.executable, "-c", f"import os; print(os.environ['{PIPE}'])"], capture_output=True, text=True
        ).stdout.strip()
        assert os.path.isdir(seen)
    assert notes.read_text().split("\n")[:2] == [f"-d  {seen}", f" quit {seen}"]
    assert PIPE not in os.environ
    assert not os.path.exists(seen)


@pytest.mark.parametrize(("workers", "gpus"), [(4, 0), (1, 1), (2, 2)])
def test_it_is_not_started_where_no_gpu_is_shared(control, workers, gpus):
    with shared_gpus(workers, gpus) as running:
        assert not running
    assert not control[0].exists()


def test_the_users_own_service_is_used(control, monkeypatch):
    monkeypatch.setenv(PIPE, "/somewhere")
    with shared_gpus(4, num_gpus=1):
        assert os.environ[PIPE] == "/somewhere"
    assert not control[0].exists()


def test_a_service_that_does_not_start_is_named_and_the_work_goes_on(control, capsys):
    control[1](1)
    with shared_gpus(4, num_gpus=1) as running:
        assert not running
        assert PIPE not in os.environ
    assert "Multi-Process Service" in capsys.readouterr().err

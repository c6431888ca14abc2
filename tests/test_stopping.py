"""Signals: noted while a run trains or workers do, raised at once elsewhere."""

import os
import signal
import subprocess
import sys

import pytest

from ablate import stopping


@pytest.fixture(autouse=True)
def forgotten():
    yield
    stopping.reset()


def send(name):
    os.kill(os.getpid(), getattr(signal, name))


@pytest.mark.parametrize(("name", "status"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_is_raised_at_once_where_nothing_trains(name, status):
    with stopping.watched(), pytest.raises(stopping.Stopped, match=name) as caught:
        send(name)
    assert caught.value.status == status
    assert not isinstance(caught.value, Exception)  # `except Exception` must not take it for a failed run


def test_a_signal_is_noted_where_something_trains_and_the_second_one_is_raised():
    with stopping.watched(), stopping.deferred():
        send("SIGTERM")
        assert stopping.requested()
        with pytest.raises(stopping.Stopped, match="SIGINT"):
            send("SIGINT")
        with pytest.raises(stopping.Stopped, match="SIGTERM"):  # the first one is the reason
            stopping.check()
    assert not stopping.requested()  # the next command of this process is not stopped


def test_a_signal_that_the_process_ignores_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopping.watched():
            send("SIGHUP")
            assert not stopping.requested()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_leader_asks_its_workers_by_a_file_and_raises_when_they_have_ended(capfd):
    def lead():
        with stopping.watched(), stopping.leading():
            send("SIGTERM")
            found.append(os.path.exists(os.environ[stopping.LEADER].partition(" ")[2]))

    found = []
    with pytest.raises(stopping.Stopped, match="SIGTERM"):
        lead()
    assert found == [True]
    pid, _, path = os.environ[stopping.LEADER].partition(" ")
    assert int(pid) == os.getpid()
    assert not os.path.exists(path)  # the next sweep of this process is not stopped
    assert "SIGTERM: the runs stop at their next step" in capfd.readouterr().err


WORKER = """
import multiprocessing, os, signal, sys, time
from ablate import stopping

multiprocessing.current_process().name = "Worker-1"
stopping.watch()
stopping.follow()
print(os.getpid(), flush=True)
with stopping.deferred():
    while not stopping.requested():
        time.sleep(0.05)
    print("saved", flush=True)
time.sleep(60)
"""
LEADER = """
import subprocess, sys, time
from ablate import stopping

with stopping.leading():
    worker = subprocess.Popen([sys.executable, "-c", {worker!r}])
    time.sleep(60)
"""


@pytest.fixture
def leader():
    """A process that leads one worker."""
    with subprocess.Popen(
        [sys.executable, "-c", LEADER.format(worker=WORKER)], stdout=subprocess.PIPE, text=True
    ) as found:
        yield found
        found.kill()


def test_a_worker_whose_leader_is_killed_saves_and_ends(leader):
    leader.stdout.readline()
    leader.kill()
    # The worker holds the other end of the pipe: `read` returns when it has ended.
    assert leader.stdout.read() == "saved\n"


def test_a_worker_leaves_a_second_signal_to_its_leader(leader):
    """Ctrl-C reaches the workers of a terminal too, and then its leader asks them to stop."""
    pid = int(leader.stdout.readline())
    os.kill(pid, signal.SIGINT)
    os.kill(pid, signal.SIGTERM)
    assert leader.stdout.readline() == "saved\n"
    os.kill(pid, 0)  # it lives as long as its leader


def test_a_batch_system_may_send_several_signals():
    before = signal.getsignal(signal.SIGUSR2)
    try:
        with stopping.watched():
            stopping.watch(["SIGUSR2", "SIGTERM"], patient=True)
            for name in ("SIGUSR2", "SIGTERM", "SIGTERM"):
                send(name)
            with pytest.raises(stopping.Stopped, match="SIGUSR2"):
                stopping.check()
    finally:
        signal.signal(signal.SIGUSR2, before)
        stopping.watch([])

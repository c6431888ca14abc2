"""Stopping on a signal: training stops at the next step with a checkpoint, everything else at once.

    watch()                  installs the handlers of a process
    with deferred(): ...     signals are only noted in the block, and asked for by `requested` and `check`
    with leading(): ...      the same in a process whose workers are to stop too
    follow()                 in such a worker: a thread watches the process that it works for

A second signal stops at once, without a checkpoint.
"""

import contextlib
import os
import signal
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
LEADER = "ABLATE_LEADER"  # environment variable: process id of the leader, and the file that asks its workers to stop
POLL_SECONDS = 0.25
GRACE_SECONDS = 5.0  # how long a worker whose leader has ended may take to save its run

_received: int | None = None
_depth = 0  # how many blocks of `deferred` are open
_leader: tuple[int, Path] | None = None  # this process, if it leads workers, and the file that asks them to stop
_is_following = False
_is_patient = False


class Stopped(BaseException):
    """A signal asked this process to stop. Like KeyboardInterrupt it is no error, so `except Exception` lets it pass.

    Args:
        signum: number of the signal.

    Example:
        >>> Stopped(signal.SIGTERM).status, str(Stopped(signal.SIGTERM))
        (143, 'SIGTERM')
    """

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum

    @property
    def status(self) -> int:
        """The exit status of the process, as a shell shows it: 128 + the number of the signal."""
        return 128 + self.signum


def watch(names: Sequence[str] = SIGNALS, *, patient: bool = False) -> None:
    """Install the handler for signals; those that the process was started to ignore (nohup) stay ignored.

    In a thread other than the main one nothing is installed, since Python does not allow it.

    Args:
        names: of the signals.
        patient: signals are only noted from now on, inside and outside blocks of `deferred`: a batch system may send
            several, and ends the process itself in the end.
    """
    global _is_patient
    _is_patient = patient
    if threading.current_thread() is not threading.main_thread():
        return
    for name in names:
        number = getattr(signal, name, None)  # Windows lacks some
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _handle)


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Install the handlers inside the block, and the earlier ones after it."""
    numbers = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    watch()
    try:
        yield
    finally:
        reset()
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)


def requested() -> bool:
    """Return whether this process was asked to stop.

    Example:
        >>> requested()
        False
    """
    return _received is not None


def request(signum: int = signal.SIGTERM) -> None:
    """Ask this process to stop, as a signal would; training does so at its next step."""
    global _received
    if _received is None:
        _received = signum


def check() -> None:
    """Raise `Stopped` if this process was asked to stop."""
    if _received is not None:
        raise Stopped(_received)


def reset() -> None:
    """Forget what was asked for."""
    global _received
    _received = None


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Only note signals inside the block; whoever works in it calls `requested` or `check`.

    Example:
        >>> with deferred():
        ...     request(signal.SIGHUP)
        ...     print(requested())
        True
        >>> reset()
    """
    global _depth
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1


@contextlib.contextmanager
def leading() -> Iterator[None]:
    """Defer signals inside the block, pass them on to the worker processes that are started in it, and raise after it.

    Raises:
        Stopped: a signal came; the workers have stopped.
    """
    global _leader
    if _leader is None:
        _leader = os.getpid(), Path(tempfile.gettempdir()) / f"ablate-stop-{uuid.uuid4().hex}"
        os.environ[LEADER] = f"{_leader[0]} {_leader[1]}"
    try:
        with deferred():
            yield
        check()
    finally:
        _leader[1].unlink(missing_ok=True)


def is_worker() -> bool:
    """Return whether this is a worker process of a sweep (joblib, dask), not the process of a command.

    Example:
        >>> is_worker()
        False
    """
    from multiprocessing import current_process

    return current_process().name != "MainProcess"


def follow() -> None:
    """In a worker: stop when the leader asks for it, and end when it has ended; without a leader do nothing.

    A leader that was killed cannot end its workers. The run is saved at its next step, for which it has
    `GRACE_SECONDS`; then the process ends.
    """
    global _is_following
    found = os.environ.get(LEADER, "")
    if not found or _is_following:
        return
    _is_following = True
    pid, _, path = found.partition(" ")
    threading.Thread(target=_follow, args=(int(pid), path), daemon=True).start()


def _follow(leader: int, path: str) -> None:
    is_child = os.getppid() == leader  # a child of a killed process gets another parent

    def has_ended() -> bool:
        return os.getppid() != leader if is_child else not _exists(leader)

    while not has_ended() and not os.path.exists(path):
        time.sleep(POLL_SECONDS)
    request()
    while not has_ended():  # it waits for this worker
        time.sleep(POLL_SECONDS)
    end = time.monotonic() + GRACE_SECONDS
    while _depth and time.monotonic() < end:
        time.sleep(POLL_SECONDS)
    os._exit(128 + signal.SIGTERM)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _handle(signum: int, frame: FrameType | None) -> None:
    again = requested()
    request(signum)
    if _is_patient or is_worker():  # a worker's leader decides what a second signal means
        return
    if again or not _depth:
        raise Stopped(signum)
    if _leader is not None and _leader[0] == os.getpid():
        with contextlib.suppress(OSError):
            os.close(os.open(_leader[1], os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        name = signal.Signals(signum).name
        with contextlib.suppress(OSError):  # `print` must not be called in a handler: it may have been interrupted
            os.write(2, f"{name}: the runs stop at their next step; repeat the signal to stop at once\n".encode())

"""Errors of the system: one line and never a traceback, or ignored where they do not matter."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ablate.cli import console, ending
from ablate.cli import main as cli
from ablate.errors import Notice, UserError, explain, notice
from ablate.storage.paths import local, localized

TINY = (
    *("data=shapes", "net=micro", "data.num_train=300", "data.num_test=50", "data.train_size=200", "data.val_size=50"),
    *(
        "data.test_size=50",
        "trainer.epochs=1",
        "trainer.threads=1",
        "trainer.batch_size=50",
        "tensorboard.enabled=false",
    ),
)


def ablate(*words: str, cwd: Path, env: dict[str, str | None] | None = None) -> subprocess.CompletedProcess[str]:
    changed = {**os.environ, "OMP_NUM_THREADS": "1", **(env or {})}
    return subprocess.run(
        [sys.executable, "-m", "ablate", *words],
        cwd=cwd,
        env={key: value for key, value in changed.items() if value is not None},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
    )


def is_one_line(done: subprocess.CompletedProcess[str], *words: str) -> bool:
    lines = done.stderr.splitlines()
    return done.returncode == 2 and len(lines) == 1 and all(word in lines[0] for word in ("ablate: ", *words))


def shell(line: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    script = f"ablate() {{ '{sys.executable}' -m ablate \"$@\"; }}; {line}"
    return subprocess.run(["bash", "-c", script], cwd=cwd, capture_output=True, text=True, timeout=300)


def test_reader_that_leaves_ends_the_command_quietly(tmp_path: Path) -> None:
    done = shell("ablate list | head -1; echo ${PIPESTATUS[0]}", tmp_path)
    assert done.stdout.splitlines()[-1] in ("141", "0")  # 0 where all of it fitted into the pipe
    assert done.stderr == ""
    late = shell("ablate list dropout | (sleep 3; exec <&-; true); echo ${PIPESTATUS[0]}", tmp_path)
    assert late.stderr == ""
    early = shell("(sleep 2; ablate list dropout; echo $? >&2) | true", tmp_path)
    assert early.stderr == "141\n"


def test_full_output_and_closed_output(tmp_path: Path) -> None:
    for what in ("list dropout", "--help"):
        assert is_one_line(shell(f"ablate {what} > /dev/full", tmp_path), "No space left on device")
    closed = shell("ablate list dropout >&- <&-", tmp_path)
    assert (closed.returncode, closed.stderr) == (0, "")


def test_terminal_without_the_characters(tmp_path: Path) -> None:
    done = ablate("list", "all", cwd=tmp_path, env={"PYTHONIOENCODING": "ascii", "COLUMNS": "1", "NO_COLOR": "1"})
    assert (done.returncode, done.stderr) == (0, "")
    assert "?" in done.stdout


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("output_dir=" + "a" * 300, "File name too long (300 characters between two slashes)"),
        ("output_dir=a_file", "Not a directory"),
        ("output_dir=a_file/below", "Not a directory"),
        ("output_dir=/proc/nope", "cannot write in /proc/nope"),
        ("output_dir=", "`output_dir` must be the path of a folder"),
        (r"output_dir=C:\Users\me", "one of Windows; under WSL give /mnt/c/Users/me"),
        ("data.cache_dir=~nobody_of_this_name/x", "that home folder is not known"),
        ("--config-dir=~nobody_of_this_name/x", "that home folder is not known"),
    ],
)
def test_impossible_paths_are_refused_in_one_line(tmp_path: Path, word: str, reason: str) -> None:
    (tmp_path / "a_file").touch()
    done = ablate(*TINY, "rerun=true", word, cwd=tmp_path, env={"XDG_CACHE_HOME": str(tmp_path / "cache")})
    assert is_one_line(done, reason), done.stderr
    assert {path.name for path in tmp_path.iterdir()} <= {"a_file", "cache"}


def test_current_folder_that_is_gone(tmp_path: Path) -> None:
    done = shell("mkdir gone; cd gone; rmdir ../gone; ablate list dropout", tmp_path)
    assert "the current folder does not exist any more" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("typed", "made"),
    [
        ("~/runs here", "home/runs here"),
        ("ü,=('x)\"", "ü,=('x)\""),
        ("a/../b/", "b"),
        ("x[y]{z}", "x[y]{z}"),
        (" lead", " lead"),
    ],
)
def test_paths_as_people_write_them(tmp_path: Path, typed: str, made: str) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "a").mkdir()
    env: dict[str, str | None] = {"HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": None}
    done = ablate(*TINY, f"output_dir={typed}", "data.cache_dir=~/kept", cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / made / "runs").glob("*/seed-0/record.json"))) == 1
    assert list((tmp_path / "home" / "kept").glob("shapes-*/index.json"))


def test_without_writable_folders_it_trains_and_warns_once(tmp_path: Path) -> None:
    env: dict[str, str | None] = {"HOME": "/proc/nope", "XDG_CACHE_HOME": None, "MPLCONFIGDIR": None, "TMPDIR": "/none"}
    done = ablate("-m", *TINY, "seed=0,1", "tensorboard.enabled=true", cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("not cached") == 1
    assert "atplotlib" not in done.stderr
    assert "Warning" not in done.stderr


def test_explain() -> None:
    assert explain(PermissionError(errno.EACCES, "no", "/x/y")).startswith("/x/y: Permission denied; change its perm")
    full = explain(OSError(errno.ENOSPC, "full", "/proc/none/x"))
    assert full.startswith("/proc/none/x: No space left on device (")
    assert "MB free in /proc); free some space" in full
    assert explain(OSError(errno.EDQUOT, "quota", "x")).count("\n") == 0
    assert explain(OSError(errno.EROFS, "ro", b"f")).startswith("f: Read-only file system; ")
    assert explain(OSError("bare")) == "a file or the output: bare"
    long = explain(OSError(errno.ENAMETOOLONG, "long", "/tmp/" + "b" * 4000))
    assert len(long) < 300
    assert "4000 characters" in long
    assert explain(OSError(errno.EXDEV, "x", "a", None, "b")).startswith("a -> b: ")


def test_errors_of_the_system_are_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(console, "abandon", lambda: None)
    with pytest.raises(SystemExit):
        ending.fail_system(PermissionError(13, "x", "f"))
    with pytest.raises(SystemExit) as ended:
        ending.fail_system(BrokenPipeError(32, "x"))
    assert ended.value.code == 141
    with pytest.raises(SystemExit) as ended:  # no number: of a program, not of the system
        cli.end_with(OSError("could not get source code"))
    assert ended.value.code == 1
    assert "this is a bug" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("data.root=~/d", "data.root=/home/me/d"),
        ("+data.root=~/d", "+data.root=/home/me/d"),
        ("--config-dir=~/mine", "--config-dir=/home/me/mine"),
        ("output_dir=a b", "output_dir=a b"),
        ("output_dir=a,b", "output_dir='a,b'"),
        ("output_dir='a,b'", "output_dir='a,b'"),
        ("output_dir=a=b", "output_dir='a=b'"),
        ("output_dir=${oc.env:X}", "output_dir=${oc.env:X}"),
        ("data.cache_dir=null", "data.cache_dir=null"),
        ("activation=~/x", "activation=~/x"),
        ("data.root=choice(a,b)", "data.root=choice(a,b)"),
    ],
)
def test_words_that_are_paths(word: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert localized([word]) == [expected]


def test_sweep_over_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert localized(["-m", "data.root=~/a,/b=c"]) == ["-m", "data.root=/home/me/a,'/b=c'"]


def test_local() -> None:
    assert local("data.root", "a/b") == Path("a/b")
    for bad in ("", "  ", "a\0b", r"\\server\share", "d:/x"):
        with pytest.raises(UserError, match=r"`data.root` must be"):
            local("data.root", bad)


def test_notices_are_one_line_each_and_shown_once(tmp_path: Path) -> None:
    code = (
        "from ablate.cli import console; from ablate.errors import notice; import warnings\n"
        "console.prepare()\n"
        "for k in range(3):\n    notice('left out'); warnings.simplefilter('default')\n"
        "notice('other'); warnings.warn('a library')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = done.stderr.splitlines()
    assert lines[:2] == ["ablate: left out", "ablate: other"]
    assert "UserWarning: a library" in lines[2]


def test_notice_is_a_warning_and_stays_out_of_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.warns(Notice, match="^hello$"):
        notice("hello")
    import multiprocessing
    import warnings

    monkeypatch.setattr(multiprocessing.current_process(), "_config", {**multiprocessing.current_process()._config})
    monkeypatch.setattr(multiprocessing.current_process(), "_name", "LokyProcess-1")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        notice("hello")

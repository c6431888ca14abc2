"""Checksums, atomic writing, temporary files, and the message when the system refuses to write."""

import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from typing import Any

import pytest

from ablate.errors import CannotWrite, Unusable
from ablate.storage.integrity import (
    check_sealed,
    digest,
    read_binary,
    read_json,
    replacing,
    sealed,
    write_binary,
    write_json,
)


@dataclass(frozen=True, kw_only=True)
class Inner:
    name: str


@dataclass(frozen=True, kw_only=True)
class Outer:
    schema: int
    numbers: list[float]
    inner: list[Inner]
    maybe: dict[str, int | None]
    anything: Any = None
    flag: bool = False


def outer(**changes):
    return {"schema": 2, "numbers": [1, 0.1], "inner": [{"name": "a"}], "maybe": {"x": None, "y": 3}, **changes}


def test_a_digest_depends_on_the_content_and_not_on_its_order():
    assert digest({"a": 1, "b": [1.5, None]}) == digest({"b": [1.5, None], "a": 1})
    assert digest({"a": 1}) != digest({"a": 1.0})
    assert digest({"a": "1"}) != digest({"a": 1})


def test_sealed_data_are_as_json_has_them():
    content = sealed({10: (1, 2), 9: {None: 1}, "x": 3})
    assert content.pop("sha256") == digest({"10": [1, 2], "9": {"null": 1}, "x": 3})
    assert content == {"10": [1, 2], "9": {"null": 1}, "x": 3}


VALUES = [0.1, 1e-310, 1.7976931348623157e308, -0.0, float("nan"), float("inf"), 2**70, "\u00fc\U0001f600", "\ud800"]


@pytest.mark.parametrize("value", VALUES)
def test_every_value_survives_with_its_checksum(tmp_path, value):
    path = tmp_path / "file.json"
    content = outer(anything=value)
    write_json(content, path)
    assert repr(read_json(Outer, path, 2).anything) == repr(value)
    check_sealed(json.loads(path.read_text()), path)


def test_any_change_of_a_sealed_value_is_noticed(tmp_path):
    content = sealed(outer())
    check_sealed(content, tmp_path)
    for changed in (outer(numbers=[1, 0.2]), outer(flag=True), outer(maybe={"x": 0, "y": 3})):
        with pytest.raises(Unusable, match="does not agree"):
            check_sealed({**changed, "sha256": content["sha256"]}, tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it is empty"),
        (" \n", "it is empty"),
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("3", "schema None"),
        ('{"schema": 1}', "schema 1, this version of ablate reads 2; an earlier version of ablate wrote it"),
        ('{"schema": true}', "schema True"),
        (json.dumps(outer()), "no checksum"),
    ],
)
def test_unusable_json_is_named(tmp_path, text, words):
    path = tmp_path / "file.json"
    path.write_text(text)
    with pytest.raises(Unusable, match=words) as error:
        read_json(Outer, path, 2)
    assert str(path) in str(error.value)


def test_what_is_not_there_is_none(tmp_path):
    assert read_json(Outer, tmp_path / "no.json", 2) is None
    assert read_binary(tmp_path / "no.bin") is None
    (tmp_path / "file").write_text("")
    assert read_binary(tmp_path / "file" / "no.bin") is None


def test_every_flipped_bit_of_a_binary_file_is_noticed(tmp_path):
    path = tmp_path / "file.bin"
    write_binary(b"content", path)
    assert read_binary(path) == b"content"
    data = path.read_bytes()
    for position in range(len(data)):
        for bit in range(8):
            path.write_bytes(bytes(byte ^ (1 << bit) * (i == position) for i, byte in enumerate(data)))
            with pytest.raises(Unusable, match="damaged"):
                read_binary(path)
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(Unusable, match="damaged"):
            read_binary(path)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "No space left on device.*MiB are free in .*; free some space"),
        (errno.EFBIG, "File too large.*ulimit -f"),
        (errno.EACCES, "Permission denied.*allow this user to write there"),
    ],
)
def test_a_refused_write_names_file_space_and_cure(tmp_path, number, words):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def write():
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise OSError(number, os.strerror(number))

    with pytest.raises(CannotWrite, match=words) as error:
        write()
    assert str(error.value).startswith(f"cannot write {path} (")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_temporary_files_of_killed_processes_are_removed_once_they_are_old(tmp_path):
    old, new = (tmp_path / f".{digit * 32}-file.txt" for digit in "ab")
    others = [tmp_path / name for name in (".hidden", f".{'c' * 31}-file.txt", f"{'d' * 32}-file.txt")]
    for path in (old, new, *others):
        path.write_text("half")
        os.utime(path, (time.time() - 7 * 86400,) * 2)
    os.utime(new)  # another process may be writing it
    with replacing(tmp_path / "file.txt") as temporary:
        temporary.write_text("whole")
    assert not old.exists()
    assert new.exists()
    assert all(path.exists() for path in others)


def test_a_process_killed_while_writing_leaves_the_old_file_whole(tmp_path):
    path = tmp_path / "file.bin"
    write_binary(b"old" * 1000, path)
    code = f"""
        import os, signal, sys
        from pathlib import Path
        from ablate.storage.integrity import replacing
        with replacing(Path({str(path)!r})) as temporary:
            temporary.write_bytes(b"half of what is new")
            os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)])
    assert done.returncode == -signal.SIGKILL
    assert read_binary(path) == b"old" * 1000
    assert len(os.listdir(tmp_path)) == 2

"""What an output folder needs is tried before anything is computed, and what it lacks is one line."""

import errno
import fcntl
import os
from pathlib import Path

import pytest

from ablate.errors import CannotWrite, UserError
from ablate.storage import place
from ablate.storage.place import check_place


@pytest.fixture(autouse=True)
def untried(monkeypatch):
    monkeypatch.setattr(place, "_tried", set())


def refusing(number, when):
    """A function in place of one of the system's, which refuses where `when` says so of its arguments."""

    def wrap(original):
        def call(*args, **options):
            if when(*args):
                raise OSError(number, os.strerror(number), str(args[0]))
            return original(*args, **options)

        return call

    return wrap


def test_a_folder_is_made_tried_once_and_left_empty(tmp_path, monkeypatch):
    folder = tmp_path / "a" / "outputs"
    check_place(folder)
    assert list(folder.iterdir()) == []
    monkeypatch.setattr(Path, "write_bytes", refusing(errno.ENOSPC, lambda *_: True)(Path.write_bytes))
    check_place(folder)
    with pytest.raises(CannotWrite):
        check_place(tmp_path / "b")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, r"No space left on device.*MiB are free in .*free some space"),
        (errno.EDQUOT, r"quota there is used up.*free some space"),
        (errno.EROFS, r"read-only: mount it for writing"),
        (errno.EACCES, r"Permission denied.*allow this user to write there"),
    ],
)
def test_a_folder_that_cannot_be_written_is_named_with_the_cure(tmp_path, monkeypatch, number, words):
    monkeypatch.setattr(Path, "write_bytes", refusing(number, lambda *_: True)(Path.write_bytes))
    with pytest.raises(CannotWrite, match=words) as caught:
        check_place(tmp_path / "outputs")
    assert str(tmp_path / "outputs") in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_refused(tmp_path, monkeypatch, number):
    monkeypatch.setattr(fcntl, "flock", refusing(number, lambda *_: True)(fcntl.flock))
    with pytest.raises(UserError, match=r"file system without locks.*output_dir="):
        check_place(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_locks_that_exclude_nobody_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)
    with pytest.raises(UserError, match="a second lock of a file was given"):
        check_place(tmp_path)


def test_a_rename_that_replaces_nothing_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "replace", refusing(errno.EEXIST, lambda *_: True)(Path.replace))
    with pytest.raises(UserError, match="rename to replace a file"):
        check_place(tmp_path)
    monkeypatch.setattr(Path, "replace", lambda self, target: self.unlink())
    with pytest.raises(UserError, match="old content"):
        check_place(tmp_path)
    assert list(tmp_path.iterdir()) == []

"""Paths as users type them."""

import os
from pathlib import Path

import pytest

from ablate.errors import UserError
from ablate.storage.paths import local, localized

posix = pytest.mark.skipif(os.name != "posix", reason="a Windows path is a path of this system")


def test_the_users_folder_is_expanded(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert local("output_dir", "~/runs") == tmp_path / "runs"
    assert local("output_dir", Path("runs")) == Path("runs")


@posix
@pytest.mark.parametrize(
    ("path", "words"),
    [
        (" ", "`data.root` must be the path of a folder, got ' '"),
        ("a\0b", "must be the path of a folder"),
        ("C:\\data\\cifar", "which is one of Windows; under WSL give /mnt/c/data/cifar"),
        ("\\\\server\\data", "the folder it is mounted on"),
        ("~no_such_user_x/data", "give the full path"),
    ],
)
def test_what_is_no_path_here_is_refused_with_the_cure(path, words):
    with pytest.raises(UserError, match=words):
        local("data.root", path)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["seed=1", "net=micro"], ["seed=1", "net=micro"]),
        (["output_dir=a,b"], ["output_dir='a,b'"]),
        (["-m", "output_dir=a,b"], ["-m", "output_dir=a,b"]),
        (["data.root=null"], ["data.root=null"]),
        (["output_dir=a(b)"], ["output_dir='a(b)'"]),
        (["+data.cache_dir=x"], ["+data.cache_dir=x"]),
    ],
)
def test_words_are_quoted_only_where_hydra_needs_it(words, expected):
    assert localized(words) == expected

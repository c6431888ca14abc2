"""Ownership and archiving of run directories."""

from types import SimpleNamespace

import pytest

from ablate.errors import Unusable, UserError
from ablate.training.directory import (
    CONFIG_NAME,
    REASON_NAME,
    agree_on_folder,
    mend_config,
    read_config,
    replace_unusable,
    set_aside,
    write_or_check_config,
)


def identity(lr=0.1):
    """Return the identity of a run, as `directory` reads it."""
    settings = {"optimizer": {"lr": lr}}
    return SimpleNamespace(fingerprint=f"{lr:.8f}", levels={"net": "micro"}, settings=settings, sources=[])


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "runs" / "arm-00000000" / "seed-0"
    path.mkdir(parents=True)
    return path


def test_a_folder_of_the_same_hash_is_used_whatever_its_name(tmp_path):
    first = agree_on_folder(tmp_path / "runs" / "lr=0.1-12345678", "12345678" * 8)
    assert first.is_dir()
    assert agree_on_folder(tmp_path / "runs" / "default-12345678", "12345678" * 8) == first
    assert agree_on_folder(tmp_path / "runs" / "default-87654321", "87654321" * 8) != first
    assert agree_on_folder(tmp_path / "own name", "12345678" * 8) == tmp_path / "own name"


@pytest.mark.parametrize("path", ["runs/arm-00000000/seed-0", "studies/name-00000000"])
def test_archived_folders_are_numbered_and_hold_the_reason(tmp_path, path):
    archive = tmp_path / "replaced" / path.removeprefix("runs/").removeprefix("studies/")
    for n in (1, 2):
        (tmp_path / path).mkdir(parents=True, exist_ok=True)
        target = set_aside(tmp_path / path, f"reason {n}")
        assert target == archive.with_name(f"{archive.name}.{n}")
        assert (target / REASON_NAME).read_text() == f"reason {n}\n"
        assert not (tmp_path / path).exists()


def test_an_unusable_folder_is_replaced_by_an_empty_one(folder, capsys):
    (folder / "file").write_text("x")
    replace_unusable(folder, Unusable("file is damaged"), "the run is done again")
    assert list(folder.iterdir()) == []
    assert "ablate: file is damaged; the run is done again (seed-0 was moved to" in capsys.readouterr().err


def test_a_configuration_is_written_once_and_then_checked(folder):
    write_or_check_config(identity(), folder)
    written = (folder / CONFIG_NAME).read_bytes()
    write_or_check_config(identity(), folder)
    assert (folder / CONFIG_NAME).read_bytes() == written
    with pytest.raises(UserError, match=r"another configuration \(optimizer\.lr is 0\.2 here, 0\.1 there\)"):
        write_or_check_config(identity(0.2), folder)


@pytest.mark.parametrize("damage", [None, "", "a: [", "folder"])
def test_a_configuration_is_restored_from_the_record(folder, damage):
    path = folder / CONFIG_NAME
    if damage == "folder":
        path.mkdir()
    elif damage is not None:
        path.write_text(damage)
    mend_config(identity(), folder)
    assert read_config(folder).settings == {"optimizer": {"lr": 0.1}}

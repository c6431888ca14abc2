"""`ablate doctor` says what is there, what is missing, and the cure."""

import os

import pytest

from ablate.cli import doctor
from ablate.errors import UserError


def test_every_kind_of_check_is_made(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ABLATE_DATA", raising=False)
    assert doctor.doctor_command([], [])
    out = capsys.readouterr().out
    for name in ("python", "torch", "device", "threads", "bf16", "cifar10", "outputs", "cache", "launcher", "font"):
        assert f" {name} " in out
    assert "-- cifar10      not found in data" in out
    assert "ABLATE_DATA" in out
    assert max(map(len, out.splitlines())) < 80 + len(str(tmp_path))


def test_damaged_data_are_named(tmp_path, monkeypatch):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"]:
        (folder / name).write_bytes(b"x")
    monkeypatch.setenv("ABLATE_DATA", str(tmp_path))
    check = doctor.data()
    assert "not usable" in check.found
    assert check.cure
    assert not check.needed


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_fails(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o500)
    outputs = next(iter(doctor.folders()))
    tmp_path.chmod(0o700)
    assert "not writable" in outputs.found


def test_what_is_needed_and_wrong_fails_the_command(monkeypatch, capsys):
    checks = [doctor.Check("outputs", "not writable", "give output_dir=FOLDER")]
    monkeypatch.setattr(doctor, "every_check", lambda: iter(checks))
    assert not doctor.doctor_command([], [])
    assert "!! outputs" in capsys.readouterr().out


def test_words_are_refused():
    with pytest.raises(UserError, match="takes no words, got 'x'"):
        doctor.doctor_command(["x"], [])

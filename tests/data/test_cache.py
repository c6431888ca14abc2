import json
import multiprocessing
import os
import time
from pathlib import Path

import numpy as np
import pytest

from ablate.data.cache import Arrays, cached_arrays


class Builder:
    def __init__(self, value: int = 1) -> None:
        self.value, self.num_calls = value, 0

    def __call__(self) -> Arrays:
        self.num_calls += 1
        return {"a": np.full((3, 4), self.value, np.uint8), "b": np.arange(5)}


def test_built_once_then_mapped(tmp_path: Path) -> None:
    build = Builder()
    for _ in range(2):
        arrays = cached_arrays("k", {"v": 1}, build, [tmp_path / "new" / "folder"])
        assert isinstance(arrays["a"], np.memmap)
        assert not arrays["a"].flags.writeable
        np.testing.assert_array_equal(arrays["a"], 1)
        np.testing.assert_array_equal(arrays["b"], np.arange(5))
    assert build.num_calls == 1
    assert sorted(p.name for p in (tmp_path / "new" / "folder").iterdir()) == [
        ".gitignore",
        "CACHEDIR.TAG",
        "k",
        "k.lock",
    ]


def test_another_stamp_builds_anew(tmp_path: Path) -> None:
    cached_arrays("k", {"v": (1, 2)}, Builder(1), [tmp_path])
    assert cached_arrays("k", {"v": (1, 2)}, Builder(2), [tmp_path])["a"].max() == 1
    assert cached_arrays("k", {"v": (1, 3)}, Builder(3), [tmp_path])["a"].max() == 3


@pytest.mark.parametrize("damage", ["truncate", "remove", "index", "no_index"])
def test_damage_is_noticed_and_repaired(tmp_path: Path, damage: str) -> None:
    cached_arrays("k", {}, Builder(), [tmp_path])
    array, index = tmp_path / "k" / "a.npy", tmp_path / "k" / "index.json"
    match damage:
        case "truncate":
            os.truncate(array, array.stat().st_size - 1)
        case "remove":
            array.unlink()
        case "index":
            index.write_text("{")
        case "no_index":
            index.unlink()
    build = Builder(7)
    assert cached_arrays("k", {}, build, [tmp_path])["a"].max() == 7
    assert build.num_calls == 1
    assert json.loads(index.read_text())["sizes_bytes"]["a"] == array.stat().st_size


def test_read_only_folder_is_passed_over_but_read(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    cached_arrays("old", {}, Builder(1), [first])
    first.chmod(0o555)
    try:
        assert cached_arrays("old", {}, Builder(2), [first, second])["a"].max() == 1
        cached_arrays("new", {}, Builder(3), [first, second])
        assert (second / "new").is_dir()
        assert not (first / "new").exists()
        with pytest.warns(UserWarning, match=f"not cached .* {first}"):
            arrays = cached_arrays("none", {}, Builder(4), [first])
        assert arrays["a"].max() == 4
    finally:
        first.chmod(0o755)


def test_full_disk_still_gives_the_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.warns(UserWarning, match="No space left"):
        assert cached_arrays("k", {}, Builder(5), [tmp_path])["a"].max() == 5
    assert [p.name for p in tmp_path.iterdir()] == ["k.lock"]


def test_error_while_building_leaves_nothing(tmp_path: Path) -> None:
    def build() -> Arrays:
        raise ValueError("bad source")

    with pytest.raises(ValueError, match="bad source"):
        cached_arrays("k", {}, build, [tmp_path])
    assert [p.name for p in tmp_path.iterdir()] == ["k.lock"]


def _open_slowly(folder: Path) -> None:
    def build() -> Arrays:
        (folder / f"built-by-{os.getpid()}").touch()
        time.sleep(0.2)
        return {"a": np.full(1000, 3)}

    assert cached_arrays("k", {}, build, [folder])["a"].sum() == 3000


def test_processes_that_meet_build_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_open_slowly, args=(tmp_path,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert len(list(tmp_path.glob("built-by-*"))) == 1

"""The data cache: what is read is what was written, nothing is ever half removed, and any folder may be closed."""

import json
import multiprocessing
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ablate.data import cache
from ablate.data.cache import Arrays, cached_arrays, user_cache_folder
from ablate.data.shapes import Shapes
from ablate.errors import Notice


def build(value: int = 1) -> Arrays:
    return {"a": np.full((300, 40), value, np.uint8), "b": np.arange(5)}


def never() -> Arrays:
    pytest.fail("built again")


@pytest.fixture(autouse=True)
def _as_a_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_verified", set())
    monkeypatch.setattr(cache, "_unwritten", {})


def zero(file: Path, start: int, stop: int) -> None:
    """Overwrite bytes in place, with the size and the modification time as they were."""
    import os

    stat = file.stat()
    with file.open("r+b") as stream:
        stream.seek(start)
        stream.write(bytes(stop - start))
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.mark.parametrize(("start", "stop"), [(128, 129), (5000, 9000), (12127, 12128)])
def test_zeroed_bytes_are_found_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: int, stop: int
) -> None:
    cached_arrays("k", {}, build, [tmp_path])
    zero(tmp_path / "k" / "a.npy", start, stop)
    monkeypatch.setattr(cache, "_verified", set())
    with pytest.warns(Notice, match=r"made anew: .*k/a.npy has the checksum \w{8}, not the recorded \w{8}"):
        arrays = cached_arrays("k", {}, lambda: build(9), [tmp_path])
    assert (arrays["a"] == 9).all()
    monkeypatch.setattr(cache, "_verified", set())
    assert (cached_arrays("k", {}, never, [tmp_path])["a"] == 9).all()


def test_checksums_are_verified_once_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached_arrays("k", {}, build, [tmp_path])
    monkeypatch.setattr(cache, "_verified", set())
    calls = []
    inner = cache._crc32
    monkeypatch.setattr(cache, "_crc32", lambda file: calls.append(file.name) or inner(file))
    for _ in range(3):
        cached_arrays("k", {}, never, [tmp_path])
    assert sorted(calls) == ["a.npy", "b.npy"]


def test_cache_of_before_the_checksums_is_built_anew_silently(tmp_path: Path) -> None:
    cached_arrays("k", {}, build, [tmp_path])
    index = tmp_path / "k" / "index.json"
    content = json.loads(index.read_text())
    del content["crc32"]
    index.write_text(json.dumps(content))
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (cached_arrays("k", {}, lambda: build(2), [tmp_path])["a"] == 2).all()


def test_readers_keep_the_map_of_what_is_replaced(tmp_path: Path) -> None:
    old = cached_arrays("k", {"v": 1}, build, [tmp_path])["a"]
    new = cached_arrays("k", {"v": 2}, lambda: build(2), [tmp_path])["a"]
    assert (old == 1).all()
    assert (new == 2).all()
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".lock") == ["k"]


def test_the_old_entry_is_whole_until_the_new_one_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No step of replacing an entry removes files from under its name."""
    cached_arrays("k", {"v": 1}, build, [tmp_path])
    inner = cache.shutil.rmtree

    def watched(path: Any, **options: Any) -> None:
        assert Path(path) != tmp_path / "k"
        inner(path, **options)

    monkeypatch.setattr(cache.shutil, "rmtree", watched)
    cached_arrays("k", {"v": 2}, lambda: build(2), [tmp_path])
    failing = Path.rename

    def fail_to_enter(self: Path, target: Any) -> Any:
        if Path(target) == tmp_path / "k" and not str(self).endswith(".old"):
            raise OSError(5, "Input/output error")
        return failing(self, target)

    monkeypatch.setattr(Path, "rename", fail_to_enter)
    with pytest.warns(Notice, match="Input/output error"):
        cached_arrays("k", {"v": 3}, lambda: build(3), [tmp_path])
    assert (cached_arrays("k", {"v": 2}, never, [tmp_path])["a"] == 2).all()  # put back


def test_what_a_killed_write_left_is_removed_by_the_next(tmp_path: Path) -> None:
    for name in ("k.abc", "k.abc.old", "other.abc"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.npy").write_bytes(b"part")
    cached_arrays("k", {}, build, [tmp_path])
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix != ".lock") == ["k", "other.abc"]


def _replace_and_read(folder: Path, number: int) -> None:
    for round_ in range(15):
        version = (number + round_) % 3
        arrays = cached_arrays("k", {"v": version}, lambda version=version: build(version), [folder])
        assert (arrays["a"] == version).all()
        assert (arrays["b"] == np.arange(5)).all()


def test_processes_that_replace_each_others_entries_read_whole_ones(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_replace_and_read, args=(tmp_path, number)) for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".lock") == ["k"]


@pytest.mark.parametrize(
    "error",
    [PermissionError(13, "Permission denied"), NotImplementedError("no flock"), OSError(37, "No locks available")],
)
def test_lock_that_cannot_be_taken_leads_to_the_next_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Another user's lock, or a file system without locks."""
    inner = cache.FileLock.acquire

    def refuse(self: Any, *arguments: Any, **options: Any) -> Any:
        if str(tmp_path / "first") in str(self.lock_file):
            raise error
        return inner(self, *arguments, **options)

    monkeypatch.setattr(cache.FileLock, "acquire", refuse)
    first, second = tmp_path / "first", tmp_path / "second"
    assert isinstance(cached_arrays("k", {}, build, [first, second])["a"], np.memmap)
    assert (second / "k" / "index.json").is_file()
    with pytest.warns(Notice, match=f"not cached .*{first} cannot be written"):
        arrays = cached_arrays("other", {}, build, [first])
    assert not arrays["a"].flags.writeable
    assert cached_arrays("other", {}, never, [first])["a"] is arrays["a"]  # once a process


def test_folder_of_our_own_is_kept_from_git_and_backups(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    beside, own = tmp_path / "ablate-cache", tmp_path / "new"
    beside.mkdir()  # of before
    for folder in (beside, own):
        cached_arrays("k", {}, build, [folder])
        assert (folder / "CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d172789f06886806bc55")
    status = ["git", "-C", str(tmp_path), "status", "--porcelain", "--untracked-files=all"]
    assert subprocess.run(status, capture_output=True, text=True, check=True).stdout == ""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    cached_arrays("k", {}, build, [theirs])
    assert not (theirs / ".gitignore").exists()


SHAPES: dict[str, Any] = {
    **{"num_train": 60, "num_test": 20, "seed": 0, "contrast": 0.4, "noise": 0.05, "val_size": 10},
    **{"min_radius": 0.5, "max_radius": 0.8, "window_center": 0.3, "window_width": 0.0625},
}


@pytest.mark.parametrize("min_contrast", [None, 0.05])
def test_shapes_without_a_cache_are_the_same_images(tmp_path: Path, min_contrast: float | None) -> None:
    cached = Shapes(**SHAPES, min_contrast=min_contrast, cache_dir=str(tmp_path)).load()
    with pytest.warns(Notice, match="not cached .*/proc/nope cannot be written"):
        made = Shapes(**SHAPES, min_contrast=min_contrast, cache_dir="/proc/nope").load()
    assert made.train.images.equal(cached.train.images)
    assert made.test.labels.equal(cached.test.labels)


def test_user_without_a_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A container's user that no list of users knows: `~` cannot be expanded, and no folder of that name is made."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    assert user_cache_folder() is None
    with pytest.warns(Notice, match="this user has no home folder"):
        assert len(Shapes(**SHAPES).load().train) == 50
    assert list(tmp_path.iterdir()) == []


def test_cifar10_is_verified_within_the_time_it_may_take(cifar_root: Path, tmp_path: Path) -> None:
    """180 MB within 0.3 s where nothing else runs; ten times that here, where much may."""
    code = (
        "import time; from ablate.data.cifar10 import Cifar10; import sys\n"
        f"where = {{'root': {str(cifar_root)!r}, 'cache_dir': {str(tmp_path)!r}}}\n"
        "data = Cifar10(**where, train_size=10, val_size=0, test_size=10)\n"
        "data.load()\nfrom ablate.data import cache\n"
        "cache._verified.clear(); start = time.perf_counter(); data.load()\n"
        "first = time.perf_counter() - start\n"
        "start = time.perf_counter(); data.load(); print(first - (time.perf_counter() - start))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 0.001 < float(done.stdout) < 3

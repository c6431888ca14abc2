"""A folder of images as people, systems and tools leave it: what is read, what is left out, what is refused."""

import os
import shutil
import unicodedata
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ablate.data import image_folder
from ablate.data.dataset import Dataset
from ablate.data.image_folder import ImageFolder
from ablate.errors import Notice, UserError


@pytest.fixture(autouse=True)
def _own_user_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_folder, "user_cache_folder", lambda: tmp_path / "user-cache")


def write(file: Path, value: int = 7) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, 4, 3), value, np.uint8)).save(file)
    return file


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """6 training and 2 test images of each of the classes a and b."""
    for split, number in (("train", 6), ("test", 2)):
        for name in "ab":
            for k in range(number):
                write(tmp_path / "d" / split / name / f"{k}.png", k)
    return tmp_path / "d"


def load(root: Path, **changes: Any) -> Dataset:
    return ImageFolder(**({"root": str(root)} | changes)).load()


def sizes(data: Dataset) -> tuple[int, int, int]:
    return len(data.train), len(data.val), len(data.test)


def test_a_clean_folder_says_nothing(root: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sizes(load(root)) == (10, 2, 4)


def test_what_is_no_image_is_left_out_and_counted_in_one_line(root: Path) -> None:
    names = ("._1.png", ".DS_Store", ".gitkeep", ".gitattributes", "Thumbs.db", "desktop.ini", "Icon\r")
    for name in names:
        (root / "train" / "a" / name).write_bytes(b"\0\5\x16\7")
    for name in ("notes.txt", "more.txt", "photo.heic", "README"):
        (root / "test" / "b" / name).write_bytes(b"hello")
    (root / "train" / "labels.csv").write_text("a,b")
    (root / "train" / ".DS_Store").write_bytes(b"\0")
    shutil.copytree(root / "train" / "a", root / "train" / "__MACOSX" / "a")
    shutil.copytree(root / "train" / "a", root / "train" / "a" / "@eaDir")
    os.mkfifo(root / "train" / "a" / "pipe.png")
    with pytest.warns(Notice, match="14 files are left out") as caught:
        assert sizes(load(root)) == (10, 2, 4)
    lines = [str(warning.message) for warning in caught]
    assert len(lines) == 1
    assert lines[0].startswith(f"{root}: 14 files are left out: 8 hidden, 2 .txt, ")
    for kind in ("1 .heic", "1 without suffix", "1 pipe, socket or device", "1 outside the folders of the classes"):
        assert kind in lines[0]


def test_an_empty_folder_with_the_name_of_an_image_is_counted(root: Path) -> None:
    (root / "train" / "a" / "dir.png").mkdir()
    with pytest.warns(Notice, match="1 empty folder named .png"):
        assert sizes(load(root)) == (10, 2, 4)


def test_folders_below_a_class_and_links_are_read(root: Path, tmp_path: Path) -> None:
    write(root / "train" / "b" / "sub" / "deep" / "1.PNG")
    write(root / "train" / "b" / "dir.png" / "2.jpg")
    write(tmp_path / "elsewhere" / "3.png")
    (root / "train" / "b" / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "train" / "b" / "again.png").symlink_to("0.png")
    (root / "train" / "b" / "sub" / "loop").symlink_to("..")
    (root / "train" / "b" / "empty.png").mkdir()
    assert sizes(load(root, val_size=0))[0] == 12 + 4


def test_every_suffix_and_a_wrong_one(root: Path) -> None:
    for name in ("x.bmp", "x.TIF", "x.jpe", "x.ppm", "x.gif", "x.webp", "x.JPEG"):
        write(root / "train" / "a" / name)
    Image.fromarray(np.full((4, 4, 3), 9, np.uint8)).save(root / "train" / "a" / "truly_jpg.png", "JPEG")
    assert sizes(load(root, val_size=0))[0] == 12 + 8


@pytest.mark.parametrize("name", ["été nuit", "a=b", "x,y", "<b>&'q\"", "Straße", "日本", "a.b", "C:"])
def test_class_names_of_any_kind(tmp_path: Path, name: str) -> None:
    for split in ("train", "test"):
        for label in (name, "plain"):
            for k in range(3):
                write(tmp_path / "d" / split / label / f"{k}.png")
    assert set(load(tmp_path / "d").class_names) == {name, "plain"}


def test_accents_as_macos_writes_them_are_the_same_class_and_fingerprint(tmp_path: Path) -> None:
    apart, composed = (unicodedata.normalize(form, "é") for form in ("NFD", "NFC"))
    assert apart != composed
    fingerprints = set()
    for number, (train, test) in enumerate([(apart, composed), (composed, composed), (composed, apart)]):
        root = tmp_path / str(number)
        for split, name in (("train", train), ("test", test)):
            for k in range(3):
                write(root / split / name / f"{name}{k}.png", k)
                write(root / split / "b" / f"{k}.png", k)
        assert load(root).class_names == ("b", composed)
        fingerprints.add(ImageFolder(root=str(root)).fingerprint())
    assert len(fingerprints) == 1
    write(tmp_path / "0" / "train" / composed / "1.png")
    with pytest.raises(UserError, match="two folders for the class 'é'"):
        load(tmp_path / "0")


def test_names_that_are_not_utf8(root: Path) -> None:
    odd = os.fsdecode(b"caf\xe9")
    write(root / "train" / "a" / f"{odd}.png")
    assert sizes(load(root, val_size=0))[0] == 13
    for split in ("train", "test"):
        write(root / split / odd / "1.png")
    with pytest.raises(UserError, match="must have a name in UTF-8"):
        load(root)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: (r / "train" / "c").mkdir(), r"only train has \['c'\]"),
        (
            lambda r: (r / "test" / "a").rename(r / "test" / "A"),
            r"only train has \['a'\].*test has \['A'\].*\['a'\] dif",
        ),
        (
            lambda r: (r / "test").rename(r / "val"),
            r"d/test is no folder, but there is val; rename it, or link it: ln -s",
        ),
        (lambda r: (r / "train").rename(r / "training"), "d/train is no folder, but there is training"),
        (lambda r: shutil.rmtree(r / "test"), r"d/test is no folder, but there are the folders \['train'\]"),
        (lambda r: [(r / s / "e").mkdir() for s in ("train", "test")], "e must hold at least one image .* got none"),
        (
            lambda r: [write(r / s / "e" / "1.png").rename(r / s / "e" / "1.heic") for s in ("train", "test")],
            "e must hold at least one image .*only what is not read: 1 .heic; convert",
        ),
        (
            lambda r: (r / "train" / "a" / "x.png").symlink_to("gone.png"),
            r"x.png is a link to gone.png, which does not",
        ),
        (lambda r: (r / "train" / "a" / "x.png").symlink_to("x.png"), r"x.png"),
        (lambda r: (r / "train" / "a" / "x.jpg").write_bytes(b""), r"x.jpg is empty \(0 bytes\)"),
        (
            lambda r: Image.fromarray(np.zeros((4, 4), np.uint16)).save(r / "train" / "b" / "x.png"),
            r"one depth, but .*x.png holds 16 bits and .*a/0.png 8",
        ),
    ],
)
def test_what_is_refused_and_the_cure(root: Path, change: Any, words: str) -> None:
    change(root)
    with pytest.raises(UserError, match=words):
        load(root)


def test_folder_that_may_not_be_listed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = os.scandir

    def refuse(path: Any) -> Any:
        if str(path).endswith("train/a"):
            raise PermissionError(13, "Permission denied", str(path))
        return inner(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UserError, match=r"train/a: Permission denied; change its permissions"):
        load(root)


def test_the_validation_images_are_a_tenth_unless_a_number_is_given(tmp_path: Path) -> None:
    for split, number in (("train", 90), ("test", 2)):
        for name in "ab":
            for k in range(number):
                write(tmp_path / split / name / f"{k}.png")
    data = load(tmp_path)
    assert sizes(data) == (162, 18, 4)
    assert data.val.labels.bincount().tolist() == [9, 9]
    assert sizes(load(tmp_path, val_size=7)) == (173, 7, 4)
    with pytest.raises(UserError, match=r"`data.val_size` must lie .* \(180\), got 1000"):
        load(tmp_path, val_size=1000)


def test_level_leaves_the_sizes_to_what_is_there(compose: Any) -> None:
    cfg, _ = compose(["data=image_folder", "data.root=x"])
    assert cfg.data.val_size is None


def test_home_is_expanded_and_windows_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(root.parent))
    assert sizes(load(Path("~/d"))) == (10, 2, 4)
    assert not Path("~").exists()
    with pytest.raises(UserError, match=r"`data.root` must be a path of this system.*under WSL give /mnt/c/data/x"):
        load(Path("C:\\data\\x"))

"""Arrays as notebooks save them: what is read, what is left out, what is refused and with which cure."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ablate.cli import planning
from ablate.data import arrays
from ablate.data.arrays import ArrayFile
from ablate.data.dataset import Dataset
from ablate.errors import Notice, UserError
from ablate.training.start import start

SIZE = 6
LABELS = np.tile(np.arange(3), 10)
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (30, SIZE, SIZE), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (30, SIZE, SIZE, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def _own_user_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "user_cache_folder", lambda: tmp_path / "user-cache")


@pytest.fixture
def save(tmp_path: Path) -> Any:
    """A function (arrays by name) -> the file that holds them."""

    def go(**content: Any) -> str:
        file = tmp_path / "x.npz"
        np.savez(file, **content)
        return str(file)

    return go


def load(path: str, **changes: Any) -> Dataset:
    return ArrayFile(**{"path": path, "val_size": 0, **changes}).load()


def both(train: np.ndarray, labels: np.ndarray = LABELS) -> dict[str, np.ndarray]:
    return {"train_images": train, "train_labels": labels, "test_images": train[:9], "test_labels": labels[:9]}


def pixels(split: Any) -> set[bytes]:
    return {image.permute(1, 2, 0).contiguous().numpy().tobytes() for image in split.images}


def test_every_image_keeps_its_label(save: Any) -> None:
    data = load(save(**both(COLOUR)))
    expected = {image.tobytes(): label for image, label in zip(COLOUR, LABELS, strict=True)}
    for split, num in ((data.train, 30), (data.test, 9)):
        assert len(split) == num
        for image, label in zip(split.images, split.labels, strict=True):
            assert expected[image.permute(1, 2, 0).contiguous().numpy().tobytes()] == label
    assert (data.image_shape, data.class_names, data.bits) == ((3, SIZE, SIZE), ("0", "1", "2"), 8)


@pytest.mark.parametrize("names", [("x_train", "y_train"), ("images", "labels"), ("x", "y")])
def test_usual_names_are_known(save: Any, names: tuple[str, str]) -> None:
    assert len(load(save(**dict(zip(names, (IMAGES, LABELS), strict=True))), test_share=0.3).test) == 9


@pytest.mark.parametrize(
    ("images", "layout"),
    [
        (COLOUR, "auto"),
        (COLOUR.transpose(0, 3, 1, 2), "auto"),
        (COLOUR.transpose(0, 3, 1, 2), "NCHW"),
        (COLOUR[:, :3, :3], "NHWC"),
        (COLOUR[:, :3, :3].transpose(0, 3, 1, 2), "NCHW"),
    ],
)
def test_channels_are_found(save: Any, images: np.ndarray, layout: str) -> None:
    found = load(save(images=images, labels=LABELS), layout=layout)
    side = 3 if images.shape[1:] == (3, 3, 3) else SIZE
    assert pixels(found.train) | pixels(found.test) == {
        np.ascontiguousarray(i).tobytes() for i in COLOUR[:, :side, :side]
    }


def test_sixteen_bits_and_byte_order(save: Any) -> None:
    wide = IMAGES.astype(np.uint16) * 257
    native, swapped = load(save(**both(wide)), bits=16), load(save(**both(wide.astype(">u2"))), bits=16)
    assert native.train.images.max() == int(wide.max())
    assert (native.train.images == swapped.train.images).all()


def test_two_npy(tmp_path: Path) -> None:
    np.save(tmp_path / "i.npy", IMAGES)
    np.save(tmp_path / "l.npy", LABELS.astype(np.uint8)[:, None])
    data = load(str(tmp_path / "i.npy"), labels_path=str(tmp_path / "l.npy"))
    assert (len(data.train), len(data.test)) == (24, 6)


def test_without_test_images_a_share_is_taken_by_the_split_seed_alone(save: Any) -> None:
    path = save(images=IMAGES, labels=LABELS)
    data, smaller = load(path), load(path, train_size=9)
    assert data.test.labels.bincount().tolist() == [2, 2, 2]
    assert not pixels(data.train) & pixels(data.test)
    assert pixels(smaller.test) == pixels(data.test)
    assert pixels(load(path, split_seed=1).test) != pixels(data.test)


def test_class_names(save: Any) -> None:
    names = np.array(["ant", "bée", "cat"])
    assert load(save(images=IMAGES, labels=LABELS, class_names=names)).class_names == ("ant", "bée", "cat")


def test_fingerprint_is_of_the_content(save: Any, tmp_path: Path) -> None:
    def fingerprint(**content: Any) -> str:
        return ArrayFile(path=save(**content)).fingerprint()

    first = fingerprint(images=COLOUR, labels=LABELS)
    np.savez_compressed(tmp_path / "other.npz", x=COLOUR.transpose(0, 3, 1, 2), y=LABELS.astype(np.int8))
    assert ArrayFile(path=str(tmp_path / "other.npz")).fingerprint() == first
    others = [
        fingerprint(images=255 - COLOUR, labels=LABELS),
        fingerprint(images=COLOUR, labels=2 - LABELS),
        fingerprint(images=COLOUR, labels=LABELS, class_names=np.array(list("abc"))),
    ]
    assert len({first, *others}) == 4


def test_cache_is_read_until_the_file_changes(save: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(images=IMAGES, labels=LABELS)
    load(path)
    with monkeypatch.context() as patch:
        patch.setattr(arrays, "read", lambda *_: pytest.fail("read again"))
        load(path)
    assert load(save(images=COLOUR, labels=LABELS)).image_shape == (3, SIZE, SIZE)


def test_arrays_that_are_not_used_are_named(save: Any) -> None:
    path = save(**both(IMAGES), val_images=IMAGES, weights=np.ones(3))
    with pytest.warns(Notice, match="not used: val_images, weights"):
        load(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(save(**both(IMAGES)))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"images": IMAGES / 255, "labels": LABELS}, r"must be uint8 or uint16, got float64; .*np\.rint\(255"),
        ({"images": IMAGES.astype(int), "labels": LABELS}, r"got int64; .*astype\(np\.uint8\)"),
        ({"images": IMAGES > 9, "labels": LABELS}, "got bool"),
        ({"images": IMAGES.astype(np.uint16) + 256, "labels": LABELS}, "16 bits.*data.bits=16"),
        ({"images": IMAGES[0], "labels": LABELS}, r"must have the shape \(N, H, W\).*got \(6, 6\)"),
        ({"images": IMAGES[:0], "labels": LABELS}, r"must have the shape .*got \(0, 6, 6\)"),
        ({"images": IMAGES[:, :4], "labels": LABELS}, "square images, got 4x6"),
        ({"images": COLOUR[..., [0, 1]], "labels": LABELS}, r"\(30, 6, 6, 2\), where neither axis.*data.layout=NHWC"),
        ({"images": COLOUR[:, :3, :3], "labels": LABELS}, "both axes.*data.layout"),
        ({"images": IMAGES, "labels": LABELS[:-1]}, "one label an image, got 29 for 30"),
        ({"images": IMAGES, "labels": LABELS + 1}, r"labels 0 \.\. k - 1 .*got 1, 2, 3; .*return_inverse"),
        ({"images": IMAGES, "labels": LABELS - 1}, r"got -1, 0, 1"),
        ({"images": IMAGES, "labels": LABELS * 2}, r"got 0, 2, 4"),
        ({"images": IMAGES, "labels": LABELS * 0}, "at least 2 classes"),
        ({"images": IMAGES, "labels": np.eye(3, dtype=int)[LABELS]}, r"got \(30, 3\); for one-hot labels: .*argmax"),
        ({"images": IMAGES, "labels": LABELS.astype(float)}, r"whole numbers, got float64; .*np\.int64"),
        ({"images": IMAGES, "labels": np.array(list("abc"))[LABELS]}, "whole numbers, got <U1; number them"),
        ({"images": IMAGES, "labels": LABELS.astype(object)}, "labels of .*x.npz holds Python objects.*not unpickled"),
        ({"images": np.array([IMAGES[0], "a"], object), "labels": LABELS}, "images of .*holds Python objects"),
        ({"images": IMAGES}, "holds images but no labels"),
        ({"a": IMAGES}, "must hold train_images and train_labels or .*got a"),
        ({**both(IMAGES), "test_labels": LABELS[:5]}, "test_labels of .*got 5 for 9"),
        ({**both(IMAGES), "test_labels": LABELS[:9] + 1}, r"0 \.\. 2, got 3"),
        ({**both(IMAGES), "test_images": IMAGES[:9, :4, :4]}, r"one size, got \(6, 6, 1\) and \(4, 4, 1\)"),
        ({**both(IMAGES), "class_names": np.array(["a", "b"])}, "3 different texts"),
        ({**both(IMAGES), "class_names": np.array(["a", "b", "b"])}, "3 different texts"),
        ({**both(IMAGES), "class_names": np.arange(3)}, "3 different texts"),
    ],
)
def test_what_is_refused_and_the_cure(save: Any, content: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        load(save(**content))
    assert "\n" not in str(caught.value)


def test_files_that_are_refused(tmp_path: Path, save: Any) -> None:
    np.save(tmp_path / "i.npy", IMAGES)
    whole = Path(save(images=IMAGES, labels=LABELS)).read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "flipped.npz").write_bytes(whole[:400] + bytes([whole[400] ^ 1]) + whole[401:])
    (tmp_path / "text.npz").write_bytes(b"hello")
    (tmp_path / "named.npz").write_bytes((tmp_path / "i.npy").read_bytes())
    for changes, words in (
        ({"path": "none.npz"}, "none.npz: No such file"),
        ({"path": "i.npy"}, "beside `data.labels_path`"),
        ({"path": "x.csv"}, "must be an .npz"),
        ({"path": "cut.npz"}, "cannot be read by numpy"),
        ({"path": "flipped.npz"}, "cannot be read by numpy: Bad CRC"),
        ({"path": "text.npz"}, "not a file that numpy saved"),
        ({"path": "named.npz"}, "rename it to .npy"),
    ):
        with pytest.raises(UserError, match=words):
            load(str(tmp_path / changes["path"]))
    with pytest.raises(UserError, match="test_share"):
        ArrayFile(path="x.npz", test_share=1.0)


def test_a_whole_run_from_arrays(save: Any, compose: Any, tmp_path: Path) -> None:
    path = save(images=np.kron(IMAGES, np.ones((1, 3, 3), np.uint8)), labels=LABELS)
    words = [
        "data=arrays",
        f"data.path={path}",
        "data.val_size=3",
        "net=micro",
        "trainer.epochs=1",
        "trainer.threads=1",
    ]
    plan = planning.plan(
        *compose([*words, "trainer.batch_size=7", f"output_dir={tmp_path}", "tensorboard.enabled=false"])
    )
    record, _ = start(planning.make_run(plan), plan.folder)
    assert record.status == "finished"

import hashlib
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from ablate.data import cifar10
from ablate.data.cifar10 import CLASS_NAMES, FOLDER, MD5S, TEST_FILES, TRAIN_FILES, Cifar10, decode

NUM_IMAGES = 40  # of a made batch


def make_pickle(seed: int) -> tuple[bytes, np.ndarray, list[int]]:
    generator = np.random.default_rng(seed)
    data = generator.integers(0, 256, (NUM_IMAGES, 3072), dtype=np.uint8)
    labels = [k % 10 for k in generator.permutation(NUM_IMAGES).tolist()]
    content = pickle.dumps({"data": data, "labels": labels, "batch_label": "made"}, protocol=3)
    return content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"), data, labels


@pytest.fixture
def batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of made batches that passes for the official one."""
    monkeypatch.setattr(cifar10, "user_cache_folder", lambda: tmp_path / "user-cache")
    folder = tmp_path / "data" / FOLDER
    folder.mkdir(parents=True)
    contents = {name: make_pickle(k)[0] for k, name in enumerate((*TRAIN_FILES, *TEST_FILES))}
    contents["batches.meta"] = b"meta"
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    monkeypatch.setattr(cifar10, "MD5S", {name: hashlib.md5(content).hexdigest() for name, content in contents.items()})
    return folder


def load(root: Path, **changes: object) -> cifar10.Dataset:
    return Cifar10(root=str(root), download=False, val_size=20, **changes).load()  # type: ignore[arg-type]


def test_pixels_and_labels_arrive(batches: Path) -> None:
    arrays = decode(batches)
    _, data, labels = make_pickle(1)
    image = arrays["train_images"][NUM_IMAGES + 3]
    for c, h, w in [(0, 0, 0), (1, 2, 3), (2, 31, 30)]:
        assert image[h, w, c] == data[3, c * 1024 + h * 32 + w]
    assert arrays["train_labels"][NUM_IMAGES : 2 * NUM_IMAGES].tolist() == labels
    assert arrays["train_images"].shape == (5 * NUM_IMAGES, 32, 32, 3)
    assert arrays["test_images"].shape == (NUM_IMAGES, 32, 32, 3)


def test_root_is_the_folder_or_its_parent(batches: Path) -> None:
    inner, outer = load(batches), load(batches.parent)
    assert torch.equal(inner.train.images, outer.train.images)
    assert (inner.num_classes, inner.image_shape, inner.bits) == (10, (3, 32, 32), 8)
    assert len(inner.train) == 5 * NUM_IMAGES - 20
    assert len(list((batches.parent / "ablate-cache").glob("cifar10-*/index.json"))) == 1


def test_cache_is_read_instead_of_the_pickles(batches: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load(batches)
    monkeypatch.setattr(cifar10, "decode", lambda _: pytest.fail("decoded again"))
    assert torch.equal(load(batches).test.images, first.test.images)


def test_touched_source_is_checked_again(batches: Path) -> None:
    load(batches)
    file = batches / "data_batch_3"
    content = bytearray(file.read_bytes())
    content[500] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(1, 1))
    with pytest.raises(ValueError, match=r"data_batch_3 is damaged"):
        load(batches)


def test_truncated_cache_is_rebuilt(batches: Path) -> None:
    first = load(batches)
    [array] = (batches.parent / "ablate-cache").glob("*/train_images.npy")
    os.truncate(array, 1000)
    assert torch.equal(load(batches).train.images, first.train.images)


def test_read_only_root_uses_the_users_cache(batches: Path, tmp_path: Path) -> None:
    batches.parent.chmod(0o555)
    try:
        load(batches)
        load(batches.parent)
    finally:
        batches.parent.chmod(0o755)
    assert not (batches.parent / "ablate-cache").exists()
    assert len(list((tmp_path / "user-cache").glob("cifar10-*/index.json"))) == 1


def test_cache_dir_is_obeyed(batches: Path, tmp_path: Path) -> None:
    load(batches, cache_dir=str(tmp_path / "mine"))
    assert list((tmp_path / "mine").glob("cifar10-*/index.json"))
    assert not (batches.parent / "ablate-cache").exists()


@pytest.mark.parametrize("name", ["data_batch_2", "batches.meta"])
def test_missing_file_is_named(batches: Path, name: str) -> None:
    (batches / name).unlink()
    with pytest.raises(ValueError, match=f"{name} is missing; remove .*data.root=.*data=shapes"):
        load(batches)


def test_truncated_file_is_named_with_both_md5s_and_its_size(batches: Path) -> None:
    file = batches / "test_batch"
    expected = cifar10.MD5S["test_batch"]
    os.truncate(file, 1234)
    actual = hashlib.md5(file.read_bytes()).hexdigest()
    with pytest.raises(ValueError, match=rf"test_batch is damaged.*{expected}, got {actual} \(1,234 bytes\); remove"):
        load(batches)


def test_foreign_pickle_never_runs(tmp_path: Path) -> None:
    file = tmp_path / "evil"
    file.write_bytes(b"cos\nsystem\n(S'touch " + str(tmp_path / "ran").encode() + b"'\ntR.")
    with pytest.raises(pickle.UnpicklingError, match=r"no os\.system"):
        cifar10._read_batch(file)
    assert not (tmp_path / "ran").exists()


def test_absent_without_download_names_folder_and_cures(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"not in {tmp_path}/none .*data.download.*data.root=.*data=shapes"):
        load(tmp_path / "none")


def test_failed_download_names_folder_and_cures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(root: str, download: bool) -> None:
        raise OSError("Temporary failure in name resolution")

    monkeypatch.setattr("torchvision.datasets.CIFAR10", fail)
    with pytest.raises(ValueError, match=rf"{tmp_path}/none .*name resolution.*data.root=.*data=shapes"):
        Cifar10(root=str(tmp_path / "none")).load()


def test_download_goes_to_root(batches: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(root: str, download: bool) -> None:
        assert download
        batches.rename(Path(root) / FOLDER)

    monkeypatch.setattr("torchvision.datasets.CIFAR10", download)
    data = Cifar10(root=str(tmp_path / "fresh"), val_size=20).load()
    assert len(data.test) == NUM_IMAGES
    assert (tmp_path / "fresh" / FOLDER).is_dir()


def test_only_8_bits(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must be 8 for CIFAR-10, got 12.*data=shapes"):
        Cifar10(root=str(tmp_path), bits=12)


def test_fingerprint_needs_no_file() -> None:
    one = Cifar10(root="/nowhere", train_size=100).fingerprint()
    assert one == Cifar10(root="/elsewhere", split_seed=3).fingerprint()
    assert len(one) == 64
    assert set(MD5S) == {*TRAIN_FILES, *TEST_FILES, "batches.meta"}


def test_official_images(cifar_root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Facts of the official files: counts, class order, and the first training image, a frog, starting 59 62 63."""
    cache = tmp_path_factory.mktemp("cifar-cache")
    data = Cifar10(root=str(cifar_root), cache_dir=str(cache)).load()
    assert data.class_names == CLASS_NAMES
    assert data.train.labels.bincount().tolist() == [4500] * 10
    assert data.val.labels.bincount().tolist() == [500] * 10
    assert data.test.labels.bincount().tolist() == [1000] * 10
    [entry] = cache.glob("cifar10-*/train_images.npy")
    first = np.load(entry, mmap_mode="r")[0]
    assert first[0, 0].tolist() == [59, 62, 63]
    assert CLASS_NAMES[np.load(entry.parent / "train_labels.npy")[0]] == "frog"

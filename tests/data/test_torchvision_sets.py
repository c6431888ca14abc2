"""Data sets that torchvision reads, from small files in its own formats.

Its official MD5s are replaced by those of the made files.
"""

import bz2
import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.io import savemat
from torchvision import datasets

from ablate.cli import composition, planning
from ablate.config import catalog
from ablate.data import torchvision_sets
from ablate.data.torchvision_sets import KNOWN, TorchvisionSet
from ablate.errors import UserError
from ablate.training.start import start

SIZES = {"USPS": (16, 1), "SVHN": (32, 3), "CIFAR10": (32, 3), "CIFAR100": (32, 3), "STL10": (96, 3)}
NUM_CLASSES = {"CIFAR100": 100, "EMNIST_balanced": 47}
SPLITS = ("train", "test")


def made(name: str, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, H, W, C) and labels: each class three times for training and once for testing."""
    generator = np.random.default_rng(SPLITS.index(split))
    size, channels = SIZES.get(name, (28, 1))
    labels = np.tile(np.arange(NUM_CLASSES.get(name, 10)), 3 if split == "train" else 1)
    return generator.integers(0, 256, (len(labels), size, size, channels), dtype=np.uint8), labels


def write(file: Path, content: bytes) -> str:
    """Write a file and return its MD5."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return hashlib.md5(content).hexdigest()


def write_idx(name: str, root: Path, patch: pytest.MonkeyPatch) -> None:
    for file in KNOWN[name].files:
        images, labels = made(name, "train" if "train" in file else "test")
        array = images[..., 0] if "images" in file else labels.astype(np.uint8)
        header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
        write(root / file, header + array.tobytes())


def write_usps(name: str, root: Path, patch: pytest.MonkeyPatch) -> None:
    for split, file in zip(SPLITS, KNOWN[name].files, strict=True):
        images, labels = made(name, split)
        values = (
            images.reshape(len(images), -1) + 0.5
        ) / 127.5 - 1  # torchvision cuts 255 (x + 1) / 2 to a whole number
        rows = [
            f"{label + 1} " + " ".join(f"{k + 1}:{value:.6f}" for k, value in enumerate(row))
            for label, row in zip(labels, values, strict=True)
        ]
        write(root / file, bz2.compress("\n".join(rows).encode()))


def write_svhn(name: str, root: Path, patch: pytest.MonkeyPatch) -> None:
    listed = {}
    for split, file in zip(SPLITS, KNOWN[name].files, strict=True):
        images, labels = made(name, split)
        root.mkdir(exist_ok=True)
        savemat(root / file, {"X": images.transpose(1, 2, 3, 0), "y": np.where(labels, labels, 10)[:, None]})
        listed[split] = ["", file, hashlib.md5((root / file).read_bytes()).hexdigest()]
    patch.setattr(datasets.SVHN, "split_list", listed)


def write_cifar(name: str, root: Path, patch: pytest.MonkeyPatch) -> None:
    reader = getattr(datasets, name)
    folder = root / reader.base_folder
    lists: dict[str, list[list[str]]] = {}
    for kind, split in (("train_list", "train"), ("test_list", "test")):
        names = [file for file, _ in getattr(reader, kind)]
        images, labels = made(name, split)
        rows = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
        key = "fine_labels" if name == "CIFAR100" else "labels"
        parts = np.array_split(np.arange(len(labels)), len(names))
        lists[kind] = [
            [file, write(folder / file, pickle.dumps({"data": rows[part], key: labels[part].tolist()}))]
            for file, part in zip(names, parts, strict=True)
        ]
        patch.setattr(reader, kind, lists[kind])
    classes = [f"class {k}" for k in range(NUM_CLASSES.get(name, 10))]
    md5 = write(folder / reader.meta["filename"], pickle.dumps({reader.meta["key"]: classes}))
    patch.setattr(reader, "meta", {**reader.meta, "md5": md5})


def write_stl10(name: str, root: Path, patch: pytest.MonkeyPatch) -> None:
    folder = root / "stl10_binary"
    for split in SPLITS:
        images, labels = made(name, split)
        listed = [
            [f"{split}_X.bin", write(folder / f"{split}_X.bin", images.transpose(0, 3, 2, 1).tobytes())],
            [f"{split}_y.bin", write(folder / f"{split}_y.bin", (labels + 1).astype(np.uint8).tobytes())],
        ]
        patch.setattr(datasets.STL10, f"{split}_list", listed)


WRITERS: dict[str, Callable[[str, Path, pytest.MonkeyPatch], None]] = {
    **dict.fromkeys(("MNIST", "FashionMNIST", "KMNIST", "EMNIST_balanced"), write_idx),
    **dict.fromkeys(("CIFAR10", "CIFAR100"), write_cifar),
    "USPS": write_usps,
    "SVHN": write_svhn,
    "STL10": write_stl10,
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function (name) -> the folder with the made files of that data set."""
    monkeypatch.setattr(torchvision_sets, "user_cache_folder", lambda: tmp_path / "user-cache")

    def go(name: str) -> Path:
        WRITERS[name](name, tmp_path / "data", monkeypatch)
        return tmp_path / "data"

    return go


def of(name: str, root: Path, **changes: Any) -> TorchvisionSet:
    return TorchvisionSet(**{"name": name, "root": str(root), "download": False, "val_size": 0, **changes})


@pytest.mark.parametrize("name", list(KNOWN))
def test_images_labels_and_names_arrive(root: Any, name: str) -> None:
    data = of(name, root(name)).load()
    for split, found in (("train", data.train), ("test", data.test)):
        images, labels = made(name, split)
        expected = sorted((int(label), image.tobytes()) for image, label in zip(images, labels, strict=True))
        arrived = zip(found.images.permute(0, 2, 3, 1).contiguous().numpy(), found.labels.tolist(), strict=True)
        assert sorted((label, image.tobytes()) for image, label in arrived) == expected
    assert data.num_classes == NUM_CLASSES.get(name, 10)
    first = {"FashionMNIST": "T-shirt/top", "KMNIST": "o", "MNIST": "0 - zero", "CIFAR100": "class 0"}
    assert data.class_names[0] == first.get(name, "class 0" if name == "CIFAR10" else "0")


def test_every_known_set_has_a_rule_and_a_writer(compose: Any) -> None:
    assert set(WRITERS) == set(KNOWN)
    with pytest.raises(UserError, match=rf"`data.name` must be {', '.join(list(KNOWN)[:-1])} or STL10, got 'Food101'$"):
        planning.plan(*compose(["data=torchvision", "data.name=Food101"]))
    with pytest.raises(UserError, match=r"one of MNIST, .*Food101.*data=arrays.*data=image_folder"):
        of("Food101", Path("/nowhere"))


def test_cache_is_read_until_a_file_changes(root: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = root("MNIST")
    first = of("MNIST", folder).fingerprint()
    with monkeypatch.context() as patch:
        patch.setattr(torchvision_sets, "read", lambda *_: pytest.fail("decoded again"))
        assert of("MNIST", folder, split_seed=3).fingerprint() == first
    file = folder / KNOWN["MNIST"].files[0]
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert of("MNIST", folder).fingerprint() != first


def test_equal_files_elsewhere_are_the_same_data(root: Any, tmp_path: Path) -> None:
    folder = root("KMNIST")
    first = of("KMNIST", folder).fingerprint()
    assert of("KMNIST", folder.rename(tmp_path / "moved")).fingerprint() == first


def test_absent_without_download_names_folder_and_cures(tmp_path: Path) -> None:
    words = rf"SVHN is not in {tmp_path}, where train_32x32.mat is missing, and `data.download` is false; .*data=shapes"
    with pytest.raises(UserError, match=words):
        of("SVHN", tmp_path).fingerprint()


def test_download_goes_to_root_and_only_where_it_is_absent(root: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    class Reader(datasets.FashionMNIST):
        def __init__(self, root: str, **options: Any) -> None:
            calls.append((root, options["download"]))
            if options["download"]:
                write_idx("FashionMNIST", Path(root), monkeypatch)
            super().__init__(root, **{**options, "download": False})

    Reader.__name__ = "FashionMNIST"
    folder = root("MNIST")  # other files are there
    monkeypatch.setattr(datasets, "FashionMNIST", Reader)
    assert len(of("FashionMNIST", folder, download=True).load().test) == 10
    assert [wanted for _, wanted in calls] == [True, True, False, False]
    assert {where for where, _ in calls} == {str(folder)}
    calls.clear()
    (folder / KNOWN["FashionMNIST"].files[0]).touch()
    of("FashionMNIST", folder, download=True).load()
    assert [wanted for _, wanted in calls] == [False, False]


def test_failed_download_names_folder_and_cures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(root: str, **options: Any) -> None:
        raise RuntimeError("Error downloading train-images:\nTried one mirror")

    monkeypatch.setattr(datasets, "MNIST", fail)
    words = rf"MNIST is not in {tmp_path} and could not be downloaded: .* mirror; .*data.root=.*data=shapes"
    with pytest.raises(UserError, match=words) as caught:
        of("MNIST", tmp_path, download=True).load()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["FashionMNIST", "SVHN", "CIFAR100", "USPS"])
def test_damaged_files_are_named(root: Any, name: str) -> None:
    folder = root(name)
    file = folder / KNOWN[name].files[0]
    file.write_bytes(file.read_bytes()[:-50])
    with pytest.raises(UserError, match=rf"{name} in {folder} is damaged: .*train images .*; remove {folder}/"):
        of(name, folder).load()


def test_labels_without_a_class_are_named(root: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = root("MNIST")
    file = folder / "MNIST/raw/t10k-labels-idx1-ubyte"
    file.write_bytes(file.read_bytes()[:-1] + b"\x0a")
    with pytest.raises(UserError, match=r"test set has 10 images and 10 labels, which must lie in 0 \.\. 9"):
        of("MNIST", folder).load()


def test_only_8_bits() -> None:
    with pytest.raises(UserError, match=r"must be 8 for MNIST, got 12; .*data=arrays"):
        of("MNIST", Path("/nowhere"), bits=12)


@pytest.mark.parametrize("name", ["FashionMNIST", "CIFAR100"])
def test_a_whole_run(root: Any, compose: Any, tmp_path: Path, name: str) -> None:
    words = [f"data.name={name}", f"data.root={root(name)}", "data.download=false", "net=micro", "trainer.epochs=1"]
    words += ["data=torchvision", "trainer.threads=1", "trainer.batch_size=10", f"output_dir={tmp_path}"]
    plan = planning.plan(*compose([*words, "data.val_size=null"]))
    record, _ = start(planning.make_run(plan), plan.folder)
    assert record.status == "finished"
    assert "data=torchvision" in plan.arm and name in plan.arm
    assert len(np.load(plan.folder / "predictions.npz")["labels"]) == NUM_CLASSES.get(name, 10)


def levels(group: str) -> list[str]:
    return sorted(catalog.levels(catalog.folders(), group))


@pytest.mark.parametrize("net", sorted({*levels("net")} - {"module"}))  # which names no net by itself
@pytest.mark.parametrize("name", ["USPS", "FashionMNIST"])
def test_other_sizes_and_one_channel_fit_a_net_or_are_refused_by_name(
    root: Any, compose: Any, name: str, net: str
) -> None:
    words = ["data=torchvision", f"data.name={name}", f"data.root={root(name)}", f"net={net}", "trainer.batch_size=10"]
    run = planning.make_run(planning.plan(*compose(words)))
    dataset = run.data.load()
    refused = {"USPS": ["myrtle", "speedrun"], "FashionMNIST": ["myrtle"]}[name]
    if net in refused:
        with pytest.raises(UserError, match=r"would shrink|positions"):
            run.build(dataset)
    else:
        assert run.build(dataset).eval()(dataset.test.images[:4]).shape == (4, 10)


def test_every_preprocessing_and_augmentation_takes_one_channel_of_28_pixels(root: Any, compose: Any) -> None:
    data = of("FashionMNIST", root("FashionMNIST")).load()
    for level in levels("preprocessing"):
        words = ["data=torchvision", "data.name=FashionMNIST", f"preprocessing={level}"]
        words += ["preprocessing.steps.whiten.allow_rank_deficient=true"] if level == "whiten" else []
        cfg, _ = compose(words)
        chain = planning.make("preprocessing", composition.resolved(cfg)["preprocessing"]).fit(data.train.images)
        assert tuple(chain(data.test.images).shape[1:]) == chain.output_shape((1, 28, 28)), level
    for level in levels("augmentation"):
        cfg, _ = compose(["data=torchvision", "data.name=FashionMNIST", f"augmentation={level}"])
        augment = planning.make("augmentation", composition.resolved(cfg)["augmentation"])
        assert augment(data.test.images, torch.Generator()).shape == data.test.images.shape, level

"""The speedrun script: its bare loop trains like the trainer, and its interval is Student's."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from scipy import stats

from ablate.data.augmentation import Augmentation
from ablate.data.dataset import Split
from ablate.layers.dropout import Dropout, Positions
from ablate.regularization import Regularizer

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("speedrun", ROOT / "scripts" / "speedrun.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_bare_loop_trains_as_the_trainer_does(script, make_run) -> None:
    """With all images in one batch and nothing random the order plays no part."""
    run = make_run(
        augmentation=Augmentation(flip=0, padding=0, padding_mode="reflect", cutout_size=0, cutout_fill=0.5, bits=8),
        dropout=Positions(layer=Dropout),
        regularizer=Regularizer(l2=0.01, label_smoothing=0.2),
        bias_lr_factor=8.0,
        batch_size=48,
        epochs=6,
    )
    own, bare = script.measure(run), script.bare(run, num_epochs=6)
    assert own["train_accuracy"] == pytest.approx(bare["train_accuracy"])
    assert own["train_accuracy"] > 1 / 3


def test_its_batches_are_shifted_and_mirrored_images(script) -> None:
    """Oracle: each image that it makes is one of the 2 x 5 x 5 that numpy makes of the original."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (12, 6, 7, 3), generator=generator, dtype=torch.uint8).permute(0, 3, 1, 2)
    split = Split(images=images, labels=torch.arange(12))
    augmentation = Augmentation(flip=0.5, padding=2, padding_mode="reflect", cutout_size=0, cutout_fill=0.5, bits=8)
    made, labels = script.batch(split, torch.arange(11, -1, -1), augmentation)
    assert labels.tolist() == list(range(11, -1, -1))
    found = set()
    for image, label in zip(made.numpy(), labels.tolist(), strict=True):
        for flipped in (False, True):
            original = images[label].numpy()[:, :, ::-1] if flipped else images[label].numpy()
            padded = np.pad(original, ((0, 0), (2, 2), (2, 2)), mode="reflect")
            places = [(y, x) for y in range(5) for x in range(5) if (padded[:, y : y + 6, x : x + 7] == image).all()]
            found |= {(label, flipped, *place) for place in places}
    assert len(found) == 12
    assert len({flipped for _, flipped, *_ in found}) == 2


def test_the_interval_is_students(script) -> None:
    values = [0.93, 0.94, 0.945, 0.938]
    mean, half_width = script.interval(values)
    low, high = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    assert (mean - half_width, mean + half_width) == pytest.approx((low, high))
    assert script.interval([0.5]) == (0.5, None)


def test_it_writes_what_it_prints(script, monkeypatch, capsys, tmp_path) -> None:
    words = "data=shapes data.num_train=200 data.num_test=50 data.val_size=0 net=micro initializer=he_normal"
    words += " trainer.epochs=2 trainer.batch_size=50 trainer.threads=1 device=cpu precision=fp32"
    options = ["--seeds", "2", "--bare-epochs", "2", "--output", str(tmp_path / "s.json")]
    monkeypatch.setattr(sys, "argv", ["speedrun.py", *options, *words.split(), f"data.cache_dir={tmp_path}"])
    script.main()
    found = json.loads((tmp_path / "s.json").read_text())
    assert [row["seed"] for row in found["runs"]] == [0, 1]
    assert found["mean_test_accuracy"] == pytest.approx(np.mean([row["test_accuracy"] for row in found["runs"]]))
    assert found["share_of_bare"] == pytest.approx(found["images_per_second"] / found["bare_images_per_second"])
    assert found["settings"]["optimizer"]["bias_lr_factor"] == 64
    out = capsys.readouterr().out
    assert f"test accuracy {100 * found['mean_test_accuracy']:.2f} %" in out
    assert "2 epochs" in out

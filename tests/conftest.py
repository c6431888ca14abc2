"""What every test may use: one thread, where CIFAR-10 lies, and a quick way from overrides to settings."""

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ablate.data.augmentation import Augmentation
from ablate.data.dataset import Dataset, Split
from ablate.data.preprocessing import Chain, Standardize
from ablate.layers.dropout import Dropout, Positions
from ablate.layers.initialization import VarianceScaling
from ablate.layers.normalization import Batch
from ablate.nets import ConvNet
from ablate.optimization import Cosine
from ablate.regularization import Regularizer
from ablate.run import Run

REPOSITORY = Path(__file__).resolve().parents[1]

# Tests run in several processes; each, and what it starts, keeps to one thread.
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def cifar_root() -> Path:
    """The folder that holds cifar-10-batches-py: $ABLATE_DATA, ../shared/data or data in the repository."""
    candidates = [os.environ.get("ABLATE_DATA"), REPOSITORY.parent / "shared" / "data", REPOSITORY / "data"]
    for candidate in candidates:
        if candidate and (Path(candidate) / "cifar-10-batches-py" / "test_batch").is_file():
            return Path(candidate)
    pytest.skip("CIFAR-10 is not here: set ABLATE_DATA to the folder that holds cifar-10-batches-py")


@pytest.fixture
def compose():
    """A function (overrides) -> what the command line would compose from them, and the levels that were chosen."""
    from hydra import compose, initialize_config_dir
    from omegaconf import open_dict

    with initialize_config_dir(str(REPOSITORY / "conf"), version_base="1.3"):

        def go(overrides):
            cfg = compose("config", overrides=overrides, return_hydra_config=True)
            choices = dict(cfg.hydra.runtime.choices)
            with open_dict(cfg):
                del cfg["hydra"]
            return cfg, choices

        yield go


@dataclass(frozen=True)
class TinyData:
    """48 training, 24 validation and 24 test images of 3 x 8 x 8 in 3 classes, told apart by their brightness."""

    num_train: int = 48
    seed: int = 0

    def load(self) -> Dataset:
        rng = np.random.default_rng(self.seed)

        def split(num):
            labels = np.arange(num) % 3
            images = rng.integers(0, 120, (num, 8, 8, 3)) + 60 * labels[:, None, None, None]
            return Split(
                images=torch.from_numpy(images.astype(np.uint8)).permute(0, 3, 1, 2), labels=torch.from_numpy(labels)
            )

        return Dataset(train=split(self.num_train), val=split(24), test=split(24), class_names=("a", "b", "c"), bits=8)


@pytest.fixture
def make_run():
    """A function (changed fields) -> Run on `TinyData` that trains in a fraction of a second."""

    def make(**changes):
        fields = {
            "arm": "default",
            "fingerprint": "0" * 64,
            "levels": {"activation": "relu", "normalization": "batch"},
            "settings": {"optimizer": {"lr": 0.1}, "trainer": {"epochs": 3}},
            "data": TinyData(),
            "preprocessing": Chain({"standardize": Standardize()}),
            "augmentation": Augmentation(
                flip=0.5, padding=1, padding_mode="reflect", cutout_size=0, cutout_fill=0.5, bits=8
            ),
            "net": ConvNet(widths=[4, 6], convs_per_stage=1, hidden_width=8),
            "activation": nn.ReLU,
            "initializer": VarianceScaling(distribution="normal", mode="fan_in", gain="relu", bias=0.0),
            "normalization": Batch(),
            "dropout": Positions(layer=Dropout, hidden=0.5),
            "regularizer": Regularizer(l2=1e-3, input_noise=0.1),
            "optimizer": partial(torch.optim.SGD, lr=0.1, momentum=0.9),
            "schedule": Cosine(),
            "epochs": 3,
            "batch_size": 10,
            "eval_batch_size": 16,
            "precision": "fp32",
            "device": "cpu",
            "threads": 1,
            "seed": 0,
        }
        return Run(**{**fields, **changes})

    return make

"""Runs that train in a fraction of a second."""

from dataclasses import dataclass
from functools import partial

import numpy as np
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
from ablate.training.run import Run


@dataclass(frozen=True)
class TinyData:
    """48 training, 24 validation and 24 test images of 3 x 8 x 8 in 3 classes that differ in brightness."""

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


def make_run(**changes):
    """Return a Run on `TinyData` that trains in a fraction of a second, with these fields changed."""
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

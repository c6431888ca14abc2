"""Ablation experiments that say whether a training recommendation holds for a net, its data and its budget."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from ablate.nets import Net

# Huge pages for tensors of 2 MB and more, where Linux gives them on request. PyTorch reads this at its first
# allocation, so it stands where all processes pass first, workers too.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


def load_net(folder: "str | Path") -> "Net":
    """Return the net of a finished run that kept its weights (`keep_weights=true`, or `best`).

    The net is in eval mode, on the CPU, and begins with the run's preprocessing: it maps integer images (N, C, H, W),
    as the data set has them, to logits (N, num_classes). No data is read. It is made from the run's recorded settings;
    own classes must be importable, with the text that they had in the training.

    Args:
        folder: of the run, such as outputs/runs/NAME/seed-0.

    Raises:
        UserError: the folder holds no finished run, or no weights; the file is damaged, or of another run; own code of
            the net was edited since.

    Example:
        >>> load_net("no/such/run")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ablate.errors.UserError: load_net needs the folder of a finished run, got no/such/run, ...
    """
    from ablate.cli.loading import load_net as load  # loads torch

    return load(folder)

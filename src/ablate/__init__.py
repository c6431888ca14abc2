"""Ablation experiments that say whether a training recommendation holds for a net, its data and its budget."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from pandas import DataFrame

    from ablate.export.comparing import Compared, Side
    from ablate.export.loaded import Loaded
    from ablate.nets import Net

__all__ = ["compare", "load", "load_net", "run"]

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


def load(folder: "str | Path") -> "Loaded":
    """Return the results of a study, a collection of studies, or of runs, as data frames; it needs pandas.

    Torch is not loaded, and nothing is computed or written.

    Args:
        folder: of a study (outputs/studies/NAME), of a run, or one that holds runs (outputs/runs).

    Returns:
        `runs` (one row a run: arm, seed, state, folder, factors, all metrics), `histories` (one row an epoch) and
            `verdicts` (one row a claim); see `ablate.export.loaded.Loaded`.

    Raises:
        UserError: the folder holds no results, or pandas is missing.

    Example:
        >>> load("no/such/study")
        Traceback (most recent call last):
        ablate.errors.UserError: load needs the folder of a study or of a run, got no/such/study, which is no folder
    """
    from ablate.export.loaded import load as load_results

    return load_results(folder)


def compare(
    runs: "Loaded | DataFrame",
    treatment: "Side",
    control: "Side",
    metric: str = "test/accuracy",
    *,
    smallest_effect: float | None = None,
    alpha: float = 0.05,
) -> "Compared":
    """Return treatment minus control of a metric, paired by seed, with its t interval.

    It is exploratory: a question that was asked after the runs. A verdict that counts needs a study.

    Args:
        runs: what `load` returns, or (a part of) its `runs`.
        treatment, control: factors that pick one arm each: "activation=relu normalization=none", or a dict.
        metric: a column of the runs; seeds that lack it on a side are left out.
        smallest_effect: least difference that matters, in the unit of the metric; with it, the outcome says whether
            "treatment is greater" would be supported.
        alpha: 1 - confidence of the interval, in (0, 0.5).

    Raises:
        UserError: a factor, value or metric is not there, a side fits several arms, or no seed has both sides.

    Example:
        >>> from pandas import DataFrame
        >>> arms = {"arm": ["a=1", "a=2"] * 2, "a": [1, 2] * 2, "seed": [0, 0, 1, 1], "state": ["finished"] * 4}
        >>> table = DataFrame({**arms, "test/accuracy": [0.5, 0.6, 0.5, 0.61]})
        >>> round(compare(table, "a=2", "a=1").estimate, 3)
        0.105
    """
    from ablate.export.comparing import compare as compare_runs

    return compare_runs(runs, treatment, control, metric, smallest_effect=smallest_effect, alpha=alpha)


def run(*words: str) -> "Loaded":
    """Do what the command `ablate WORDS` does, and return its results as `load` does.

    It runs in a process of its own, whose output is shown; an interrupted one continues when it is called again, and
    what is finished is not trained again.

    Args:
        words: of the command line, one a string: run("data=shapes", "activation=tanh"), a sweep:
            run("-m", "activation=relu,tanh", "seed=range(3)"), or a study: run("study=quickstart").

    Raises:
        UserError: the command is refused or fails; nothing was trained (`dry_run=true`); or pandas is missing.

    Example:
        >>> run("--version")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ablate.errors.UserError: ablate --version has no result to load; give settings that train, or a study
    """
    from ablate.cli.launching import run as launch

    return launch(*words)

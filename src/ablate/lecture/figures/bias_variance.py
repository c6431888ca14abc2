"""Bias and variance of the predicted probabilities against the strength of five regularizers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ablate.data.dataset import Dataset, Split
from ablate.errors import UserError
from ablate.nets import Net
from ablate.report.plotting import COLOURS, MUTED, new_figure
from ablate.seeding import Streams
from ablate.training.lab import Arrays, Lab
from ablate.training.loop import Callback, State, predict
from ablate.training.run import Run, prepare, train

# The override that sets each regularizer's strength; early stopping is read off the unregularized run.
SETTINGS = {
    "l2": "regularizer.l2={}",
    "l1_activation": "regularizer.l1_activation={}",
    "input_noise": "regularizer.input_noise={}",
    "dropout": "dropout.hidden={}",
}
TITLES = {
    "l2": "L2 on weights: coefficient",
    "l1_activation": "L1 on activations: coefficient",
    "input_noise": "Input noise: standard deviation",
    "dropout": "Dropout: p of hidden units",
    "early_stopping": "Early stopping: epochs",
}


def compute(
    lab: Lab, *, num_sets: int, images_per_set: int, strengths: Mapping[str, Sequence[float]], stop_after: Sequence[int]
) -> Arrays:
    """Train each setting on the same `num_sets` disjoint training sets and decompose the test Brier score.

    Each set has a seed of its own, so what varies is the images, the initial weights and the order.

    Args:
        num_sets: R, at least 2.
        images_per_set: at most the number of training images divided by R.
        strengths: {l2, l1_activation, input_noise, dropout: strengths}; 0 is the unregularized run, trained once.
        stop_after: epochs of the unregularized run at which it is stopped, in [1, trainer.epochs].

    Returns:
        methods, strengths, brier, bias_squared, variance, error, train_error (S,), a row a setting; num_sets,
        images_per_set, num_test, num_epochs.

    Raises:
        UserError: an argument is out of range.
    """
    base = lab.run()
    _check(base, num_sets, images_per_set, strengths, stop_after, len(lab.dataset(base).train))
    sets = list(disjoint_sets(lab.dataset(base), num_sets, images_per_set))
    labels = lab.dataset(base).test.labels.numpy()
    found: dict[tuple[str, float], tuple[list[NDArray[np.float64]], list[float]]] = {}
    plan: list[tuple[str, float]] = [("none", 0.0)]
    plan += [(method, float(s)) for method, values in strengths.items() for s in values if s]
    lab.expect(len(plan))
    for method, strength in plan:
        lab.step(f"{method} {strength:g}" if method != "none" else "unregularized")
        overrides = [SETTINGS[method].format(strength)] if method != "none" else []
        for r, dataset in enumerate(sets):
            stops = stop_after if method == "none" else ()
            recorder = _Recorder(base.eval_batch_size, {base.epochs, *stops})
            _train(lab.run(*overrides, seed=r), dataset, recorder)
            keys = {(method, strength): base.epochs} | {("early_stopping", float(stop)): stop for stop in stops}
            for key, epoch in keys.items():
                probabilities, train_errors = found.setdefault(key, ([], []))
                probabilities.append(recorder.probabilities[epoch])
                train_errors.append(recorder.train_errors[epoch])
    rows = [(method, float(s)) for method, values in strengths.items() for s in values]
    rows += [("early_stopping", float(stop)) for stop in stop_after]
    measured = {}
    for method, strength in rows:
        probabilities, train_errors = found[(method, strength) if strength else ("none", 0.0)]
        measured[method, strength] = (*decompose(np.stack(probabilities), labels), float(np.mean(train_errors)))
    columns = np.array([measured[row] for row in rows]).T
    return {
        "methods": np.array([method for method, _ in rows]),
        "strengths": np.array([strength for _, strength in rows]),
        **dict(zip(("brier", "bias_squared", "variance", "error", "train_error"), columns, strict=True)),
        "num_sets": np.array(num_sets),
        "images_per_set": np.array(images_per_set),
        "num_test": np.array(len(labels)),
        "num_epochs": np.array(base.epochs),
    }


def decompose(probabilities: NDArray[np.float64], labels: NDArray[np.integer]) -> tuple[float, float, float, float]:
    """Return Brier score, bias², variance and error rate of nets trained on R training sets.

    With e the one-hot label, p_r the output of net r, q their mean over r, and all summed over classes and averaged
    over images: Brier = mean_r |p_r - e|² = bias² + variance, variance = sum_r |p_r - q|² / (R - 1),
    bias² = |q - e|² - variance / R. Both are unbiased over the draw of the sets, and the identity is exact. A label
    is drawn once, so the noise of the labels is part of bias².

    Args:
        probabilities: (R, N, K), R at least 2.
        labels: (N,), in [0, K).

    Source: Geman, Bienenstock & Doursat 1992 (Neural Computation 4); with one-hot labels Yang et al. 2020
    (arXiv:2002.11328).

    Example:
        >>> brier, bias, variance, error = decompose(np.array([[[0.8, 0.2]], [[0.6, 0.4]]]), np.array([0]))
        >>> round(float(brier), 3), round(float(bias + variance), 3), float(error)
        (0.2, 0.2, 0.0)
    """
    num_sets = len(probabilities)
    one_hot = np.eye(probabilities.shape[2])[labels]
    mean = probabilities.mean(0)
    brier = float(((probabilities - one_hot) ** 2).sum(2).mean())
    variance = float(((probabilities - mean) ** 2).sum((0, 2)).mean() / (num_sets - 1))
    bias_squared = float(((mean - one_hot) ** 2).sum(1).mean() - variance / num_sets)
    return brier, bias_squared, variance, float((probabilities.argmax(2) != labels).mean())


def disjoint_sets(dataset: Dataset, num_sets: int, images_per_set: int) -> Iterator[Dataset]:
    """Yield `num_sets` data sets with the same test images and disjoint parts of the training images.

    The training images come in a stratified order, so that each part has the classes in proportion.
    """
    for r in range(num_sets):
        part = slice(r * images_per_set, (r + 1) * images_per_set)
        yield replace(dataset, train=Split(images=dataset.train.images[part], labels=dataset.train.labels[part]))


class _Recorder(Callback):
    """Keeps, after the epochs asked for, the test probabilities (N, K) in float64 and the error on training images."""

    def __init__(self, batch_size: int, epochs: set[int]) -> None:
        self.batch_size = batch_size
        self.epochs = epochs
        self.probabilities: dict[int, NDArray[np.float64]] = {}
        self.train_errors: dict[int, float] = {}

    def on_epoch_end(self, state: State) -> None:
        if state.epoch not in self.epochs:
            return
        train = state.dataset.train
        self.probabilities[state.epoch] = self._log_probs(state.net, state.dataset.test).exp().numpy()
        wrong = self._log_probs(state.net, train).argmax(1) != train.labels.cpu()
        self.train_errors[state.epoch] = wrong.double().mean().item()

    def _log_probs(self, net: Net, split: Split) -> torch.Tensor:
        found = predict(net, split.images, batch_size=self.batch_size, precision="fp32", streams=Streams(0))
        return found.double().cpu()


def _train(run: Run, dataset: Dataset, recorder: _Recorder) -> None:
    state, examine = prepare(run, dataset, run.build(dataset))
    train(run, state, examine, [recorder])
    if state.diverged:
        raise UserError(f"the run {run.arm} diverged on a set of {len(dataset.train)} images; lower optimizer.lr")


def _check(
    run: Run,
    num_sets: int,
    images_per_set: int,
    strengths: Mapping[str, Sequence[float]],
    stop_after: Sequence[int],
    num_train: int,
) -> None:
    if num_sets < 2:
        raise UserError(f"`figure.num_sets` must be at least 2, got {num_sets}")
    if num_sets * images_per_set > num_train:
        raise UserError(
            f"`figure.num_sets={num_sets}` disjoint sets of `figure.images_per_set={images_per_set}` need "
            f"{num_sets * images_per_set} training images, got {num_train}; raise data.train_size"
        )
    if unknown := set(strengths) - set(SETTINGS):
        raise UserError(f"`figure.strengths` knows {', '.join(SETTINGS)}, got {', '.join(sorted(unknown))}")
    if any(not 1 <= stop <= run.epochs for stop in stop_after):
        raise UserError(f"`figure.stop_after` must lie in [1, trainer.epochs={run.epochs}], got {list(stop_after)}")


def draw(arrays: Arrays) -> Figure:
    """Draw one panel per regularizer: Brier score, bias² and variance against its strength, growing to the right."""
    methods = list(dict.fromkeys(arrays["methods"].tolist()))
    figure = new_figure(2.2 * len(methods), 3.3)
    axes = figure.subplots(1, len(methods), sharey=True, squeeze=False)[0]
    series = (
        ("brier", "Brier score", "o"),
        ("bias_squared", "bias² + label noise", "s"),
        ("variance", "variance", "^"),
    )
    for ax, method in zip(axes, methods, strict=True):
        rows = np.flatnonzero(arrays["methods"] == method)
        rows = rows[np.argsort(arrays["strengths"][rows] * (-1 if method == "early_stopping" else 1))]
        x = np.arange(len(rows))
        for colour, (name, label, marker) in zip((COLOURS[6], *COLOURS), series, strict=False):
            ax.plot(x, arrays[name][rows], color=colour, marker=marker, markersize=4.5, label=label)
        best = int(np.argmin(arrays["brier"][rows]))
        ax.plot(best, arrays["brier"][rows][best], "o", markersize=10, markerfacecolor="none", markeredgecolor=MUTED)
        ax.set_xticks(x, [f"{s:.4g}" for s in arrays["strengths"][rows]])
        ax.set_title(TITLES[method])
        ax.set_xlim(-0.35, len(rows) - 0.65)
        ax.grid(axis="y")
    axes[0].set_ylim(bottom=0)
    axes[0].set_ylabel("test images, mean")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def caption(arrays: Arrays) -> str:
    """Return what the figure shows."""
    plain = int(np.flatnonzero(arrays["strengths"] == 0)[0]) if (arrays["strengths"] == 0).any() else None
    best = int(np.argmin(arrays["brier"]))
    text = (
        f"Brier score of {arrays['num_test']} test images = bias² + variance, exactly, over nets trained on "
        f"{arrays['num_sets']} disjoint sets of {arrays['images_per_set']} images (other seed each); the noise of the "
        "labels is part of bias²; strength grows to the right, circles mark the lowest score of a panel. "
    )
    if plain is not None:
        text += f"At strength 0: {_decomposed(arrays, plain)}. "
    method, strength = str(arrays["methods"][best]), arrays["strengths"][best]
    return text + f"Lowest: {_decomposed(arrays, best)}, with {TITLES[method].replace(':', ',')} {strength:.4g}."


def _decomposed(arrays: Arrays, row: int) -> str:
    brier, bias, variance = (arrays[name][row] for name in ("brier", "bias_squared", "variance"))
    return f"{brier:.3f} = {bias:.3f} + {variance:.3f}"

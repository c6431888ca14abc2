"""The learning-rate stress test: lr grows every epoch until training breaks, with and without batch norm."""

import math

import numpy as np
from matplotlib.figure import Figure

from ablate.errors import UserError
from ablate.report.plotting import COLOURS, INK, MUTED, decade_ticks, new_figure
from ablate.training.lab import Arrays, Lab

ARMS = {"batch norm": "batch_no_affine", "none": "none"}
# D. Page 2019, How to train your ResNet 7: the best training accuracy and the lr at which it is reached.
PUBLISHED = {"batch norm": "85.3% at 0.9 to 2.6", "none": "65.9% at 0.113, diverged at 0.32"}


def compute(lab: Lab, *, lr: float, growth: float) -> Arrays:
    """Return training loss and accuracy of every epoch, one learning rate an epoch.

    Args:
        lr: of the first epoch, above 0.
        growth: factor an epoch, above 1.

    Returns:
        names (2,); lr (E,); accuracy, loss (2, E): of the epoch's training batches, nan from the epoch on in which loss
        or weights are no longer finite; chance (); num_train ().
    """
    if not (lr > 0 and growth > 1):
        raise UserError(f"`figure.lr` must be above 0 and `figure.growth` above 1, got {lr} and {growth}")
    accuracies, losses = [], []
    lab.expect(len(ARMS))
    for name, normalization in ARMS.items():
        run = lab.run(
            f"normalization={normalization}", "schedule=geometric", f"schedule.growth={growth}", f"optimizer.lr={lr}"
        )
        lab.step(f"{name}: {run.epochs} epochs, lr from {lr:g} to {lr * growth ** (run.epochs - 1):.3g}")
        state = lab.train(run)
        rows = state.history[:-1] if state.diverged else state.history
        lost = [math.nan] * (run.epochs - len(rows))
        accuracies.append([float(row["train/accuracy"] or 0) for row in rows] + lost)
        losses.append([float(row["train/loss"] or 0) for row in rows] + lost)
    dataset = lab.dataset(run)
    return {
        "names": np.array(list(ARMS)),
        "lr": lr * growth ** np.arange(run.epochs),
        "accuracy": np.array(accuracies),
        "loss": np.array(losses),
        "chance": np.array(1 / dataset.num_classes),
        "num_train": np.array(len(dataset.train)),
    }


def summary(arrays: Arrays) -> list[tuple[float, float, float, float, float]]:
    """Return for each net: best accuracy, its lr, the last accuracy, its lr, and the lr of divergence or nan."""
    found = []
    for accuracy in arrays["accuracy"]:
        if not np.isfinite(accuracy).any():
            found.append((math.nan, math.nan, math.nan, math.nan, float(arrays["lr"][0])))
            continue
        best, last = int(np.nanargmax(accuracy)), int(np.flatnonzero(np.isfinite(accuracy))[-1])
        broken = arrays["lr"][last + 1] if last + 1 < len(accuracy) else math.nan
        found.append((accuracy[best], arrays["lr"][best], accuracy[last], arrays["lr"][last], float(broken)))
    return found


def draw(arrays: Arrays) -> Figure:
    """Draw training accuracy against the learning rate of the epoch; a cross marks divergence."""
    figure = new_figure(7.6, 4.0)
    ax = figure.subplots()
    guessing = 100 * float(arrays["chance"])
    for name, accuracy, row, colour, marker in zip(
        arrays["names"], arrays["accuracy"], summary(arrays), COLOURS, "oD", strict=False
    ):
        best, best_lr, _, _, broken = row
        ax.plot(arrays["lr"], 100 * accuracy, color=colour, marker=marker, markersize=4, label=name)
        ax.annotate(
            f"{best:.0%} at {best_lr:.2g}",
            (best_lr, 100 * best),
            (0, 7),
            textcoords="offset points",
            ha="center",
            color=colour,
            fontsize=9,
        )
        if not math.isnan(broken):
            ax.plot([broken], [guessing], marker="x", markersize=9, markeredgewidth=2.2, color=colour)
            ax.annotate(
                f"diverged at {broken:.2g}",
                (broken, guessing),
                (8, 4),
                textcoords="offset points",
                va="bottom",
                color=INK,
                fontsize=9,
            )
    ax.axhline(guessing, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
    ax.text(arrays["lr"][0], guessing - 1, "guessing", va="top", fontsize=8.5, color=MUTED)
    ax.set_xscale("log")
    decade_ticks(ax.xaxis)
    ax.set_ylim(0, 100 * min(1.0, 1.2 * np.nanmax(arrays["accuracy"])))
    ax.set_xlabel("learning rate, one epoch each")
    ax.set_ylabel("training accuracy of the epoch, %")
    ax.legend(loc="upper left")
    return figure


def caption(arrays: Arrays) -> str:
    """Return what the figure shows."""
    rows = []
    for name, (best, best_lr, last, last_lr, broken) in zip(arrays["names"], summary(arrays), strict=True):
        end = f"{last:.1%} at {last_lr:.3g}" if math.isnan(broken) else f"diverged at {broken:.3g}"
        rows.append(f"{name}: best {best:.1%} at lr {best_lr:.3g}, {end} (published: {PUBLISHED[name]})")
    growth = f" by {arrays['lr'][1] / arrays['lr'][0]:.3g}" if len(arrays["lr"]) > 1 else ""
    return (
        f"Training accuracy while the learning rate grows{growth} every epoch, on "
        f"{int(arrays['num_train']):,} images. {'; '.join(rows)}. Published: D. Page 2019, 4.65 million weights, all "
        "of CIFAR-10, batches of 512."
    )

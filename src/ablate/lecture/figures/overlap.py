"""How much of the leading Hessian eigenvectors lies in the span of a few gradients: those of the output means."""

import numpy as np
from matplotlib.figure import Figure

from ablate.diagnostics.curvature import top_eigenpairs
from ablate.diagnostics.output_moments import moment_gradients, orthonormal_basis, share_in_span
from ablate.lecture.figures.half_trained import half_trained_run, loss, probe_batches, subjects
from ablate.report.plotting import COLOURS, INK, new_figure
from ablate.seeding import Streams
from ablate.training.lab import Arrays, Lab

# D. Page 2019, How to train your ResNet 7 (notebook batch_norm_post): overlaps of v_1 ... v_9 with the span of the
# output means' gradients, and the largest eigenvalues, there of the loss summed over 256 images.
PUBLISHED = {
    "batch norm": (0.026, 0.137, 0.144, 0.496, 0.563, 0.604, 0.525, 0.486, 0.246),
    "frozen": (0.825, 0.830, 0.864, 0.796, 0.817, 0.797, 0.874, 0.887, 0.835),
    "none": (0.354, 0.758, 0.594, 0.705, 0.535, 0.566, 0.763, 0.529, 0.780),
}
PUBLISHED_LEADING = {"batch norm": 127.9, "frozen": 2246.0, "none": 3486.0}


def compute(
    lab: Lab, *, lr_batch_norm: float, lr_none: float, num_batches: int, batch_size: int, tolerance: float
) -> Arrays:
    """Return |Q' v_i|^2 of the leading eigenvectors v_i, one more than K - 1, for K classes.

    Q is an orthonormal basis of the gradients of the K output means, the logits centred over the classes as the softmax
    uses them: K - 1 dimensions; or of these and the gradients of the logits' variances and third central moments too:
    3 K - 1 dimensions.

    Args:
        lr_batch_norm, lr_none: highest learning rates of the trainings, see `half_trained`.
        num_batches, batch_size: of the training images of Hessian and outputs; with batch norm those of a batch share
            its statistics.
        tolerance: see `diagnostics.curvature.top_eigenpairs`.

    Returns:
        names (3,); values (3, K), eigenvalues of the Hessian of the mean of CE + 0.5 U, the largest first; by_means,
        by_moments (3, K), the overlaps; dimensions (3, 2), of the two spans; accuracies (3, 2): of training and
        validation; num_images (), num_train (), num_epochs (), num_parameters ().
    """
    nets = subjects(lab, lr_batch_norm=lr_batch_norm, lr_none=lr_none)
    run = half_trained_run(lab, "batch_no_affine", lr_batch_norm)
    dataset = lab.dataset(run)
    batches = probe_batches(lab, run, num_batches, batch_size)
    values, overlaps, dimensions = [], [], []
    lab.expect(len(nets))
    for name, subject in nets.items():
        lab.step(f"eigenvectors: {name}")
        generator = Streams(run.seed).generator("figure", "overlap")
        pairs = top_eigenpairs(
            subject.net, batches, num=dataset.num_classes, generator=generator, loss=loss, tolerance=tolerance
        )
        gradients = moment_gradients(subject.net, batches, order=3, centred=True).cpu()
        spans = orthonormal_basis(gradients[0]), orthonormal_basis(gradients.flatten(0, 1))
        values.append(pairs.values.numpy())
        overlaps.append([share_in_span(span, pairs.vectors).numpy() for span in spans])
        dimensions.append([len(span) for span in spans])
    return {
        "names": np.array(list(nets)),
        "values": np.stack(values),
        "by_means": np.array(overlaps)[:, 0],
        "by_moments": np.array(overlaps)[:, 1],
        "dimensions": np.array(dimensions),
        "accuracies": np.array([[s.train_accuracy, s.val_accuracy] for s in nets.values()]),
        "num_images": np.array(num_batches * batch_size),
        "num_train": np.array(len(dataset.train)),
        "num_epochs": np.array(run.epochs),
        "num_parameters": np.array(sum(p.numel() for p in nets["none"].net.parameters())),
    }


def draw(arrays: Arrays) -> Figure:
    """Draw one panel per net, one bar an eigenvector; a dash is the published overlap with the smaller span."""
    names = arrays["names"]
    figure = new_figure(10.6, 3.9)
    axes = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    ranks = np.arange(1, arrays["values"].shape[1] + 1)
    few, many = arrays["dimensions"].max(0)
    for ax, name, colour, small, large in zip(
        axes, names, COLOURS, arrays["by_means"], arrays["by_moments"], strict=False
    ):
        ax.bar(
            ranks, large, width=0.74, color=colour, alpha=0.28, label=f"span of {many}: and variances, third moments"
        )
        ax.bar(ranks, small, width=0.74, color=colour, label=f"span of {few}: gradients of the output means")
        if len(ranks) == 10:
            ax.hlines(
                PUBLISHED[name],
                ranks[:9] - 0.42,
                ranks[:9] + 0.42,
                color=INK,
                linewidth=1.4,
                label="published, span of 9",
            )
        ax.set_title(f"{name}: mean of 1-{few} is {small[:few].mean():.2f}")
        ax.set_xticks(ranks)
        ax.set_ylim(0, 1)
        ax.set_xlabel("rank of the eigenvector")
    axes[0].set_ylabel("overlap |Q′v|²")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], loc="outside upper center", ncols=3)
    return figure


def caption(arrays: Arrays) -> str:
    """Return what the figure shows."""
    few, many = arrays["dimensions"].max(0)
    leading = dict(zip(arrays["names"], arrays["values"][:, 0], strict=True))
    means = dict(zip(arrays["names"], arrays["by_means"][:, :few].mean(1), strict=True))
    wide = dict(zip(arrays["names"], arrays["by_moments"][:, :few].mean(1), strict=True))
    order = ("frozen", "none", "batch norm")
    text = ", ".join(f"{name} {means[name]:.2f} ({np.mean(PUBLISHED[name]):.2f})" for name in order)
    more = ", ".join(f"{name} {wide[name]:.2f}" for name in order)
    ratio = PUBLISHED_LEADING["none"] / PUBLISHED_LEADING["batch norm"]
    return (
        f"Share of the leading Hessian eigenvectors that lies in the {few}-dimensional span of the gradients of the "
        f"mean outputs, averaged over v1 ... v{few} (published value): {text}; with variances and third moments of the "
        f"outputs ({many} dimensions): {more}. The ratio of the leading eigenvalues, none / batch norm, is "
        f"{leading['none'] / leading['batch norm']:.3g} ({ratio:.3g}). Here: {int(arrays['num_parameters']):,} weights "
        f"trained for {int(arrays['num_epochs'])} epochs on {int(arrays['num_train']):,} images, Hessian on "
        f"{int(arrays['num_images']):,}; published (D. Page 2019): 4,651,712 weights, 10 epochs on all of CIFAR-10, "
        "Hessian on 20,480."
    )

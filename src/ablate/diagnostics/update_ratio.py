"""Update ratio: the length of a training step relative to the weights."""

from torch import Tensor

from ablate.diagnostics.gradient_norm import affine_weights
from ablate.diagnostics.probe import Probe, mean_of


def update_ratio(probe: Probe) -> dict[str, Tensor]:
    """Measure the last training step relative to the weights it changed.

    Formula: |W_after - W_before| / |W_before|, Euclidean norms over a layer's weights. The step is the optimizer's
    whole one, with learning rate, momentum and weight decay.

    Returns:
        <layer>: of each affine layer, without unit, in [0, inf]; inf (nan) where weights of 0 did (did not) move.
        mean: over the layers.
        Nothing where no step was taken.

    Source: the notes of the course CS231n, "Babysitting the learning process".

    Cost: no pass.

    Example:
        >>> from ablate.diagnostics.probe import example_probe
        >>> round(update_ratio(example_probe())["mean"].item(), 4)
        0.0101
    """
    after = affine_weights(probe.net, {name: p.detach() for name, p in probe.net.named_parameters()})
    before = affine_weights(probe.net, probe.weights_before_step)
    return mean_of({name: (after[name] - weight).norm() / weight.norm() for name, weight in before.items()})

"""Gradient norm: how much of the gradient reaches each layer."""

from collections.abc import Mapping

from torch import Tensor, nn

from ablate.diagnostics.probe import Probe
from ablate.layers.initialization import weight_layers


def gradient_norm(probe: Probe) -> dict[str, Tensor]:
    """Measure the gradient of the mean loss by the weights of each affine layer, and how much of it reaches the first.

    Formulas: |dL/dW_l|, the Euclidean norm over all entries; |dL/dz_1| / |dL/dz_D|, z_l (N, ...) the input of
    the l-th of D activations. The ratio uses dL/dz and not dL/dW, because |dL/dW| also grows with the size of the
    layer's inputs. It uses Euclidean norms and not root mean squares, because a later layer has fewer positions:
    pooling spreads the same gradient over more entries, and that is not vanishing.

    Returns:
        <layer>: of each affine layer, the classifier included, in nats per unit of weight, in [0, inf).
        first_last: the ratio, of the first activation to the last, without unit, in [0, inf); nan if no gradient
            reaches the last; absent if the net has no activation.

    Source: Glorot & Bengio 2010 (AISTATS), section 4; He et al. 2015 (arXiv:1502.01852), section 2.2.

    Cost: none beyond the probe's own pass.

    Example:
        >>> from ablate.diagnostics.probe import example_probe
        >>> list(gradient_norm(example_probe()))
        ['conv1_1', 'fc1', 'classifier', 'first_last']
    """
    passed = probe.passed
    norms = {name: gradient.norm() for name, gradient in affine_weights(probe.net, passed.gradients).items()}
    if passed.units:
        norms["first_last"] = passed.units[0].gradient.norm() / passed.units[-1].gradient.norm()
    return norms


def affine_weights(net: nn.Module, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights among `parameters` by the path of their affine layer, without embeddings and the like."""
    return {path: parameters[name] for path, _ in weight_layers(net) if (name := f"{path}.weight") in parameters}

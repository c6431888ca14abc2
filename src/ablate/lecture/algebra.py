"""Algebra: exact statements about layers, checked on the layers themselves; the net is not used."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ablate.diagnostics.probe import Probe, slopes
from ablate.layers.activation import LeCunTanh, Maxout
from ablate.layers.batch_norm import BatchNorm, estimate_population_statistics
from ablate.layers.dropout import SCALINGS, Dropout, Positions
from ablate.layers.normalization import Batch, NoNormalization
from ablate.nets import ConvNet, Net, layer_table
from ablate.seeding import Streams

IMAGE_SHAPE = (3, 32, 32)


def algebra(probe: Probe) -> dict[str, Tensor]:
    """Check statements about layers that can be counted or computed, in float64; every probe gives the same values.

    A `..._error` is how far a statement is off: 0, up to rounding, where it is exact.

    Args:
        probe: not used.

    Returns:
        the values of `convolution`, `batch_norm`, `dropout`, `activation_slopes` and `activations`.

    Cost: about 0.05 s on one core, whatever the net.
    """
    found = {**convolution(), **batch_norm(), **dropout(), **activation_slopes(), **activations()}
    return {key: torch.as_tensor(value, dtype=torch.float64) for key, value in found.items()}


def convolution() -> dict[str, float]:
    """Count ten filters of 5 x 5 with stride 1 and padding 2 on images of 3 x 32 x 32, as the net has them.

    Formula: (W - K + 2 P) / S + 1 = 32 for the width, (5 * 5 * 3 + 1) * 10 for the parameters.

    Returns:
        conv_output_size: width of the output, in pixels.
        conv_parameters: weights and biases, 760.
        conv_parameters_with_batch_norm: weights, gamma and beta, 770; subtracting the mean cancels any bias.

    Example:
        >>> convolution()
        {'conv_output_size': 32, 'conv_parameters': 760, 'conv_parameters_with_batch_norm': 770}
    """
    spec = ConvNet(widths=[10], convs_per_stage=1, kernel_size=5, padding=2, pool="none", num_hidden=0)
    plain, normalized = (
        {row.name: row for row in layer_table(_shape_of(spec, normalization=norm), IMAGE_SHAPE, "meta")}
        for norm in (NoNormalization(), Batch())
    )
    return {
        "conv_output_size": plain["conv1_1"].output_shape[-1],
        "conv_parameters": plain["conv1_1"].num_parameters,
        "conv_parameters_with_batch_norm": normalized["conv1_1"].num_parameters + normalized["norm1_1"].num_parameters,
    }


def batch_norm() -> dict[str, Tensor]:
    """Check batch norm at inference and as the identity, on random batches.

    Returns:
        population_statistics_error: largest difference, relative to the largest output, between inference after
            `estimate_population_statistics` and Algorithm 2.
        identity_error: largest |y - x| / std(x) in training with gamma = sqrt(Var + eps) and beta = mean of the batch.
        identity_error_with_variance: the same with gamma = Var.
        mean_std_error: relative error of the variance at inference if not variances of batches are averaged
            but standard deviations, and the mean is squared; with batches of 8 normal values 1 - c4(8)^2 = 0.069,
            c4(8) = E[s] / sigma.

    Source: Ioffe & Szegedy 2015 (arXiv:1502.03167), section 3 and Algorithm 2.

    Example:
        >>> found = batch_norm()
        >>> bool(found["identity_error"] < 1e-12), round(float(found["mean_std_error"]), 2)
        (True, 0.07)
    """
    gamma, beta = _normal(6, place="gamma"), _normal(6, place="beta")
    batches = _normal(5, 4, 6, 2, 2, place="batches") * 3 + 2
    x = _normal(4, 6, 2, 2, place="inference")
    norm = BatchNorm(6).double()
    _set(norm, gamma, beta)
    estimate_population_statistics(norm, batches)
    expected = algorithm_2(x, batches, gamma, beta, norm.eps)
    with torch.no_grad():
        population_error = (norm.eval()(x) - expected).abs().max() / expected.abs().max()

    x = batches[0]
    var, mean = torch.var_mean(x, (0, 2, 3), correction=0)
    identity_errors = []
    for scale in ((var + norm.eps).sqrt(), var):
        _set(norm, scale, mean)
        with torch.no_grad():
            difference = norm.train()(x) - x
        identity_errors.append((difference.abs() / var.sqrt()[:, None, None]).max())

    small = _normal(200, 8, 64, place="small batches")  # 200 batches of 8 values of 64 channels
    norm = BatchNorm(64).double()
    estimate_population_statistics(norm, small)
    by_stds = small.std(1).mean(0).square()
    return {
        "population_statistics_error": population_error,
        "identity_error": identity_errors[0],
        "identity_error_with_variance": identity_errors[1],
        "mean_std_error": (1 - by_stds / norm.running_var).mean(),
    }


def algorithm_2(x: Tensor, batches: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Tensor:
    """Return gamma / sqrt(Var + eps) x + (beta - gamma E / sqrt(Var + eps)), written out; see `BatchNorm`.

    Formula: E = mean over batches of mu_B and Var = m / (m - 1) mean over batches of var_B, with m values a channel in
    a batch.

    Args:
        x: (N, C, H, W).
        batches: (B, n, C, H, W).
        gamma, beta: (C,).
        eps: added to Var.
    """
    values = batches.transpose(1, 2).flatten(2)  # (B, C, m)
    num_values = values.shape[2]
    means = values.sum(2) / num_values
    variances = (values - means[..., None]).square().sum(2) / num_values
    mean, variance = means.mean(0), num_values / (num_values - 1) * variances.mean(0)
    slope = gamma / (variance + eps).sqrt()
    return slope[:, None, None] * x + (beta - slope * mean)[:, None, None]


class EveryMask(Dropout):
    """`Dropout` of half the units whose masks are all 2^n: row i of its inputs (2^n, n) gets the i-th."""

    def __init__(self, scaling: str) -> None:
        super().__init__(0.5, scaling)

    def _keep(self, mask: Tensor) -> Tensor:
        num_units = mask.shape[1]
        bits = torch.arange(2**num_units)[:, None] >> torch.arange(num_units)
        return mask.copy_(bits % 2)


def dropout() -> dict[str, Tensor]:
    """Check dropout against the average over all masks of 8 inputs, and the update of a dropped unit's weights.

    Returns:
        dropout_linear_error: relative difference between the average over all masks of linear units w.x and their value
            at inference, the larger one of both scalings.
        dropout_relu_gap: the same for ReLU units, above 0: max(0, .) is convex, so scaling only approximates averaging.
        dropout_dropped_gradient: largest |gradient| of a loss by the outgoing weights of dropped units.
        dropped_weight_update: what `dropped_weights` returns for SGD with lr 0.01, momentum 0.9 and weight decay 5e-4.

    Source: Srivastava et al. 2014 (JMLR 15), sections 4 and 10.

    Example:
        >>> found = dropout()
        >>> bool(found["dropout_linear_error"] < 1e-12), bool(found["dropout_relu_gap"] > 0)
        (True, True)
    """
    weight, x = _normal(64, 8, place="weight"), _normal(8, place="input")
    linear, relu = (
        torch.stack([relative_gap(*averaged_and_scaled(weight, x, f, scaling)) for scaling in SCALINGS]).max()
        for f in (nn.Identity(), nn.ReLU())
    )
    gradient, update = dropped_weights(lr=0.01, momentum=0.9, weight_decay=5e-4)
    return {
        "dropout_linear_error": linear,
        "dropout_relu_gap": relu,
        "dropout_dropped_gradient": gradient,
        "dropped_weight_update": update,
    }


def averaged_and_scaled(
    weight: Tensor, x: Tensor, activation: nn.Module, scaling: str = "inverted"
) -> tuple[Tensor, Tensor]:
    """Return f(W dropout(x)) averaged over all masks that drop each input with probability 1/2, and at inference.

    Args:
        weight: (U, n), W.
        x: (n,).
        activation: f, without parameters.
        scaling: see `Dropout`.

    Returns:
        (U,) and (U,).

    Example:
        >>> averaged, scaled = averaged_and_scaled(torch.ones(1, 4), torch.ones(4), nn.Identity())
        >>> averaged, scaled
        (tensor([4.]), tensor([4.]))
    """
    layer = EveryMask(scaling)
    averaged = activation(layer.train()(x.repeat(2 ** len(x), 1)) @ weight.T).mean(0)
    scaled: Tensor = activation(weight @ layer.eval()(x))
    return averaged, scaled


def relative_gap(a: Tensor, b: Tensor) -> Tensor:
    """Return |a - b| / |b|.

    Example:
        >>> relative_gap(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 1.0])).round(decimals=3)
        tensor(0.7070)
    """
    return (a - b).norm() / b.norm()


def dropped_weights(*, lr: float, momentum: float, weight_decay: float) -> tuple[Tensor, Tensor]:
    """Return gradient and update of weights that leave dropped units, in the second of two steps of SGD.

    The loss is the mean square of y = W dropout(x), for one x, and each step has its own mask. Measured are
    the weights of the units that the first mask keeps and the second drops. Only the gradient of the loss is 0 there:
    SGD still moves them by the momentum of the first step and by weight decay.

    Returns:
        the largest |dL/dw| in the second step, and |w_after - w_before| / |w_before| of that step, over these weights.
    """
    x = _normal(64, place="hidden")
    weight = (_normal(4, 64, place="outgoing") / 8).requires_grad_()  # scaled by 1 / sqrt(fan_in)
    layer, kept = Dropout(0.5), []
    optimizer = torch.optim.SGD([weight], lr=lr, momentum=momentum, weight_decay=weight_decay)
    for step in range(2):
        before = weight.detach().clone()
        layer.reseed(step)
        hidden = layer(x)
        kept.append(hidden != 0)
        optimizer.zero_grad()
        (weight @ hidden).square().mean().backward()
        optimizer.step()
    dropped = kept[0] & ~kept[1]
    assert dropped.any() and weight.grad is not None
    gradient = weight.grad[:, dropped].abs().max()
    return gradient, relative_gap(weight.detach()[:, dropped], before[:, dropped])


def activation_slopes() -> dict[str, Tensor]:
    """Return the slopes of sigmoid and ReLU, by autograd.

    Returns:
        sigmoid_slope_at_10, sigmoid_slope_at_0: s (1 - s) = 4.54e-5 and 0.25.
        relu_slope_at_minus_10, relu_slope_at_0, relu_slope_at_10: 0, 0 and 1; at 0 all of [0, 1] are subgradients.

    Example:
        >>> {key: round(float(slope), 6) for key, slope in activation_slopes().items() if key.startswith("sigmoid")}
        {'sigmoid_slope_at_10': 4.5e-05, 'sigmoid_slope_at_0': 0.25}
    """
    z = torch.tensor([[-10.0, 0.0, 10.0]], dtype=torch.float64)
    (_, sigmoid_0, sigmoid_10), (relu_minus_10, relu_0, relu_10) = (slopes(f, z)[0] for f in (nn.Sigmoid(), nn.ReLU()))
    return {
        "sigmoid_slope_at_10": sigmoid_10,
        "sigmoid_slope_at_0": sigmoid_0,
        "relu_slope_at_minus_10": relu_minus_10,
        "relu_slope_at_0": relu_0,
        "relu_slope_at_10": relu_10,
    }


def activations() -> dict[str, Tensor | float]:
    """Check maxout and LeCun's tanh.

    Returns:
        maxout_is_relu_error: largest difference between ReLU and a maxout whose second piece is 0, relative to the
            largest output.
        maxout_parameter_ratio: weights and biases of a net's affine maps with maxout to those with ReLU, at equal
            widths, without the classifier, which has no activation: 2 for two pieces.
        lecun_tanh_fixed_point_error: the larger one of |f(1) - 1| and |f(-1) + 1|.

    Source: Goodfellow et al. 2013 (arXiv:1302.4389); LeCun et al. 1998, "Efficient BackProp", section 4.4.

    Example:
        >>> round(activations()["maxout_parameter_ratio"], 6)
        2.0
    """
    x, weight, bias = _normal(32, 8, place="x"), _normal(16, 8, place="pieces"), _normal(16, place="bias")
    relu = F.linear(x, weight, bias).relu()
    maxout = Maxout()(F.linear(x, torch.cat([weight, 0 * weight]), torch.cat([bias, 0 * bias])))
    spec = ConvNet(widths=[8, 16], num_hidden=2, hidden_width=32)
    with_maxout, with_relu = (
        sum(
            p.numel()
            for name, layer in _shape_of(spec, activation=activation).named_children()
            if isinstance(layer, nn.Conv2d | nn.Linear) and name != "classifier"
            for p in layer.parameters()
        )
        for activation in (Maxout, nn.ReLU)
    )
    ones = torch.tensor([1.0, -1.0], dtype=torch.float64)
    return {
        "maxout_is_relu_error": (maxout - relu).abs().max() / relu.max(),
        "maxout_parameter_ratio": with_maxout / with_relu,
        "lecun_tanh_fixed_point_error": (LeCunTanh()(ones) - ones).abs().max(),
    }


def _shape_of(
    spec: ConvNet, *, activation: type[nn.Module] = nn.ReLU, normalization: NoNormalization | Batch | None = None
) -> Net:
    """Return the net for `IMAGE_SHAPE` on the meta device: shapes without values, so that no random number is drawn."""
    with torch.device("meta"):
        return spec.build(
            IMAGE_SHAPE,
            10,
            activation=activation,
            normalization=normalization or NoNormalization(),
            dropout=Positions(layer=Dropout),
        )


def _normal(*shape: int, place: str) -> Tensor:
    """Return float64 numbers from N(0, 1) that belong to this place."""
    generator = Streams(0).generator("diagnostics", "algebra", place)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@torch.no_grad()
def _set(norm: BatchNorm, gamma: Tensor, beta: Tensor) -> None:
    """Write gamma and beta (C,)."""
    assert norm.weight is not None and norm.bias is not None
    norm.weight.copy_(gamma)
    norm.bias.copy_(beta)

"""Response of switched-off units (z < 0) to noise in the images."""

import torch
from torch import Tensor, nn

from ablate.diagnostics.probe import Probe, mean_of, probing
from ablate.errors import UserError
from ablate.nets.roles import FRONT
from ablate.nets.tracing import tracing


def response(z: Tensor, a: Tensor, noisy_z: Tensor, noisy_a: Tensor) -> Tensor:
    """Return mean |f(z') - f(z)| / mean |z' - z| over the places where z < 0; nan if there are none, or no change.

    Args:
        z, noisy_z: inputs of the activation f without and with the noise, of one shape.
        a, noisy_a: its outputs, of the same shape.

    Example:
        >>> z, noisy = torch.tensor([-2.0, 1.0]), torch.tensor([-1.0, 1.5])
        >>> round(response(z, 0.1 * z, noisy, 0.1 * noisy).item(), 3)
        0.1
    """
    off = z < 0
    return ((noisy_a - a).abs() * off).sum() / ((noisy_z - z).abs() * off).sum()


def relative_mean(a: Tensor) -> Tensor:
    """Return E[a] / sqrt(Var a) over images, positions and channels; nan if a does not vary.

    Example:
        >>> round(relative_mean(torch.tensor([0.0, 2.0])).item(), 3)
        1.0
    """
    variance, mean = torch.var_mean(a, correction=0)
    return mean / variance.sqrt()


def off_state(probe: Probe, *, noise: float = 0.1) -> dict[str, Tensor]:
    """Response to input noise of the units that are off (z < 0), and the mean of all outputs relative to their spread.

    Formula of the response: mean |f(z') - f(z)| / mean |z' - z| over (image, position, unit) with z < 0, where z' is z
    after Gaussian noise is added to the preprocessed images. It is 0 for ReLU except for units that the noise switches
    on, about the slope for leaky ReLU, and small for ELU if z is far below 0. Batch norm takes the statistics of the
    noisy batch. The second is E[a] / sqrt(Var a): 0 if outputs are centred, 0.68 for ReLU under N(0, 1).

    Range: the response at least 0, at most the largest slope, nan if no unit is off; the mean any number, nan if the
    outputs do not vary. Keys: `<layer>/response` and `<layer>/relative_mean` for every hidden layer, `response`
    and `relative_mean` for the means over them. A maxout unit has no off state, hence no response. Cost: the shared
    pass and one forward pass.

    Args:
        noise: standard deviation, in the units of the preprocessed images, above 0.

    Raises:
        UserError: `noise` is out of range.

    Source: Clevert, Unterthiner & Hochreiter 2015 (arXiv:1511.07289), for both properties.

    Example:
        >>> from ablate.diagnostics.probe import example_probe
        >>> list(off_state(example_probe()))
        ['conv1_1/response', 'fc1/response', 'response', 'conv1_1/relative_mean', 'fc1/relative_mean', 'relative_mean']
    """
    if not noise > 0:
        raise UserError(f"`noise` of off_state is a standard deviation and must be above 0, got {noise}")
    noisy = _noisy_units(probe, noise)
    responses = {
        unit.name: response(unit.inputs, unit.outputs, *noisy[unit.name])
        for unit in probe.passed.units
        if getattr(unit.activation, "num_pieces", 1) == 1
    }
    means = {unit.name: relative_mean(unit.outputs) for unit in probe.passed.units}
    return _summary(responses, "response") | _summary(means, "relative_mean")


def _noisy_units(probe: Probe, noise: float) -> dict[str, tuple[Tensor, Tensor]]:
    """Return inputs and outputs of the activations by name, for the probe's images with noise."""

    def add_noise(x: Tensor) -> Tensor:
        draw = torch.empty(x.shape, device=x.device).normal_(0, noise, generator=probe.generator("off_state"))
        return x + draw

    net = probe.net
    if isinstance(preprocessing := getattr(net, FRONT, None), nn.Module):
        hook = preprocessing.register_forward_hook(lambda module, inputs, output: add_noise(output))
    else:
        hook = net.register_forward_pre_hook(lambda module, inputs: (add_noise(inputs[0]), *inputs[1:]))
    try:
        with (
            probing(net),
            torch.no_grad(),
            torch.autocast(probe.images.device.type, enabled=False),
            tracing(net) as trace,
        ):
            net(probe.images)
    finally:
        hook.remove()
    return {
        call.name: (call.inputs, call.outputs)
        for call in trace.units
        if call.inputs is not None and call.outputs is not None
    }


def _summary(values: dict[str, Tensor], what: str) -> dict[str, Tensor]:
    """Return `values`, one a layer, as `<layer>/<what>`, with their mean as `<what>`."""
    return {what if name == "mean" else f"{name}/{what}": value for name, value in mean_of(values).items()}

"""The input of every diagnostic: a net, a fixed batch of training images, and the results of one pass."""

import contextlib
import functools
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ablate.data.dataset import Split
from ablate.nets.restoring import restoring_buffers
from ablate.nets.roles import parts
from ablate.nets.tracing import tracing
from ablate.seeding import Streams, global_generators

Measure = Callable[["Probe"], dict[str, Tensor]]


class Unit(NamedTuple):
    """One call of an activation in the pass of a probe, all tensors detached.

    Args:
        name: of the affine layer before it, e.g. conv1_1 or fc1; where something else feeds it, such as the sum of two
            branches, the activation's own path (see `ablate.nets.tracing.Call`).
        activation: the module; for a function, such as `F.relu`, a module that calls it.
        inputs: z, (N, C) or (N, C, H, W), the activation's inputs (after a normalization before it).
        outputs: a = f(z); with maxout it has fewer channels than z.
        gradient: of the mean loss by z, the shape of z.
    """

    name: str
    activation: nn.Module
    inputs: Tensor
    outputs: Tensor
    gradient: Tensor


class Pass(NamedTuple):
    """The results of one forward and backward pass of the probe's images.

    Args:
        loss: mean cross-entropy in nats, 0-d.
        logits: (N, num_classes).
        units: the calls of activations in order.
        gradients: of the mean loss by every trainable parameter, by name; 0 if the loss does not depend on it.
        affine: the affine layers that were called, by path, in order.
    """

    loss: Tensor
    logits: Tensor
    units: list[Unit]
    gradients: dict[str, Tensor]
    affine: dict[str, nn.Module]


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A net and the images it is measured on.

    By default the net is measured as it trains: fp32, batch norm with the statistics of the probe's batch, but dropout
    and noise switched off.

    Args:
        net: maps images to logits; `probing` leaves it as it was.
        images: (N, C, H, W) training images, integers, on the device of the net.
        labels: (N,) their classes.
        held_out: images that the net is not trained on, to measure generalization.
        weights_before_step: parameters before the last training step, by name; empty if no step was taken.
        seed: the run's, for measures whose random numbers shall differ between replicates.
    """

    net: nn.Module
    images: Tensor
    labels: Tensor
    held_out: Split
    weights_before_step: dict[str, Tensor] = field(default_factory=dict)
    seed: int = 0

    @functools.cached_property
    def slopes(self) -> dict[str, Tensor]:
        """f'(z) of every unit in the pass, by layer; costs one more forward and backward pass of each activation."""
        return {unit.name: slopes(unit.activation, unit.inputs) for unit in self.passed.units}

    def generator(self, *place: str | int) -> torch.Generator:
        """Return a new generator for a measure, in the same state at every call, on the net's device."""
        return Streams(0).generator("diagnostics", *place, device=self.images.device)

    @functools.cached_property
    def passed(self) -> Pass:
        """One forward and backward pass, shared by all measures."""
        with probing(self.net), global_generators(Streams(self.seed).key("diagnostics", "pass")):
            return run_pass(self.net, self.images, self.labels)

    def parameters(self) -> dict[str, nn.Parameter]:
        """The trainable parameters by name."""
        return {name: p for name, p in self.net.named_parameters() if p.requires_grad}


def run_pass(net: nn.Module, images: Tensor, labels: Tensor) -> Pass:
    """Return the results of one forward and backward pass, in the net's present mode; no `.grad` is written.

    Example:
        >>> probe = example_probe()
        >>> sorted(run_pass(probe.net, probe.images, probe.labels).gradients)[:2]
        ['classifier.bias', 'classifier.weight']
    """
    parameters = {name: p for name, p in net.named_parameters() if p.requires_grad}
    with torch.enable_grad(), torch.autocast(images.device.type, enabled=False):
        with tracing(net) as trace:
            logits = net(images)
        loss = F.cross_entropy(logits, labels)
        units = [call for call in trace.units if call.edge is not None]
        wanted: list[Any] = [*parameters.values(), *(call.edge for call in units)]
        found = torch.autograd.grad(loss, wanted, allow_unused=True)
    by_weight = zip(parameters.items(), found, strict=False)
    by_z = found[len(parameters) :]
    return Pass(
        loss=loss.detach(),
        logits=logits.detach(),
        units=[
            Unit(call.name, call.module, call.inputs, call.outputs, _or_zeros(gradient, call.inputs))
            for call, gradient in zip(units, by_z, strict=True)
            if call.inputs is not None and call.outputs is not None
        ],
        gradients={name: _or_zeros(gradient, p) for (name, p), gradient in by_weight},
        affine=trace.affine,
    )


def _or_zeros(gradient: Tensor | None, of: Tensor) -> Tensor:
    """Return the gradient; zeros if the loss does not depend on `of`."""
    return torch.zeros_like(of) if gradient is None else gradient


def slopes(activation: nn.Module, z: Tensor) -> Tensor:
    """Return the slope f'(z) of every unit, by autograd.

    With maxout it is the sum of the slopes of the unit's pieces, the response to a shift of all of them: always 1.

    Args:
        activation: maps each number, or with `num_pieces` k the k numbers of a unit, to one number.
        z: (N, k C, ...), k = 1 except for maxout.

    Returns:
        (N, C, ...), of the type of `z`.

    Example:
        >>> slopes(nn.ReLU(), torch.tensor([[-1.0, 2.0]]))
        tensor([[0., 1.]])
    """
    z = z.detach().requires_grad_()
    with probing(activation, inference=True), torch.enable_grad():
        (slope,) = torch.autograd.grad(activation(z.clone()).sum(), z)
    return functools.reduce(torch.add, slope.chunk(getattr(activation, "num_pieces", 1), dim=1))


@contextlib.contextmanager
def probing(net: nn.Module, *, noise: bool = False, inference: bool = False) -> Iterator[None]:
    """Set a net to the mode for measuring inside the block; restore modes, buffers and attributes, bit for bit.

    For an attribute its binding is restored (a counter, a replaced tensor), not changes inside its value.

    Args:
        net: in training mode inside the block, so that batch norm uses the statistics of the batch.
        noise: whether dropout and input noise are active; a diagnostic that uses them reseeds them.
        inference: eval mode instead, with running statistics.

    Example:
        >>> net = nn.Linear(2, 1).eval()
        >>> with probing(net):
        ...     print(net.training)
        True
        >>> net.training
        False
    """
    attributes = {module: dict(vars(module)) for module in net.modules()}
    with restoring_buffers(net):
        net.train(not inference)
        if not noise:
            for module in attributes:
                if hasattr(module, "reseed"):
                    module.eval()
        for part in parts(net):
            # Random activations, penalties on activations, and dropout without `reseed` are active only in training.
            if part.role == "activation" or (part.role == "dropout" and not noise):
                part.module.eval()
        try:
            yield
        finally:
            for module, found in attributes.items():
                vars(module).clear()
                vars(module).update(found)


def example_probe() -> Probe:
    """Return a probe of a small untrained net and 16 random images of 4 classes, for examples and first tries.

    Its weights before the last step are 1 % smaller than its weights.

    Example:
        >>> probe = example_probe()
        >>> [unit.name for unit in probe.passed.units]
        ['conv1_1', 'fc1']
    """
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(16, 3, 8, 8, generator=generator).to(memory_format=torch.channels_last)
    labels = torch.arange(16) % 4
    net = nn.Sequential(
        OrderedDict(
            conv1_1=nn.Conv2d(3, 4, 3),
            act1_1=nn.ReLU(),
            flatten=nn.Flatten(),
            fc1=nn.Linear(144, 8),
            fc_act1=nn.ReLU(),
            classifier=nn.Linear(8, 4),
        )
    )
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(0, 0.1, generator=generator)
    return Probe(
        net=net,
        images=images,
        labels=labels,
        held_out=Split(images=images, labels=labels),
        weights_before_step={name: 0.99 * p.detach() for name, p in net.named_parameters()},
    )


def mean_of(values: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return `values`, one per layer, with their unweighted mean under "mean".

    Example:
        >>> mean_of({"fc1": torch.tensor(1.0), "fc2": torch.tensor(3.0)})["mean"].item()
        2.0
    """
    return {**values, "mean": torch.stack(list(values.values())).mean()} if values else {}

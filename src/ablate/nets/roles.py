"""What a module of a net is: an affine map, a normalization, an activation, a dropout, a pooling, or neither.

The role follows from the type. A class of your own that is none of the types below says it by a class attribute:

    class Swish(nn.Module):
        ablate_role = "activation"     # or "normalization", "dropout"; "" for none of these

The activations that a run's activation factory makes for a net get the role by `made`.
"""

from collections.abc import Iterator
from typing import NamedTuple

from torch import nn

from ablate.layers.activation import LeCunTanh, Maxout
from ablate.layers.batch_norm import BatchNorm
from ablate.layers.dropout import AlphaDropout, Dropout

AFFINE = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)  # have no role
NORMALIZATION = (
    BatchNorm,
    nn.modules.batchnorm._BatchNorm,
    nn.modules.instancenorm._InstanceNorm,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.RMSNorm,
)
ACTIVATION = (
    *(nn.ReLU, nn.Hardtanh, nn.RReLU, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish),
    *(nn.Sigmoid, nn.Hardsigmoid, nn.LogSigmoid, nn.Tanh, nn.Hardswish, nn.Softplus, nn.Softsign, nn.Threshold),
    *(nn.Softshrink, nn.Hardshrink, nn.Tanhshrink, LeCunTanh, Maxout),
)
POOLING = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
DROPOUT = (nn.modules.dropout._DropoutNd, Dropout, AlphaDropout)
RANDOM_DEPTH = ("StochasticDepth", "DropPath")  # classes of torchvision and timm that drop whole branches
GATES = ("scale_activation", "gate")  # their names of the sigmoid that weighs channels: not the activation of a layer
FRONT = "preprocessing"  # its layers belong to the data


class Part(NamedTuple):
    """A module with a role, under its path in the net."""

    path: str
    module: nn.Module
    role: str


def role(module: nn.Module) -> str:
    """Return "affine", "normalization", "activation", "dropout", "pooling", or "".

    Example:
        >>> role(nn.Linear(2, 2)), role(nn.Tanh()), role(nn.Flatten())
        ('affine', 'activation', '')
    """
    declared = getattr(module, "ablate_role", None)
    if isinstance(declared, str):
        return declared
    if isinstance(module, AFFINE):
        return "affine"
    if isinstance(module, NORMALIZATION):
        return "normalization"
    if isinstance(module, POOLING):
        return "pooling"
    if isinstance(module, DROPOUT) or type(module).__name__ in RANDOM_DEPTH:
        return "dropout"
    from_timm = type(module).__module__.startswith("timm.layers.activations")
    return "activation" if isinstance(module, ACTIVATION) or from_timm else ""


def made(activation: nn.Module) -> nn.Module:
    """Return a module that was made as an activation, with that role whatever its type (`nn.Identity`).

    Example:
        >>> role(made(nn.Identity()))
        'activation'
    """
    activation.ablate_role = "activation"  # type: ignore[assignment]
    return activation


def parts(net: nn.Module) -> list[Part]:
    """Return the modules that have a role, each once, in the order in which they are registered.

    What is inside an activation, a gate, or the preprocessing is left out.

    Example:
        >>> [part.role for part in parts(nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.ReLU()), nn.Dropout()))]
        ['affine', 'activation', 'dropout']
    """
    return list(_walk(net, "", set()))


def _walk(module: nn.Module, path: str, seen: set[nn.Module]) -> Iterator[Part]:
    name = path.rpartition(".")[2]
    if module in seen or path == FRONT:
        return
    seen.add(module)
    found = role(module)
    if found == "activation" and name in GATES:
        return
    if found:
        yield Part(path, module, found)
    if found != "activation":
        for child_name, child in module.named_children():
            yield from _walk(child, f"{path}.{child_name}".lstrip("."), seen)


def activations(net: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return path and module of every activation, each once.

    Example:
        >>> [path for path, _ in activations(nn.Sequential(nn.Linear(2, 3), nn.ReLU()))]
        ['1']
    """
    return [(part.path, part.module) for part in parts(net) if part.role == "activation"]

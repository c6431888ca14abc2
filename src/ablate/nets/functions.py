"""Functions that stand in the forward of a net where a module could: activations, dropout, normalizations."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

# The functions that count as activations, by name, with or without a trailing "_", and the module of each.
FUNCTIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "leaky_relu": nn.LeakyReLU,
    "prelu": nn.PReLU,
    "rrelu": nn.RReLU,
    "elu": nn.ELU,
    "celu": nn.CELU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "logsigmoid": nn.LogSigmoid,
    "hardtanh": nn.Hardtanh,
    "hardswish": nn.Hardswish,
    "hardsigmoid": nn.Hardsigmoid,
    "softplus": nn.Softplus,
    "softsign": nn.Softsign,
    "threshold": nn.Threshold,
}


class Function(nn.Module):
    """A call of a function as a module: x -> function(x, *args, **kwargs).

    Example:
        >>> import torch
        >>> Function(torch.relu)(torch.tensor([-1.0, 2.0]))
        tensor([0., 2.])
    """

    ablate_role = "activation"

    def __init__(self, function: Callable[..., Tensor], args: tuple[Any, ...] = (), kwargs: Any = None) -> None:
        super().__init__()
        self.function, self.args, self.kwargs = function, args, kwargs or {}

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, *self.args, **self.kwargs)


# The functions that drop units: the places of the rate and of `training` among the arguments, and the default rate.
DROPPING: dict[str, tuple[int, int, float]] = {
    **dict.fromkeys(("dropout", "dropout1d", "dropout2d", "dropout3d"), (1, 2, 0.5)),
    **dict.fromkeys(("alpha_dropout", "feature_alpha_dropout", "feature_dropout"), (1, 2, 0.5)),
    "scaled_dot_product_attention": (4, 99, 0.0),
    "multi_head_attention_forward": (10, 13, 0.0),
}
NORMALIZING = ("batch_norm", "instance_norm", "layer_norm", "group_norm", "rms_norm", "local_response_norm")


def role_of_function(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """Return "dropout" or "normalization" if a call of a function does such work, else "".

    Args:
        name: of the function, without a trailing "_".
        args, kwargs: of the call.

    Example:
        >>> import torch
        >>> x = torch.ones(2)
        >>> role_of_function("dropout", (x, 0.5, True), {}), role_of_function("dropout", (x,), {"p": 0.0})
        ('dropout', '')
    """
    if name in NORMALIZING:
        return "normalization"
    if name not in DROPPING:
        return ""
    at_rate, at_training, rate = DROPPING[name]
    rate = kwargs.get("p", kwargs.get("dropout_p", args[at_rate] if len(args) > at_rate else rate))
    training = kwargs.get("training", kwargs.get("train", args[at_training] if len(args) > at_training else True))
    return "dropout" if training and rate else ""

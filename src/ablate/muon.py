"""Muon: steps along orthogonalized momentum for filters and hidden layers, Nesterov's for all else."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from ablate.errors import UserError

# Jordan et al. 2024: of the quintic iteration, chosen for a steep slope at 0. It takes singular values to about 0.7 to
# 1.2, not to 1, which does as well.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
TINY = 1e-7


@torch.no_grad()
def orthogonalized(matrices: Tensor, num_iterations: int) -> Tensor:
    """Return matrices with nearly the same singular vectors, and singular values near 1, by Newton and Schulz.

    Each iteration maps X to a X + (b X X^T + c (X X^T)^2) X. Singular values that are tiny relative to the largest need
    more iterations; a matrix of zeros stays one.

    Args:
        matrices: (N, R, C). On a GPU the iteration runs in bfloat16, elsewhere in the dtype of the matrices.
        num_iterations: 3 to 5 are usual.

    Returns:
        Tensor of the same shape and dtype.

    Source: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks" (kellerjordan.github.io).

    Example:
        >>> values = torch.linalg.svdvals(orthogonalized(torch.tensor([[[5.0, 0.0], [0.0, 1.0]]]), 5))
        >>> bool(((0.6 < values) & (values < 1.3)).all())
        True
    """
    a, b, c = COEFFICIENTS
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x.bfloat16() if x.is_cuda else x
    x = x / (torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True) + TINY)  # the largest singular value is at most 1
    for _ in range(num_iterations):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).to(matrices.dtype)


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalized, for matrices and filters; Nesterov's momentum for the classifier and all vectors.

    A filter bank (C_out, C_in, h, w) is taken as the matrix (C_out, C_in h w). With gradient g and momentum B, both of
    a matrix W of R rows and C columns:

        B <- momentum * B + g
        W <- W - lr * weight_decay * W - lr * sqrt(max(1, R / C)) * orthogonalized(g + momentum * B)

    on 2-D weights that is torch.optim.Muon, which takes no others and, with a learning rate in a tensor, waits for the
    device. The last weight of two dimensions or more is taken as the classifier's; it and all parameters of fewer
    dimensions (biases, scales, slopes) have the steps of torch.optim.SGD with nesterov=True, at `sgd_lr` and
    `sgd_momentum`; their weight decay is a penalty in the gradient.

    Nothing is read back from the device in a step, and "lr" of a group may be a 0-d tensor on it.

    Args:
        params: parameters, or groups of them, in the order of the net. A group's own "lr" is kept.
        lr: of filters and hidden matrices: a step is `lr` long in every direction, whatever the gradient's length.
        momentum: of these, in [0, 1).
        num_iterations: of the orthogonalization, at least 1.
        fixed_norm: scale every such weight to the Euclidean norm sqrt(R) before each step, instead of its weight decay
            (airbench94_muon). It replaces the scale of the initialization.
        sgd_lr, sgd_momentum: of the other parameters.
        weight_decay: of groups that have none of their own, at least 0.

    Source: Jordan et al. 2024 (kellerjordan.github.io/posts/muon); airbench94_muon.py of
        github.com/KellerJordan/cifar10-airbench.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.Linear(4, 2))
        >>> optimizer = Muon(net.parameters(), lr=0.02)
        >>> [[tuple(p.shape) for p in group["params"]] for group in optimizer.param_groups]
        [[(4, 3, 3, 3)], [(4,), (2, 4), (2,)]]
    """

    is_capturable = True  # see `ablate.optimization.is_capturable`

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.02,
        momentum: float = 0.95,
        num_iterations: int = 5,
        fixed_norm: bool = False,
        sgd_lr: float = 0.05,
        sgd_momentum: float = 0.9,
        weight_decay: float = 0.0,
    ) -> None:
        for name, value in (("lr", lr), ("sgd_lr", sgd_lr)):
            if not value > 0:
                raise UserError(f"`optimizer.{name}` must be above 0, got {value}")
        for name, value in (("momentum", momentum), ("sgd_momentum", sgd_momentum)):
            if not 0 <= value < 1:
                raise UserError(f"`optimizer.{name}` must lie in [0, 1), got {value}")
        if num_iterations < 1:
            raise UserError(f"`optimizer.num_iterations` must be at least 1, got {num_iterations}")
        given = list(params)
        groups = [dict(group) for group in given] if given and isinstance(given[0], Mapping) else [{"params": given}]
        for group in groups:
            group["params"] = [group["params"]] if isinstance(group["params"], Tensor) else list(group["params"])
        matrices = [p for group in groups for p in group["params"] if p.ndim >= 2]
        inner = {id(p) for p in matrices[:-1]}  # the last is the classifier's
        split = []
        for group in groups:
            mine = [p for p in group["params"] if id(p) in inner]
            others = [p for p in group["params"] if id(p) not in inner]
            split += [{**group, "params": mine, "orthogonal": True}] if mine else []
            split += [{"lr": sgd_lr, **group, "params": others, "momentum": sgd_momentum}] if others else []
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "orthogonal": False}
        super().__init__(split, {**defaults, "num_iterations": num_iterations, "fixed_norm": fixed_norm})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Make a step with the gradients that are there; return what `closure`, if given, returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if group["orthogonal"]:
                self._step_orthogonal(group, params)
            else:
                self._step_nesterov(group, params)
        return loss

    def _step_orthogonal(self, group: Mapping[str, Any], params: list[Tensor]) -> None:
        lr = group["lr"]
        of_shape: dict[tuple[int, int], list[tuple[Tensor, Tensor]]] = defaultdict(list)
        for p in params:
            direction = self._momentum(p, p.grad, group["momentum"]).flatten(1)
            of_shape[direction.shape[0], direction.shape[1]].append((p, direction))
        for (num_rows, num_columns), pairs in of_shape.items():
            updates = orthogonalized(torch.stack([direction for _, direction in pairs]), group["num_iterations"])
            updates = updates * math.sqrt(max(1.0, num_rows / num_columns)) * lr
            for (p, _), update in zip(pairs, updates, strict=True):
                if group["fixed_norm"]:
                    p.mul_(math.sqrt(num_rows) / torch.linalg.vector_norm(p).clamp(min=TINY))
                elif group["weight_decay"]:
                    p.sub_(p * lr * group["weight_decay"])
                p.sub_(update.view(p.shape))

    def _step_nesterov(self, group: Mapping[str, Any], params: list[Tensor]) -> None:
        for p in params:
            grad = p.grad + p * group["weight_decay"] if group["weight_decay"] else p.grad
            p.sub_(self._momentum(p, grad, group["momentum"]) * group["lr"])

    def _momentum(self, p: Tensor, grad: Any, momentum: float) -> Tensor:
        """Add the gradient to the momentum of `p`; return Nesterov's direction, gradient + momentum * buffer."""
        state = self.state[p]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(p)
        buffer: Tensor = state["momentum_buffer"].mul_(momentum).add_(grad)
        return torch.add(grad, buffer, alpha=momentum)

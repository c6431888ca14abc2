"""What a training needs of the user's own regularizer, optimizer and schedule."""

import math
from collections.abc import Callable
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn

from ablate.errors import UserError, making
from ablate.signatures import name_of, signature_of, takes
from ablate.training.layer_pieces import PARTIAL, check_callable

REGULARIZER = "`class Mine(ablate.regularization.Regularizer)` with `def make_loss(self, net): ...`"


def check_regularizer(regularizer: Any) -> None:
    """Check that a regularizer has the coefficient and the methods that a run asks for.

    Raises:
        UserError: one is missing.
    """
    missing = [name for name in ("l2", "front", "make_loss") if not hasattr(regularizer, name)]
    if missing or isinstance(regularizer, type):
        raise UserError(
            f"`regularizer` must have l2, front and make_loss, got {name_of(regularizer)} without "
            f"{', '.join(missing) or 'its arguments'}; write {REGULARIZER}"
        )


def make_loss(regularizer: Any, net: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a regularizer's training loss; that of a user's class is checked at every step.

    Raises:
        UserError: it is no function; when called: it returns no 0-d tensor that can be differentiated.
    """
    loss = regularizer.make_loss(net)
    if type(regularizer).__module__.startswith("ablate."):
        return loss
    name = f"`make_loss` of the regularizer {name_of(regularizer)}"
    if not callable(loss) or not takes(loss, 2):
        raise UserError(f"{name} must return a function of (logits, labels), got {name_of(loss)}; return one")

    def checked(logits: Tensor, labels: Tensor) -> Tensor:
        value = loss(logits, labels)
        if not isinstance(value, Tensor) or value.ndim or not value.requires_grad:
            shown = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else name_of(value)
            shown += " without a gradient" if isinstance(value, Tensor) and not value.requires_grad else ""
            raise UserError(
                f"{name} must return a function whose result is a 0-d tensor with a gradient, got {shown}; end it with "
                "`return loss.mean()`, and leave out float(), item() and detach()"
            )
        return value

    return checked


def check_optimizer(make: Any, l2: float) -> None:
    """Check that an optimizer is made from parameter groups, has a learning rate, and uses what a run sets.

    Raises:
        UserError: it does not.
    """
    must = "`optimizer` must make a torch.optim.Optimizer from parameter groups"
    if isinstance(make, torch.optim.Optimizer):
        raise UserError(f"{must}, got one {name_of(make)}; {PARTIAL}")
    check_callable("optimizer", make, "class Mine(torch.optim.Optimizer)")
    groups = [{"params": [nn.Parameter(torch.zeros(2, 2))]}, {"params": [nn.Parameter(torch.zeros(1))]}]
    with making("optimizer", __file__):
        optimizer = make(groups)
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise UserError(f"{must}, got {name_of(make)}, which makes {name_of(optimizer)}; derive it from that class")
    name = name_of(optimizer)
    if any("lr" not in group for group in optimizer.param_groups):
        raise UserError(
            f"`optimizer` must have a learning rate, which the schedule changes, got {name} without; add it to the "
            "defaults, `super().__init__(params, {'lr': lr})`"
        )
    if not takes(optimizer.step, 0):
        raise UserError(f"`optimizer` must make a step without a closure, got {name}; choose another optimizer")
    if l2 and "weight_decay" not in optimizer.defaults:
        raise UserError(
            f"`regularizer.l2={l2:g}` reaches the optimizer as its weight_decay, and {name} has none; set "
            "regularizer.l2=0, or add it to its defaults, "
            "`super().__init__(params, {'lr': lr, 'weight_decay': weight_decay})`"
        )


def check_schedule(schedule: Any, num_epochs: int) -> None:
    """Check that a schedule maps (epoch, num_epochs) to a factor.

    Raises:
        UserError: it does not.
    """
    form = "def mine(epoch, num_epochs): return 1 - epoch / num_epochs"
    check_callable("schedule", schedule, form)
    if isinstance(schedule, type) or not takes(schedule, 2):
        raise UserError(
            f"`schedule` must be a function of (epoch, num_epochs), got {name_of(schedule)}{signature_of(schedule)}; "
            f"write `{form}`"
        )
    for epoch in (0.0, num_epochs / 2):
        factor = schedule(epoch, num_epochs)
        if isinstance(factor, bool) or not isinstance(factor, Real) or math.isnan(factor):
            raise UserError(
                f"`schedule` must return a number, the factor on optimizer.lr, got {name_of(factor)} at epoch "
                f"{epoch:g} from {name_of(schedule)}; end it with `return float(factor)`"
            )

"""The table of a net's layers."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ablate.nets.net import Shape
from ablate.nets.roles import FRONT, parts
from ablate.tables import aligned


class LayerRow(NamedTuple):
    """One row of the layer table; `num_parameters` counts what the layer itself holds, trained or not."""

    name: str
    kind: str
    output_shape: tuple[int, ...]
    num_parameters: int


def layer_table(net: nn.Module, image_shape: Shape, device: str | torch.device = "cpu") -> list[LayerRow]:
    """Return one row per layer in the order of their calls, by passing one black image through.

    A module in which affine layers, normalizations or activations are called is opened: its parts are the rows. A
    further call of a module counts no parameters again. Parameters that an opened module holds itself, and modules that
    are not called, have rows at the end, so that the total is that of the net.

    Example:
        >>> layer_table(nn.Sequential(nn.Flatten(), nn.Linear(12, 10)), (3, 2, 2))[1].num_parameters
        130
    """
    rows: list[LayerRow] = []
    counted: set[nn.Parameter] = set()
    for node in _calls(net, torch.zeros(1, *image_shape, device=device)).leaves():
        own = [p for p in node.module.parameters() if p not in counted]
        counted.update(own)
        rows.append(LayerRow(node.path, type(node.module).__name__, node.shape, sum(p.numel() for p in own)))
    for path, module in net.named_modules():
        own = [p for p in module.parameters(recurse=False) if p not in counted]
        if own:
            counted.update(own)
            kind = f"{type(module).__name__}, not called" if not list(module.children()) else "parameters"
            rows.append(LayerRow(path, kind, (), sum(p.numel() for p in own)))
    return rows


@dataclass
class _Node:
    """The call of a module, with the calls within it."""

    path: str
    module: nn.Module
    has_role: bool
    within: "list[_Node]" = field(default_factory=list)
    shape: tuple[int, ...] = ()

    def leaves(self) -> "Iterator[_Node]":
        """Yield the calls that are rows of the table."""
        for node in self.within:
            if node.opens():
                yield from node.leaves()
            else:
                yield node

    def opens(self) -> bool:
        """Return whether the parts are shown: calls with a role are within."""
        if self.has_role or self.path == FRONT:
            return False
        return any(node.has_role or node.opens() for node in self.within)


def _calls(net: nn.Module, x: Tensor) -> _Node:
    """Return the call of `net` at inference with x, its mode restored."""
    root = _Node("", net, has_role=False)
    open_calls = [root]
    roles = {part.module for part in parts(net)}

    def begin(path: str, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        node = _Node(path, module, module in roles)
        open_calls[-1].within.append(node)
        open_calls.append(node)

    def end(module: nn.Module, inputs: tuple[Tensor, ...], output: object) -> None:
        open_calls.pop().shape = tuple(output.shape[1:]) if isinstance(output, Tensor) else ()

    hooks = []
    for path, module in net.named_modules():
        if path:
            hooks += [
                module.register_forward_pre_hook(functools.partial(begin, path)),
                module.register_forward_hook(end),
            ]
    modes = {module: module.training for module in net.modules()}
    net.eval()
    try:
        with torch.no_grad():
            net(x)
    finally:
        for module, training in modes.items():
            module.training = training
        for hook in hooks:
            hook.remove()
    if not root.within:  # a single layer
        root.within = [_Node("", net, has_role=True)]
    return root


def format_layer_table(rows: list[LayerRow]) -> str:
    """Return the table as aligned text, with the total last.

    Example:
        >>> print(format_layer_table([LayerRow("fc", "Linear", (10,), 1290)]))
        layer  kind    output  parameters
        fc     Linear      10       1,290
        total                       1,290
    """
    cells = [("layer", "kind", "output", "parameters")]
    cells += [(r.name, r.kind, "x".join(map(str, r.output_shape)), f"{r.num_parameters:,}") for r in rows]
    cells.append(("total", "", "", f"{sum(row.num_parameters for row in rows):,}"))
    return aligned(cells)

"""The lecture's architecture template [(Conv-Act)^N-Pool]^M-(FC-Act)^F-Linear.

The net is one flat `nn.Sequential` of named layers. It takes constructors (activation, normalization, dropout), so it
depends on no particular choice. The last (FC-Act) of the lecture's notation would put an activation on the logits; here
a linear classifier follows it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from ablate.errors import UserError
from ablate.layers.native import is_native
from ablate.nets.net import Net, NoPlace, Scale, Shape
from ablate.nets.roles import made


@dataclass(frozen=True, kw_only=True)
class ConvNet:
    """The description of a net of the template; `build` makes the net.

    Args:
        widths: one entry per stage (M of them): the number of channels of each convolution of that stage, or one number
            for all `convs_per_stage` of them. Empty for a multilayer perceptron.
        convs_per_stage: N, for the stages whose entry is one number.
        kernel_size: K of every convolution.
        stride: S of every convolution.
        padding: P of every convolution; "same" is (K - 1) / 2.
        pool: "max", "avg" or "none", at the end of each stage.
        pool_size: window and stride of the pooling, one for all stages or one a stage.
        pool_after: what the pooling of a stage follows, one for all stages or one a stage: "activation", its last
            layer, or "conv", its last convolution, so that normalization and activation act on the smaller map.
        num_hidden: F, the number of fully connected layers before the classifier.
        hidden_width: units of each of them.
        bias: whether convolutions and fully connected layers have a bias (dropped where a normalization makes it
            redundant).
        input_scale: factor on the preprocessed images.
        logit_scale: factor on the logits.

    Example:
        >>> from ablate.layers.dropout import Dropout, Positions
        >>> from ablate.layers.normalization import Batch
        >>> net = ConvNet(widths=[4], num_hidden=0).build(
        ...     (3, 8, 8), 10, activation=nn.ReLU, normalization=Batch(), dropout=Positions(layer=Dropout)
        ... )
        >>> [name for name, _ in net.named_children()]
        ['conv1_1', 'norm1_1', 'act1_1', 'conv1_2', 'norm1_2', 'act1_2', 'pool1', 'flatten', 'classifier']
    """

    widths: list[int | list[int]]
    convs_per_stage: int = 2
    kernel_size: int = 3
    stride: int = 1
    padding: int | Literal["same"] = "same"
    pool: Literal["max", "avg", "none"] = "max"
    pool_size: int | list[int] = 2
    num_hidden: int = 1
    hidden_width: int = 256
    bias: bool = True
    input_scale: float = 1.0
    logit_scale: float = 1.0
    pool_after: str | list[str] = "activation"

    def __post_init__(self) -> None:
        for name in ("convs_per_stage", "kernel_size", "stride", "hidden_width"):
            if getattr(self, name) < 1:
                raise UserError(f"`net.{name}` must be at least 1, got {getattr(self, name)}")
        if self.num_hidden < 0:
            raise UserError(f"`net.num_hidden` must be at least 0, got {self.num_hidden}")
        if any(width < 1 for stage in self.stages for width in stage) or not all(self.stages):
            raise UserError(f"`net.widths` must be positive numbers, got {self.widths}")
        if self.pool not in ("max", "avg", "none"):
            raise UserError(f"`net.pool` must be max, avg or none, got {self.pool!r}")
        if self.padding == "same" and self.kernel_size % 2 == 0:
            raise UserError(f"`net.padding=same` needs an odd kernel_size, got {self.kernel_size}; give a number")
        if len(self.pool_sizes) != len(self.stages):
            raise UserError(f"`net.pool_size` must have one entry per stage ({len(self.stages)}), got {self.pool_size}")
        if not {*self.pool_places} <= {"activation", "conv"} or len(self.pool_places) != len(self.stages):
            raise UserError(
                f"`net.pool_after` must be activation or conv, one for all stages or one per stage "
                f"({len(self.stages)}), got {self.pool_after}"
            )

    @property
    def stages(self) -> list[list[int]]:
        """Channels of every convolution, stage by stage."""
        return [[w] * self.convs_per_stage if isinstance(w, int) else list(w) for w in self.widths]

    @property
    def pool_sizes(self) -> list[int]:
        """Pooling window of every stage."""
        return [self.pool_size] * len(self.stages) if isinstance(self.pool_size, int) else list(self.pool_size)

    @property
    def pool_places(self) -> list[str]:
        """What the pooling of every stage follows."""
        return [self.pool_after] * len(self.stages) if isinstance(self.pool_after, str) else list(self.pool_after)

    def build(
        self,
        image_shape: Shape,
        num_classes: int,
        *,
        activation: Callable[[], nn.Module],
        normalization: Any,
        dropout: Any,
        front: list[tuple[str, nn.Module]] | None = None,
    ) -> Net:
        """Return the net, its weights not yet initialized.

        Args:
            image_shape: (C, H, W) of the images that the first convolution gets, H = W.
            num_classes: number of logits.
            activation: makes one activation. With `num_pieces` k > 1 (maxout) the affine maps before it are k times as
                wide; with `equal_parameters` all widths shrink until the number of parameters is that of k = 1.
            normalization: called with (num_features, ndim); `layers.normalization` names its optional attributes.
            dropout: gives the layer, or None, at the input, after each stage and after each hidden layer.
            front: layers before all others (preprocessing, input noise), which keep their names.

        Raises:
            UserError: a layer's output would be smaller than 1x1, or a choice makes no sense in this net.
        """
        for group, choice in (("activation", activation), ("normalization", normalization), ("dropout", dropout)):
            if is_native(choice):
                raise NoPlace(group, "a net of ablate has none of its own; choose another level")
        for place, there in (("conv", bool(self.widths)), ("hidden", self.num_hidden > 0)):
            if (rate := getattr(dropout, place, 0.0)) and not there:
                raise UserError(
                    f"`dropout.{place}={rate}` finds no place in this net (net.widths={self.widths}, "
                    f"net.num_hidden={self.num_hidden}); set it to 0, or choose another dropout or net"
                )
        builder = _Builder(self, image_shape, num_classes, activation, normalization, dropout)
        self._check_normalization(normalization)
        sample = activation()
        if getattr(sample, "equal_parameters", False):
            builder.shrink_to(builder.num_parameters(num_pieces=1))
        net = Net()
        for name, layer in [*(front or []), *builder.layers(getattr(sample, "num_pieces", 1))]:
            net.add_module(name, layer)
        net.make_activation = activation
        return net

    def _check_normalization(self, normalization: Any) -> None:
        """Refuse a normalization that acts on maps only (instance norm) where the net has none."""
        if hasattr(normalization, "wrap") or self.stages or not self.num_hidden:
            return
        if normalization(self.hidden_width, 2) is None and normalization(self.hidden_width, 4) is not None:
            raise UserError(
                f"normalization {type(normalization).__name__} acts on the maps of convolutions, and this net has none "
                "(net.widths is empty); choose another normalization or a net with convolutions"
            )


class _Builder:
    """Turns a description into layers, stage by stage."""

    def __init__(
        self,
        spec: ConvNet,
        image_shape: Shape,
        num_classes: int,
        activation: Callable[[], nn.Module],
        normalization: Any,
        dropout: Any,
    ) -> None:
        self.spec, self.image_shape, self.num_classes = spec, image_shape, num_classes
        self.activation, self.normalization, self.dropout = activation, normalization, dropout
        self.width_factor = 1.0

    def layers(self, num_pieces: int) -> list[tuple[str, nn.Module]]:
        """Return the named layers, with affine maps `num_pieces` times as wide as what leaves the activation."""
        spec = self.spec
        named: list[tuple[str, nn.Module | None]] = []
        channels, size, _ = self.image_shape
        if spec.input_scale != 1:
            named.append(("input_scale", Scale(spec.input_scale)))
        named.append(("input_dropout", self.dropout.at_input()))
        padding = (spec.kernel_size - 1) // 2 if spec.padding == "same" else spec.padding
        stages = zip(spec.stages, spec.pool_sizes, spec.pool_places, strict=True)
        for i, (widths, pool_size, pool_after) in enumerate(stages, start=1):
            for j, full_width in enumerate(widths, start=1):
                name, width = f"{i}_{j}", self._width(full_width)
                size = output_size(size, spec.kernel_size, padding, spec.stride, f"conv{name}")
                conv = nn.Conv2d(
                    channels, num_pieces * width, spec.kernel_size, spec.stride, padding, bias=self._needs_bias
                )
                pool, pooled_size = [], size
                if spec.pool != "none" and j == len(widths):
                    pooled_size = output_size(size, pool_size, 0, pool_size, f"pool{i}")
                    pool = [(f"pool{i}", (nn.MaxPool2d if spec.pool == "max" else nn.AvgPool2d)(pool_size))]
                normalized_size = pooled_size if pool_after == "conv" else size
                affine, *rest = self._unit(
                    "conv", name, conv, num_pieces * width, width, num_positions=normalized_size**2
                )
                named += [affine, *pool, *rest] if pool_after == "conv" else [affine, *rest, *pool]
                channels, size = width, pooled_size
            named.append((f"dropout{i}", self.dropout.after_stage(i - 1, len(spec.stages))))
        named.append(("flatten", nn.Flatten()))
        features = channels * size * size
        for i in range(1, spec.num_hidden + 1):
            width = self._width(spec.hidden_width)
            linear = nn.Linear(features, num_pieces * width, bias=self._needs_bias)
            named += self._unit("fc", str(i), linear, num_pieces * width, width, num_positions=1)
            named.append((f"fc_dropout{i}", self.dropout.after_hidden(i - 1, spec.num_hidden)))
            features = width
        named.append(("classifier", nn.Linear(features, self.num_classes, bias=spec.bias)))
        if spec.logit_scale != 1:
            named.append(("logit_scale", Scale(spec.logit_scale)))
        return [(name, layer) for name, layer in named if layer is not None]

    def num_parameters(self, num_pieces: int) -> int:
        """Return the number of trainable parameters at the current width factor."""
        with torch.device("meta"):
            return sum(p.numel() for _, layer in self.layers(num_pieces) for p in layer.parameters())

    def shrink_to(self, num_parameters: int) -> None:
        """Choose the width factor whose net is closest to `num_parameters`."""
        num_pieces: int = getattr(self.activation(), "num_pieces", 1)
        low, high = 0.0, 1.0
        tried: list[tuple[int, float]] = []
        for _ in range(16):  # widths are integers: 2**-16 is finer than any step of them
            self.width_factor = (low + high) / 2
            excess = self.num_parameters(num_pieces) - num_parameters
            tried.append((abs(excess), self.width_factor))
            low, high = (low, self.width_factor) if excess > 0 else (self.width_factor, high)
        self.width_factor = min(tried)[1]

    def _unit(
        self, kind: str, name: str, affine: nn.Module, affine_width: int, width: int, num_positions: int
    ) -> list[tuple[str, nn.Module | None]]:
        """Return affine map, normalization and activation in the order that the normalization asks for."""
        norm = self.normalization
        after = getattr(norm, "position", "before") == "after"
        wrap = getattr(norm, "wrap", None)
        act_name, norm_name = (f"act{name}", f"norm{name}") if kind == "conv" else (f"fc_act{name}", f"fc_norm{name}")
        normalizer = norm(width if after else affine_width, 4 if kind == "conv" else 2)
        if normalizer is not None and num_positions < getattr(norm, "min_positions", 1):
            raise UserError(
                f"normalization {type(norm).__name__} needs at least {norm.min_positions} positions, but {kind}{name} "
                f"has {num_positions}; choose another normalization or a net that keeps larger maps"
            )
        activation = made(self.activation())
        if (num_slopes := getattr(activation, "num_parameters", 1)) not in (1, width):
            raise UserError(
                f"`activation.num_parameters` must be 1 or the width of every layer, got {num_slopes} where "
                f"{kind}{name} has {width} channels; leave it out for one slope per layer, or choose a net of one width"
            )
        unit = [(norm_name, normalizer), (act_name, activation)]
        return [(f"{kind}{name}", wrap(affine) if wrap else affine), *(reversed(unit) if after else unit)]

    @property
    def _needs_bias(self) -> bool:
        return self.spec.bias and not getattr(self.normalization, "removes_bias", False)

    def _width(self, width: int) -> int:
        """Return the width at the current factor, kept even so that groups of channels still divide it."""
        return width if self.width_factor == 1 else max(2, 2 * round(width * self.width_factor / 2))


def output_size(size: int, kernel_size: int, padding: int, stride: int, layer: str) -> int:
    """Return (W - K + 2P) / S + 1, rounded down: the width of a convolution's or pooling's output.

    Raises:
        UserError: nothing would be left; the layer is named.

    Example:
        >>> output_size(32, kernel_size=5, padding=2, stride=1, layer="conv1")
        32
    """
    out = (size - kernel_size + 2 * padding) // stride + 1
    if out < 1:
        raise UserError(
            f"{layer} would shrink its {size}x{size} input below 1x1 (kernel {kernel_size}, padding {padding}, "
            f"stride {stride}); use fewer stages, a smaller kernel or pooling, or more padding"
        )
    return out

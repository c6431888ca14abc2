"""The points of a map of budgets: a verdict with the budget of its runs, which orders them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablate.report.verdicts import VerdictRow, verdict_row
from ablate.study.control import NOT_INTERPRETABLE
from ablate.study.results import ArmResult, Results

if TYPE_CHECKING:
    from ablate.judging import Judgement


CIFAR_IMAGES = 50_000  # training images of CIFAR-10, those for validation included


@dataclass(frozen=True, kw_only=True)
class Point:
    """A claim's verdict at one budget.

    Args:
        row: of the verdict.
        profile: of the study, "" for none.
        net, data: levels of the runs, "a or b" where arms differ; "" for runs of other programs.
        width: mean number of channels, None where the net has no `widths`.
        images, epochs: of a run, the largest where arms differ; None for all images of a set whose size the settings do
            not tell, and for runs of other programs.
        folder: of the study.
        names_net, names_data: whether the budget in words names them, as it must where they differ within a claim.
    """

    row: VerdictRow
    profile: str
    net: str
    data: str
    width: float | None
    images: int | None
    epochs: int | None
    folder: Path
    names_net: bool = False
    names_data: bool = False

    @property
    def judgement(self) -> "Judgement":
        return self.row.judgement

    @property
    def outcome(self) -> str:
        return self.row.judgement.outcome

    @property
    def controls_hold(self) -> bool:
        """Whether every control that the claim depends on has passed."""
        return self.outcome != NOT_INTERPRETABLE

    @property
    def work(self) -> tuple[bool, float]:
        """What orders budgets: images x epochs x width squared; all images of an unknown number are the most."""
        return self.images is None, float(self.images or 1) * (self.epochs or 1) * (self.width or 1.0) ** 2

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal for points of one budget."""
        if self.epochs is None:
            return (self.budget,)
        return self.net, self.data, self.width, self.images, self.epochs

    @property
    def budget(self) -> str:
        """The budget in words, e.g. "width 19, 8,000 images, 12 epochs"; of another program that of its judgement."""
        if self.epochs is None:
            return self.judgement.budget or self.profile or self.folder.name
        images = "all images" if self.images is None else f"{self.images:,} images"
        parts = [
            self.net if self.names_net else "",
            "" if self.width is None else f"width {self.width:.3g}",
            f"{images} of {self.data}" if self.names_data else images,
            f"{self.epochs:,} epoch{'s' * (self.epochs != 1)}",
        ]
        return ", ".join(part for part in parts if part)

    @property
    def label(self) -> str:
        """The budget for an axis, in lines."""
        if self.epochs is None:
            return self.budget
        size = f"{'all' if self.images is None else f'{self.images:,}'} × {self.epochs:,}"
        return "\n".join([*[self.net] * self.names_net, *[self.data] * self.names_data, size])


def point_of(results: Results, judgement: "Judgement", number: int) -> Point:
    """Return a verdict with the budget of its arms."""
    cells = judgement.claim.cells()
    arms = [arm for arm in results.arms if any(cell.items() <= arm.axes.items() for cell in cells)] or results.arms
    images = [images_of(arm) for arm in arms]
    epochs = [value for arm in arms if (value := setting(arm, "trainer", "epochs")) is not None]
    widths = [value for arm in arms if (value := width_of(setting(arm, "net", "widths"))) is not None]
    net, data = (" or ".join(dict.fromkeys(level(arm, group) for arm in arms)) for group in ("net", "data"))
    return Point(
        row=verdict_row(results, judgement, number),
        profile=results.study.profile,
        net=net,
        data=data,
        width=max(widths, default=None),
        images=None if None in images else max(value for value in images if value is not None),
        epochs=max(epochs, default=None),
        folder=results.folder,
    )


def level(arm: ArmResult, group: str) -> str:
    """Return the level of a group that an arm has, "" where it has none."""
    return (arm.chosen or arm.planned.variants[0]).levels.get(group, "")


def setting(arm: ArmResult, group: str, key: str) -> Any:
    """Return a setting of an arm, None where it has none."""
    return ((arm.chosen or arm.planned.variants[0]).settings.get(group) or {}).get(key)


def images_of(arm: ArmResult) -> int | None:
    """Return the number of training images of an arm, see `training_images`."""
    return training_images((arm.chosen or arm.planned.variants[0]).settings.get("data") or {})


def training_images(data: Mapping[str, Any]) -> int | None:
    """Return the number of training images that settings of a data set tell; None where only its files tell it.

    It is `train_size`, or what `val_size` leaves of `num_train` made images or of CIFAR-10.

    Example:
        >>> training_images({"num_train": 300, "val_size": 100, "train_size": None})
        200
        >>> training_images({"_target_": "ablate.data.cifar10.Cifar10", "val_size": 5000})
        45000
        >>> training_images({"root": "my/images", "val_size": 100})
    """
    if data.get("train_size") is not None:
        return int(data["train_size"])
    is_cifar = str(data.get("_target_")).endswith(".Cifar10")
    total, held_out = data.get("num_train", CIFAR_IMAGES if is_cifar else None), data.get("val_size")
    return None if total is None or held_out is None else int(total) - int(held_out)


def width_of(widths: Any) -> float | None:
    """Return the mean of the channels of a net, None where none are given.

    Example:
        >>> width_of([8, 16, 32]), width_of([[8, 16], [32]]), width_of(None)
        (18.666666666666668, 18.666666666666668, None)
    """
    if not isinstance(widths, list) or not widths:
        return None
    flat = [float(w) for one in widths for w in (one if isinstance(one, list) else [one])]
    return sum(flat) / len(flat) if flat else None


def in_order(points: Sequence[Point]) -> tuple[list[Point], list[tuple[Point, Point]]]:
    """Return one point a budget, the smallest budget first, and each other point with the one that replaces it.

    Of several points of a budget the one with the most seeds is kept, the first of these. Where nets or data sets
    differ, the budgets name them.
    """
    nets, sets = ({getattr(point, name) for point in points} for name in ("net", "data"))
    best: dict[tuple[Any, ...], Point] = {}
    for point in points:
        if point.key not in best or point.judgement.num_seeds > best[point.key].judgement.num_seeds:
            best[point.key] = point
    kept = {key: replace(point, names_net=len(nets) > 1, names_data=len(sets) > 1) for key, point in best.items()}
    replaced = [(point, kept[point.key]) for point in points if best[point.key] is not point]
    return sorted(kept.values(), key=lambda point: (point.work, point.budget)), replaced

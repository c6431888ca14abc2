"""The verdicts of a study or a page at every budget that was run: where each claim's verdict flips.

A budget is net, data set, images and epochs. Budgets are ordered by the work of a run: images x epochs x the square of
the mean width where the net has widths. A claim's headline is its verdict at the largest budget at which its controls
hold. A study that is not in the map is named, with the reason.
"""

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablate.errors import UserError
from ablate.report.overview_content import DECIDED, UNTESTED, same
from ablate.report.teaching import why_open
from ablate.report.verdicts import VerdictRow, verdict_row
from ablate.study.claim import Claim
from ablate.study.control import NOT_INTERPRETABLE
from ablate.study.manifest import read_manifest
from ablate.study.registration import FOR_READERS
from ablate.study.results import ArmResult, Results
from ablate.study.verdict_file import VERDICTS_NAME

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
        """Whether every control that the claim depends on has come out."""
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


@dataclass(frozen=True, kw_only=True)
class Track:
    """One claim over all budgets, the smallest first.

    Args:
        study, title: of the study.
        points: at least one, of different budgets.
    """

    study: str
    title: str
    points: list[Point]

    @property
    def claim(self) -> Claim:
        return self.points[-1].judgement.claim

    @property
    def headline(self) -> Point | None:
        """The point of the largest budget at which the controls hold, None where they hold at none."""
        return next((point for point in reversed(self.points) if point.controls_hold), None)

    @property
    def flips(self) -> list[tuple[Point, Point]]:
        """Neighbours among the decided verdicts that say different things."""
        decided = [point for point in self.points if point.outcome in DECIDED]
        return [(a, b) for a, b in itertools.pairwise(decided) if not same(a.outcome, b.outcome)]

    @property
    def sentence(self) -> str:
        """Where the verdict flips, is the same, or is open."""
        decided = [point for point in self.points if point.outcome in DECIDED]
        if not decided:
            return "open at every budget"
        if flips := self.flips:
            first, rest = flips[0][0], [b for _, b in flips]
            return "; then ".join([f"{first.outcome} at {first.budget}", *(f"{b.outcome} at {b.budget}" for b in rest)])
        budgets = "; ".join(point.budget for point in decided)
        open_at = [point.budget for point in self.points if point.outcome not in DECIDED]
        return f"{decided[-1].outcome} at {budgets}" + (f"; open at {'; '.join(open_at)}" if open_at else "")

    @property
    def why_open(self) -> str:
        """Why the headline is open, "" where it is decided."""
        point = self.headline or self.points[-1]
        return why_open(point.judgement)


@dataclass(frozen=True, kw_only=True)
class BudgetMap:
    """All claims over all budgets.

    Args:
        name: of the study or the page.
        tracks: one a claim, in the order of the studies and their claims.
        left_out: why a study or a claim of one is not in the map, one line each.
    """

    name: str
    tracks: list[Track]
    left_out: list[str]

    @property
    def profiles(self) -> list[str]:
        """The profiles that occur, by the least work of their points."""
        least: dict[str, tuple[bool, float]] = {}
        for point in (point for track in self.tracks for point in track.points):
            least[point.profile] = min(least.get(point.profile, point.work), point.work)
        return sorted(least, key=lambda profile: least[profile])


def budget_map(name: str, folders: Sequence[Path]) -> BudgetMap:
    """Return the map of the studies in some folders; a study that is not judged, or cannot be read, is left out.

    Args:
        name: of the map.
        folders: of studies, in any order; several with the same budget of a claim: the one with the most seeds counts,
            and the others are among those that are left out.

    Raises:
        UserError: no study has a judged claim.
    """
    from ablate.judging import collect, judge

    found: dict[tuple[str, str], list[Point]] = {}
    titles: dict[str, str] = {}
    left_out: list[str] = []
    for folder in folders:
        try:
            manifest = read_manifest(folder)
            if manifest is None:
                left_out.append(f"{folder.name}: it holds no study")
                continue
            if not (folder / VERDICTS_NAME).exists():
                left_out.append(f"{folder.name}: not judged yet; `{manifest.command}` goes on")
                continue
            results = collect(manifest, folder)
            judgements = judge(results)
        except UserError as error:
            left_out.append(f"{folder.name}: {error}")
            continue
        titles.setdefault(manifest.name, results.study.title or manifest.name)
        for number, judgement in enumerate(judgements, start=1):
            if judgement.outcome in UNTESTED:
                if judgement.outcome != "measured":
                    left_out.append(f"{folder.name}, {judgement.claim.name}: {judgement.outcome}")
                continue
            key = (manifest.name, judgement.claim.name)
            found.setdefault(key, []).append(point_of(results, judgement, number))
    tracks = []
    instead: dict[tuple[str, str], list[str]] = defaultdict(list)
    for (study, claim), points in found.items():
        same_claim, others = one_claim(points)
        left_out += others
        kept, replaced = in_order(same_claim)
        for point, by in replaced:
            instead[point.folder.name, by.folder.name].append(claim)
        tracks.append(Track(study=study, title=titles[study], points=kept))
    left_out += [
        f"{folder}: {by} has the same budget and at least as many seeds ({', '.join(claims)})"
        for (folder, by), claims in instead.items()
    ]
    if not tracks:
        why = f" ({left_out[0]})" if left_out else ""
        raise UserError(f"`ablate map` found no judged claim of {name} in {len(folders)} studies{why}")
    return BudgetMap(name=name, tracks=tracks, left_out=left_out)


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


def one_claim(points: Sequence[Point]) -> tuple[list[Point], list[str]]:
    """Return the points whose claim means what it means at the largest budget, and a line for each other one."""
    largest = max(points, key=lambda point: point.work)
    same_claim, others = [], []
    for point in points:
        claim = point.judgement.claim
        if differing := [f for f in deciding(claim) if deciding(claim)[f] != deciding(largest.judgement.claim)[f]]:
            others.append(
                f"{point.folder.name}, {claim.name}: its {', '.join(differing)} differs from that in "
                f"{largest.folder.name}"
            )
        else:
            same_claim.append(point)
    return same_claim, others


def deciding(claim: Claim) -> dict[str, Any]:
    """Return what decides a claim's verdict: all its fields but those for readers, its sentence and its family."""
    free = (*FOR_READERS, "text", "family")
    return {f.name: getattr(claim, f.name) for f in fields(Claim) if f.name not in free}


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

"""The verdicts of a study or a page at every budget that was run: where each claim's verdict flips.

A budget is net, data set, images and epochs. Budgets are ordered by the work of a run: images x epochs x the square of
the mean width where the net has widths. A claim's headline is its verdict at the largest budget at which its controls
hold. A study that is not in the map is named, with the reason.
"""

import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablate.errors import UserError
from ablate.report.budget_points import Point, in_order, point_of
from ablate.report.overview_content import DECIDED, UNTESTED, same
from ablate.report.teaching import why_open
from ablate.study.claim import Claim
from ablate.study.manifest import read_manifest
from ablate.study.registration import FOR_READERS
from ablate.study.verdict_file import VERDICTS_NAME

if TYPE_CHECKING:
    pass


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
                    why = f" ({judgement.reason})" if judgement.reason else ""
                    left_out.append(f"{folder.name}, {judgement.claim.name}: {judgement.outcome}{why}")
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

"""Slides of a report for a large room: one claim a screen, in large type, with its effect drawn on a line."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ablate.report.effect_plots import axis_title, margin, shown
from ablate.report.plotting import limits
from ablate.report.verdicts import VerdictRow


@dataclass(frozen=True, kw_only=True)
class Line:
    """A claim's effect on a line, positions in percent of its width.

    Args:
        zero: of no effect.
        zone: left end and width of the effects too small to matter.
        interval: left end and width, None where there is none.
        mean: of the effect.
        seeds: one position a seed.
        left, right: the numbers at the ends.
        title: what the line measures.
    """

    zero: float
    zone: tuple[float, float]
    interval: tuple[float, float] | None
    mean: float | None
    seeds: list[float]
    left: str
    right: str
    title: str


@dataclass(frozen=True, kw_only=True)
class Slide:
    """A claim on a screen of its own.

    Args:
        kicker: small text above the sentence, such as the study.
        verdict: of the claim.
        line: its effect; None where nothing is known, and for exact statements.
    """

    kicker: str
    verdict: VerdictRow
    line: Line | None


def slides(kicker: str, verdicts: Sequence[VerdictRow]) -> list[Slide]:
    """Return a slide for each claim."""
    return [Slide(kicker=kicker, verdict=verdict, line=effect_line(verdict)) for verdict in verdicts]


def effect_line(verdict: VerdictRow) -> Line | None:
    """Return a claim's effect as positions on a line, None where no effect is known or the claim is exact."""
    judgement = verdict.judgement
    mean = shown(verdict, judgement.estimate)
    if mean is None or math.isinf(mean) or judgement.claim.form == "identity":
        return None
    ends = [shown(verdict, end) for end in (judgement.low, judgement.high)]
    dots = [d if verdict.unit.is_factor else verdict.unit.scale * d for d in judgement.differences]
    zone = margin(verdict)
    low, high = limits([*dots, mean, *ends, -zone, zone, 0.0])

    def place(value: float) -> float:
        return round(100 * (min(max(value, low), high) - low) / (high - low), 2)

    def span(left: float, right: float) -> tuple[float, float]:
        return place(left), round(place(right) - place(left), 2)

    def number(value: float) -> str:
        return verdict.unit.number(math.exp(value) if verdict.unit.is_factor else value / verdict.unit.scale)

    left, right = ends
    return Line(
        zero=place(0.0),
        zone=span(-zone, zone),
        interval=None if left is None or right is None else span(left, right),
        mean=place(mean),
        seeds=[place(dot) for dot in dots],
        left=number(low),
        right=number(high),
        title=axis_title(verdict),
    )

"""Text and symbols for verdicts, effects and numbers; no symbol needs colour to be read."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ablate.config.overrides import text
from ablate.study.claim import Claim
from ablate.study.control import NOT_INTERPRETABLE
from ablate.study.results import ArmResult

RESOLUTION = 1e-10  # in points: an accuracy in [0, 1] has 1e-12 of it, and less is rounding of a sum


@dataclass(frozen=True)
class OutcomeStyle:
    """How an outcome is marked.

    Args:
        symbol: distinguishes the outcome without colour.
        marker: the same for a plot, as matplotlib names it.
        colour: ink, readable on white (contrast above 4.5), distinct for the colour-blind.
        meaning: of the outcome, in few words.
    """

    symbol: str
    marker: str
    colour: str
    meaning: str


OUTCOME_STYLES = {
    "supported": OutcomeStyle("✓", "o", "#00704f", "it holds here"),
    "supported if trained": OutcomeStyle(
        "+", "P", "#3f6b1f", "it holds for nets that train; failing runs are not excluded"
    ),
    "contradicted": OutcomeStyle("✗", "X", "#b5400d", "the runs show the opposite"),
    "contradicted if trained": OutcomeStyle(
        "−", "<", "#96341f", "nets that train show the opposite; failing runs are not excluded"
    ),
    "no difference": OutcomeStyle("≈", "s", "#0a63a5", "any difference is too small to matter"),
    "no difference if trained": OutcomeStyle(
        "~", "d", "#33618c", "too small to matter for nets that train; runs may fail"
    ),
    "neither trains": OutcomeStyle("∅", "p", "#6b4a3a", "no arm is better than guessing"),
    "inconclusive": OutcomeStyle("?", "D", "#7d5c00", "these runs do not decide it"),
    NOT_INTERPRETABLE: OutcomeStyle("⊘", "8", "#7a3b5d", "a control of the study fails"),
    "incomplete": OutcomeStyle("…", "h", "#5b6470", "runs, or values of runs, are missing"),
    "measured": OutcomeStyle("#", "*", "#49566b", "a cost in seconds: reported, not judged"),
    "not comparable": OutcomeStyle("≠", "v", "#8a3a76", "its arms cannot be compared"),
}


@dataclass(frozen=True)
class Unit:
    """What the effect of a claim is measured in.

    Args:
        name: "points" for accuracies, "factor" for ratios, else what follows the number, or nothing.
        scale: factor from the metric's unit to the shown one.
        most: no effect can be larger, in the metric's unit; an interval is shown up to there.

    Example:
        >>> Unit("points", 100).interval(0.012, 0.034), Unit("factor").effect(1.5)
        ('[+1.20, +3.40]', '×1.5')
        >>> Unit("points", 100, most=1).interval(0.6, 1.3)
        '[+60.00, +100.00]'
    """

    name: str
    scale: float = 1.0
    most: float = math.inf

    @property
    def is_factor(self) -> bool:
        return self.name == "factor"

    def number(self, value: float | None) -> str:
        """Return one effect without its unit, "–" where there is none."""
        if value is None or math.isnan(value):
            return "–"
        if math.isinf(value):
            return "∞" if value > 0 else "−∞"
        return f"×{value:.3g}" if self.is_factor else signed(self.scale * value, 2 if self.name == "points" else None)

    def effect(self, value: float | None) -> str:
        """Return one effect with its unit."""
        shown = self.number(value)
        return shown if shown == "–" or self.is_factor or not self.name else f"{shown} {self.name}"

    def interval(self, low: float | None, high: float | None) -> str:
        """Return an interval without its unit, "" where there is none."""
        if low is None or high is None:
            return ""
        return f"[{self.number(self.within(low))}, {self.number(self.within(high))}]"

    def within(self, value: float) -> float:
        """Return the end of an interval, at most as far from 0 as an effect can be; without data it stays infinite."""
        return max(-self.most, min(self.most, value)) if math.isfinite(value) else value


def is_accuracy(metric: str) -> bool:
    """Return whether a metric is a fraction that people read in percent."""
    return metric.rpartition("/")[2] == "accuracy"


def range_of(metric: str) -> tuple[float, float]:
    """Return the least and the greatest value that a metric can have, in its own unit.

    Example:
        >>> range_of("test/accuracy"), range_of("gap/accuracy"), range_of("test/loss")
        ((0.0, 1.0), (-1.0, 1.0), (-inf, inf))
    """
    if not is_accuracy(metric):
        return -math.inf, math.inf
    return -1.0 if "gap" in metric.split("/") else 0.0, 1.0


def unit_of(claim: Claim) -> Unit:
    """Return what the effect of a claim is measured in."""
    if claim.form == "ratio":
        return Unit("factor")
    if is_accuracy(claim.metric):
        low, high = range_of(claim.metric)
        return Unit("points", 100.0, most=high - low)
    return Unit("epochs" if claim.metric.startswith("epochs_to/") else "")


def signed(value: float, decimals: int | None = None) -> str:
    """Return a number with its sign; 3 significant digits where `decimals` is None or would round it to 0.

    With `decimals`, a number below `RESOLUTION` is the rounding error of a 0, and shown as one.

    Example:
        >>> signed(-1.234, 2), signed(0.00021, 2)
        ('−1.23', '+0.00021')
        >>> signed(1.11e-15, 2)
        '+0.00'
    """
    if decimals is not None and abs(value) < RESOLUTION:
        return f"{0:+.{decimals}f}"
    if decimals is None or (value != 0 and abs(value) < 0.5 * 10**-decimals):
        shown = f"{value:+.3g}"
    else:
        shown = f"{value:+.{decimals}f}"
    return shown.replace("-", "−")


def mean_score(value: float | None, metric: str) -> str:
    """Return the mean of a metric, accuracies in percent.

    Example:
        >>> mean_score(0.8512, "test/accuracy"), mean_score(0.5, "test/loss")
        ('85.12 %', '0.5')
    """
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "never reached" if metric.startswith("epochs_to/") else "∞"
    if is_accuracy(metric):
        return f"{100 * value:.2f} %"
    return f"{value:.3g}".replace("-", "−") + (" epochs" if metric.startswith("epochs_to/") else "")


def probability(p: float | None) -> str:
    """Return a p value; "–" where there is none.

    Example:
        >>> probability(0.0321), probability(1e-5)
        ('0.032', '< 0.001')
    """
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def percent(level: float) -> str:
    """Return a confidence level, e.g. "95 %" or "98.75 %".

    Example:
        >>> percent(0.9875)
        '98.75 %'
    """
    return f"{100 * level:.4g} %"


def plural(count: int, noun: str, several: str = "") -> str:
    """Return "1 run", "2 runs"; `several` is the plural if it is not `noun` with an "s".

    Example:
        >>> plural(1, "run"), plural(2000, "run"), plural(2, "family", "families")
        ('1 run', '2,000 runs', '2 families')
    """
    return f"{count:,} {noun if count == 1 else several or noun + 's'}"


def of_runs(known: int, shown: int) -> str:
    """Return " (2 of 3 runs)" for a mean over fewer runs than are shown, "" for one over all of them.

    Example:
        >>> of_runs(2, 3), of_runs(3, 3)
        (' (2 of 3 runs)', '')
    """
    return f" ({known:,} of {shown:,} runs)" if known < shown else ""


def short_names(arms: Sequence[ArmResult]) -> tuple[str, list[str]]:
    """Return (what is varied, a name for each arm) without what all names would repeat.

    Arms with the same axes are named by the values alone; otherwise nothing is left out.
    """
    axes = [tuple(arm.axes) for arm in arms]
    if not arms or not axes[0] or len(set(axes)) > 1:
        return "", [arm.label for arm in arms]
    return " · ".join(axes[0]), [" · ".join(text(value) for value in arm.axes.values()) for arm in arms]

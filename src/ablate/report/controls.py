"""The positive controls of a study as text: whether each passes, and which claims depend on it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ablate.report.phrases import OUTCOME_STYLES, mean_score, unit_of
from ablate.report.provenance import Rows

if TYPE_CHECKING:
    from ablate.judging import Judgement


CONTROLS_RULE = (
    "A control is known to be true. Where it is not supported here, the claims that depend on it are not interpretable "
    "at this budget: they keep their numbers, get no verdict and are in no count. Each control is tested by itself, at "
    "the study's error level over its looks."
)


def controls_of(judgements: "Sequence[Judgement]") -> "list[Judgement]":
    """Return the judgements of the controls that these claims depend on, each once, in the study's order."""
    return list({found.claim.name: found for judgement in judgements for found in judgement.controls}.values())


def marked(control: "Judgement") -> str:
    """Return whether a control passes, e.g. "✓ supported: passes"."""
    outcome = control.outcome
    found = "passes" if outcome.startswith("supported") else "runs are missing" * (outcome == "incomplete")
    return f"{OUTCOME_STYLES[outcome].symbol} {outcome}: {found or 'fails'}"


def shown(control: "Judgement") -> str:
    """Return effect, interval and means of a control, "" where there are none."""
    if control.estimate is None:
        return ""
    unit = unit_of(control.claim)
    means = [mean_score(mean, control.claim.metric) for mean in (control.treatment_mean, control.control_mean)]
    return f"{unit.effect(control.estimate)} {unit.interval(control.low, control.high)}".rstrip() + (
        f" ({means[0]} against {means[1]})"
    )


def control_rows(judgements: "Sequence[Judgement]") -> Rows:
    """Return head and one row per control: its sentence, whether it passes, its effect, and its claims."""
    rows = [["control", "result", "effect and interval", "claims that depend on it"]]
    for control in controls_of(judgements):
        names = [j.claim.name for j in judgements if any(c.claim.name == control.claim.name for c in j.controls)]
        rows.append([control.claim.text, marked(control), shown(control), ", ".join(names)])
    return rows


def control_lines(judgements: "Sequence[Judgement]") -> list[str]:
    """Return a line per control for the terminal."""
    lines = []
    for control in controls_of(judgements):
        numbers = f"  {found}" if (found := shown(control)) else ""
        lines.append(f"control {marked(control)}: {control.claim.text}{numbers}")
    return lines

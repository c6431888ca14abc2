"""Each claim's verdict as text: one sentence, its numbers, and notes on what weakens it."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ablate.config.overrides import text
from ablate.report.notes import DID_NOT_TRAIN, Note, failed, notes, spread
from ablate.report.page_level import apart_sentence, rests_on_agreement
from ablate.report.phrases import (
    OUTCOME_STYLES,
    OutcomeStyle,
    Unit,
    mean_score,
    percent,
    plural,
    probability,
    unit_of,
)
from ablate.report.table import of_seeds
from ablate.study.claim import Claim
from ablate.study.control import NOT_INTERPRETABLE
from ablate.study.results import Results

if TYPE_CHECKING:
    from ablate.judging import Judgement

ROUNDING = 1e-5  # largest tolerance of an identity that is called exact: of a sum in single precision


@dataclass(frozen=True, kw_only=True)
class VerdictRow:
    """A judgement as text.

    Args:
        judgement: that is shown.
        number: of the claim, from 1; its anchor is claim-<number>.
        unit: of the effect.
        effect, interval, ours: "" where there is none; a cost in seconds has a spread for an interval;
            `ours` is compared with the published number.
        notes: most important first.
        seeds: how many pairs of seeds are complete, "2 of 3" where some are not.
        numbers: (what, value) of everything behind the verdict.
        at_values: head and rows of the comparison at equal values of the tuned setting; [] where nothing is tuned.
    """

    judgement: "Judgement"
    number: int
    unit: Unit
    effect: str
    interval: str
    ours: str
    notes: list[Note]
    seeds: str
    numbers: list[tuple[str, str]]
    at_values: list[list[str]]

    @property
    def anchor(self) -> str:
        return f"claim-{self.number}"

    @property
    def style(self) -> OutcomeStyle:
        return OUTCOME_STYLES[self.judgement.outcome]

    @property
    def marked(self) -> str:
        """Symbol and outcome, and whether the claim is post hoc."""
        return f"{self.style.symbol} {self.judgement.outcome}{self.post_hoc}"

    @property
    def symbol(self) -> str:
        """The outcome's symbol, with an asterisk where the claim is post hoc."""
        return f"{self.style.symbol}{'*' if self.judgement.post_hoc else ''}"

    @property
    def post_hoc(self) -> str:
        """The mark of a claim that was not made before its runs, "" for others."""
        return ", post hoc" if self.judgement.post_hoc else ""

    @property
    def p(self) -> str:
        """The adjusted p value, "–" where there is none."""
        return probability(self.judgement.p_adjusted)

    @property
    def failed(self) -> str:
        """How many runs did not train, as `failed` without these words; "" where nothing is trained."""
        return failed(self.judgement).replace(DID_NOT_TRAIN, "")

    @property
    def slug(self) -> str:
        """The outcome as a name in a style sheet."""
        return self.judgement.outcome.replace(" ", "-")


def verdict_table(results: Results, judgements: "Sequence[Judgement]") -> list[VerdictRow]:
    """Return one row per judgement, in the study's order."""
    return [verdict_row(results, judgement, number) for number, judgement in enumerate(judgements, start=1)]


def verdict_row(results: Results, judgement: "Judgement", number: int) -> VerdictRow:
    """Return the row of one judgement."""
    unit = unit_of(judgement.claim)
    planned = judgement.planned_seeds or len(results.study.seeds)
    effect = "" if judgement.estimate is None else unit.effect(judgement.estimate)
    if judgement.claim.form == "identity" and judgement.differences:
        effect = agreement(judgement, unit)
    return VerdictRow(
        judgement=judgement,
        number=number,
        unit=unit,
        effect=effect,
        interval=spread(judgement, unit) or unit.interval(judgement.low, judgement.high),
        ours=" ".join(part for part in (effect, means(judgement)) if part),
        notes=notes(results, judgement),
        seeds=of_seeds(judgement.num_seeds, planned),
        numbers=numbers(judgement, unit, planned),
        at_values=at_values(results, judgement, unit),
    )


def answer(judgements: "Sequence[Judgement]") -> str:
    """Return the counts of outcomes in one sentence, e.g. "3 supported, 1 contradicted; 2 exact: 2 hold, 0 do not".

    Post hoc claims are counted apart.
    """
    counts = ", ".join(f"{count} {outcome}" for outcome, count in count_outcomes(judgements).items() if count)
    parts = (counts, apart_sentence(judgements))
    return "; ".join(part for part in parts if part) or "nothing was claimed"


def count_outcomes(judgements: "Sequence[Judgement]") -> dict[str, int]:
    """Return how often each outcome occurs among the claims that a test decides, 0 included.

    Post hoc claims, and claims that are not interpretable at this budget, are in no count.
    """
    counts = Counter(j.outcome for j in judgements if j.claim.is_tested and not j.post_hoc)
    return {outcome: counts[outcome] for outcome in OUTCOME_STYLES if outcome != NOT_INTERPRETABLE}


def agreement(judgement: "Judgement", unit: Unit) -> str:
    """Return in how many seeds the two sides of an identity agree, e.g. "exact, 6 of 6 seeds".

    A tolerance above single precision's rounding is named, and the largest difference where a seed exceeds it.
    """
    tolerance, total = judgement.claim.tolerance, len(judgement.differences)
    held = sum(abs(difference) <= tolerance for difference in judgement.differences)
    how = "exact" if tolerance <= ROUNDING else f"within {unit.effect(tolerance).lstrip('+')}"
    counts = f"{how}, {held} of {plural(total, 'seed')}"
    return counts if held == total else f"{counts}; largest difference {unit.effect(judgement.estimate)}"


def means(judgement: "Judgement") -> str:
    """Return both arms' means, "" where one is not known."""
    if judgement.treatment_mean is None or judgement.control_mean is None:
        return ""
    metric = judgement.claim.metric
    return f"({mean_score(judgement.treatment_mean, metric)} against {mean_score(judgement.control_mean, metric)})"


def sides(judgement: "Judgement") -> str:
    """Return which arm is compared with which, without the settings that both share, "" where a side is a value."""
    if judgement.claim.value is not None or not (judgement.treatment and judgement.control):
        return ""
    words = [label.split() for label in (judgement.treatment, judgement.control)]
    shared = {word for word in words[0] if word in words[1] and "=" in word}
    kept = [[word for word in side if word not in shared] or side for side in words]
    return " against ".join(" ".join(side) for side in kept)


def numbers(judgement: "Judgement", unit: Unit, num_seeds: int) -> list[tuple[str, str]]:
    """Return (what, value) of everything behind the verdict; unknown values are left out."""
    claim, level = judgement.claim, percent(judgement.level)
    rows = [
        (judgement.treatment, mean_score(judgement.treatment_mean, claim.metric), judgement.treatment_mean),
        (judgement.control, mean_score(judgement.control_mean, claim.metric), judgement.control_mean),
        (
            "largest difference" if claim.form == "identity" else "effect",
            unit.effect(judgement.estimate),
            judgement.estimate,
        ),
        (f"{level} interval, adjusted", unit.interval(judgement.low, judgement.high), judgement.low),
        (
            "effect that is claimed" if claim.at_least else tolerance_or_smallest(claim),
            least(judgement, unit),
            least(judgement, unit) or None,
        ),
        (
            f"p value of H0: {'that effect' if claim.at_least else 'no difference'} (Holm; unadjusted)",
            both_p(judgement),
            judgement.p_adjusted,
        ),
        (
            "p value of the equivalence test (TOST; Holm)",
            probability(judgement.equivalence_p_adjusted),
            judgement.equivalence_p_adjusted,
        ),
        (
            f"{percent(judgement.equivalence_level or math.nan)} interval of the equivalence test",
            unit.interval(judgement.equivalence_low, judgement.equivalence_high),
            judgement.equivalence_low if rests_on_agreement(judgement) else None,
        ),
        ("sign-flip p (least reachable)", sign_flip(judgement), judgement.sign_flip_p),
        ("95 % bootstrap interval", unit.interval(*(judgement.bootstrap or (None, None))), judgement.bootstrap),
        (
            "95 % interval over test images",
            unit.interval(*(judgement.item_interval or (None, None))),
            judgement.item_interval,
        ),
        (
            "treatment better at equal seed",
            f"{100 * (judgement.improvement or 0):.0f} % of pairs",
            judgement.improvement,
        ),
        ("look", f"{judgement.look} of {judgement.num_looks}", judgement.look),
        ("pairs of seeds", of_seeds(judgement.num_seeds, num_seeds), judgement.num_seeds),
        ("runs that did not train", failed(judgement).replace(DID_NOT_TRAIN, ""), failed(judgement) or None),
    ]
    return [(what or "arm", value) for what, value, known in rows if known is not None]


def tolerance_or_smallest(claim: Claim) -> str:
    """Return what bounds an effect that does not matter."""
    return "tolerance" if claim.form == "identity" else "smallest effect of interest"


def least(judgement: "Judgement", unit: Unit) -> str:
    """Return the smallest effect of interest, or the tolerance of an identity, as it is shown."""
    claim = judgement.claim
    if claim.at_least:
        sign = -1 if claim.form == "smaller" or claim.direction == "smaller" else 1
        return unit.effect(claim.smallest_effect**sign if unit.is_factor else sign * claim.smallest_effect)
    if unit.is_factor:
        return f"×{claim.smallest_effect:.3g} or ×{1 / claim.smallest_effect:.3g}"
    value = claim.tolerance if claim.form == "identity" else claim.smallest_effect
    return f"±{unit.effect(value).lstrip('+')}"


def both_p(judgement: "Judgement") -> str:
    """Return the adjusted p value with the unadjusted one."""
    return f"{probability(judgement.p_adjusted)} ({probability(judgement.p)})"


def sign_flip(judgement: "Judgement") -> str:
    """Return the sign-flip p value with the least one that so many pairs can give."""
    least_p = judgement.sign_flip_smallest_p
    return probability(judgement.sign_flip_p) + (f" ({probability(least_p)})" if least_p is not None else "")


def at_values(results: Results, judgement: "Judgement", unit: Unit) -> list[list[str]]:
    """Return head and rows of the comparison with both arms at one value of the tuned setting."""
    if not judgement.at_values or results.study.tuning is None:
        return []
    rows = [[results.study.tuning.key, "effect in tuning runs", "95 % interval", "seeds"]]
    for row in judgement.at_values:
        interval = unit.interval(row.low, row.high) or "–"
        seeds = of_seeds(row.num_seeds, results.study.tuning.seeds)
        rows.append([text(row.value), unit.effect(row.estimate), interval, seeds])
    return rows

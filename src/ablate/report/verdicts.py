"""Each claim's verdict as text: one sentence, its numbers, and notes on what weakens it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ablate.config.overrides import text
from ablate.report.page_level import cost_sentence, exact_sentence
from ablate.report.phrases import (
    OUTCOME_STYLES,
    OutcomeStyle,
    Unit,
    mean_score,
    of_runs,
    percent,
    plural,
    probability,
    unit_of,
)
from ablate.report.provenance import command_with
from ablate.report.table import of_seeds
from ablate.study.claim import Claim
from ablate.study.results import Results
from ablate.training.identity import flatten

if TYPE_CHECKING:
    from ablate.judging import Judgement, Mechanism


# Parts of train/loss in addition to the cross-entropy; the L2 penalty is the optimizer's weight decay and not in it.
IN_THE_LOSS = ("regularizer.l1_activation", "regularizer.label_smoothing")


@dataclass(frozen=True)
class Note:
    """What to know when reading a verdict.

    Args:
        text: a sentence.
        kind: "warning" for what weakens the verdict, "step" for what to do, "remark" otherwise.
        command: the command line to type, "" where there is none.
    """

    text: str
    kind: str = "remark"
    command: str = ""


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
        """Symbol and outcome."""
        return f"{self.style.symbol} {self.judgement.outcome}"

    @property
    def p(self) -> str:
        """The adjusted p value, "–" where there is none."""
        return probability(self.judgement.p_adjusted)

    @property
    def failed(self) -> str:
        """How many runs failed, as `failed` without the word; "" where nothing is trained."""
        return failed(self.judgement).replace(" failed", "")

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
    effect = "" if judgement.estimate is None else unit.effect(judgement.estimate)
    return VerdictRow(
        judgement=judgement,
        number=number,
        unit=unit,
        effect=effect,
        interval=spread(judgement, unit) or unit.interval(judgement.low, judgement.high),
        ours=" ".join(part for part in (effect, means(judgement)) if part),
        notes=notes(results, judgement),
        seeds=of_seeds(judgement.num_seeds, len(results.study.seeds)),
        numbers=numbers(judgement, unit, len(results.study.seeds)),
        at_values=at_values(results, judgement, unit),
    )


def answer(judgements: "Sequence[Judgement]") -> str:
    """Return the counts of outcomes in one sentence, e.g. "3 supported, 1 contradicted; 2 exact: 2 hold, 0 do not"."""
    counts = ", ".join(f"{count} {outcome}" for outcome, count in count_outcomes(judgements).items() if count)
    parts = (counts, cost_sentence(judgements), exact_sentence(judgements))
    return "; ".join(part for part in parts if part) or "nothing was claimed"


def count_outcomes(judgements: "Sequence[Judgement]") -> dict[str, int]:
    """Return how often each outcome occurs among the claims that a test decides, 0 included."""
    counts = Counter(judgement.outcome for judgement in judgements if judgement.claim.is_tested)
    return {outcome: counts[outcome] for outcome in OUTCOME_STYLES}


def failed(judgement: "Judgement") -> str:
    """Return how many runs failed, e.g. "0 of 6 against 1 of 6 failed, at most 39 % against 58 % with 95 %".

    "" where the metric does not depend on training. Equal sides are shown once.
    """
    sides = list(dict.fromkeys((side.failed, side.total, side.at_most) for side in judgement.trained))
    if not sides:
        return ""
    counts = " against ".join(f"{count} of {total}" for count, total, _ in sides)
    return f"{counts} failed, at most {' against '.join(f'{100 * most:.0f} %' for *_, most in sides)} with 95 %"


def means(judgement: "Judgement") -> str:
    """Return both arms' means, "" where one is not known."""
    if judgement.treatment_mean is None or judgement.control_mean is None:
        return ""
    metric = judgement.claim.metric
    return f"({mean_score(judgement.treatment_mean, metric)} against {mean_score(judgement.control_mean, metric)})"


def sensitivity(key: str) -> str:
    """Return the mark of a verdict that depends on the tuned setting `key`."""
    return "lr-sensitive" if key == "optimizer.lr" else f"sensitive to {key}"


def notes(results: Results, judgement: "Judgement") -> list[Note]:
    """Return what to know when reading a verdict."""
    study, claim = results.study, judgement.claim
    found = [Note(judgement.reason, "warning")] if judgement.reason else []
    found += [Note(why) for why in judgement.unread]
    found += conditions(judgement)
    if judgement.value_sensitive and study.tuning:
        key = study.tuning.key
        found.append(Note(f"{sensitivity(key)}: another answer with one arm at a neighbouring {key}", "warning"))
    if judgement.edges and claim.form != "identity" and not claim.metric.startswith("initial/"):
        cure = "widen study.tuning.values" if study.tuning else "a better one may be outside"
        arms = ", ".join(dict.fromkeys(judgement.edges))
        found.append(Note(f"best {study.nuisance} on the edge of the grid: {arms}; {cure}", "warning"))
    if judgement.outcome == "inconclusive":
        found.append(further(results, judgement))
    if claim.metric == "train/loss" and (keys := differing_penalties(results, claim)):
        found.append(
            Note(
                f"train/loss holds what {', '.join(keys)} adds to it, which the two sides do not share; "
                "train/cross_entropy is without it",
                "warning",
            )
        )
    if judgement.mechanisms:
        found.append(Note("measured: " + "; ".join(mechanism(claim, m) for m in judgement.mechanisms)))
    if claim.note:
        found.append(Note(claim.note))
    return found


def differing_penalties(results: Results, claim: Claim) -> list[str]:
    """Return the keys in which the arms of a claim differ, of those that change the training loss itself."""
    cells = claim.cells()
    arms = [arm for arm in results.arms if any(cell.items() <= arm.axes.items() for cell in cells)]
    settings = [dict(flatten((arm.chosen or arm.planned.variants[0]).settings)) for arm in arms]
    return [key for key in IN_THE_LOSS if len({own.get(key) or 0 for own in settings}) > 1]


def conditions(judgement: "Judgement") -> list[Note]:
    """Return the restrictions of a verdict: to nets that train, to these images, or no verdict at all."""
    from ablate.statistics import seeds_to_exclude

    found, share = [], judgement.failure_share
    if judgement.outcome.endswith("if trained") and share is not None:
        why = (
            f"for nets that train: it would not hold if {100 * share:g} % of the runs failed, which these seeds do not"
        )
        found.append(
            Note(
                f"{why} exclude ({failed(judgement)}); {seeds_to_exclude(share)} without a failure would",
                "warning",
            )
        )
    elif judgement.stands_to is not None and judgement.stands_to < max(
        (side.at_most for side in judgement.trained if side.failed < side.total), default=0.0
    ):
        line = f"it holds if up to {100 * judgement.stands_to:.0f} % of the runs failed; the seeds leave more open"
        found.append(Note(f"{line} ({failed(judgement)})"))
    elif judgement.outcome == "neither trains":
        found.append(
            Note("no run of either side is clearly above guessing, so that there is nothing to compare", "warning")
        )
    elif judgement.outcome == "inconclusive" and any(0 < side.failed < side.total for side in judgement.trained):
        line = "some runs failed and others did not: Student's t and the exact sign-flip test would both have to decide"
        found.append(Note(f"{line} ({failed(judgement)})", "warning"))
    if judgement.num_images is not None:
        found.append(
            Note(f"the same trained nets evaluated in two ways: decided over {judgement.num_images:,} test images")
        )
    if judgement.spread is not None:
        machines = plural(judgement.num_machines or 1, "machine")
        line = f"{spread(judgement, unit_of(judgement.claim))} over {plural(judgement.num_seeds, 'run')} on {machines}"
        found.append(Note(f"{line}; more seeds are not more machines, so a cost in seconds gets no verdict"))
    return found


def spread(judgement: "Judgement", unit: Unit) -> str:
    """Return the least and the greatest value of a cost in seconds, "" of everything else."""
    return "" if judgement.spread is None else "from {} to {}".format(*(unit.effect(v) for v in judgement.spread))


def mechanism(claim: Claim, found: "Mechanism") -> str:
    """Return a diagnostic of both sides, e.g. "saturation/mean 0.91 against 0.02 (2 of 3 runs)".

    A claim about a value has one side only.
    """
    known = (found.treatment, found.control) if claim.value is None else (found.treatment,)
    runs = found.runs or ((0, 0),) * len(known)
    sides = (
        "–" if value is None else f"{value:.3g}{of_runs(*counts)}" for value, counts in zip(known, runs, strict=False)
    )
    return f"{found.metric} {' against '.join(sides)}"


def further(results: Results, judgement: "Judgement") -> Note:
    """Return what would decide an inconclusive claim."""
    if judgement.num_images is not None:
        return Note("more test images would have to decide it (data.test_size), not more seeds", "step")
    if judgement.further_seeds is None:
        return Note("no number of further seeds within reach is expected to decide it", "step")
    seeds = f"about {plural(judgement.further_seeds, 'further seed')} would decide it"
    if results.look >= results.study.looks:
        looks = plural(results.study.looks, "declared look")
        return Note(
            f"{seeds}, but the {looks} at the data {'is' if results.study.looks == 1 else 'are'} used up", "step"
        )
    return Note(f"{seeds}:", "step", command_with(results, f"extra_seeds={judgement.further_seeds}"))


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
            "effect that is claimed" if claim.at_least else "least effect that matters",
            least(judgement, unit),
            least(judgement, unit) or None,
        ),
        (
            f"p of {'that' if claim.at_least else 'no'} effect, adjusted (alone)",
            both_p(judgement),
            judgement.p_adjusted,
        ),
        (
            "p of a relevant effect, adjusted",
            probability(judgement.equivalence_p_adjusted),
            judgement.equivalence_p_adjusted,
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
        ("pairs of seeds", of_seeds(judgement.num_seeds, num_seeds), judgement.num_seeds),
        ("runs that failed", failed(judgement).replace(" failed", ""), failed(judgement) or None),
    ]
    return [(what or "arm", value) for what, value, known in rows if known is not None]


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
    rows = [[results.study.tuning.key, "effect on validation", "95 % interval", "seeds"]]
    for row in judgement.at_values:
        interval = unit.interval(row.low, row.high) or "–"
        seeds = of_seeds(row.num_seeds, results.study.tuning.seeds)
        rows.append([text(row.value), unit.effect(row.estimate), interval, seeds])
    return rows

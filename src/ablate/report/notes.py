"""What to know when reading a verdict: what restricts or weakens it, what was measured, and what to do next."""

import math
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ablate.report.page_level import DIFFERENCES, rests_on_agreement
from ablate.report.phrases import (
    Unit,
    of_runs,
    percent,
    plural,
    unit_of,
)
from ablate.report.provenance import command_with
from ablate.report.teaching import reason_open, smallest_of_interest
from ablate.study.claim import Claim
from ablate.study.results import Results
from ablate.training.identity import flatten

if TYPE_CHECKING:
    from ablate.judging import Judgement, Mechanism
    from ablate.judging.judgement import Confounder


# Parts of train/loss in addition to the cross-entropy; the L2 penalty is the optimizer's weight decay and not in it.
IN_THE_LOSS = ("regularizer.l1_activation", "regularizer.label_smoothing")

DID_NOT_TRAIN = " did not train"

MANY_SEEDS = 50  # more further seeds are not recommended
INSTEAD_OF_SEEDS = (
    "Instead of so many seeds, leave it open, or ask in a new study: at a larger budget (net, data.train_size, "
    "trainer.epochs), or with a larger smallest_effect, fixed before its runs, if so small an effect does not matter"
)


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


def failed(judgement: "Judgement") -> str:
    """Return how many runs did not train, with the upper limit of the share of such runs, "" where nothing is trained.

    E.g. "0 of 6 against 1 of 6 did not train; 95 % upper limit of the failure rate: 39 % against 58 %". Equal sides are
    shown once.
    """
    sides = list(dict.fromkeys((side.failed, side.total, side.at_most) for side in judgement.trained))
    if not sides:
        return ""
    counts = " against ".join(f"{count} of {total}" for count, total, _ in sides)
    limits = " against ".join(f"{100 * most:.0f} %" for *_, most in sides)
    return f"{counts}{DID_NOT_TRAIN}; 95 % upper limit of the failure rate: {limits}"


def sensitivity(key: str) -> str:
    """Return the mark of a verdict that depends on the tuned setting `key`."""
    return "lr-sensitive" if key == "optimizer.lr" else f"sensitive to {key}"


def notes(results: Results, judgement: "Judgement") -> list[Note]:
    """Return what to know when reading a verdict."""
    study, claim = results.study, judgement.claim
    found = [Note(judgement.reason, "warning")] if judgement.reason else []
    found += [Note(line, "warning") for line in known_before(judgement)]
    found += [Note(why) for why in judgement.unread]
    found += conditions(judgement)
    if judgement.value_sensitive:
        key = study.nuisance
        setting, where = (
            "learning rate" if key == "optimizer.lr" else key,
            "" if study.tuning else ", in the runs that tuned it before",
        )
        found.append(Note(f"{sensitivity(key)}: the verdict changes at an adjacent {setting}{where}", "warning"))
    if judgement.edges and claim.form != "identity" and not claim.metric.startswith("initial/"):
        cure = "widen study.tuning.values" if study.tuning else "a better one may be outside"
        arms = ", ".join(dict.fromkeys(judgement.edges))
        found.append(Note(f"best {study.nuisance} on the edge of the grid: {arms}; {cure}", "warning"))
    if judgement.outcome == "inconclusive":
        found.append(Note(f"open: {reason_open(judgement)}"))
    if rests_on_agreement(judgement) and judgement.equivalence_low is not None:
        found.append(Note(inside(judgement)))
    if tuned := tuned_on(results, claim):
        found.append(Note(tuned, "warning"))
    if judgement.look:
        found.append(at_look(results, judgement))
    elif judgement.outcome == "inconclusive":
        found.append(further(results, judgement))
    if claim.metric == "train/loss" and (keys := differing_penalties(results, claim)):
        found.append(
            Note(
                f"train/loss holds what {', '.join(keys)} adds to it, which the two sides do not share; "
                "train/cross_entropy is without it",
                "warning",
            )
        )
    found += [Note(confounded(judgement, found_before), "warning") for found_before in judgement.confounders]
    if judgement.devices:
        found.append(Note(on_devices(judgement), "warning"))
    if judgement.mechanisms:
        found.append(Note("measured: " + "; ".join(mechanism(claim, m) for m in judgement.mechanisms)))
    if claim.note:
        found.append(Note(claim.note))
    return found


def inside(judgement: "Judgement") -> str:
    """Return the interval that a verdict of no difference, or of an equivalence that is supported, rests on."""
    unit = unit_of(judgement.claim)
    interval = unit.interval(judgement.equivalence_low, judgement.equivalence_high)
    level = percent(judgement.equivalence_level or math.nan)
    return (
        f"decided by the equivalence test: its {level} interval {interval} lies within the smallest effect of "
        f"interest, {smallest_of_interest(judgement)}"
    )


def tuned_on(results: Results, claim: Claim) -> str:
    """Return that a claim is about the score by which the tuned setting was chosen, "" where it is not."""
    tuning = results.study.tuning
    if tuning is None or claim.metric != tuning.metric:
        return ""
    return (
        f"{tuning.key} was chosen by {claim.metric} too, in runs of other seeds: where the runs can be scored on "
        "validation data as well, tune on that (tuning.metric)"
    )


def known_before(judgement: "Judgement") -> list[str]:
    """Return why a claim is post hoc, and how many of its runs had finished before it was registered."""
    found = [f"post hoc: {judgement.post_hoc}"] if judgement.post_hoc else []
    if judgement.finished_before:
        found.append(
            "{:,} of {:,} runs were finished before the plan was registered".format(*judgement.finished_before)
        )
    return found


def confounded(judgement: "Judgement", confounder: "Confounder") -> str:
    """Return in what two sides differ before the first step, which the claim's factor does not explain."""
    sides = f"{confounder.treatment:.3g} against {confounder.control:.3g}"
    factor = max(confounder.treatment / confounder.control, confounder.control / confounder.treatment)
    named_later = confounder.metric in judgement.claim.explained_by  # else it would not be remarked on
    why = "named as the mechanism after the plan was registered" if named_later else "not what the claim is about"
    return (
        f"the sides differ before the first step: {confounder.metric} is {sides}, a factor of {factor:.3g}, which is "
        f"{why}; the effect may come from the initial state"
    )


def on_devices(judgement: "Judgement") -> str:
    """Return on which types of device the runs of a claim were made."""
    counts = ", ".join(f"{plural(count, 'run')} on {device}" for device, count in judgement.devices.items())
    return (
        f"the runs were made on more than one type of device ({counts}): from one seed each type draws other "
        "augmentation, masks and noise, so that a pair across them is not matched; train all of them with one `device`"
    )


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
                f"{why} exclude ({failed(judgement)}); {seeds_to_exclude(share)} seeds without a failure would",
                "warning",
            )
        )
    elif judgement.stands_to is not None and judgement.stands_to < max(
        (side.at_most for side in judgement.trained if side.failed < side.total), default=0.0
    ):
        line = f"it holds if up to {100 * judgement.stands_to:.0f} % of the runs failed"
        line += "; the data do not exclude a higher failure rate"
        found.append(Note(f"{line} ({failed(judgement)})"))
    elif judgement.outcome == "neither trains":
        found.append(
            Note("no run of either side is clearly above guessing, so that there is nothing to compare", "warning")
        )
    elif judgement.outcome == "inconclusive" and any(0 < side.failed < side.total for side in judgement.trained):
        line = (
            "some runs trained and others did not: Student's t and the exact sign-flip test would both have to decide"
        )
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


def at_look(results: Results, judgement: "Judgement") -> Note:
    """Return at which declared look a claim was judged, and what follows."""
    if judgement.next_look:
        return Note(f"open: {next_look(judgement)} ({judgement.missing}):", "step", command_with(results))
    assert judgement.look is not None and judgement.num_looks is not None
    if judgement.outcome != "inconclusive":
        rest = ", and no further seeds were needed" if judgement.look < judgement.num_looks else ""
        if rest and judgement.outcome in DIFFERENCES:
            rest += "; an effect that is decided early is too large on average"
        return Note(f"at look {judgement.look} of {judgement.num_looks}{rest}")
    return further(results, judgement)


def next_look(judgement: "Judgement") -> str:
    """Return which look an open claim needs next, e.g. "look 2 of 4, at 8 seeds, is next"."""
    return f"look {judgement.next_look} of {judgement.num_looks}, at {judgement.next_seeds} seeds, is next"


def with_other_seeds(results: Results, judgement: "Judgement", count: int) -> str:
    """Return the command line of a new study of one claim, with `count` seeds that this study does not use.

    "" where the study's runs are another program's results, which no command makes.
    """
    if results.study.foreign and results.study.foreign.judged:
        return ""
    first = 1 + max((*results.study.seeds, *(s for a in results.arms for s in a.records)))
    seeds = ",".join(str(first + i) for i in range(count))
    words = [
        f"study={results.study.name}" if word.startswith("study=") else word
        for word in shlex.split(command_with(results))
        if not word.startswith(("study.seeds=", "study.only=", "extra_seeds="))
    ]
    return shlex.join([*words, f"study.only=[{judgement.claim.name}]", f"study.seeds=[{seeds}]"])


def further(results: Results, judgement: "Judgement") -> Note:
    """Return what would decide an inconclusive claim."""
    if judgement.num_images is not None:
        return Note("more test images would have to decide it (data.test_size), not more seeds", "step")
    if judgement.further_seeds is None:
        return Note("no number of further seeds within reach is expected to decide it", "step")
    seeds = f"about {plural(judgement.further_seeds, 'further seed')} would decide it"
    if judgement.further_seeds > MANY_SEEDS:
        return Note(f"{seeds}: the effect is small beside its spread over seeds. {INSTEAD_OF_SEEDS}", "step")
    if results.look >= results.study.looks:
        looks = plural(results.study.looks, "declared look")
        used = f"the {looks} at the data {'is' if results.study.looks == 1 else 'are'} used up"
        total = judgement.num_seeds + judgement.further_seeds
        command = with_other_seeds(results, judgement, total)
        instead = f"{seeds}, but {used}; a new study with {total} other seeds can ask again{':' * bool(command)}"
        return Note(instead, "step", command)
    if results.study.foreign and results.study.foreign.judged:
        return Note(f"{seeds}: add their results to {results.study.foreign.judged} and judge it again", "step")
    return Note(f"{seeds}:", "step", command_with(results, f"extra_seeds={judgement.further_seeds}"))

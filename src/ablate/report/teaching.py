"""What to teach of a claim, one sentence that says no more than its verdict, and why a claim is open."""

import math
from typing import TYPE_CHECKING

from ablate.report.phrases import plural, unit_of
from ablate.study.claim import depends_on_training
from ablate.study.control import NOT_INTERPRETABLE

if TYPE_CHECKING:
    from ablate.judging import Judgement

ROUNDING = 1e-9  # relative, of numbers that are compared
OPEN = ("inconclusive", "neither trains", NOT_INTERPRETABLE)  # outcomes of claims that the runs leave open


def teach(judgement: "Judgement") -> str:
    """Return what to teach, "" where nothing was tested; it stands beside the claim's text and its budget.

    A claim's own sentence for its outcome, `teach` of its file, comes first. Each sentence names the limits of the
    verdict: "at this budget" where nets were trained, and "for nets that train" of an outcome "... if trained". An open
    claim has no sentence of its own, but the reason.
    """
    claim, outcome = judgement.claim, judgement.outcome
    kind = outcome.removesuffix(" if trained")
    trained = " for nets that train" * (kind != outcome)
    budget = " at this budget" * (claim.form != "identity" and depends_on_training(claim.metric))
    if kind in claim.teach:
        limits = f"{trained}{budget}".strip()
        return claim.teach[kind].rstrip(".") + (f" ({limits})." if limits else ".")
    if kind == "supported":
        return f"It can be taught as it stands{trained}{budget}."
    if kind == "contradicted":
        if claim.form in ("identity", "equivalent"):
            return f"Do not teach it: it does not hold{trained}{budget}."
        return f"Do not teach it: the runs show {what_runs_show(judgement)}{trained}{budget}."
    if kind == "no difference":
        return f"It can be taught that any difference is below {smallest_of_interest(judgement)}{trained}{budget}."
    if kind in OPEN:
        return f"Leave it open: {why_open(judgement)}."
    return ""


def what_runs_show(judgement: "Judgement") -> str:
    """Return what runs show that contradict a claim: less or more than the number that it names, or the opposite.

    A claim of a difference of at least some number is the opposite of what they show where the whole interval
    lies on the other side of no effect.
    """
    claim = judgement.claim
    smaller = "smaller" in (claim.form, claim.direction)
    if claim.value is not None:
        return "more than it says" if smaller else "less than it says"
    if not claim.at_least:
        return "the opposite"
    no_effect = 1.0 if claim.form == "ratio" else 0.0
    end = judgement.low if smaller else judgement.high
    beyond = end is not None and (end > no_effect if smaller else end < no_effect)
    return "the opposite" if beyond else "less than it says"


def why_open(judgement: "Judgement") -> str:
    """Return `reason_open`, how many runs did not train, and how many further seeds would decide the claim."""
    reason = reason_open(judgement)
    if judgement.outcome != "inconclusive":
        return reason
    failed = [f"{side.failed} of {side.total}" for side in judgement.trained if side.failed]
    note = f" ({' and '.join(failed)} runs of a side did not train)" if failed else ""
    more = f"; {plural(judgement.further_seeds, 'further seed')} would decide it" if judgement.further_seeds else ""
    return f"{reason}{note}{more}"


def reason_open(judgement: "Judgement") -> str:
    """Return why the runs leave a claim open, from its numbers; "" for a claim that is decided, or was not tested.

    Either a control has not passed, or no arm learns, or the interval is wider than the smallest effect of interest
    (the noise of the seeds hides a difference of that size), or it is narrow and lies across that effect. Where it does
    neither, a further rule of the verdict is not met: the runs that failed, or too few seeds for equivalence.
    """
    claim, outcome = judgement.claim, judgement.outcome
    if outcome not in OPEN:
        return ""
    if outcome == NOT_INTERPRETABLE:
        return f"a larger budget or more seeds are needed, since {judgement.reason}"
    if outcome == "neither trains":
        return "no arm is better than guessing, so a larger budget is needed"
    unit, own = unit_of(claim), smallest_of_interest(judgement)
    low, high = judgement.low, judgement.high
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)) or (unit.is_factor and low <= 0):
        return "the seeds bound the effect on one side at most"
    shown = unit.interval(low, high)
    if unit.is_factor:
        low, high, size = math.log(low), math.log(high), math.log(claim.smallest_effect)
    else:
        size = claim.smallest_effect
    half, size = (high - low) / 2, size * (1 + ROUNDING)
    if not claim.at_least and (low > size or high < -size):
        return f"the interval {shown} lies beyond {own}, but some runs did not train, and more may not"
    if half > size:
        width = (
            f"a factor of {math.exp(half):.3g} either way" if unit.is_factor else f"±{unit.effect(half).lstrip('+')}"
        )
        images, seeds = judgement.num_images, plural(judgement.num_seeds, "seed")
        replicates = seeds if images is None else plural(images, "test image")
        return (
            f"the noise of {replicates} is {width}, wider than the smallest effect of "
            f"interest, {own}, so a true difference of that size could not be seen"
        )
    if not claim.at_least and -size < low and high < size:
        return (
            f"the interval {shown} lies within the smallest effect of interest, {own}, but equivalence needs at least "
            f"three seeds, without runs that fail"
        )
    return (
        f"the true difference may be larger or smaller than the smallest effect of interest, {own}: its interval is "
        f"{shown}"
    )


def smallest_of_interest(judgement: "Judgement") -> str:
    """Return the smallest effect of interest, with its unit."""
    unit = unit_of(judgement.claim)
    return unit.effect(judgement.claim.smallest_effect).lstrip("+")

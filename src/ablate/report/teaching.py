"""What to teach of a claim, one sentence that says no more than its verdict, and why a claim is open."""

import math
from typing import TYPE_CHECKING

from ablate.report.phrases import plural, unit_of
from ablate.study.claim import depends_on_training
from ablate.study.control import NOT_INTERPRETABLE

if TYPE_CHECKING:
    from ablate.judging import Judgement

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
        found = "less than it says" if claim.at_least else "the opposite"
        return f"Do not teach it: the runs show {found}{trained}{budget}."
    if kind == "no difference":
        return f"It can be taught that any difference is below {margin(judgement)}{trained}{budget}."
    if kind in OPEN:
        return f"Leave it open: {why_open(judgement)}."
    return ""


def why_open(judgement: "Judgement") -> str:
    """Return why the runs leave a claim open, from its numbers; "" for a claim that is decided, or was not tested.

    Either a control has not come out, or no arm learns, or the interval is wider than the margin (the noise of the
    seeds hides a difference of that size), or it is narrow and lies across the end of the margin.
    """
    claim, outcome = judgement.claim, judgement.outcome
    if outcome not in OPEN:
        return ""
    if outcome == NOT_INTERPRETABLE:
        return f"a larger budget or more seeds are needed, since {judgement.reason}"
    if outcome == "neither trains":
        return "no arm is better than guessing, so a larger budget is needed"
    unit = unit_of(claim)
    failed = [f"{side.failed} of {side.total}" for side in judgement.trained if side.failed]
    note = f" ({' and '.join(failed)} runs of a side failed)" if failed else ""
    low, high = judgement.low, judgement.high
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)) or (unit.is_factor and low <= 0):
        return f"the seeds bound the effect on one side at most{note}"
    half = math.log(high / low) / 2 if unit.is_factor else (high - low) / 2
    own = math.log(claim.smallest_effect) if unit.is_factor else claim.smallest_effect
    more = f"; {plural(judgement.further_seeds, 'further seed')} would decide it" if judgement.further_seeds else ""
    shown = unit.interval(low, high)
    if half > own:
        width = (
            f"a factor of {math.exp(half):.3g} either way" if unit.is_factor else f"±{unit.effect(half).lstrip('+')}"
        )
        return (
            f"the noise of {plural(judgement.num_seeds, 'seed')} is {width}, wider than the margin of "
            f"{margin(judgement)}, so a true difference of that size could not be seen{note}{more}"
        )
    return f"the true difference may lie on either side of the margin of {margin(judgement)}: {shown}{note}{more}"


def margin(judgement: "Judgement") -> str:
    """Return the smallest effect that matters, with its unit."""
    unit = unit_of(judgement.claim)
    return unit.effect(judgement.claim.smallest_effect).lstrip("+")

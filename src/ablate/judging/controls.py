"""What a study's positive controls mean for its claims, see `ablate.study.control.Control`."""

from collections.abc import Sequence
from dataclasses import replace

from ablate.judging.judgement import Judgement
from ablate.study.control import NOT_INTERPRETABLE, Control

PASSED = ("supported", "supported if trained")
UNDECIDED = ("incomplete", "not comparable")
# What an incomplete claim does not show: a conclusion before all runs are there would be an undeclared look.
CONCLUSIONS = (
    "low", "high", "p", "p_adjusted", "equivalence_p", "equivalence_p_adjusted", "equivalence_low",
    "equivalence_high", "equivalence_level", "further_seeds", "bootstrap",
    "sign_flip_p", "sign_flip_smallest_p", "improvement", "item_interval", "stands_to",
)  # fmt: skip


def restrict(judgement: Judgement, controls: Sequence[Judgement]) -> Judgement:
    """Return the judgement of a claim with the controls that it depends on.

    A control passes if it is supported, also where it is so for nets that train only: the claims say the same of
    themselves. If one does not pass, the claim is not interpretable at this budget, whatever its own test says; its
    numbers are kept. If the runs of one are missing or cannot be compared, the claim is incomplete. A claim that is
    incomplete or not comparable itself stays so.

    Args:
        judgement: of the claim, without controls.
        controls: judgements of all controls that are asked for.
    """
    own = [found for found in controls if isinstance(found.claim, Control) and found.claim.concerns(judgement.claim)]
    if not own or judgement.outcome in UNDECIDED:
        return replace(judgement, controls=own)
    if failed := [found for found in own if found.outcome not in (*PASSED, *UNDECIDED)]:
        reason = "; ".join(f"{described(found)} has not passed: {found.outcome}" for found in failed)
        return replace(judgement, controls=own, outcome=NOT_INTERPRETABLE, reason=reason, further_seeds=None)
    if missing := [found for found in own if found.outcome in UNDECIDED]:
        reason = "; ".join(f"{described(found)} is {found.outcome}: {found.reason}" for found in missing)
        nothing = dict.fromkeys(CONCLUSIONS)
        return replace(judgement, controls=own, outcome="incomplete", reason=reason, **nothing)  # type: ignore[arg-type]
    return replace(judgement, controls=own)


def described(control: Judgement) -> str:
    """Return name and sentence of a control."""
    return f'the control {control.claim.name} ("{control.claim.text.rstrip(".")}")'

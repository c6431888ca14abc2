"""What a study's file says now, against what was written down when the study began."""

from collections.abc import Mapping, Sequence
from typing import Any

from ablate.study.claim import Claim
from ablate.study.registration import FOR_READERS, PROGRAM, differing, plan_of
from ablate.study.study import Study

COMPARED_OTHERWISE = ("claims", "controls", "only", PROGRAM)  # parts of a plan


def against_file(registered: Study, declared: Study) -> list[str]:
    """Return in what a study differs from its file now, but for its claims: controls, error level, looks and so on.

    Args:
        registered: of the manifest, without further looks.
        declared: of the file, with the changes of the study's command.
    """
    found = [
        f"control {control.name}: {problem}"
        for control in registered.controls
        for problem in claim_against_file(control, declared.controls)
    ]
    pairs = ((registered.claims, declared.claims), (registered.controls, declared.controls))
    for then, now in pairs:
        known = [item.name for item in then]
        found += [f"{item.kind} {item.name} is not in the manifest" for item in now if item.name not in known]
    old, new = (_rest(plan_of(study, [])) for study in (registered, declared))
    changed = differing(old, new).items()
    return found + [f"{key} is {now!r} in the study's file, {then!r} in the manifest" for key, (then, now) in changed]


def _rest(plan: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in plan.items() if key not in COMPARED_OTHERWISE}


def claim_against_file(registered: Claim, declared: Sequence[Claim]) -> list[str]:
    """Return in what a claim or a control differs from the one of its name in the study's file now."""
    there = next((claim for claim in declared if claim.name == registered.name), None)
    if there is None:
        return [f"the study's file has no such {registered.kind} any more"]
    then, now = vars(registered), vars(there)
    return [
        f"{key} is {now[key]!r} in the study's file, {then[key]!r} in the manifest"
        for key in then
        if key not in FOR_READERS and then[key] != now[key]
    ]

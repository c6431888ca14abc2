"""Positive controls of a study: statements that are known to be true, and have to pass at the study's budget."""

from dataclasses import dataclass, field
from typing import ClassVar

from ablate.errors import UserError
from ablate.study.claim import Claim, depends_on_training

NOT_INTERPRETABLE = "not interpretable at this budget"  # the outcome of a claim that such a control does not support


@dataclass(frozen=True, kw_only=True)
class Control(Claim):
    """A statement that has to be supported before the study's verdicts mean anything.

    A budget at which a net with ReLU is not better than a linear net cannot rank activations. So a control is a claim
    about which there is no doubt, and the claims that depend on it get no verdict unless it is supported. It is tested
    at the study's error level, spent over its looks, by itself and outside the families: a control that passes by
    chance only leaves the claims the verdicts that they would have without it. In this way controls never raise the
    error rate of a family, whose size they do not change.

    Args:
        claims: names of the claims that depend on the control; by default all that a test decides and whose metric is
            measured on trained nets. Identities, costs in seconds and measurements before the first step do not depend
            on whether training has come far enough.

    >>> control = Control(
    ...     name="learns", text="The net learns.", form="greater", treatment={"net": "micro"}, value=0.1,
    ...     smallest_effect=0.1, at_least=True,
    ... )
    >>> sides = {"treatment": {"activation": "relu"}, "control": {"activation": "tanh"}}
    >>> claim = Claim(name="c", text="", form="greater", smallest_effect=0.02, **sides)
    >>> control.concerns(claim)
    True
    """

    kind: ClassVar[str] = "control"

    claims: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.is_timed:
            raise UserError(
                f"control {self.name!r}: a metric in seconds gets no verdict, so {self.metric} cannot be a control's; "
                "choose another metric"
            )

    def concerns(self, claim: Claim) -> bool:
        """Return whether a claim gets a verdict only if this control is supported."""
        return can_depend(claim) and (not self.claims or claim.name in self.claims)


def can_depend(claim: Claim) -> bool:
    """Return whether a test on trained nets decides the claim, so that a control can be a condition for it."""
    return claim.is_tested and depends_on_training(claim.metric)


def check_controls(controls: list[Control], claims: list[Claim]) -> None:
    """Check that controls and claims have different names, and that controls name claims that can depend on them.

    Raises:
        UserError: names the control and what is wrong.
    """
    known = {claim.name: claim for claim in claims}
    for control in controls:
        where = f"control {control.name!r}"
        if control.name in known:
            raise UserError(f"{where} has the name of a claim; choose another one")
        for name in control.claims:
            if name not in known:
                there = ", ".join(known) or "none"
                raise UserError(f"{where}: `claims` must name claims of the study ({there}), got {name!r}")
            if not can_depend(known[name]):
                raise UserError(
                    f"{where}: `claims` must name claims that a test on trained nets decides, got {name!r}, a claim of "
                    f"form {known[name].form} about {known[name].metric}; drop it"
                )

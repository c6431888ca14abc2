"""What differs between two sides before the first step, other than the claim's factor.

Two arms that start differently may end differently for this reason alone. So the spread of the pre-activations and the
share of the gradient that reaches the first layer, both before the first step, are compared between treatment and
control. A difference is *explained* where it is what the claim is about:

- the sides differ only in axes that set the initial state (`SETS_INITIAL_STATE`): the initialization, the
  normalization, the preprocessing, the data or the net. Sides that differ in the activation too, each with the
  initialization that is recommended for it, are not among these;
- or the claim named the measurement in `explained_by` when the plan was registered: its factor is meant to work in this
  way, as a sigmoid's gradient vanishes. A measurement that is named later explains nothing: its remark stays.

Otherwise the factor explains no difference, since each arm's initialization is there to keep the signal, and a ratio
beyond `LIMIT` is remarked on beside the verdict. It does not change the verdict: whether the initial state is the cause
is for another arm to show.
"""

import math
from collections.abc import Collection, Sequence

from ablate.judging.judgement import Confounder
from ablate.study.claim import Claim, depends_on_training
from ablate.study.results import ArmResult

MEASURED = ("initial/pre_activation/std", "initial/gradient_norm/first_last")
LIMIT = 2.0  # He's gain against Xavier's is sqrt(2) a layer: two layers of it
SETS_INITIAL_STATE = ("initializer", "normalization", "preprocessing", "data", "net", "augmentation", "recipe")


def confounders(
    claim: Claim, cells: Sequence[Sequence[ArmResult]], declared: Collection[str], registered: Collection[str]
) -> list[Confounder]:
    """Return what differs by more than `LIMIT` before the first step and is not explained.

    Only claims that compare trained nets of two sides can be confounded in this way. Means are geometric, over runs
    and arms of a side; nothing is returned where a side has no run with the measurement.

    Args:
        claim: any.
        cells: its arms, treatment and control.
        declared: axes in which the two sides differ.
        registered: what `explained_by` named when the plan was registered.
    """
    is_about_it = all(any(f"{axis}.".startswith(f"{group}.") for group in SETS_INITIAL_STATE) for axis in declared)
    if len(cells) != 2 or not depends_on_training(claim.metric) or is_about_it:
        return []
    found = []
    for metric in MEASURED:
        if metric in claim.explained_by and metric in registered:
            continue
        treatment, control = (geometric_mean(cell, metric) for cell in cells)
        if treatment is not None and control is not None and abs(math.log(treatment / control)) > math.log(LIMIT):
            found.append(Confounder(metric=metric, treatment=treatment, control=control))
    return found


def geometric_mean(cell: Sequence[ArmResult], metric: str) -> float | None:
    """Return the geometric mean over all runs of a cell; None without a run that has the metric, finite and above 0."""
    values = [record.metrics.get(metric) for arm in cell for record in arm.records.values()]
    logs = [math.log(value) for value in values if value is not None and math.isfinite(value) and value > 0]
    return math.exp(sum(logs) / len(logs)) if logs else None

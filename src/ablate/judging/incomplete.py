"""Why a claim cannot be decided yet: missing runs, and runs without a value that it can use."""

from collections.abc import Sequence

from ablate.judging.effects import Scores, unusable
from ablate.study.claim import Claim, depends_on_training
from ablate.study.results import ArmResult
from ablate.study.study import Study


def why_missing(cells: Sequence[Sequence[ArmResult]], study: Study) -> str:
    """Return how many runs of each arm are missing and how many of these failed, "" where none is missing."""
    reasons = (_missing(arm, study) for cell in cells for arm in cell)
    return "; ".join(reason for reason in reasons if reason)


def why_unusable(claim: Claim, cells: Sequence[Sequence[ArmResult]], scores: Scores) -> str:
    """Return how many runs of each arm have no value that the claim can use, "" where all have."""
    reasons = []
    for arms, counts in zip(cells, unusable(claim, scores).sum(axis=-1), strict=True):
        for arm, count in zip(arms, counts, strict=True):
            if count:
                diverged = sum(record.status == "diverged" for record in arm.records.values())
                what = f"{claim.metric} above 0" if claim.form == "ratio" else claim.metric
                cause = f", {diverged} diverged" if diverged else ""
                cause += f", {arm.num_non_finite} not finite at inference" if arm.num_non_finite else ""
                reasons.append(f"{arm.label}: {count} of {len(arm.records)} runs have no {what}{cause}")
    return "; ".join(reasons)


def why_diverged(claim: Claim, cells: Sequence[Sequence[ArmResult]]) -> str:
    """Return how many runs of each arm diverged, "" where none did or the metric is not of trained nets.

    The scores of a run that diverged are those of guessing, put there by the program: two of them agree whatever the
    nets would have done, so that an identity cannot use them.
    """
    arms = [arm for cell in cells for arm in cell] if depends_on_training(claim.metric) else []
    diverged = [(arm, sum(record.status == "diverged" for record in arm.records.values())) for arm in arms]
    return "; ".join(
        f"{arm.label}: {count} of {len(arm.records)} runs diverged, whose scores are those of guessing, not of a net; "
        "choose settings with which every run stays finite, such as a lower optimizer.lr"
        for arm, count in diverged
        if count
    )


def _missing(arm: ArmResult, study: Study) -> str:
    if arm.chosen is None:
        num_runs = len(arm.tuning) * len(study.tuning_seeds)
        num_missing = num_runs - sum(len(records) for records in arm.tuning)
        # Failures are known by seed, not by tuned value, so this is a lower bound.
        num_failed = sum(seed in arm.failures for seed in study.tuning_seeds)
        failed = f", at least {num_failed} failed" if num_failed else ""
        failed += f", {len(arm.refused)} with a refused record" if arm.refused else ""
        return f"{arm.label}: {num_missing} of {num_runs} tuning runs are missing{failed}"
    missing = [seed for seed in study.seeds if seed not in arm.records]
    num_failed = sum(seed in arm.failures for seed in missing)
    failed = f", {num_failed} failed" if num_failed else ""
    failed += f", {len(arm.refused)} with a refused record" if arm.refused else ""
    return f"{arm.label}: {len(missing)} of {len(study.seeds)} runs are missing{failed}" if missing else ""

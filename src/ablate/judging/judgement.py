"""What a report says of a claim."""

from dataclasses import dataclass, field
from typing import Any

from ablate.study.claim import Claim


@dataclass(frozen=True, kw_only=True)
class AtValue:
    """The same comparison with all arms at one value of the tuned nuisance, from tuning seeds and validation scores.

    Args:
        value: of the nuisance.
        estimate, low, high: effect and 95 % interval, in the judgement's unit; None where runs are missing or diverged
            without a score.
        num_seeds: tuning seeds that are complete.
    """

    value: Any
    estimate: float | None
    low: float | None
    high: float | None
    num_seeds: int


@dataclass(frozen=True, kw_only=True)
class Mechanism:
    """A diagnostic that the claim says explains it: means over the runs at hand, None where none has it.

    Args:
        metric: key of `Record.metrics`.
        treatment, control: means over seeds and arms of the two sides; runs that diverged are left out.
        runs: of the two sides, (runs that the mean is over, runs that the claim is about); None: all of them.
    """

    metric: str
    treatment: float | None
    control: float | None
    runs: tuple[tuple[int, int], ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Trained:
    """How many runs of one cell of a claim failed to train, see `ablate.judging.trained`.

    Args:
        label: of the cell's arm, or what several arms have in common.
        failed, total: runs (with several arms: seeds in which one of them failed).
        at_most: upper limit of the share of runs that fail, with 95 %.
    """

    label: str
    failed: int
    total: int
    at_most: float


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """A claim with its verdict and the numbers it rests on, fractions staying fractions.

    A claim that is incomplete has means, estimate and differences of the pairs that are complete, for orientation, but
    neither interval nor p: drawing conclusions before the seeds are in would be a look that nobody declared.

    Args:
        claim: the claim.
        outcome: "supported", "contradicted", "no difference", each of them also "... if trained"; "neither trains",
            "inconclusive", "incomplete", "not comparable"; "measured" of a metric in seconds, which gets no verdict.
        reason: why a claim is incomplete or not comparable; "" otherwise.
        treatment, control: labels of the arms that are compared; of a trend the last and the first of its order.
        treatment_mean, control_mean: means of the metric over complete pairs (of a ratio: geometric means); None where
            there are none, or a value was never reached.
        estimate, low, high: the effect and its interval, in units of the metric (a ratio: as a factor; an identity: the
            largest absolute difference, without interval); None where nothing can be estimated; an end is infinite (a
            ratio's lower end 0) where the scores give none.
        level: confidence of the interval, 1 - the claim's Holm level.
        p, p_adjusted: two-sided, of no effect, or of the number that a claim `at_least` names; adjusted for family and
            looks.
        equivalence_p_adjusted: of the two one-sided tests against the smallest effect.
        num_seeds: complete pairs, those included in which a ratio's value was never reached.
        further_seeds: seeds to add to decide; None where decided, unknown or out of reach.
        differences: the paired differences in the order of seeds (a ratio: log ratios), where both values are known.
        bootstrap: 95 % BCa interval of the effect, in its unit; None where it is not defined.
        sign_flip_p, sign_flip_smallest_p: exact sign-flip test and the smallest value it could have reached.
        improvement: fraction of pairs in which the treatment is better, ties half; smaller is better where that is
            what is claimed.
        item_interval: 95 % interval of a difference of test accuracies over the draw of test images, for these nets;
            None for other metrics and forms, and where a run diverged.
        unread: why there is no such interval although the claim could have one: predictions that cannot be read.
        value_sensitive: whether moving one arm to a neighbouring value of the tuned nuisance changes the category of
            the effect (see `ablate.judging.tuning.value_sensitive`); None where nothing is tuned.
        at_values: the comparison at equal values of the nuisance.
        edges: labels of arms whose best value, tuned here or before, lies on the edge of the grid.
        mechanisms: what the claim is explained by.
        budget: net, images and epochs the verdict was reached at.
        trained: how many runs of each cell failed; empty where the metric does not depend on training.
        failure_share: share of failing runs that the verdict stands for, or the seeds exclude.
        stands_to: share of failing runs up to which a difference of accuracies stands; None where it is not known, or
            the seeds exclude so many that it need not.
        equivalence_p: of the two one-sided tests, unadjusted.
        num_images: test images that decided the claim, where they are the replicates; None where seeds are.
        spread: least and greatest value of a metric in seconds over the runs, in the unit of the estimate.
        num_machines: on which these runs were made.
    """

    claim: Claim
    outcome: str
    reason: str = ""
    treatment: str = ""
    control: str = ""
    treatment_mean: float | None = None
    control_mean: float | None = None
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    level: float = 0.95
    p: float | None = None
    p_adjusted: float | None = None
    equivalence_p_adjusted: float | None = None
    num_seeds: int = 0
    further_seeds: int | None = None
    differences: list[float] = field(default_factory=list)
    bootstrap: tuple[float, float] | None = None
    sign_flip_p: float | None = None
    sign_flip_smallest_p: float | None = None
    improvement: float | None = None
    item_interval: tuple[float, float] | None = None
    unread: list[str] = field(default_factory=list)
    value_sensitive: bool | None = None
    at_values: list[AtValue] = field(default_factory=list)
    edges: list[str] = field(default_factory=list)
    mechanisms: list[Mechanism] = field(default_factory=list)
    budget: str = ""
    trained: list[Trained] = field(default_factory=list)
    failure_share: float | None = None
    stands_to: float | None = None
    equivalence_p: float | None = None
    num_images: int | None = None
    spread: tuple[float, float] | None = None
    num_machines: int | None = None

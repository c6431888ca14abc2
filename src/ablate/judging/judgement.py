"""The judgement of a claim: its verdict with all numbers that a report shows."""

from dataclasses import dataclass, field
from typing import Any

from ablate.study.claim import Claim


@dataclass(frozen=True, kw_only=True)
class AtValue:
    """The same comparison with all arms at one value of the tuned setting, from tuning seeds and validation scores.

    Args:
        value: of the tuned setting.
        estimate, low, high: effect and 95 % interval, in the judgement's unit; None where runs are missing or diverged
            without a score.
        num_seeds: number of tuning seeds of which no run is missing.
    """

    value: Any
    estimate: float | None
    low: float | None
    high: float | None
    num_seeds: int


@dataclass(frozen=True, kw_only=True)
class Mechanism:
    """A diagnostic that should explain the claim (`explained_by`): its means, None where no run has it.

    Args:
        metric: key of `Record.metrics`.
        treatment, control: means over seeds and arms of the two sides; runs that diverged are left out.
        runs: of each side, (runs that the mean is over, runs that the claim is about); None where they are equal.
    """

    metric: str
    treatment: float | None
    control: float | None
    runs: tuple[tuple[int, int], ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Confounder:
    """A measurement before the first step in which two sides differ by more than the claim's factor explains.

    Args:
        metric: key of `Record.metrics`.
        treatment, control: geometric means over seeds and arms of the two sides.
    """

    metric: str
    treatment: float
    control: float


@dataclass(frozen=True, kw_only=True)
class Trained:
    """How many runs of one cell of a claim failed to train, see `ablate.judging.trained`.

    Args:
        label: of the cell's arm, or what several arms have in common.
        failed, total: numbers of runs (with several arms: of seeds, failed where a run of any arm failed).
        at_most: upper limit of the share of runs that fail, in [0, 1], with 95 % confidence.
    """

    label: str
    failed: int
    total: int
    at_most: float


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """A claim with its verdict and the numbers that it is based on; accuracies and shares are fractions, not percent.

    An incomplete claim has means, estimate and differences of the complete pairs, for orientation, but neither interval
    nor p: a conclusion before all seeds have finished would be an undeclared look.

    Args:
        claim: the claim.
        outcome: "supported", "contradicted", "no difference", each of them also "... if trained"; "neither trains",
            "inconclusive", "incomplete", "not comparable"; "measured" of a metric in seconds, which gets no verdict;
            "not interpretable at this budget" where a positive control has not passed.
        reason: why a claim is incomplete, not comparable or not interpretable; "" otherwise.
        treatment, control: labels of the arms that are compared; of a trend the last and the first of its order.
        treatment_mean, control_mean: means of the metric over complete pairs (of a ratio: geometric means); None where
            there are none, or a threshold was never reached.
        estimate, low, high: the effect and its interval, in units of the metric (a ratio: as a factor; an identity: the
            largest absolute difference, without interval); None where nothing can be estimated; a limit is infinite (a
            ratio's lower limit 0) where the scores give none.
        level: confidence of the interval, 1 - the claim's Holm error level.
        p, p_adjusted: two-sided, of no effect, or of the number that an `at_least` claim names; adjusted for family
            and looks.
        equivalence_p_adjusted: of the two one-sided tests against the smallest effect.
        num_seeds: number of complete pairs, with those in which a ratio's threshold was never reached.
        further_seeds: number of seeds to add for a decision; None where decided, not known, or too many.
        differences: the paired differences in the order of seeds (a ratio: log ratios), where both values are known.
        bootstrap: 95 % BCa interval of the effect, in its unit; None where it is not defined.
        sign_flip_p, sign_flip_smallest_p: exact sign-flip test and the smallest value it could have reached.
        improvement: fraction of pairs in which the treatment is better, ties half; smaller is better where that is
            what is claimed.
        item_interval: 95 % interval of a difference of test accuracies over other test images, for these nets;
            None for other metrics and forms, and where a run diverged.
        unread: why that interval is missing although the claim could have one: predictions that cannot be read.
        value_sensitive: whether moving one arm to a neighbouring value of the tuned setting changes the category of
            the effect (see `ablate.judging.tuning.value_sensitive`), in the study's own tuning runs or in those that
            fixed its values; None where nothing is tuned or it is not known.
        at_values: the comparison at equal values of the tuned setting.
        edges: labels of arms for which a better value, tuned here or before, may be outside the grid.
        mechanisms: diagnostics that should explain the claim.
        budget: net, images and epochs of the runs that the verdict is from.
        trained: how many runs of each cell failed; empty where the metric does not depend on training.
        failure_share: share of failing runs, in (0, 1), for which the verdict holds, or which the seeds exclude; None
            where the metric does not depend on training.
        stands_to: share of failing runs up to which a difference of accuracies holds; None where it is not known, or
            not needed because the seeds exclude failures.
        equivalence_p: of the two one-sided tests, unadjusted.
        equivalence_low, equivalence_high, equivalence_level: the interval that lies within the smallest effect of
            interest exactly where the equivalence test decides, in the unit of the effect, and its confidence; None
            where equivalence is not tested.
        num_images: test images that decided the claim, where they are the replicates; None where seeds are.
        spread: least and greatest value of a metric in seconds over the runs, in the unit of the estimate.
        num_machines: number of machines on which these runs were made.
        look, num_looks: at which declared look the claim was judged, from 1, and their number; None where the study
            does not declare the seeds of its looks.
        planned_seeds: number of seeds of that look.
        next_look, next_seeds: the look whose runs the open claim needs now, and its number of seeds; None where it
            needs no further ones.
        missing: which of these runs are missing.
        post_hoc: why the claim does not count as made before its runs, "" where it does.
        finished_before: (runs that had finished when the claim was registered, runs of the claim); None where none had.
        controls: judgements of the positive controls that the claim depends on.
        confounders: in what the two sides differ before the first step, see `ablate.judging.confounders`.
        devices: number of the claim's runs by type of device ("cpu", "cuda"); empty where all were made on one type.
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
    equivalence_low: float | None = None
    equivalence_high: float | None = None
    equivalence_level: float | None = None
    num_images: int | None = None
    spread: tuple[float, float] | None = None
    num_machines: int | None = None
    look: int | None = None
    num_looks: int | None = None
    planned_seeds: int | None = None
    next_look: int | None = None
    next_seeds: int | None = None
    missing: str = ""
    post_hoc: str = ""
    finished_before: tuple[int, int] | None = None
    controls: "list[Judgement]" = field(default_factory=list)
    confounders: list[Confounder] = field(default_factory=list)
    devices: dict[str, int] = field(default_factory=dict)

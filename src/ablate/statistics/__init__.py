"""From paired scores to verdicts: pure functions on arrays of shape (num_seeds,) and (num_seeds, num_arms)."""

from ablate.statistics.censoring import RankEffect, rank_effect
from ablate.statistics.claims import Effect, Identity, difference, identity, ratio, trend
from ablate.statistics.description import (
    Description,
    Improvement,
    SignFlip,
    bca_interval,
    describe,
    improvement,
    sign_flip,
)
from ablate.statistics.effects import Interval, MeanEffect, mean_effect
from ablate.statistics.failures import Exposure, Failures, clopper_pearson, seeds_to_exclude
from ablate.statistics.families import Holm, false_discovery, holm, look_alpha
from ablate.statistics.guarded import GuardedEffect, guarded_effect
from ablate.statistics.image_interval import AccuracyDifference, accuracy_difference, hit_difference, image_differences
from ablate.statistics.power import (
    SeedsNeeded,
    VerdictProbabilities,
    difference_power,
    equivalence_power,
    seeds_needed,
    verdict_probabilities,
)
from ablate.statistics.sequential import Looks, holm_at_look, look_levels, over_looks
from ablate.statistics.verdicts import Comparison, Direction, Outcome, Verdict, decide

__all__ = [
    "AccuracyDifference",
    "Comparison",
    "Description",
    "Direction",
    "Effect",
    "Exposure",
    "Failures",
    "GuardedEffect",
    "Holm",
    "Identity",
    "Improvement",
    "Interval",
    "Looks",
    "MeanEffect",
    "Outcome",
    "RankEffect",
    "SeedsNeeded",
    "SignFlip",
    "Verdict",
    "VerdictProbabilities",
    "accuracy_difference",
    "bca_interval",
    "clopper_pearson",
    "decide",
    "describe",
    "difference",
    "difference_power",
    "equivalence_power",
    "false_discovery",
    "guarded_effect",
    "hit_difference",
    "holm",
    "holm_at_look",
    "identity",
    "image_differences",
    "improvement",
    "look_alpha",
    "look_levels",
    "mean_effect",
    "over_looks",
    "rank_effect",
    "ratio",
    "seeds_needed",
    "seeds_to_exclude",
    "sign_flip",
    "trend",
    "verdict_probabilities",
]

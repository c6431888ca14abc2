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
from ablate.statistics.factorial import Change, Contrast, factorial_contrasts
from ablate.statistics.families import Holm, holm, look_alpha
from ablate.statistics.items import AccuracyDifference, accuracy_difference, hit_difference
from ablate.statistics.power import (
    SeedsNeeded,
    VerdictProbabilities,
    difference_power,
    equivalence_power,
    seeds_needed,
    verdict_probabilities,
)
from ablate.statistics.verdicts import Comparison, Direction, Outcome, Verdict, decide

__all__ = [
    "AccuracyDifference",
    "Change",
    "Comparison",
    "Contrast",
    "Description",
    "Direction",
    "Effect",
    "Holm",
    "Identity",
    "Improvement",
    "Interval",
    "MeanEffect",
    "Outcome",
    "RankEffect",
    "SeedsNeeded",
    "SignFlip",
    "Verdict",
    "VerdictProbabilities",
    "accuracy_difference",
    "bca_interval",
    "decide",
    "describe",
    "difference",
    "difference_power",
    "equivalence_power",
    "factorial_contrasts",
    "hit_difference",
    "holm",
    "identity",
    "improvement",
    "look_alpha",
    "mean_effect",
    "rank_effect",
    "ratio",
    "seeds_needed",
    "sign_flip",
    "trend",
    "verdict_probabilities",
]

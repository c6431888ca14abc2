"""From a study's results to one judgement a claim; no torch."""

from ablate.judging.judge import judge
from ablate.judging.judgement import AtValue, Judgement
from ablate.judging.selection import check_claims, check_thresholds

__all__ = ["AtValue", "Judgement", "check_claims", "check_thresholds", "judge"]

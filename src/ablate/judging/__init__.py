"""From a study's results to one judgement per claim; no torch."""

from ablate.judging.judge import judge
from ablate.judging.judgement import AtValue, Judgement, Mechanism, Trained
from ablate.judging.looks import collect
from ablate.judging.selection import check_claims, check_recorded

__all__ = ["AtValue", "Judgement", "Mechanism", "Trained", "check_claims", "check_recorded", "collect", "judge"]

"""A budget of minutes: which claims take their next declared look while there is time.

The looks are at fixed numbers of seeds; the budget only decides whether a look is taken, and for which claims first. So
the order changes how many claims are decided, not how often a verdict is false (see `ablate.statistics.sequential`).
"""

import functools
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ablate.judging.image_interval import read_predictions
from ablate.judging.looks import Looked, replay
from ablate.statistics import RankEffect, Verdict, difference_power, verdict_probabilities
from ablate.study.results import ArmResult, Results

UNKNOWN = 0.5  # chance of a decision where the spread is not known


@dataclass
class Budget:
    """The time of a command for further looks, and which looks it has granted.

    Args:
        minutes: from now.
        num_workers: how many runs are done at once.
        granted: by folder of the study and name of the claim, the last look that it may take; the first is not counted.
    """

    minutes: float
    num_workers: int
    granted: dict[Path, dict[str, int]] = field(default_factory=dict)
    start: float = field(default_factory=time.monotonic)

    @property
    def seconds_left(self) -> float:
        return 60 * self.minutes - (time.monotonic() - self.start)

    def grant(self, studies: Sequence[Results], failed: Collection[str]) -> list[str]:
        """Grant the next looks that fit, and return the claims that take them; empty where none fits.

        Args:
            studies: with the records of all their seeds.
            failed: folders of runs that failed; a claim that needs one of them takes no further look.
        """
        steps = next_looks(studies, self.granted, failed)
        names = []
        for step in chosen(steps, self.seconds_left * self.num_workers):
            self.granted.setdefault(step.folder, {})[step.claim] = step.look
            names.append(step.claim)
        return names


@dataclass(frozen=True, kw_only=True)
class Step:
    """A claim's next look.

    Args:
        folder: of the study.
        claim: its name.
        look: from 2.
        chance: of being decided, in [0, 1].
        seconds: by folder of the run, how long each missing run takes on one worker.
    """

    folder: Path
    claim: str
    look: int
    chance: float
    seconds: Mapping[str, float]


def chosen(steps: Sequence[Step], seconds: float) -> list[Step]:
    """Return the steps to take: always the one with the most chance a second, of those that still fit.

    Runs that an earlier step needs too are counted once.

    Args:
        steps: any number, one a claim.
        seconds: of all workers together.

    Example:
        >>> a, b = (Step(folder=Path(), claim=name, look=2, chance=chance, seconds={name: 60.0, "shared": 30.0})
        ...         for name, chance in (("a", 0.2), ("b", 0.9)))
        >>> [step.claim for step in chosen([a, b], 150)], [step.claim for step in chosen([a, b], 149)]
        (['b', 'a'], ['b'])
    """
    left, known, taken = list(steps), set[str](), list[Step]()

    def cost(step: Step) -> float:
        return sum(each for run, each in step.seconds.items() if run not in known)

    while fitting := [step for step in left if cost(step) <= seconds]:
        best = max(fitting, key=lambda step: step.chance / max(cost(step), 1e-9))
        seconds -= cost(best)
        known |= best.seconds.keys()
        taken.append(best)
        left.remove(best)
    return taken


def next_looks(
    studies: Sequence[Results], granted: Mapping[Path, Mapping[str, int]], failed: Collection[str]
) -> list[Step]:
    """Return the next looks of all open claims that are not granted yet, see `Budget.grant`."""
    steps = []
    for results in (found for found in studies if found.study.schedule):
        for name, looked in replay(results, functools.cache(read_predictions)).items():
            look = looked.next_look
            if look is None or look <= granted.get(results.folder, {}).get(name, 1) or looked.verdict is None:
                continue
            seeds = results.study.seeds[: results.study.schedule[look - 1]]
            arms = [arm for cell in looked.evidence.selection.cells for arm in cell]
            seconds = {run: each for arm in arms for run, each in missing(arm, seeds, results).items()}
            if not failed & seconds.keys():
                odds = chance(looked.verdict, len(seeds), looked)
                steps.append(Step(folder=results.folder, claim=name, look=look, chance=odds, seconds=seconds))
    return steps


def missing(arm: ArmResult, seeds: Sequence[int], results: Results) -> dict[str, float]:
    """Return by folder how long each missing run of an arm takes: the mean of its finished ones."""
    assert arm.chosen is not None, "a claim with a verdict has all runs of its look"
    (own,) = [one for one in results.arms if one.label == arm.label]
    each = sum(record.wall_seconds for record in own.records.values()) / len(own.records)
    return {f"{arm.chosen.folder}/seed-{seed}": each for seed in seeds if seed not in own.records}


def chance(verdict: Verdict, num_seeds: int, looked: Looked | None = None) -> float:
    """Return the probability that a claim is decided at so many seeds, if effect and spread are as they are now.

    Args:
        verdict: of the last look.
        num_seeds: at the next look.
        looked: of the claim; where images are the replicates, further seeds change little.
    """
    comparison, effect = verdict.comparison, verdict.comparison.effect
    error = 1 - verdict.interval.confidence
    if isinstance(effect, RankEffect):
        return UNKNOWN if 2.0 ** (1 - num_seeds) <= error else 0.0
    if not effect.sd > 0:
        return UNKNOWN
    num = num_seeds if looked is None or looked.evidence.num_images is None else effect.num_seeds
    if comparison.at_least:
        return difference_power(effect.estimate - comparison.null, effect.sd, num, error)
    agrees = (1 - verdict.equivalence_interval.confidence) / 2
    odds = verdict_probabilities(effect.estimate, effect.sd, num, comparison.smallest_effect, error, agrees)
    return 1 - odds.inconclusive


def open_claims(results: Results) -> list[str]:
    """Return the names of the claims that wait for a further look."""
    if not results.study.schedule:
        return []
    return [name for name, looked in replay(results, functools.cache(read_predictions)).items() if looked.next_look]

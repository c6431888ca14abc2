"""Differences to a baseline for runs without claims: every arm against one arm, paired by seed.

They are exploratory: nothing was claimed before the runs, and the intervals are not corrected for their number.
"""

import math
from collections.abc import Sequence

from ablate.report.headline import headlines
from ablate.report.phrases import Unit, is_accuracy
from ablate.study.results import ArmResult, Results

NOTE = (
    "Exploratory: paired by seed, 95 % t intervals, not corrected for their number. A verdict needs a claim that is "
    "fixed before the runs: a study."
)
ONE_SEED = "An interval needs two seeds or more: ablate -m ... 'seed=range(5)'"


def contrasts(results: Results) -> list[list[str]]:
    """Return the head and a row for each arm but the baseline; empty where there are claims or only one arm.

    The baseline is the first arm, or the one that `baseline` of the study names. A difference is arm minus baseline of
    the first metric of the tables, over the seeds that both have; a run that lacks the metric is left out, and a
    diverged run scores as guessing.
    """
    study = results.study
    if study.claims or len(results.arms) < 2:
        return []
    base, headline = baseline_arm(results), headlines(results)[0]
    unit = Unit("points", 100.0) if is_accuracy(headline.metric) else Unit("")
    shown = f"{headline.metric.replace('/', ' ')}{', points' if unit.name else ''}"
    others = [arm for arm in results.arms if arm is not base]
    return [
        [f"arm minus {base.label}", shown, "95 % interval", "seeds"],
        *([arm.label, *difference_cells(arm, base, headline.metric, unit)] for arm in others),
    ]


def baseline_arm(results: Results) -> ArmResult:
    """Return the arm that the others are compared with."""
    wanted = results.study.baseline.items()
    return next((arm for arm in results.arms if wanted <= arm.axes.items()), results.arms[0])


def difference_cells(arm: ArmResult, base: ArmResult, metric: str, unit: Unit) -> list[str]:
    """Return the mean difference, its interval, and the number of pairs, "" where they are not known."""
    from ablate.statistics import difference

    seeds = sorted(arm.records.keys() & base.records.keys())
    scores = zip(arm.scores(metric, seeds), base.scores(metric, seeds), strict=True)
    pairs = [pair for pair in scores if all(map(math.isfinite, pair))]
    if not pairs:
        return ["", "", "0"]
    effect = difference(*zip(*pairs, strict=True))
    interval = effect.interval(0.05)
    known = math.isfinite(interval.lower)
    return [
        unit.number(effect.estimate),
        unit.interval(interval.lower, interval.upper) if known else "",
        str(len(pairs)),
    ]


def note(rows: Sequence[Sequence[str]]) -> str:
    """Return the sentence below the table of `contrasts`."""
    return NOTE if any(row[2] for row in rows[1:]) else f"{NOTE} {ONE_SEED}"

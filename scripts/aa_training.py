"""Compare a training with itself and count how often a verdict says that it differs.

Usage: python scripts/aa_training.py STUDY_FOLDER [--splits N] [--seed S] [--smallest-effect E]

The study has one arm and many seeds, e.g. 40. Its runs are split at random into two disjoint blocks of seeds, treatment
and control, and `statistics.decide` gives its verdict. Reads only the runs' records, and prints a Markdown document.
"""

import argparse
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ablate.statistics import Comparison, Outcome, decide, difference
from ablate.study.manifest import read_manifest
from ablate.study.results import Results, collect

METRIC = "test/accuracy"
ALPHA = 0.05
TEXT = """\
# A/A comparisons of real trainings

Written by `scripts/aa_training.py` from the records of {num_runs} runs of one setting, seeds {seeds}; no number is
typed by hand. Setting: {arm}; {net}, {images} training images, {epochs} epochs. `{metric}`: mean {mean:.4f}, standard
deviation over seeds {sd:.4f}; {diverged} diverged.

The runs were split {num_splits} times at random (generator seed {generator_seed}) into two disjoint blocks of seeds.
Nothing differs between the blocks, so "different" (supported or contradicted) is a false verdict; its rate should be
at most {alpha:g} %. With a smallest effect of 0 every interval that excludes 0 counts, which is the strictest test
of the interval; with one above 0 the estimate must reach it too.

Seeds of the two blocks are paired in the order of the random draw, hence arbitrarily: unlike in a study, paired runs
share neither initial weights nor the order of batches. Rates are in percent ± the standard error of {num_splits}
random splits. The splits share the same {num_runs} runs and so are not independent trials of training: the error shows
how well the rate is known for these runs, not how much {num_runs} other runs would change it.
"""


def scores_of(results: Results) -> list[float]:
    """Return the metric of the only arm's runs.

    Raises:
        ValueError: several arms, too few seeds, or runs that are missing.
    """
    if len(results.arms) != 1:
        raise ValueError(f"an A/A study has one arm, got {len(results.arms)}")
    scores = results.arms[0].scores(METRIC, results.study.seeds)
    if len(scores) < 8:
        raise ValueError(f"an A/A study needs at least 8 seeds to be split, got {len(scores)}")
    if missing := sum(not math.isfinite(score) for score in scores):
        raise ValueError(f"{missing} of {len(scores)} runs are missing; finish the study first")
    return scores


def count_outcomes(
    scores: Sequence[float], block: int, smallest_effect: float, num_splits: int, rng: np.random.Generator
) -> Counter[Outcome]:
    """Return how often each verdict was given over random splits into two blocks.

    Args:
        scores: of the runs.
        block: runs in each block, at most half of all.
        smallest_effect: in units of the metric, at least 0.
        num_splits: number of splits.
        rng: draws them.
    """
    outcomes: Counter[Outcome] = Counter()
    for _ in range(num_splits):
        drawn = rng.permutation(scores)
        effect = difference(drawn[:block], drawn[block : 2 * block])
        comparison = Comparison(effect=effect, direction="greater", smallest_effect=smallest_effect)
        outcomes[decide([comparison], alpha=ALPHA)[0].outcome] += 1
    return outcomes


def rate(count: int, total: int) -> str:
    """Return a rate with its standard error, in percent; a count of 0 or of all has the error of half a count."""
    inside = min(max(count, 0.5), total - 0.5) / total
    return f"{100 * count / total:.1f} ± {100 * (inside * (1 - inside) / total) ** 0.5:.1f}"


def document(results: Results, num_splits: int, generator_seed: int, smallest_effect: float) -> str:
    """Return the whole document; equal arguments give equal text."""
    scores = scores_of(results)
    arm, seeds = results.arms[0], results.study.seeds
    settings, levels = arm.planned.variants[0].settings, arm.planned.variants[0].levels
    images = settings["data"]["train_size"]
    rng = np.random.default_rng(generator_seed)
    rows = [
        ["runs a block", "smallest effect", "different", "no difference", "inconclusive"],
        ["---"] * 5,
    ]
    for block in (len(scores) // 4, len(scores) // 2):
        for smallest in dict.fromkeys((0.0, smallest_effect)):
            found = count_outcomes(scores, block, smallest, num_splits, rng)
            different = found[Outcome.SUPPORTED] + found[Outcome.CONTRADICTED]
            counts = (different, found[Outcome.NO_DIFFERENCE], found[Outcome.INCONCLUSIVE])
            rows.append([str(block), f"{smallest:g}", *(rate(count, num_splits) for count in counts)])
    text = TEXT.format(
        num_runs=len(scores),
        seeds=f"{min(seeds)} to {max(seeds)}",
        arm=arm.planned.variants[0].arm,
        net=levels["net"],
        images="all" if images is None else images,
        epochs=settings["trainer"]["epochs"],
        metric=METRIC,
        mean=np.mean(scores),
        sd=np.std(scores, ddof=1),
        diverged=sum(record.status == "diverged" for record in arm.records.values()),
        num_splits=num_splits,
        generator_seed=generator_seed,
        alpha=100 * ALPHA,
    )
    return text + "\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def main() -> None:
    """Print the document."""
    parser = argparse.ArgumentParser(description="Count false verdicts between blocks of runs of one setting.")
    parser.add_argument("folder", type=Path, help="of the study, outputs/studies/NAME-HASH")
    parser.add_argument("--splits", type=int, default=200, help="number of random splits (200)")
    parser.add_argument("--seed", type=int, default=0, help="of the generator that draws them (0)")
    parser.add_argument("--smallest-effect", type=float, default=0.01, help="as a fraction (0.01)")
    arguments = parser.parse_args()
    manifest = read_manifest(arguments.folder)
    if manifest is None:
        parser.error(f"{arguments.folder} has no manifest; give the folder of a study")
    try:
        results = collect(manifest, arguments.folder)
        print(document(results, arguments.splits, arguments.seed, arguments.smallest_effect), end="")
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()

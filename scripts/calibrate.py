"""Measure by simulation how often intervals and verdicts are wrong, and write docs/calibration.md.

Usage: python scripts/calibrate.py [--quick] [--draws N] [--output FILE]

Every section of the document is a function here, whose docstring is the section's title and text. Rates come from
vectorised p values and the package's own Holm; in every table of verdicts the first families are decided by `decide` as
well, and the script stops if the two disagree.
"""

import argparse
import dataclasses
import functools
import inspect
import platform
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray
from scipy import special

from ablate import statistics as st
from ablate.statistics.verdicts import MIN_SEEDS_OF_EQUIVALENCE

ALPHA = 0.05
NUM_CHECKED = 50
Array = NDArray[np.float64]
Table = list[Sequence[object]]
Rng = np.random.Generator
NOISES: dict[str, Callable[[Rng, tuple[int, ...]], Array]] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "heavy tails (t, 3 degrees of freedom)": lambda rng, shape: rng.standard_t(3, shape),
    "skewed (exponential)": lambda rng, shape: rng.standard_exponential(shape) - 1,
    "very skewed (log-normal)": lambda rng, shape: rng.lognormal(size=shape) - np.exp(0.5),
    "every tenth run diverges (10 sd below)": lambda rng, shape: (
        rng.standard_normal(shape) + 1 - 10 * (rng.random(shape) < 0.1)
    ),
    "rounded to 1/5 of the sd": lambda rng, shape: np.round(rng.standard_normal(shape) * 5) / 5,
    "rounded to the sd": lambda rng, shape: np.round(rng.standard_normal(shape)),
}


class Rate:
    """The mean of booleans, one per repetition, with its Monte-Carlo standard error; bold where it exceeds its limit.

    Args:
        hits: the booleans.
        limit: what the rate must not exceed; 1 where there is no limit.
        is_ours: whether the rate is of the package's rules; False for a simpler rule shown for comparison.
    """

    def __init__(self, hits: ArrayLike, limit: float = 1.0, is_ours: bool = True) -> None:
        flags = np.asarray(hits)
        self.value, self.limit, self.is_ours = float(flags.mean()), limit, is_ours
        # An outcome that never or always occurred gets the error of half a hit.
        inside = min(max(self.value, 0.5 / flags.size), 1 - 0.5 / flags.size)
        self.se = (inside * (1 - inside) / flags.size) ** 0.5

    @property
    def is_above(self) -> bool:
        """Whether it exceeds its limit by more than three standard errors."""
        return self.value > self.limit + 3 * self.se

    def __str__(self) -> str:
        text = f"{100 * self.value:.2f} ± {100 * self.se:.2f}"
        return f"**{text}**" if self.is_above else text


class Mean(Rate):
    """The mean of fractions, one per repetition, shown as a rate."""

    def __init__(self, fractions: ArrayLike, limit: float = 1.0) -> None:
        values = np.asarray(fractions)
        self.value, self.limit, self.is_ours = float(values.mean()), limit, True
        self.se = max(float(values.std(ddof=1)), 1 / values.size) / values.size**0.5


def arms(rng: Rng, noise: str, shape: tuple[int, int, int]) -> Array:
    """Return A/A differences from one shared control, `shape` = (num_families, num_seeds, num_claims)."""
    scores = NOISES[noise](rng, (*shape[:2], shape[2] + 1))
    return scores[..., 1:] - scores[..., :1]


def outcomes(d: Array, smallest: float, alpha: float = ALPHA) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return (called different, called equivalent), shape (num_families, num_claims), and check the first families.

    Args:
        d: differences, shape (num_families, num_seeds, num_claims).
        smallest: smallest effect.
        alpha: error level of a family.
    """
    n, mean = d.shape[1], d.mean(axis=1)
    flat = np.ptp(d, axis=1) <= 1e-9 * np.abs(d).max(axis=1)
    se = np.where(flat, 1.0, d.std(axis=1, ddof=1) / n**0.5)
    p = np.where(flat, np.where(mean == 0, 1, 2.0 ** (1 - n)), 2 * special.stdtr(n - 1, -np.abs(mean) / se))
    room = smallest - np.abs(mean)
    p_equivalence = np.where(flat, np.where(room > 0, 2.0**-n, 1), special.stdtr(n - 1, -room / se))
    p_equivalence = p_equivalence if n >= MIN_SEEDS_OF_EQUIVALENCE else np.ones_like(p_equivalence)
    different = st.holm(p, alpha).rejected & (np.abs(mean) >= smallest)
    equivalent = st.holm(p_equivalence, alpha).rejected & ~different
    for family in range(min(NUM_CHECKED, len(d))):
        effects = [st.mean_effect(x) for x in d[family].T]
        claims = [st.Comparison(effect=effect, direction="greater", smallest_effect=smallest) for effect in effects]
        for k, verdict in enumerate(st.decide(claims, alpha=alpha)):
            assert (verdict.outcome in ("supported", "contradicted")) == different[family, k]
            assert (verdict.outcome == "no difference") == equivalent[family, k]
    return different, equivalent


def families(rng: Rng, num_draws: int) -> Table:
    """False differences in A/A families

    All arms are the same, and the claims of a family share one control, so that their differences have a correlation of
    0.5. Percent of families with at least one claim called supported or contradicted, with the smallest effect 0; a
    larger one can only lower it. Differences of equal arms are symmetric for any distribution of the scores; rounding
    to the sd is an extreme case (a tiny test set), in which few seeds may nearly agree by chance.
    """
    rows: Table = [("scores", "claims", "3 seeds", "5 seeds", "10 seeds", "20 seeds")]
    for noise in NOISES:
        for num_claims in (1, 5, 10):
            differences = (arms(rng, noise, (num_draws, n, num_claims)) for n in (3, 5, 10, 20))
            rows.append([noise, num_claims, *(Rate(outcomes(d, 0.0)[0].any(axis=1), ALPHA) for d in differences)])
    return rows


def looks(rng: Rng, num_draws: int) -> Table:
    """False differences when seeds are added

    Five seeds at the first look and five more at each further one: percent of A/A studies with a false difference at
    any look. In the last column the error level is not divided over the looks: this is the error that declared looks
    avoid.
    """
    rows: Table = [("looks", "claims", "error level divided", "error level not divided")]
    for num_looks in (1, 2, 3, 5):
        for num_claims in (1, 5):
            d = arms(rng, "normal", (num_draws, 5 * num_looks, num_claims))
            shared, whole = np.zeros(num_draws, bool), np.zeros(num_draws, bool)
            for look in range(1, num_looks + 1):
                seen = d[:, : 5 * look]
                shared |= outcomes(seen, 0.0, st.look_alpha(ALPHA, look, num_looks))[0].any(axis=1)
                whole |= outcomes(seen, 0.0)[0].any(axis=1)
            rows.append([num_looks, num_claims, Rate(shared, ALPHA), Rate(whole)])
    return rows


def equivalences(rng: Rng, num_draws: int) -> Table:
    """False "no difference"

    The smallest effect is four standard errors of the mean difference. First every true effect is exactly the smallest
    one: percent of families with a claim called no difference. Then every second one is 0: percent of families with a
    false verdict of either kind, at most the sum of the two error levels, 2 alpha.
    """
    rows: Table = [("claims", "seeds", "false no difference", "mixed, either kind")]
    for num_claims in (1, 5, 10):
        for n in (5, 10, 20):
            smallest = 4 * (2 / n) ** 0.5
            d = arms(rng, "normal", (num_draws, n, num_claims))
            wrong = Rate(outcomes(d + smallest, smallest)[1].any(axis=1), ALPHA)
            large = np.arange(num_claims) % 2 == 1
            different, equivalent = outcomes(d + smallest * large, smallest)
            mixed = Rate(np.where(large, equivalent, different).any(axis=1), 2 * ALPHA) if num_claims > 1 else ""
            rows.append([num_claims, n, wrong, mixed])
    return rows


def coverage(rng: Rng, num_draws: int) -> Table:
    """Coverage of the 95 % intervals

    Percent of intervals that contain the true mean, for differences of the named distribution (differences of equal
    arms are never skewed, others may be). BCa: a tenth of the repetitions, 1999 resamples each.
    """
    rows: Table = [("differences", "seeds", "t", "BCa bootstrap")]
    for noise in list(NOISES)[:4]:
        for n in (5, 10, 20):
            d = NOISES[noise](rng, (num_draws, n))
            half_width = special.stdtrit(n - 1, 1 - ALPHA / 2) * d.std(axis=1, ddof=1) / n**0.5
            covered = np.abs(d.mean(axis=1)) <= half_width
            checked = [not st.mean_effect(x).interval(ALPHA).excludes(0) for x in d[:NUM_CHECKED]]
            assert checked == covered[:NUM_CHECKED].tolist()
            bca = [not st.bca_interval(x, rng, ALPHA, 1_999).excludes(0) for x in d[: num_draws // 10]]
            rows.append([noise, n, Rate(covered), Rate(bca)])
    return rows


def verdict_power(rng: Rng, num_draws: int) -> Table:
    """Predicted and simulated verdicts

    A single claim "greater" with smallest effect 1, differences of sd 1: percent, predicted / simulated.
    """
    rows: Table = [("true effect", "seeds", "supported", "no difference", "inconclusive")]
    for effect, n in ((0, 10), (0.5, 10), (1, 10), (1.5, 10), (2, 5), (0, 20), (1, 20), (1.5, 20)):
        predicted = st.verdict_probabilities(effect, 1, n, smallest_effect=1)
        d = rng.standard_normal((num_draws, n, 1)) + effect
        different, equivalent = outcomes(d, 1)
        supported = different & (d.mean(axis=1) > 0)
        simulated = Rate(supported), Rate(equivalent), Rate(~different & ~equivalent)
        chances = predicted.greater, predicted.no_difference, predicted.inconclusive
        rows.append([effect, n, *(f"{100 * p:.2f} / {rate}" for p, rate in zip(chances, simulated, strict=True))])
    return rows


def planning(rng: Rng, num_draws: int) -> Table:
    """Seeds needed

    Seeds that decide with 80 % power for a smallest effect of 1: the interval excludes 0 if the true effect is 1, and
    no difference is shown if it is 0 (percent, predicted / simulated). The last two columns are the mean power of
    studies that plan with the sd of five pilot seeds in place of the true one.
    """
    rows: Table = [("sd", "seeds", "excludes 0", "no difference", "excludes 0, pilots", "no difference, pilots")]
    for sd in (0.5, 1.0, 2.0):
        n = st.seeds_needed(sd, 1).either_way
        assert n is not None
        noise = sd * rng.standard_normal((num_draws, n, 1))
        simulated = Rate(outcomes(noise + 1, 0.0)[0]), Rate(outcomes(noise, 1)[1])
        pilots = sd * np.sqrt(rng.chisquare(4, num_draws // 20) / 4)
        planned = [st.seeds_needed(float(pilot), 1).either_way for pilot in pilots]
        powers = [(st.difference_power(1, sd, k), st.equivalence_power(1, sd, k)) for k in (n, *planned) if k]
        shown = [f"{100 * p:.2f} / {rate}" for p, rate in zip(powers[0], simulated, strict=True)]
        rows.append([sd, n, *shown, *(f"{100 * p:.0f}" for p in np.mean(powers[1:], axis=0))])
    return rows


def censored_ratios(rng: Rng, num_draws: int) -> Table:
    """False differences of ratios with censoring

    Epochs to a threshold, log-normal and rounded up, of two equal arms; a share of the runs does not reach it within
    the budget. Percent of single claims called different, with k = 1.
    """
    rows: Table = [("never reached", "6 seeds", "10 seeds", "20 seeds")]
    for share in (0.0, 0.1, 0.3, 0.5):
        rates = []
        for n in (6, 10, 20):
            times = np.ceil(20 * np.exp(rng.standard_normal((num_draws, 2, n)) / 2))
            budget = float(np.ceil(20 * np.exp(special.ndtri(1 - share) / 2))) if share else float(times.max())
            seen = np.where(times > budget, np.inf, times)
            rates.append(Rate([st.ratio(t, c, budget).interval(ALPHA).excludes(0) for t, c in seen], ALPHA))
        rows.append([f"{100 * share:g} %", *rates])
    return rows


def shown_beside(rng: Rng, num_draws: int) -> Table:
    """Sign flips and the probability of improvement

    Percent of A/A claims with a sign-flip p of at most 0.05, and coverage of the 95 % interval of the probability P of
    improvement, without ties and with 20 % of them.
    """
    rows: Table = [("seeds", "sign flip", "P = 0.5", "P = 0.5, ties", "P = 0.8", "P = 0.8, ties")]
    for n in (5, 6, 10):
        rates = [Rate([st.sign_flip(d, rng).p <= ALPHA for d in rng.standard_normal((num_draws, n))], ALPHA)]
        for probability in (0.5, 0.8):
            for ties in (0.0, 0.2):
                wins = probability - ties / 2
                d = rng.choice([1.0, 0.0, -1.0], p=[wins, ties, 1 - wins - ties], size=(num_draws, n))
                rates.append(Rate([not st.improvement(x).interval.excludes(probability) for x in d]))
        rows.append([n, *rates])
    return rows


def seeds_and_images(rng: Rng, num_draws: int) -> Table:
    """Seeds and test images

    Two arms of equal expected accuracy, with spread from seeds, from images, and from both together: percent of 95 %
    intervals that contain 0, for a tenth of the repetitions. The first two intervals leave out one source each.
    """
    rows: Table = [("seeds", "images", "over seeds", "over images", "over both")]
    for num_seeds, num_images in ((3, 500), (5, 500), (10, 500), (5, 2000)):
        covered = []
        for _ in range(num_draws // 10):
            difficulty = 1.5 * rng.standard_normal(num_images) - 1
            image, seed = 0.5 * rng.standard_normal((2, 1, num_images)), 0.1 * rng.standard_normal((2, num_seeds, 1))
            correct = image + seed + rng.standard_normal((2, num_seeds, num_images)) > difficulty
            result = st.accuracy_difference(correct[0], correct[1], np.ones(num_images))
            intervals = (result.seed_interval, result.image_interval, result.total_interval)
            covered.append([not interval.excludes(0) for interval in intervals])
        rows.append([num_seeds, num_images, *map(Rate, np.transpose(covered))])
    return rows


# Accuracies: of guessing, of nets that train, their sd, and the smallest effect.
GUESS, TRAINED, SD, MARGIN = 0.1, 0.43, 0.008, 0.02
SHARE = 0.1  # of runs that may fail in other seeds: the default of a study


def verdicts_of(d: Array, failed: NDArray[np.bool_], share: float = SHARE) -> NDArray[np.str_]:
    """Return the outcome of single claims "greater" on accuracies by the rule of `ablate.judging`, shape (num_claims,).

    Args:
        d: differences, shape (num_claims, num_seeds).
        failed: whether the treatment's run failed, same shape; the control's never fails.
        share: share of failing runs for which a verdict has to hold, or which the seeds have to exclude.
    """
    n = d.shape[1]
    found = []
    for x, f in zip(d, failed, strict=True):
        runs = [st.Failures(int(f.sum()), n), st.Failures(0, n)]
        moves = [0.0 if r.excludes(share) or r.failed == n else share * (TRAINED - GUESS) for r in runs]
        if runs[0].is_mixture and st.mean_effect(x, 1 / 2000).p_value() > ALPHA:
            # The larger p value decides, and a mixture is never called equivalent: no need to count sign flips.
            found.append("inconclusive")
            continue
        effect = st.guarded_effect(x, 1 / 2000) if runs[0].is_mixture else st.mean_effect(x, 1 / 2000)
        exposure = st.Exposure(*moves)
        claim = st.Comparison(effect=effect, direction="greater", smallest_effect=MARGIN, exposure=exposure)
        found.append(decided(claim))
    return np.array(found)


def decided(claim: st.Comparison) -> str:
    """Return the outcome of a family of one claim, without the seeds needed, which take most of the time."""
    return str(st.decide([claim], plan=False)[0].outcome)


def t_alone(d: Array) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return (supported, no difference) of single claims judged by t and the two one-sided tests alone."""
    different, equivalent = outcomes(d[..., None], MARGIN)
    return (different & (d.mean(axis=1)[:, None] > 0))[:, 0], equivalent[:, 0]


def rare_failure(rng: Rng, num_draws: int) -> Table:
    """Runs that sometimes fail

    Accuracies of 43 %, sd 0.8 points, smallest effect 2 points, and a treatment of which some runs fall to guessing, 33
    points below; the control's never do. "No loss": nets that train are equal, so the mean over all runs is lower and
    "no difference" is false. "Gain": nets that train gain exactly what the failures cost, so the mean over all runs is
    equal and "supported" is false. Percent of verdicts by Student's t alone, and by the rule: a verdict has to hold if
    one run in ten failed, or the seeds have to exclude so many failures; where runs failed, the exact sign-flip test
    has to agree with t. A verdict that does not hold becomes "if trained" (last column, percent of verdicts), which is
    true in both cases. The rule covers one run in ten: a treatment that fails in one of five, gains 6.6 points where it
    trains, and by chance fails in no seed, is supported more often than the error level allows. A report shows beside
    each claim how large a share of failures its seeds do not exclude. A twentieth of the repetitions, a hundredth with
    30 seeds.
    """
    rows: Table = [("truth", "fails", "seeds", "false, t alone", "false, the rule", "if trained")]
    for gains in (False, True):
        for fails in (0.1, 0.2):
            for n in (4, 5, 6, 20, 30):
                shape = (max(num_draws // (100 if n > 20 else 20), 20), n)
                failed = rng.random(shape) < fails
                d = SD * rng.standard_normal(shape) - failed * (TRAINED - GUESS) + gains * fails * (TRAINED - GUESS)
                found, plain = verdicts_of(d, failed), t_alone(d)
                false = "supported" if gains else "no difference"
                rates = Rate(plain[0 if gains else 1], ALPHA, False), Rate(found == false, ALPHA)
                truth = f"gain of {100 * fails * (TRAINED - GUESS):.1f} points" if gains else "no loss"
                rows.append([truth, f"{100 * fails:g} %", n, *rates, Rate(found == f"{false} if trained")])
    return rows


def failures_excluded(rng: Rng, num_draws: int) -> Table:
    """The upper limit of the share of runs that fail

    Percent of arms whose 95 % upper limit of the share of failing runs is below the true share: at most 5 %, since the
    limit of Clopper and Pearson is exact.
    """
    rows: Table = [("true share", "4 seeds", "6 seeds", "16 seeds", "30 seeds")]
    for share in (0.05, 0.1, 0.2, 0.5):
        rates = []
        for n in (4, 6, 16, 30):
            limits = np.array([st.Failures(k, n).at_most for k in range(n + 1)])
            rates.append(Rate(limits[rng.binomial(n, share, num_draws)] < share, ALPHA))
        rows.append([f"{100 * share:g} %", *rates])
    return rows


def bimodal_and_skewed(rng: Rng, num_draws: int) -> Table:
    """Bimodal and skewed scores

    "Bimodal against bimodal": equal arms whose runs end at one of two accuracies, 15 points apart. "Constant against
    bimodal, seen": half of the treatment's runs end at guessing, half as far above the control as guessing is below, so
    that the mean difference is 0; runs that guess count as failed. "Unseen": the same where both accuracies are far
    above guessing, so that no run counts as failed. "Value": a claim that a mean is above or below a value, for
    exponential scores with an sd of 15 points, whose mean is that value. Percent called different by t alone, and by
    the rule (a twentieth of the repetitions); the rule's "if trained" is not counted. Few seeds that by chance all lie
    on one side do not show a second mode or a tail: cells in bold stay above the error level, and in these cases a
    verdict of few seeds cannot be trusted.
    """
    rows: Table = [("differences", "judged by", "3 seeds", "4 seeds", "5 seeds", "6 seeds", "10 seeds", "20 seeds")]
    seeds, num = (3, 4, 5, 6, 10, 20), max(num_draws // 20, 20)
    jitter, gap = 0.001, 0.15
    middle = (GUESS + TRAINED) / 2
    cases: dict[str, Callable[[int], tuple[Array, NDArray[np.bool_]]]] = {
        "bimodal against bimodal": lambda n: (
            gap * ((rng.random((num, n)) < 0.5) * 1.0 - (rng.random((num, n)) < 0.5)) + jitter * noise(n),
            np.zeros((num, n), bool),
        ),
        "constant against bimodal, seen": lambda n: seen(rng.random((num, n)) < 0.5, n),
        "constant against bimodal, unseen": lambda n: (
            gap * np.where(rng.random((num, n)) < 0.5, 1, -1) + jitter * noise(n),
            np.zeros((num, n), bool),
        ),
        "value, exponential": lambda n: (gap * (rng.standard_exponential((num, n)) - 1), np.zeros((num, n), bool)),
    }

    def noise(n: int) -> Array:
        return rng.standard_normal((num, n))

    def seen(low: NDArray[np.bool_], n: int) -> tuple[Array, NDArray[np.bool_]]:
        return np.where(low, GUESS - middle, TRAINED - middle) + jitter * noise(n), low

    for name, case in cases.items():
        plain, ruled = [], []
        for n in seeds:
            d, failed = case(n)
            plain.append(Rate(outcomes(d[..., None], MARGIN)[0][:, 0], ALPHA, False))
            ruled.append(Rate(np.isin(verdicts_of(d, failed), ["supported", "contradicted"]), ALPHA))
        rows += [[name, "t alone", *plain], [name, "the rule", *ruled]]
    return rows


def resolved(rng: Rng, num_draws: int) -> Table:
    """The resolution of the test images

    Equal differences, and differences in which one image of 2,000 differs in one seed or in all: the outcome of a claim
    "greater" with the given smallest effect, by the rule (the standard error is at least one image, and equivalence
    needs three seeds). Whole epochs are rounded up, with a variance of 1/12. No simulation: each cell is one decision.
    """
    rows: Table = [("differences", "smallest effect", "2 seeds", "3 seeds", "6 seeds", "100 seeds")]
    image, epoch = 1 / 2000, float(np.sqrt(2 / 12))
    cases = [
        ("+30 points in every seed", 0.3, 0.3, image, MARGIN),
        ("+30 points, one image more in one seed", 0.3, 0.3 + image, image, MARGIN),
        ("one image in every seed", image, image, image, 1e-4),
        ("one image in one seed", 0.0, image, image, 1e-4),
        ("one image in one seed, equivalence", 0.0, image, image, MARGIN),
        ("3 epochs against 1 in every seed", 2.0, 2.0, epoch, 1.0),
    ]
    for name, most, last, least_error, smallest in cases:
        effects = [st.mean_effect([most] * (n - 1) + [last], least_error) for n in (2, 3, 6, 100)]
        claims = [st.Comparison(effect=e, direction="greater", smallest_effect=smallest) for e in effects]
        rows.append([name, f"{smallest:g}", *map(decided, claims)])
    return rows


def named_numbers(rng: Rng, num_draws: int) -> Table:
    """Claims that name a number

    "At least k", differences of sd 0.1 k, and a true effect of a share of k: percent supported when tested against 0
    with k as the smallest effect, and when tested against k (`at_least`). Both are false for shares up to 1, and the
    one-sided error level is 2.5 %.
    """
    rows: Table = [("true effect / k", "seeds", "against 0", "against k")]
    for share in (0.9, 0.95, 1.0, 1.1, 1.2):
        for n in (3, 5, 10):
            d = share + 0.1 * rng.standard_normal((num_draws, n))
            mean, se = d.mean(axis=1), d.std(axis=1, ddof=1) / n**0.5
            reach = -special.stdtrit(n - 1, ALPHA / 2) * se
            named = mean - reach > 1
            for x, hit in zip(d[:NUM_CHECKED], named, strict=False):
                effect = st.mean_effect(x)
                claim = st.Comparison(effect=effect, direction="greater", smallest_effect=1.0, at_least=True)
                assert (decided(claim) == "supported") == hit
            limit = ALPHA / 2 if share <= 1 else 1.0
            rows.append([share, n, Rate((mean - reach > 0) & (mean >= 1), limit, False), Rate(named, limit)])
    return rows


# Tested claims in each family of the lecture, in the order of its files.
PAGE = (1, 1, 2, 2, 8, 3, 2, 2, 1, 2, 6, 2, 1, 2, 5, 1, 6, 1, 4, 1, 2, 4, 1, 2, 1, 2, 2, 4, 4, 5, 1, 3, 1, 2, 5, 3)


def pages(rng: Rng, num_draws: int) -> Table:
    """Whole pages

    Pages with the families and tests of the lecture, five seeds, one control for all claims of a family, judged at the
    first of two looks. In a share of the families each claim has an effect of 3 sd of its differences. Per page:
    families with a false difference by their own decision (Holm); percent of pages with any; percent of pages with a
    false difference in the headline, which requires q of at most 5 % over the page as well; the mean share of false
    ones among the headline's differences in percent (the false-discovery rate, at most 5 %); and the number of true
    differences found by Holm, by q alone, and in the headline. A fiftieth of the repetitions.
    """
    rows: Table = [
        ("share with an effect", "false families", "any false, Holm", "any false, headline", "false share, headline",
         "true, Holm", "true, q alone", "true, headline")
    ]  # fmt: skip
    num, n, spent = max(num_draws // 50, 20), 5, st.look_alpha(ALPHA, 1, 2)
    owner = np.repeat(np.arange(len(PAGE)), PAGE)
    for share in (0.0, 0.3, 0.7):
        real = rng.random((num, len(PAGE))) < share
        p = np.concatenate([p_values(arms(rng, "normal", (num, n, m)), real[:, i]) for i, m in enumerate(PAGE)], axis=1)
        holm = np.concatenate([st.holm(p[:, owner == i], spent).rejected for i in range(len(PAGE))], axis=1)
        by_q = st.false_discovery(np.minimum(2 * p, 1.0)) <= ALPHA
        head, true = holm & by_q, real[:, owner]
        false_families = np.stack([(holm & ~true)[:, owner == i].any(axis=1) for i in range(len(PAGE))], axis=1)
        found = head.sum(axis=1)
        wrong = (head & ~true).sum(axis=1) / np.maximum(found, 1)
        rows.append(
            [f"{100 * share:g} %", f"{false_families.sum(axis=1).mean():.2f}", Rate(false_families.any(axis=1)),
             Rate((head & ~true).any(axis=1), ALPHA if share == 0 else 1.0), Mean(wrong, ALPHA),
             *(f"{(decision & true).sum(axis=1).mean():.1f}" for decision in (holm, by_q, head))]
        )  # fmt: skip
    return rows


def p_values(d: Array, real: NDArray[np.bool_]) -> Array:
    """Return the p values of paired t tests, shape (num, num_claims).

    Args:
        d: differences, shape (num, num_seeds, num_claims).
        real: families whose claims have an effect, shape (num,): 3 sd are added to their differences.
    """
    d = d + 3 * 2**0.5 * real[:, None, None]
    n = d.shape[1]
    return 2 * np.asarray(special.stdtr(n - 1, -np.abs(d.mean(axis=1)) / (d.std(axis=1, ddof=1) / n**0.5)))


# Looks at declared numbers of seeds: those of `seeds: {from: 4, to: 16, looks: 4}`.
LOOKS = (4, 8, 12, 16)


@dataclasses.dataclass(frozen=True)
class Looked:
    """What became of the claims of families that were looked at repeatedly; all arrays have shape (num, num_claims).

    Args:
        different, equivalent: how a claim was decided.
        seeds: number of seeds of its last look.
        p: two-sided p value at that look.
        look: number of that look, from 1.
    """

    different: NDArray[np.bool_]
    equivalent: NDArray[np.bool_]
    seeds: NDArray[np.int_]
    p: Array
    look: NDArray[np.int_]

    @property
    def decided(self) -> NDArray[np.bool_]:
        return self.different | self.equivalent


def t_tests(d: Array, smallest: float) -> tuple[Array, Array, Array]:
    """Return mean, p value of no difference and of equivalence over axis 1; no differences may all be equal."""
    n, mean = d.shape[1], d.mean(axis=1)
    se = d.std(axis=1, ddof=1) / n**0.5
    p = 2 * np.asarray(special.stdtr(n - 1, -np.abs(mean) / se))
    p_equivalence = np.asarray(special.stdtr(n - 1, -(smallest - np.abs(mean)) / se))
    return mean, p, p_equivalence if n >= MIN_SEEDS_OF_EQUIVALENCE else np.ones_like(p)


def steps_down(p: Array, left: NDArray[np.int_], levels: Array) -> NDArray[np.bool_]:
    """Return which claims Holm's test rejects, shape of p: (num, num_claims).

    Args:
        p: p values; 1 where a claim is not tested.
        left: number of claims that are not rejected yet, shape (num,).
        levels: level of a claim where 1, 2, ... claims are left.
    """
    order = np.argsort(p, axis=1, kind="stable")
    places = np.maximum(left[:, None] - np.arange(p.shape[1]), 1) - 1
    passed = np.logical_and.accumulate(np.take_along_axis(p, order, axis=1) <= levels[places], axis=1)
    return np.take_along_axis(passed, np.argsort(order, axis=1, kind="stable"), axis=1)


def looked_at(
    d: Array, smallest: float, looks: Sequence[int] = LOOKS, reach: ArrayLike | None = None, divided: bool = False
) -> Looked:
    """Return what the looks of `ablate.judging.looks` make of families, and check the first families with `decide`.

    Args:
        d: differences, shape (num_families, num_seeds, num_claims).
        smallest: smallest effect.
        looks: number of seeds at each look.
        reach: the last look that each claim may take, shape (num_families, num_claims); by default all.
        divided: whether to divide the error level by the number of looks (Bonferroni), for comparison.
    """
    num, _, m = d.shape
    last = np.full((num, m), len(looks)) if reach is None else np.asarray(reach)
    shares = ALPHA / np.arange(1, m + 1)
    levels = np.tile(shares / len(looks), (len(looks), 1)) if divided else st.look_levels(shares, looks)
    levels_equivalence = levels if divided else st.look_levels(2 * shares, looks) / 2
    different, equivalent = np.zeros((2, num, m), bool)
    seeds, look_of = np.full((num, m), looks[0]), np.ones((num, m), int)
    left, left_equivalence, p_last = np.full(num, m), np.full(num, m), np.ones((num, m))
    for k, n in enumerate(looks, start=1):
        tested = ~(different | equivalent) & (last >= k)
        mean, p, p_equivalence = t_tests(d[:, :n], smallest)
        differs = steps_down(np.where(tested, p, 1.0), left, levels[k - 1]) & tested
        agrees = steps_down(np.where(tested, p_equivalence, 1.0), left_equivalence, levels_equivalence[k - 1]) & tested
        now = differs & (np.abs(mean) >= smallest)
        different |= now
        equivalent |= agrees & ~now
        decided = tested & (different | equivalent)
        left = left - (decided & differs).sum(axis=1)
        left_equivalence = left_equivalence - (decided & agrees).sum(axis=1)
        seeds, look_of, p_last = np.where(tested, n, seeds), np.where(tested, k, look_of), np.where(tested, p, p_last)
    if not divided:
        for family in range(min(NUM_CHECKED // 5, num)):
            found = decided_at(d[family], smallest, looks, last[family])
            assert [name in ("supported", "contradicted") for name in found] == different[family].tolist()
            assert [name == "no difference" for name in found] == equivalent[family].tolist()
    return Looked(different, equivalent, seeds, p_last, look_of)


def decided_at(d: Array, smallest: float, looks: Sequence[int], reach: Sequence[int]) -> list[str]:
    """Return the outcomes of one family by `decide`, look by look, shape of d: (num_seeds, num_claims)."""
    found = ["inconclusive"] * d.shape[1]
    declared = st.Looks(seeds=tuple(looks), num_claims=d.shape[1])
    for k, n in enumerate(looks, start=1):
        tested = [i for i, name in enumerate(found) if name == "inconclusive" and reach[i] >= k]
        effects = [st.mean_effect(d[:n, i]) for i in tested]
        claims = [st.Comparison(effect=effect, direction="greater", smallest_effect=smallest) for effect in effects]
        for i, v in zip(tested, st.decide(claims, look=k, declared=declared, plan=False), strict=True):
            found[i] = str(v.outcome)
            if v.outcome != "inconclusive":
                declared = dataclasses.replace(
                    declared,
                    num_different=declared.num_different + v.differs,
                    num_equivalent=declared.num_equivalent + v.agrees,
                )
    return found


def declared_looks(rng: Rng, num_draws: int) -> Table:
    """False verdicts where seeds go to open claims

    `seeds: {from: 4, to: 16, looks: 4}`: after each look, decided claims get no further seeds and open ones get four
    more. The error level is spent in equal parts over the looks, by levels that use the dependence of the looks, and by
    division (Bonferroni). "Different": all arms are the same, percent of families with a claim called different, with
    the smallest effect 0. "Equivalent": every true effect is exactly the smallest one (four standard errors at 16
    seeds), percent of families with a claim called no difference. "By a budget": six further looks in all, one by one,
    each for the claim with the smallest p, the order that seeks false verdicts. A fifth of the repetitions; in the last
    column a fiftieth.
    """
    rows: Table = [
        ("scores", "claims", "different, divided", "different", "equivalent", "different, by a budget")
    ]  # fmt: skip
    for noise in list(NOISES)[:5]:
        for num_claims in (1, 5, 10):
            d = arms(rng, noise, (max(num_draws // 5, 20), LOOKS[-1], num_claims))
            smallest = 4 * (2 / LOOKS[-1]) ** 0.5
            rates = [
                Rate(looked_at(d, 0.0, divided=True).different.any(axis=1), ALPHA, is_ours=False),
                Rate(looked_at(d, 0.0).different.any(axis=1), ALPHA),
                Rate(looked_at(d + smallest, smallest).equivalent.any(axis=1), ALPHA) if noise == "normal" else "",
            ]
            few = d[: max(num_draws // 50, 20)]
            reach = by_budget(few, 0.0, min(6, num_claims * (len(LOOKS) - 1)))
            budgeted = looked_at(few, 0.0, reach=reach).different.any(axis=1)
            rows.append([noise, num_claims, *rates, Rate(budgeted, ALPHA)])
    return rows


def by_budget(d: Array, smallest: float, num_steps: int) -> NDArray[np.int_]:
    """Return the last look of each claim if `num_steps` further looks go, one by one, to the smallest p."""
    reach = np.ones((len(d), d.shape[2]), int)
    for _ in range(num_steps):
        found = looked_at(d, smallest, reach=reach)
        p = np.where(found.decided | (reach == len(LOOKS)), 2.0, found.p)
        best = p.argmin(axis=1)
        reach[np.arange(len(d)), best] += p.min(axis=1) <= 1
    return reach


# Effects over the smallest one, equally likely; sd of a difference over the smallest effect.
EFFECTS, SPREADS = (0.0, 0.0, 1.5, 2.5, 5.0), (0.4, 0.8, 1.6)


def seeds_where_they_decide(rng: Rng, num_draws: int) -> Table:
    """Decided claims for the same number of runs

    Families of three claims with one control; true effects are 0, 0, 1.5, 2.5 or 5 smallest effects, and the sd of a
    difference is 0.4, 0.8 or 1.6 of it, the same in a family. Runs a claim: those of all four arms over three; the
    control has as many seeds as the longest claim needs. Percent of claims decided (supported, contradicted or no
    difference), by looks at declared numbers of seeds, and by a fixed number of seeds with as many runs; the runs with
    which fixed seeds decide as many claims (both interpolated between 3, 4, ... 40 seeds); percent of families with a
    false verdict (an effect of 0 called different, or one of at least the smallest effect called no difference): at
    most twice alpha, since the two kinds have an error level each. A tenth of the repetitions.
    """
    num = max(num_draws // 10, 20)
    effects = rng.choice(EFFECTS, (num, 3))
    scores = rng.standard_normal((num, 40, 4)) / 2**0.5 * rng.choice(SPREADS, num)[:, None, None]
    d = scores[..., 1:] - scores[..., :1] + effects[:, None]
    fixed = [(n * 4 / 3, float(looked_at(d[:, :n], 1.0, (n,)).decided.mean())) for n in range(3, 41)]
    rows: Table = [
        ("design", "runs a claim", "decided", "fixed seeds, as many runs", "runs of fixed seeds, as many decided",
         "a false verdict")
    ]  # fmt: skip
    plans: list[tuple[str, tuple[int, ...], bool]] = [
        ("4 to 16 seeds, 4 looks", (4, 8, 12, 16), False),
        ("the same, error level divided", (4, 8, 12, 16), True),
        ("4 to 16 seeds, 3 looks", (4, 10, 16), False),
        ("4 to 16 seeds, 7 looks", (4, 6, 8, 10, 12, 14, 16), False),
        ("3 to 12 seeds, 4 looks", (3, 6, 9, 12), False),
        ("5 to 40 seeds, 8 looks", tuple(range(5, 41, 5)), False),
    ]
    for name, looks, divided in plans:
        found = looked_at(d, 1.0, looks, divided=divided)
        runs = (found.seeds.sum(axis=1) + found.seeds.max(axis=1)).mean() / 3
        false = (found.different & (effects == 0)) | (found.equivalent & (effects >= 1))
        alike = np.interp(runs, *np.transpose(fixed))
        needed = np.interp(found.decided.mean(), *np.transpose(fixed)[::-1], right=np.inf)
        rate, false_rate = Rate(found.decided, is_ours=False), Rate(false.any(axis=1), 2 * ALPHA)
        rows.append([name, f"{runs:.1f}", rate, f"{100 * alike:.1f}", f"{needed:.1f}", false_rate])
    return rows


def pages_of_looks(rng: Rng, num_draws: int) -> Table:
    """Whole pages where seeds go to open claims

    The pages of the section above, with declared looks at 4, 8, 12 and 16 seeds and a smallest effect of one sd of a
    difference; the effects are 3 sd. The q value of a claim is over the whole page and over all looks, from the p value
    of the look at which it rests. A fiftieth of the repetitions.
    """
    rows: Table = [
        ("share with an effect", "seeds a claim", "false families", "any false, headline", "false share, headline",
         "decided", "true, headline")
    ]  # fmt: skip
    num = max(num_draws // 50, 20)
    owner = np.repeat(np.arange(len(PAGE)), PAGE)
    for share in (0.0, 0.3, 0.7):
        real = rng.random((num, len(PAGE))) < share
        parts = []
        for i, m in enumerate(PAGE):
            d = arms(rng, "normal", (num, LOOKS[-1], m)) + 3 * 2**0.5 * real[:, i, None, None]
            parts.append(looked_at(d, 2**0.5))
        different, p, look = (
            np.concatenate([getattr(part, name) for part in parts], axis=1) for name in ("different", "p", "look")
        )
        least = np.stack([st.over_looks(p, k, LOOKS) for k in range(1, len(LOOKS) + 1)])
        by_q = st.false_discovery(np.take_along_axis(least, look[None] - 1, axis=0)[0]) <= ALPHA
        head, true = different & by_q, real[:, owner]
        wrong = [(different & ~true)[:, owner == i].any(axis=1) for i in range(len(PAGE))]
        seeds = np.concatenate([part.seeds for part in parts], axis=1)
        decided = np.concatenate([part.decided for part in parts], axis=1)
        rows.append(
            [f"{100 * share:g} %", f"{seeds.mean():.1f}", f"{np.sum(wrong, axis=0).mean():.2f}",
             Rate((head & ~true).any(axis=1), ALPHA if share == 0 else 1.0),
             Mean((head & ~true).sum(axis=1) / np.maximum(head.sum(axis=1), 1), ALPHA),
             Rate(decided, is_ours=False), f"{(head & true).sum(axis=1).mean():.1f}"]
        )  # fmt: skip
    return rows


def outcome_over_looks(claim_at: Callable[[int], st.Comparison], looks: Sequence[int] = LOOKS) -> str:
    """Return the outcome of a family of one claim at the look at which it rests; `claim_at` takes a number of seeds."""
    outcome, declared = "", st.Looks(seeds=tuple(looks), num_claims=1)
    for k, n in enumerate(looks, start=1):
        outcome = str(st.decide([claim_at(n)], look=k, declared=declared, plan=False)[0].outcome)
        if outcome != "inconclusive":
            break
    return outcome


def rule_over_looks(d: Array, failed: NDArray[np.bool_], looks: Sequence[int], share: float = SHARE) -> list[str]:
    """Return the outcomes of single claims "greater" on accuracies by `verdicts_of`'s rule, looked at repeatedly."""

    def claim(x: Array, f: NDArray[np.bool_], n: int) -> st.Comparison:
        runs = [st.Failures(int(f[:n].sum()), n), st.Failures(0, n)]
        moves = [0.0 if r.excludes(share) or r.failed == n else share * (TRAINED - GUESS) for r in runs]
        plain = st.mean_effect(x[:n], 1 / 2000)
        # A mixture whose t decides nothing is inconclusive: no need to count sign flips.
        is_clear = runs[0].is_mixture and plain.p_value() <= ALPHA
        effect = st.guarded_effect(x[:n], 1 / 2000) if is_clear else plain
        if runs[0].is_mixture and not is_clear:
            effect = dataclasses.replace(plain, sd=1e3)
        return st.Comparison(effect=effect, direction="greater", smallest_effect=MARGIN, exposure=st.Exposure(*moves))

    return [outcome_over_looks(functools.partial(claim, x, f), looks) for x, f in zip(d, failed, strict=True)]


def not_normal_over_looks(rng: Rng, num_draws: int) -> Table:
    """Failing runs, bimodal and skewed scores where seeds go to open claims

    The cases of the sections on runs that sometimes fail and on bimodal and skewed scores, by the rule, with 4 seeds,
    with 16 seeds, and with declared looks from 4 and from 6 seeds on. Percent of false verdicts: "no difference" where
    a tenth or a fifth of the treatment's runs fail without a gain, "supported" where a gain makes up for the failures,
    and "supported" or "contradicted" where the mean difference is 0. A verdict "if trained" is not false. Looks do not
    mend what few seeds do not show: where 4 seeds are above the error level, looks that begin with 4 seeds are so too,
    and a study about such scores has to begin with more. A twentieth of the repetitions.
    """
    rows: Table = [
        ("scores", "4 seeds", "16 seeds", "looks at 4, 8, 12, 16", "of these, if trained", "looks at 6, 10, 14, 18")
    ]
    num, middle, jitter, gap = max(num_draws // 20, 20), (GUESS + TRAINED) / 2, 0.001, 0.15
    later = (6, 10, 14, 18)
    shape = (num, later[-1])
    cases: list[tuple[str, Array, NDArray[np.bool_], tuple[str, ...]]] = []
    for gains in (False, True):
        for fails in (0.1, 0.2):
            failed = rng.random(shape) < fails
            loss = TRAINED - GUESS
            d = SD * rng.standard_normal(shape) - failed * loss + gains * fails * loss
            name = f"{100 * fails:g} % fail, {f'gain of {100 * fails * loss:.1f} points' if gains else 'no gain'}"
            cases.append((name, d, failed, ("supported",) if gains else ("no difference",)))
    none, either = np.zeros(shape, bool), ("supported", "contradicted")
    low = rng.random(shape) < 0.5
    two = gap * ((rng.random(shape) < 0.5) * 1.0 - (rng.random(shape) < 0.5))
    cases += [
        ("bimodal against bimodal", two + jitter * rng.standard_normal(shape), none, either),
        ("constant against bimodal, seen",
         np.where(low, GUESS - middle, TRAINED - middle) + jitter * rng.standard_normal(shape), low, either),
        ("constant against bimodal, unseen", gap * np.where(low, 1, -1) + jitter * rng.standard_normal(shape), none,
         either),
        ("value, exponential", gap * (rng.standard_exponential(shape) - 1), none, either),
    ]  # fmt: skip
    for name, d, failed, false in cases:
        fixed = [Rate(np.isin(verdicts_of(d[:, :n], failed[:, :n]), false), ALPHA, is_ours=False) for n in (4, 16)]
        found, late = (rule_over_looks(d, failed, looks) for looks in (LOOKS, later))
        trained = Rate([outcome.endswith("if trained") for outcome in found])
        rates = [Rate(np.isin(outcomes_of, false), ALPHA) for outcomes_of in (found, late)]
        rows.append([name, *fixed, rates[0], trained, rates[1]])
    return rows


def other_rules_over_looks(rng: Rng, num_draws: int) -> Table:
    """Other rules where seeds go to open claims

    Single claims, with declared looks at 4, 8, 12 and 16 seeds. "At least k": the true effect is exactly k, sd 0.3 k;
    percent supported, at most 2.5 %. "Ratio": epochs to a threshold of equal arms, of which a share does not reach it,
    by signed ranks. "Images": the same nets evaluated in two ways that are equally good on average over all images;
    the replicates are 500 test images, which are the same at every look. Percent called different. A fiftieth of the
    repetitions.
    """
    rows: Table = [("rule", "16 seeds", "looks at 4 to 16 seeds")]
    num = max(num_draws // 50, 20)

    def named(x: Array, n: int) -> st.Comparison:
        return st.Comparison(effect=st.mean_effect(x[:n]), direction="greater", smallest_effect=1.0, at_least=True)

    def ratio(times: Array, budget: float, n: int) -> st.Comparison:
        return st.Comparison(
            effect=st.ratio(times[0, :n], times[1, :n], budget), direction="greater", smallest_effect=0.0
        )

    def images(hits: Array, n: int) -> st.Comparison:
        d = st.image_differences(hits[0, :n], hits[1, :n])
        return st.Comparison(effect=st.mean_effect(d, 1 / d.size), direction="greater", smallest_effect=0.0)

    def row(name: str, claims: Sequence[Callable[[int], st.Comparison]], limit: float) -> None:
        false = ("supported",) if limit < ALPHA else ("supported", "contradicted")
        fixed = Rate(np.isin([decided(claim(LOOKS[-1])) for claim in claims], false), limit, is_ours=False)
        rows.append([name, fixed, Rate(np.isin([outcome_over_looks(claim) for claim in claims], false), limit)])

    effects = 1 + 0.3 * rng.standard_normal((num, LOOKS[-1]))
    row("at least k", [functools.partial(named, x) for x in effects], ALPHA / 2)
    for share in (0.1, 0.3):
        times = np.ceil(20 * np.exp(rng.standard_normal((num, 2, LOOKS[-1])) / 2))
        budget = float(np.ceil(20 * np.exp(special.ndtri(1 - share) / 2)))
        seen = np.where(times > budget, np.inf, times)
        row(f"ratio, {100 * share:g} % never", [functools.partial(ratio, x, budget) for x in seen], ALPHA)
    scores = rng.standard_normal((num, 2, 1, 500)) + rng.standard_normal((num, 1, LOOKS[-1], 500))
    row("images", [functools.partial(images, x > 0.5) for x in scores.astype(np.float64)], ALPHA)
    return rows


def moderated(rng: Rng, num_draws: int) -> Table:
    """Moderated variances

    The package does not use them, for this reason. Empirical Bayes (Smyth 2004, limma): the variances of all claims
    are drawn towards their common value, with the prior's degrees of freedom fitted to the page, and t has more degrees
    of freedom. Pages of 40 independent claims, 4 of which are of the named kind and 36 have normal differences of sd 1:
    percent of claims called different at 5 %, of all and of those 4, and percent of the others with an effect of 3 sd
    that are found at 0.5 % (as in a family of ten). With claims of one spread it keeps the error level and finds more
    with few seeds. But a claim with a larger spread than the others on its page, through failing runs or a wider
    distribution, is tested with part of their spread, and its error rate is above the level. A hundredth of the
    repetitions.
    """
    rows: Table = [
        ("4 of 40 claims", "seeds", "t", "t, those 4", "moderated", "moderated, those 4", "found by t", "moderated")
    ]
    num, odd = max(num_draws // 100, 20), 4
    kinds: dict[str, Callable[[tuple[int, ...]], Array]] = {
        "like the others": lambda shape: rng.standard_normal(shape),
        "sd 4": lambda shape: 4 * rng.standard_normal(shape),
        "exponential against exponential, sd 4": lambda shape: (
            4 / 2**0.5 * (rng.standard_exponential(shape) - rng.standard_exponential(shape))
        ),
        "every tenth run fails in both arms (10 sd)": lambda shape: (
            rng.standard_normal(shape) + 10 * ((rng.random(shape) < 0.1) * 1.0 - (rng.random(shape) < 0.1))
        ),
        "bimodal against bimodal (10 sd)": lambda shape: (
            rng.standard_normal(shape) + 10 * ((rng.random(shape) < 0.5) * 1.0 - (rng.random(shape) < 0.5))
        ),
    }
    for name, draw in kinds.items():
        for n in (4, 6):
            d = rng.standard_normal((num, n, 40))
            d[..., :odd] = draw((num, n, odd))
            plain, new = (p_of(d, n) for p_of in (plain_p, moderated_p))
            power, new_power = (p_of(d + 3, n)[:, odd:] <= ALPHA / 10 for p_of in (plain_p, moderated_p))
            rates = [Rate(p <= ALPHA, ALPHA, False) for p in (plain, plain[:, :odd], new, new[:, :odd])]
            rows.append([name, n, *rates, Rate(power), Rate(new_power)])
    return rows


def plain_p(d: Array, n: int) -> Array:
    """Return the two-sided p values of t, shape (num_pages, num_claims)."""
    return t_tests(d, 0.0)[1]


def moderated_p(d: Array, n: int) -> Array:
    """Return the p values of the moderated t of each page, by Smyth's estimates of the prior from the log variances."""
    df, s2 = n - 1, d.var(axis=1, ddof=1)
    e = np.log(s2) - special.digamma(df / 2) + np.log(df / 2)
    excess = e.var(axis=1, ddof=1, keepdims=True) - special.polygamma(1, df / 2)
    half = inverse_trigamma(np.maximum(excess, 1e-6))
    prior_df = np.minimum(2 * half, 1e6)
    prior = np.exp(e.mean(axis=1, keepdims=True) + special.digamma(half) - np.log(half))
    pooled = (prior_df * prior + df * s2) / (prior_df + df)
    return 2 * np.asarray(special.stdtr(prior_df + df, -np.abs(d.mean(axis=1)) / np.sqrt(pooled / n)))


def inverse_trigamma(x: Array) -> Array:
    """Return y with trigamma(y) = x > 0, by Newton's method as in limma."""
    y = 0.5 + 1 / x
    for _ in range(50):
        trigamma = special.polygamma(1, y)
        y = y + trigamma * (1 - trigamma / x) / special.polygamma(2, y)
    return np.asarray(y)


SECTIONS = (
    families, looks, equivalences, coverage, verdict_power, planning, censored_ratios, shown_beside, seeds_and_images,
    rare_failure, failures_excluded, bimodal_and_skewed, resolved, named_numbers, pages,
)  # fmt: skip
# Each has a generator of its own, so that none changes another's numbers.
OVER_LOOKS = (
    declared_looks,
    seeds_where_they_decide,
    pages_of_looks,
    not_normal_over_looks,
    other_rules_over_looks,
    moderated,
)


def document(num_draws: int, seed: int = 0) -> str:
    """Return the whole document; equal arguments give equal text."""
    rng = np.random.default_rng(seed)
    tables = [section(rng, num_draws) for section in SECTIONS]
    tables += [section(np.random.default_rng([seed, i]), num_draws) for i, section in enumerate(OVER_LOOKS)]
    cells = [cell for table in tables for row in table for cell in row]
    errors = [cell for cell in cells if isinstance(cell, Rate) and cell.limit < 1 and cell.is_ours]
    parts = [
        "# Calibration of intervals and verdicts",
        f"Written by `scripts/calibrate.py`, no number typed by hand: seed {seed}, {num_draws} repetitions a cell, "
        f"alpha {ALPHA}; Python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}. "
        "Rates are in percent ± their Monte-Carlo standard error.",
        f"Rates of false verdicts by the rules of this package: {len(errors)}. Above {100 * ALPHA:g} % (mixed "
        f"families: twice that; a number that is named: half) by more than three standard errors, and set in bold: "
        f"{sum(rate.is_above for rate in errors)}. Rates of simpler rules, shown for comparison, are not counted.",
    ]
    for section, table in zip((*SECTIONS, *OVER_LOOKS), tables, strict=True):
        title, _, text = (inspect.getdoc(section) or "").partition("\n\n")
        lines = [f"| {' | '.join(map(str, row))} |" for row in (table[0], ["---"] * len(table[0]), *table[1:])]
        parts += [f"## {title}", " ".join(text.split()), "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Write the document."""
    parser = argparse.ArgumentParser(description="Simulate how often intervals and verdicts are wrong.")
    parser.add_argument("--quick", action="store_true", help="100 repetitions, to test this script")
    parser.add_argument("--draws", type=int, default=50_000, help="repetitions per cell (default: 50,000)")
    default = Path(__file__).resolve().parents[1] / "docs" / "calibration.md"
    parser.add_argument("--output", type=Path, default=default)
    arguments = parser.parse_args()
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(document(100 if arguments.quick else arguments.draws), encoding="utf-8")
    print(arguments.output)


if __name__ == "__main__":
    main()

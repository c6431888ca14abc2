"""Measure by simulation how often intervals and verdicts are wrong, and write docs/calibration.md.

Usage: python scripts/calibrate.py [--quick] [--draws N] [--output FILE]

Every section of the document is a function here, whose docstring is the section's title and text. Rates come from
vectorised p values and the package's own Holm; in every table of verdicts the first families are decided by `decide` as
well, and the script stops if the two disagree.
"""

import argparse
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


SECTIONS = (
    families, looks, equivalences, coverage, verdict_power, planning, censored_ratios, shown_beside, seeds_and_images,
    rare_failure, failures_excluded, bimodal_and_skewed, resolved, named_numbers, pages,
)  # fmt: skip


def document(num_draws: int, seed: int = 0) -> str:
    """Return the whole document; equal arguments give equal text."""
    rng = np.random.default_rng(seed)
    tables = [section(rng, num_draws) for section in SECTIONS]
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
    for section, table in zip(SECTIONS, tables, strict=True):
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

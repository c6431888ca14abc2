"""All claims of a page together: how many false verdicts to expect, and which verdicts the headline counts.

Each family of claims holds its own error level, so a page of many families is expected to hold some errors. Benjamini
and Hochberg's procedure over all difference tests of the page, and over all equivalence tests, gives each claim a q
value beside its family's decision. A post hoc claim was chosen by its result, so its p value says nothing: it has no q
value, and it makes no other claim's q value smaller.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ablate.report.phrases import OUTCOME_STYLES, plural
from ablate.study.control import NOT_INTERPRETABLE
from ablate.study.results import Results

if TYPE_CHECKING:
    from ablate.judging import Judgement

Judged = Sequence[tuple[Results, "Sequence[Judgement]"]]  # for each study its results and one judgement per claim
Key = tuple[str, str]  # names of the study and of the claim

DIFFERENCES = ("supported", "supported if trained", "contradicted", "contradicted if trained")
AGREEMENTS = ("no difference", "no difference if trained")
SUPPORTS = ("supported", "supported if trained")
CONTRADICTIONS = ("contradicted", "contradicted if trained")
FAMILY_ALONE = "decided by their family alone"
ONE_BUDGET = "contradicted at one budget only"
FLIPPED = "supported here and contradicted at another budget"
RULE = (
    "The headline counts a verdict where the claim's family decides it (Holm) and its q value over this whole page is "
    "at most the error level, a contradiction about trained nets only where a second budget agrees, and a support only "
    "where no other budget contradicts it; what is not interpretable at this budget is in no count, and exact "
    "statements and post hoc claims are counted apart. A post hoc claim has no q value and makes none smaller."
)


@dataclass(frozen=True, kw_only=True)
class PageLevel:
    """Error rates over all claims of a page.

    Args:
        alpha: error level of the page, the smallest of its studies'.
        num_families: families of claims that are tested and not post hoc.
        num_tests: claims that are tested and not post hoc.
        expected: families with a false difference to be expected at this look if no claim had any effect, at most.
        q: of each claim that is tested, interpretable and not post hoc, the q value of the test that its verdict rests
            on.
        num_differences: decided differences whose q is at most alpha, without post hoc claims.
    """

    alpha: float
    num_families: int
    num_tests: int
    expected: float
    q: Mapping[Key, float]
    num_differences: int

    def sentence(self) -> str:
        """Return the expected number of false verdicts as a sentence."""
        level = f"{100 * self.alpha:g} %"
        return (
            f"{plural(self.num_tests, 'tested claim')} in {plural(self.num_families, 'family', 'families')}, each with "
            f"an error level of its own over its looks: without any effect at most {self.expected:.2g} families "
            f"would be expected to hold a false difference at this look. Of the {self.num_differences} "
            f"differences that are decided with q of at most {level}, at most {self.alpha * self.num_differences:.2g} "
            "are expected to be false."
        )


def page_level(judged: Judged) -> PageLevel:
    """Return the error rates over all claims of a page."""
    from ablate.statistics import false_discovery

    tested = [(results, j) for results, judgements in judged for j in judgements if j.claim.is_tested]
    keys = [(results.study.name, j.claim.name) for results, j in tested]
    differ = false_discovery([difference_p(results, j) for results, j in tested])
    agree = false_discovery([agreement_p(results, j) for results, j in tested])
    q = {
        key: float(agree[i] if rests_on_agreement(j) else differ[i])
        for i, (key, (_, j)) in enumerate(zip(keys, tested, strict=True))
        if has_level(j)
    }
    alpha = min((results.study.alpha for results, _ in judged), default=0.05)
    registered = [(results, j) for results, j in tested if not j.post_hoc]
    families = {(results.study.name, j.claim.family): results for results, j in registered}
    decided = [k for k, (_, j) in zip(keys, tested, strict=True) if j.outcome in DIFFERENCES and not j.post_hoc]
    return PageLevel(
        alpha=alpha,
        num_families=len(families),
        num_tests=len(registered),
        expected=sum(r.study.alpha * r.look / r.study.looks for r in families.values()),
        q=q,
        num_differences=sum(q[key] <= alpha for key in decided),
    )


def over_looks(results: Results, judgement: "Judgement") -> float:
    """Return the p value of a difference over all declared looks; 1 where there is none, as the claim still counts."""
    return 1.0 if judgement.p is None else p_over_looks(results, judgement, judgement.p)


def has_level(judgement: "Judgement") -> bool:
    """Return whether a claim's p value counts: a control may leave it without a verdict, or it may be post hoc."""
    return judgement.outcome != NOT_INTERPRETABLE and not judgement.post_hoc


def difference_p(results: Results, judgement: "Judgement") -> float:
    """Return the p value of a difference over all looks; 1 for a claim without an error level, see `has_level`.

    Such a claim still counts as a test, so that neither controls nor post hoc claims make another claim easier to
    decide.
    """
    return over_looks(results, judgement) if has_level(judgement) else 1.0


def agreement_p(results: Results, judgement: "Judgement") -> float:
    """Return the p value of equivalence over all looks; the adjusted one where only that is known.

    It is 1 for a claim without an error level, see `difference_p`.
    """
    if not has_level(judgement):
        return 1.0
    if judgement.equivalence_p is None:
        return 1.0 if judgement.equivalence_p_adjusted is None else judgement.equivalence_p_adjusted
    return p_over_looks(results, judgement, judgement.equivalence_p, sides=2)


def p_over_looks(results: Results, judgement: "Judgement", p: float, sides: int = 1) -> float:
    """Return the least error level over all looks at which p rejects; without declared seeds p times the looks.

    Args:
        results: of the study.
        judgement: gives the look.
        p: two-sided, or one-sided where `sides` is 2.
        sides: by which p and the error level are multiplied.
    """
    from ablate.statistics import over_looks as least_level

    if judgement.look is None:
        return min(1.0, p * results.study.looks)
    return float(least_level(min(1.0, sides * p), judgement.look, results.study.schedule)) / sides


def rests_on_agreement(judgement: "Judgement") -> bool:
    """Return whether a verdict rests on the equivalence test."""
    is_equivalent = judgement.claim.form == "equivalent" and judgement.outcome in ("supported", "supported if trained")
    return judgement.outcome in AGREEMENTS or is_equivalent


def exact_sentence(judgements: "Sequence[Judgement]") -> str:
    """Return how many exact statements (identities) hold, e.g. "23 exact: 19 hold, 4 do not"; "" without any."""
    exact = Counter(
        j.outcome for j in judgements if j.claim.form == "identity" and not j.claim.is_timed and not j.post_hoc
    )
    if not exact:
        return ""
    hold, fail = exact.pop("supported", 0), exact.pop("contradicted", 0)
    parts = [f"{hold} hold" if hold != 1 else "1 holds", f"{fail} do not" if fail != 1 else "1 does not"]
    parts += [f"{count} {outcome}" for outcome, count in exact.items()]
    return f"{hold + fail + sum(exact.values())} exact: {', '.join(parts)}"


def uninterpretable_sentence(judgements: "Sequence[Judgement]") -> str:
    """Return how many claims are not interpretable at this budget, "" where none is; they count in no tally."""
    count = sum(j.outcome == NOT_INTERPRETABLE for j in judgements)
    return f"{plural(count, 'claim')} {NOT_INTERPRETABLE}, not counted" if count else ""


def apart_sentence(judgements: "Sequence[Judgement]") -> str:
    """Return what is not in the counts of verdicts: not interpretable and post hoc claims, costs, exact statements."""
    sentences = (uninterpretable_sentence, cost_sentence, exact_sentence, post_hoc_sentence)
    parts = (sentence(judgements) for sentence in sentences)
    return "; ".join(part for part in parts if part)


def cost_sentence(judgements: "Sequence[Judgement]") -> str:
    """Return how many costs in seconds are reported, "" where there is none."""
    count = sum(j.claim.is_timed and not j.post_hoc for j in judgements)
    return f"{plural(count, 'cost')} in seconds, not judged" if count else ""


def post_hoc_sentence(judgements: "Sequence[Judgement]") -> str:
    """Return the outcomes of post hoc claims, e.g. "2 post hoc: 1 supported, 1 inconclusive"; "" without any."""
    counts = Counter(j.outcome for j in judgements if j.post_hoc)
    listed = ", ".join(f"{counts[name]} {name}" for name in OUTCOME_STYLES if counts[name])
    return f"{counts.total()} post hoc: {listed}" if counts else ""


def headline(judged: Judged, level: PageLevel, confirmed: Mapping[Key, bool]) -> dict[str, int]:
    """Return the counts under `RULE`: {outcome: number of claims that a test decides}.

    Args:
        judged: the results and judgements of each study.
        level: error rates of the page.
        confirmed: whether other budgets leave a claim's verdict in the headline, see `Entry.is_confirmed`; a claim that
            is not listed needs none.
    """
    counted: Counter[str] = Counter()
    for results, judgements in judged:
        for j in judgements:
            key = (results.study.name, j.claim.name)
            if not j.claim.is_tested or j.post_hoc or j.outcome == NOT_INTERPRETABLE:
                continue
            if j.outcome in (*DIFFERENCES, *AGREEMENTS) and level.q.get(key, 1.0) > level.alpha:
                counted[FAMILY_ALONE] += 1
            elif j.outcome in CONTRADICTIONS and not confirmed.get(key, True):
                counted[ONE_BUDGET] += 1
            elif j.outcome in SUPPORTS and not confirmed.get(key, True):
                counted[FLIPPED] += 1
            else:
                counted[j.outcome] += 1
    return dict(counted)


def summarize(judged: Judged, confirmed: Mapping[Key, bool]) -> dict[str, Any]:
    """Return the summary of all claims of a page.

    Args:
        judged, confirmed: see `headline`.

    Returns:
        counts: {outcome: claims} of the headline; exact: see `apart_sentence`; text: all in one sentence;
        measured: how many claims a test decides; rule, errors: a sentence or two each; seen: the
        outcomes that occur on the page.
    """
    level = page_level(judged)
    found = headline(judged, level, confirmed)
    counts = {name: found[name] for name in dict.fromkeys((*OUTCOME_STYLES, *found)) if found.get(name)}
    exact, measured = apart_sentence(all_of(judged)), sum(found.values())
    listed = ", ".join(f"{count} {name}" for name, count in counts.items())
    return {
        "counts": counts,
        "exact": exact,
        "measured": measured,
        "text": "; ".join(s for s in (f"{measured} measured: {listed}" * bool(measured), exact) if s)
        or "nothing was claimed",
        "rule": RULE,
        "errors": level.sentence(),
        "seen": [name for name in OUTCOME_STYLES if any(j.outcome == name for j in all_of(judged))],
    }


def all_of(judged: Judged) -> "list[Judgement]":
    """Return the judgements of all studies."""
    return [judgement for _, judgements in judged for judgement in judgements]

"""All claims of a page together: how many false verdicts to expect, and which verdicts the headline counts.

Each family of claims holds its own error level, so a page of many families is expected to hold some errors. Benjamini
and Hochberg's procedure over all difference tests of the page, and over all equivalence tests, gives each claim a q
value beside its family's decision.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ablate.report.phrases import OUTCOME_STYLES, plural
from ablate.study.results import Results

if TYPE_CHECKING:
    from ablate.judging import Judgement

Judged = Sequence[tuple[Results, "Sequence[Judgement]"]]  # for each study its results and one judgement per claim
Key = tuple[str, str]  # names of the study and of the claim

DIFFERENCES = ("supported", "supported if trained", "contradicted", "contradicted if trained")
AGREEMENTS = ("no difference", "no difference if trained")
CONTRADICTIONS = ("contradicted", "contradicted if trained")
FAMILY_ALONE = "decided by their family alone"
ONE_BUDGET = "contradicted at one budget only"
RULE = (
    "The headline counts a verdict where the claim's family decides it (Holm) and its q value over this whole page is "
    "at most the error level, and a contradiction about trained nets only where a second budget agrees; exact "
    "statements and post hoc claims are counted apart."
)


@dataclass(frozen=True, kw_only=True)
class PageLevel:
    """Error rates over all claims of a page.

    Args:
        alpha: error level of the page, the smallest of its studies'.
        num_families: families of claims that are tested.
        num_tests: claims that are tested.
        expected: families with a false difference to be expected at this look if no claim had any effect, at most.
        q: of each claim that is tested, the q value of the test that its verdict rests on.
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
    differ = false_discovery([over_looks(results, j.p) for results, j in tested])
    agree = false_discovery([agreement_p(results, j) for results, j in tested])
    q = {
        key: float(agree[i] if rests_on_agreement(j) else differ[i])
        for i, (key, (_, j)) in enumerate(zip(keys, tested, strict=True))
    }
    alpha = min((results.study.alpha for results, _ in judged), default=0.05)
    families = {(results.study.name, j.claim.family): results for results, j in tested}
    decided = [k for k, (_, j) in zip(keys, tested, strict=True) if j.outcome in DIFFERENCES and not j.post_hoc]
    return PageLevel(
        alpha=alpha,
        num_families=len(families),
        num_tests=len(tested),
        expected=sum(r.study.alpha * r.look / r.study.looks for r in families.values()),
        q=q,
        num_differences=sum(q[key] <= alpha for key in decided),
    )


def over_looks(results: Results, p: float | None) -> float:
    """Return a p value times the declared looks (Bonferroni); 1 where there is none, as the claim still counts."""
    return 1.0 if p is None else min(1.0, p * results.study.looks)


def agreement_p(results: Results, judgement: "Judgement") -> float:
    """Return the p value of equivalence over all looks; the adjusted one where only that is known."""
    if judgement.equivalence_p is None:
        return 1.0 if judgement.equivalence_p_adjusted is None else judgement.equivalence_p_adjusted
    return over_looks(results, judgement.equivalence_p)


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
        confirmed: for each contradiction whether a second budget agrees; a claim that is not listed needs none.
    """
    counted: Counter[str] = Counter()
    for results, judgements in judged:
        for j in judgements:
            key = (results.study.name, j.claim.name)
            if not j.claim.is_tested or j.post_hoc:
                continue
            if j.outcome in (*DIFFERENCES, *AGREEMENTS) and level.q.get(key, 1.0) > level.alpha:
                counted[FAMILY_ALONE] += 1
            elif j.outcome in CONTRADICTIONS and not confirmed.get(key, True):
                counted[ONE_BUDGET] += 1
            else:
                counted[j.outcome] += 1
    return dict(counted)


def summarize(judged: Judged, confirmed: Mapping[Key, bool]) -> dict[str, Any]:
    """Return the summary of all claims of a page.

    Args:
        judged, confirmed: see `headline`.

    Returns:
        counts: {outcome: claims} of the headline; exact: a sentence on costs and identities; text: all in one sentence;
        measured: how many claims a test decides; rule, errors: a sentence or two each; seen: the
        outcomes that occur on the page.
    """
    level = page_level(judged)
    found = headline(judged, level, confirmed)
    counts = {name: found[name] for name in dict.fromkeys((*OUTCOME_STYLES, *found)) if found.get(name)}
    apart = (f(all_of(judged)) for f in (cost_sentence, exact_sentence, post_hoc_sentence))
    exact, measured = "; ".join(s for s in apart if s), sum(found.values())
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

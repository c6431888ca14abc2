from dataclasses import replace

import pytest

from ablate.report.overview_content import Elsewhere, Entry, same
from ablate.report.verdicts import verdict_table


@pytest.fixture
def entry_of(tuned_study, tmp_path):
    """A function (outcome, outcomes at other budgets) -> the entry of an accuracy claim."""
    results, judgements = tuned_study(tmp_path)

    def entry(outcome, others):
        (verdict, *there) = verdict_table(results, [replace(judgements[0], outcome=o) for o in (outcome, *others)])
        elsewhere = [
            Elsewhere(verdict=replace(v, judgement=replace(v.judgement, budget=f"budget {i}")), link="")
            for i, v in enumerate(there)
        ]
        return Entry(verdict=verdict, anchor="", link="", elsewhere=elsewhere)

    return entry


@pytest.mark.parametrize(
    ("outcome", "others", "remark"),
    [
        ("supported", [], ""),
        ("supported", ["supported if trained"], "also at budget 0"),
        ("supported", ["contradicted"], "flips at budget 0: contradicted"),
        ("contradicted", [], "at one budget only"),
        ("contradicted", ["supported"], "at one budget only"),
        ("contradicted", ["contradicted", "supported"], "also at budget 0"),
        ("inconclusive", ["supported"], ""),
    ],
)
def test_a_remark_names_budgets_that_agree_and_that_flip(entry_of, outcome, others, remark):
    entry = entry_of(outcome, others)
    assert entry.remark == remark
    assert entry.is_confirmed == any(same(outcome, other) for other in others)


def test_trained_or_not_outcomes_are_the_same():
    assert same("supported", "supported if trained") and not same("supported", "contradicted")

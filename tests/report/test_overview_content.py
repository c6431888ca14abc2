from dataclasses import replace

import pytest

from ablate.report.overview_content import Elsewhere, Entry, same
from ablate.report.phrases import Unit
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
        ("supported", [], "at one budget only"),
        ("supported", ["supported if trained"], "tested at 2 budgets: also at budget 0"),
        ("supported", ["contradicted"], "tested at 2 budgets: flips at budget 0: contradicted"),
        ("supported", ["inconclusive"], "tested at 2 budgets: undecided at budget 0"),
        ("no difference", ["supported"], "tested at 2 budgets: flips at budget 0: supported"),
        ("contradicted", [], "at one budget only"),
        ("contradicted", ["supported"], "tested at 2 budgets: flips at budget 0: supported"),
        (
            "contradicted",
            ["contradicted", "supported"],
            "tested at 3 budgets: also at budget 0; flips at budget 1: supported",
        ),
        ("inconclusive", ["supported"], ""),
    ],
)
def test_a_remark_counts_budgets_and_names_those_that_agree_and_that_flip(entry_of, outcome, others, remark):
    assert entry_of(outcome, others).remark == remark


@pytest.mark.parametrize(
    ("outcome", "others", "stays"),
    [
        ("contradicted", [], False),
        ("contradicted", ["supported", "inconclusive"], False),
        ("contradicted", ["contradicted if trained"], True),
        ("supported", [], True),
        ("supported", ["inconclusive"], True),
        ("supported", ["supported", "contradicted"], False),
        ("supported if trained", ["contradicted if trained"], False),
        ("no difference", ["supported"], True),
    ],
)
def test_supports_are_held_to_other_budgets_as_contradictions_are(entry_of, outcome, others, stays):
    assert entry_of(outcome, others).is_confirmed == stays


def test_what_is_measured_before_training_needs_no_second_budget(entry_of):
    entry = entry_of("contradicted", [])
    claim = replace(entry.verdict.judgement.claim, metric="initial/saturation/mean")
    entry = replace(entry, verdict=replace(entry.verdict, judgement=replace(entry.verdict.judgement, claim=claim)))
    assert entry.remark == ""
    assert entry.is_confirmed


@pytest.mark.parametrize(
    ("treatment", "control", "value", "metric"),
    [
        ("net=micro activation=relu", "net=micro activation=tanh", None, "m, activation=relu against activation=tanh"),
        ("net=micro", "net=micro", None, "m, net=micro against net=micro"),
        ("net=micro", "the value 0.3", 0.3, "m"),
    ],
)
def test_a_ratio_names_what_is_divided_by_what(entry_of, treatment, control, value, metric):
    entry = entry_of("contradicted", [])
    judgement = entry.verdict.judgement
    claim = replace(judgement.claim, metric="m", value=value, **({"control": {}} if value else {}))
    judgement = replace(judgement, claim=claim, treatment=treatment, control=control)
    entry = replace(entry, verdict=replace(entry.verdict, judgement=judgement, unit=Unit("factor")))
    assert entry.metric == metric


def test_a_difference_names_its_metric_alone(entry_of):
    entry = entry_of("contradicted", [])
    assert entry.metric == ""
    assert replace(entry, verdict=replace(entry.verdict, unit=Unit(""))).metric == entry.verdict.judgement.claim.metric


def test_trained_or_not_outcomes_are_the_same():
    assert same("supported", "supported if trained") and not same("supported", "contradicted")

"""What a page says of all its claims together."""

from dataclasses import replace

import pytest
from scipy import stats

from ablate.judging import Trained
from ablate.report.notes import failed
from ablate.report.page_level import FAMILY_ALONE, FLIPPED, ONE_BUDGET, headline, page_level, summarize
from ablate.report.phrases import OUTCOME_STYLES
from ablate.report.terminal import verdict_line
from ablate.report.verdicts import answer, verdict_table


@pytest.fixture
def judged(tuned_study, tmp_path):
    return [tuned_study(tmp_path)]


def key(judged, number):
    return judged[0][0].study.name, judged[0][1][number].claim.name


def test_q_is_over_all_tests_of_the_page_and_pays_for_looks(judged):
    results, judgements = judged[0]
    level = page_level(judged)
    looks = results.study.looks
    assert looks == 2
    expected = stats.false_discovery_control([min(1, j.p * looks) for j in judgements])
    for i in (0, 1, 3, 4):
        assert level.q[key(judged, i)] == pytest.approx(expected[i])
    # The third rests on its equivalence test, of which the adjusted p value is known, 0.004; the others' are 1.
    assert level.q[key(judged, 2)] == pytest.approx(5 * 0.004)
    assert (level.num_families, level.num_tests) == (1, 5)
    assert level.expected == pytest.approx(0.05 / 2)
    assert level.num_differences == 3


def test_a_claim_without_a_p_value_still_counts(judged):
    results, judgements = judged[0]
    fewer = page_level([(results, judgements[:2])]).q
    more = page_level(
        [(results, [*judgements[:2], *(replace(j, p=None, outcome="incomplete") for j in judgements[2:])])]
    ).q
    assert more[key(judged, 1)] == pytest.approx(fewer[key(judged, 1)] * 5 / 2)


def test_post_hoc_claims_make_no_other_q_smaller_and_have_none(judged):
    results, judgements = judged[0]
    claims = [replace(judgements[0].claim, name=f"claim_{i}") for i in range(32)]
    first = replace(judgements[0], claim=claims[0], p=0.004)
    null = [replace(judgements[4], claim=claim, p=0.6, outcome="inconclusive") for claim in claims[1:20]]
    chosen = [
        replace(judgements[0], claim=claim, p=1e-6, equivalence_p=1e-6, post_hoc="chosen after its result")
        for claim in claims[20:]
    ]
    alike = replace(judgements[2], claim=claims[1])
    before, after = (page_level([(results, [first, *null, alike, *more])]) for more in ([], chosen))
    of_first, of_alike = ((results.study.name, claim.name) for claim in (claims[0], claims[1]))
    assert before.q[of_first] == pytest.approx(21 * 0.004 * results.study.looks)
    for name in (of_first, of_alike):
        assert after.q[name] >= before.q[name]
    assert not {(results.study.name, claim.name) for claim in claims[20:]} & set(after.q)
    assert (after.num_tests, after.num_differences) == (before.num_tests, 0)
    assert FAMILY_ALONE in headline([(results, [first, *null, *chosen])], after, {})


def test_a_family_of_post_hoc_claims_alone_is_expected_to_hold_nothing(judged):
    results, judgements = judged[0]
    chosen = replace(judgements[0], claim=replace(judgements[0].claim, name="c", family="other"), post_hoc="chosen")
    before, after = page_level(judged), page_level([(results, [*judgements, chosen])])
    assert (after.num_families, after.num_tests, after.expected) == (1, 5, before.expected)
    assert "makes none smaller" in summarize(judged, {})["rule"]


def test_the_headline_wants_family_page_and_second_budget(judged):
    results, judgements = judged[0]
    level = page_level(judged)
    assert headline(judged, level, {}) == {"supported": 2, "contradicted": 1, "no difference": 1, "inconclusive": 1}
    alone = headline(judged, level, {key(judged, 1): False})
    assert "contradicted" not in alone and alone[ONE_BUDGET] == 1
    flipped = headline(judged, level, {key(judged, 0): False})
    assert flipped["supported"] == 1 and flipped[FLIPPED] == 1
    weak = [(results, [replace(judgements[0], p=0.03), *judgements[1:]])]
    found = headline(weak, page_level(weak), {})
    # What the first loses, the others' q values pay for too.
    assert found["supported"] == 1 and found[FAMILY_ALONE] >= 1 and sum(found.values()) == 5


def test_exact_statements_are_counted_apart(judged):
    results, judgements = judged[0]
    exact = replace(judgements[0].claim, form="identity", name="exact")
    more = [*judgements, replace(judgements[0], claim=exact), replace(judgements[1], claim=exact)]
    assert answer(more).endswith("; 2 exact: 1 holds, 1 does not")
    assert answer(more).startswith("2 supported, 1 contradicted")
    page = summarize([(results, more)], {})
    assert page["text"].startswith("5 measured: 2 supported, 1 contradicted, ")
    assert page["text"].endswith("; 2 exact: 1 holds, 1 does not")
    assert page_level([(results, more)]).num_tests == 5
    assert answer([replace(judgements[0], claim=exact)]) == "1 exact: 1 holds, 0 do not"


def test_costs_in_seconds_are_no_tests(judged):
    results, judgements = judged[0]
    timed = replace(judgements[0].claim, metric="activation_cost/forward", name="cost")
    cost = replace(judgements[0], claim=timed, outcome="measured", spread=(2.4, 3.1), num_machines=2, p=None)
    assert page_level([(results, [*judgements, cost])]).num_tests == 5
    assert answer([*judgements, cost]).endswith("1 inconclusive; 1 cost in seconds, not judged")
    assert summarize([(results, [*judgements, cost])], {})["text"].startswith("5 measured: ")
    (found,) = verdict_table(results, [cost])
    assert found.interval == "from +2.4 to +3.1"
    assert any("from +2.4 to +3.1 over 6 runs on 2 machines" in note.text for note in found.notes)


def test_the_share_that_fails_is_shown(judged):
    results, judgements = judged[0]
    sides = [Trained(label="a", failed=0, total=6, at_most=0.393), Trained(label="b", failed=1, total=6, at_most=0.582)]
    alike = replace(judgements[0], trained=[sides[0], sides[0]])
    assert failed(alike) == "0 of 6 did not train; 95 % upper limit of the failure rate: 39 %"
    unlike = replace(judgements[0], trained=sides, failure_share=0.1)
    assert (
        failed(unlike) == "0 of 6 against 1 of 6 did not train; 95 % upper limit of the failure rate: 39 % against 58 %"
    )
    assert failed(judgements[0]) == ""
    assert "(0 of 6 against 1 of 6 did not train" in verdict_line(verdict_table(results, [unlike])[0])
    restricted = replace(unlike, outcome="supported if trained")
    (found,) = verdict_table(results, [restricted])
    assert any("if 10 % of the runs failed" in n.text and "29 seeds without a failure" in n.text for n in found.notes)
    assert dict(found.numbers)["runs that did not train"].startswith("0 of 6 against 1 of 6; 95 %")


def test_what_a_difference_stands_is_shown_where_the_seeds_leave_more_open(judged):
    results, judgements = judged[0]
    sides = [Trained(label="a", failed=0, total=6, at_most=0.393), Trained(label="b", failed=6, total=6, at_most=1.0)]
    for share, said in ((0.17, True), (0.5, False)):
        (found,) = verdict_table(results, [replace(judgements[0], trained=sides, failure_share=0.1, stands_to=share)])
        assert any(f"it holds if up to {100 * share:.0f} % of the runs failed" in n.text for n in found.notes) == said


def test_every_outcome_has_a_look():
    from ablate.statistics import Outcome

    assert {outcome.value for outcome in Outcome} <= set(OUTCOME_STYLES)

"""What to teach of a claim says no more than its verdict, and an open claim says why."""

import math
from dataclasses import replace

import pytest

from ablate.errors import UserError
from ablate.judging import Judgement
from ablate.judging.judgement import Trained
from ablate.report.teaching import teach, why_open
from ablate.study.claim import Claim
from ablate.study.registration import plan_of
from ablate.study.study import Study

SIDES = {"treatment": {"activation": "relu"}, "control": {"activation": "tanh"}}
CLAIM = Claim(name="c", text="ReLU is better than tanh.", form="greater", smallest_effect=0.02, **SIDES)
BUDGET = "micro, 8000 images of cifar10, 12 epochs"
RATIO = replace(CLAIM, form="ratio", direction="smaller", smallest_effect=1.5, metric="epochs_to/train/accuracy/0.25")


def judged(outcome, claim=CLAIM, **fields):
    return Judgement(**{"claim": claim, "outcome": outcome, "budget": BUDGET, "num_seeds": 5, **fields})


@pytest.mark.parametrize(
    ("outcome", "sentence"),
    [
        ("supported", "It can be taught as it stands at this budget."),
        ("supported if trained", "It can be taught as it stands for nets that train at this budget."),
        ("contradicted", "Do not teach it: the runs show the opposite at this budget."),
        ("no difference", "It can be taught that any difference is below 2.00 points at this budget."),
        ("incomplete", ""),
        ("measured", ""),
    ],
)
def test_the_sentence_is_that_of_the_verdict(outcome, sentence):
    assert teach(judged(outcome)) == sentence


def test_a_claims_own_sentence_is_used_for_its_verdict_alone():
    claim = replace(CLAIM, teach={"supported": "Begin with ReLU."})
    assert teach(judged("supported", claim)) == "Begin with ReLU (at this budget)."
    assert teach(judged("supported if trained", claim)) == "Begin with ReLU (for nets that train at this budget)."
    for outcome in ("contradicted", "no difference", "inconclusive", "incomplete"):
        assert "Begin" not in teach(judged(outcome, claim, low=-0.1, high=0.1))


def test_an_equivalence_that_fails_is_not_called_the_opposite():
    claim = replace(CLAIM, form="equivalent")
    assert teach(judged("contradicted", claim)) == "Do not teach it: it does not hold at this budget."


def test_a_number_that_is_not_reached_is_not_called_the_opposite():
    claim = replace(CLAIM, at_least=True)
    assert teach(judged("contradicted", claim)) == "Do not teach it: the runs show less than it says at this budget."


@pytest.mark.parametrize(
    ("claim", "low", "high", "found"),
    [
        (CLAIM, -0.25, -0.21, "the opposite"),
        (CLAIM, -0.01, 0.01, "less than it says"),
        (replace(CLAIM, form="smaller"), 0.21, 0.25, "the opposite"),
        (replace(CLAIM, form="smaller"), -0.01, 0.01, "less than it says"),
        (RATIO, 1.02, 1.57, "the opposite"),
        (RATIO, 0.97, 1.65, "less than it says"),
        (replace(RATIO, direction="greater"), 0.5, 0.9, "the opposite"),
        (replace(RATIO, direction="greater"), 0.5, 1.1, "less than it says"),
    ],
)
def test_a_number_is_not_reached_or_the_effect_is_the_opposite(claim, low, high, found):
    claim = replace(claim, at_least=True)
    sentence = f"Do not teach it: the runs show {found} at this budget."
    assert teach(judged("contradicted", claim, low=low, high=high)) == sentence


@pytest.mark.parametrize(("form", "found"), [("greater", "less"), ("smaller", "more")])
def test_a_value_that_is_not_reached_is_not_called_the_opposite(form, found):
    claim = Claim(name="c", text="Half of it.", form=form, smallest_effect=0.02, value=0.5, treatment={"net": "micro"})
    sentence = f"Do not teach it: the runs show {found} than it says at this budget."
    assert teach(judged("contradicted", claim)) == sentence


def test_what_is_measured_before_training_names_no_budget():
    claim = replace(CLAIM, metric="initial/saturation/mean")
    assert teach(judged("supported", claim)) == "It can be taught as it stands."


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (
            {"low": -0.03, "high": 0.05, "further_seeds": 7},
            "the noise of 5 seeds is ±4.00 points, wider than the smallest effect of interest, 2.00 points, so a true "
            "difference of that size could not be seen; 7 further seeds would decide it",
        ),
        (
            {"low": -0.001, "high": 0.031},
            "the true difference may be larger or smaller than the smallest effect of interest, 2.00 points: its "
            "interval is [−0.10, +3.10]",
        ),
        (
            {
                "low": -0.03,
                "high": 0.05,
                "trained": [
                    Trained(label="a", failed=2, total=5, at_most=0.8),
                    Trained(label="b", failed=0, total=5, at_most=0.4),
                ],
            },
            "so a true difference of that size could not be seen (2 of 5 runs of a side did not train)",
        ),
        ({"low": -math.inf, "high": math.inf}, "the seeds bound the effect on one side at most"),
        ({"low": None, "high": None}, "the seeds bound the effect on one side at most"),
    ],
)
def test_an_open_claim_says_why(fields, reason):
    assert why_open(judged("inconclusive", **fields)).endswith(reason)
    assert reason in teach(judged("inconclusive", **fields))


def test_a_ratio_is_compared_with_its_factor():
    wide = why_open(judged("inconclusive", RATIO, low=0.5, high=2.0))
    assert wide.startswith(
        "the noise of 5 seeds is a factor of 2 either way, wider than the smallest effect of interest, ×1.5"
    )
    assert why_open(judged("inconclusive", RATIO, low=0.6, high=0.9)).startswith("the true difference may be larger")
    assert why_open(judged("inconclusive", RATIO, low=0.0, high=0.9)).startswith("the seeds bound the effect on one")


def test_controls_and_nets_that_guess_need_a_larger_budget():
    failed = judged("not interpretable at this budget", reason="the control x has not passed: inconclusive")
    assert why_open(failed) == (
        "a larger budget or more seeds are needed, since the control x has not passed: inconclusive"
    )
    assert "no arm is better than guessing" in why_open(judged("neither trains"))
    assert why_open(judged("supported")) == ""


def test_sentences_for_readers_are_no_part_of_the_plan_and_need_a_known_verdict():
    advised = replace(CLAIM, teach={"supported": "Begin with ReLU."})
    assert plan_of(Study(name="s", claims=[advised]), []) == plan_of(Study(name="s", claims=[CLAIM]), [])
    with pytest.raises(UserError, match=r"`teach` must have sentences for supported, .*, got 'inconclusive'"):
        replace(CLAIM, teach={"inconclusive": "Who knows."})

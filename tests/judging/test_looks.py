"""Declared looks: decided claims rest, arms get the seeds that their open claims need."""

import numpy as np
import pytest

from ablate.judging import judge
from ablate.judging.image_interval import read_predictions
from ablate.judging.looks import most_seeds, needed_seeds, replay
from ablate.statistics import look_levels

SEEDS = {"from": 3, "to": 9, "looks": 3}
NOISE = np.random.default_rng(5).standard_normal((4, 9))
MEANS = {"relu": 0.60, "sigmoid": 0.20, "tanh": 0.62, "gelu": 0.601}
SPREAD = {"relu": 0.004, "sigmoid": 0.004, "tanh": 0.1, "gelu": 0.004}


def claim(treatment, form="greater", **fields):
    sides = {"treatment": {"activation": treatment}, "control": {"activation": "relu"}}
    return {"text": f"{treatment} against ReLU.", "form": form, "smallest_effect": 0.03, **sides, **fields}


CLAIMS = {"worse": claim("sigmoid", "smaller"), "open": claim("tanh"), "equal": claim("gelu", "equivalent")}


def accuracy(axes, seed, _):
    name = axes["activation"]
    return MEANS[name] + SPREAD[name] * NOISE[list(MEANS).index(name), seed]


@pytest.fixture
def results(make_results):
    def make(metrics=accuracy, claims=CLAIMS, **definition):
        grid = [{"product": {"activation": list(MEANS)}}]
        return make_results(
            {"grids": grid, "seeds": SEEDS, "claims": claims, "failure_share": 0.001, **definition}, metrics
        )

    return make


def seeds(found):
    return {arm.axes["activation"]: len(found.seeds_of(arm)) for arm in found.arms}


def test_decided_claims_rest_and_the_others_go_on(results):
    found = results()
    worse, still_open, equal = judge(found)
    assert worse.outcome.startswith("supported")
    assert (worse.look, worse.num_seeds, worse.next_look) == (1, 3, None)
    assert equal.outcome.startswith("supported") and equal.look == 1
    assert still_open.outcome == "inconclusive" and (still_open.look, still_open.num_seeds) == (3, 9)
    assert still_open.next_look is None  # there is no look after the last
    needed = needed_seeds(found, replay(found, read_predictions))
    # ReLU is the control of the open claim.
    assert seeds(needed) == {"relu": 9, "sigmoid": 3, "tanh": 9, "gelu": 3}
    assert [len(arm.records) for arm in needed.arms] == [9, 3, 9, 3]
    assert judge(needed) == judge(found)  # nothing that was left out decides


def test_only_the_first_look_is_needed_before_it_is_complete(results):
    found = results(lambda axes, seed, _: accuracy(axes, seed, _) if seed < 2 else None)
    judgements = judge(found)
    assert [j.outcome for j in judgements] == ["incomplete"] * 3
    assert [(j.look, j.next_look, j.next_seeds, j.num_seeds) for j in judgements] == [(1, 1, 3, 2)] * 3
    assert set(seeds(needed_seeds(found, replay(found, read_predictions))).values()) == {3}
    assert all(j.low is None and j.p is None for j in judgements)  # two seeds are no declared look


def test_a_claim_stays_at_its_last_complete_look(results):
    """Seed 4 of tanh is missing: the claim is judged with three seeds, also where seed 5 has finished."""

    def without(axes, seed, _):
        return None if axes["activation"] == "tanh" and seed == 4 else accuracy(axes, seed, _)

    found = results(without)
    still_open = judge(found)[1]
    assert (still_open.outcome, still_open.look, still_open.num_seeds) == ("inconclusive", 1, 3)
    assert (still_open.next_look, still_open.next_seeds) == (2, 6)
    assert still_open.missing == "activation=tanh: 1 of 6 runs are missing"
    looked = replay(found, read_predictions)
    assert seeds(needed_seeds(found, looked)) == {"relu": 6, "sigmoid": 3, "tanh": 6, "gelu": 3}
    assert seeds(needed_seeds(found, looked, granted={})) == {"relu": 3, "sigmoid": 3, "tanh": 3, "gelu": 3}
    assert seeds(needed_seeds(found, looked, granted={"open": 2}))["tanh"] == 6
    assert most_seeds(needed_seeds(found, looked)) == {
        f"activation={name}": number for name, number in zip(MEANS, (9, 3, 9, 3), strict=True)
    }


def test_the_error_level_of_a_look_is_that_of_its_declaration(results):
    """The family has three claims; two of them are decided at the first look, one of these by its difference."""
    worse, still_open, _ = judge(results())
    assert worse.level == pytest.approx(1 - 0.05 / 3 / 3)
    assert still_open.level == pytest.approx(1 - look_levels(0.05 / 2, [3, 6, 9])[2])
    assert still_open.p_adjusted is not None and still_open.p_adjusted > 0.05


def test_asking_for_one_claim_makes_no_verdict_easier(results):
    (alone,) = judge(results(only=["open"]))
    assert alone.level == pytest.approx(1 - look_levels(0.05 / 3, [3, 6, 9])[2])


def test_exact_statements_and_arms_without_a_claim_have_the_first_look(results):
    same = {**claim("gelu", "identity"), "tolerance": 1.0}
    found = results(claims={"same": same})
    (judgement,) = judge(found)
    assert (judgement.outcome, judgement.num_seeds, judgement.look, judgement.next_look) == ("supported", 3, 1, None)
    assert set(seeds(needed_seeds(found, replay(found, read_predictions))).values()) == {3}


def test_a_claim_rests_when_its_control_has_not_come_out(results):
    def learns(activation, **fields):
        side = {"treatment": {"activation": activation}, "value": 0.3, "at_least": True}
        return {"text": "It learns.", "form": "greater", "smallest_effect": 0.1, **side, **fields}

    def after(**controls):
        found = results(claims={"open": CLAIMS["open"]}, controls=controls)
        (judged,) = judge(found)
        return judged.outcome, judged.look, seeds(needed_seeds(found, replay(found, read_predictions)))

    alone = {"relu": 9, "sigmoid": 3, "tanh": 9, "gelu": 3}
    assert after() == after(good=learns("relu")) == ("inconclusive", 3, alone)
    rests = ("not interpretable at this budget", 1, dict.fromkeys(MEANS, 3))
    assert after(bad=learns("sigmoid")) == after(good=learns("relu"), bad=learns("sigmoid")) == rests
    # An open control may still pass.
    assert after(unknown=learns("tanh", value=0.4)) == ("inconclusive", 3, alone)


def test_a_claim_without_usable_scores_gets_no_further_seeds(results):
    def without(axes, seed, _):
        value = accuracy(axes, seed, _)
        lost = axes["activation"] == "tanh" and seed == 0
        return {"test/accuracy": value, "val/accuracy": value, "test/loss": None if lost else 1.0 + value}

    found = results(without, claims={"loss": claim("tanh", metric="test/loss")})
    (judgement,) = judge(found)
    assert (judgement.outcome, judgement.look, judgement.next_look) == ("incomplete", 1, None)
    assert set(seeds(needed_seeds(found, replay(found, read_predictions))).values()) == {3}


def test_more_seeds_of_a_neighbour_do_not_reopen_a_claim(results):
    """A claim that was decided at look 1 is judged with the seeds of look 1, whatever its arms did later."""

    def late(axes, seed, _):
        return 0.9 if axes["activation"] == "sigmoid" and seed >= 3 else accuracy(axes, seed, _)

    assert judge(results(late))[0] == judge(results())[0]

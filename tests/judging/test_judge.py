"""Judgements of every form against numbers computed by hand, and what is shown beside a verdict."""

import math
from typing import Any

import numpy as np
import pytest

from ablate.judging import judge
from ablate.statistics import mean_effect

ACTIVATIONS = [{"product": {"activation": ["relu", "tanh"]}}]
SIDES = {"treatment": {"activation": "relu"}, "control": {"activation": "tanh"}}
MET = {"text": "A claim.", "form": "greater", "smallest_effect": 0.05, **SIDES}
NOISE = [0.0, 0.01, -0.01, 0.02, -0.02, 0.0]


def define(claims: dict[str, Any], grids: list[Any] = ACTIVATIONS, seeds: int = 6, **options: Any) -> dict[str, Any]:
    return {"grids": grids, "seeds": seeds, "claims": claims, **options}


def scores(relu: Any, tanh: Any, metric: str = "test/accuracy") -> Any:
    return lambda axes, seed, value: {metric: (relu if axes["activation"] == "relu" else tanh)[seed]}


def one(make_results: Any, claim: dict[str, Any], metrics: Any, seeds: int = 6, **options: Any) -> Any:
    (judgement,) = judge(make_results(define({"it": {**MET, **claim}}, seeds=seeds), metrics, **options))
    return judgement


def test_a_difference_by_hand(make_results) -> None:
    found = one(make_results, {}, scores([0.60, 0.62, 0.64], [0.50, 0.50, 0.50]), seeds=3)
    # Mean 0.12, standard error 0.02 / sqrt(3); Student's t of 2 degrees: p = 1 - t / sqrt(2 + t^2), t^2 = 108.
    half_width = 4.302652730 * 0.02 / 3**0.5
    assert found.outcome == "supported"
    assert (found.treatment, found.control) == ("activation=relu", "activation=tanh")
    assert found.treatment_mean == pytest.approx(0.62)
    assert found.control_mean == pytest.approx(0.50)
    assert found.estimate == pytest.approx(0.12)
    assert (found.low, found.high) == pytest.approx((0.12 - half_width, 0.12 + half_width))
    assert found.level == pytest.approx(0.95)
    assert found.p == found.p_adjusted == pytest.approx(1 - (108 / 110) ** 0.5)
    assert found.num_seeds == 3
    assert found.differences == pytest.approx([0.10, 0.12, 0.14])
    assert found.further_seeds is None
    # All three differences are above 0: of 8 sign patterns two reach the observed sum.
    assert found.sign_flip_p == found.sign_flip_smallest_p == 0.25
    assert found.improvement == 1.0
    # The mean of three draws from three values lies between the smallest and the largest.
    assert 0.0999 < found.bootstrap[0] < 0.12 < found.bootstrap[1] < 0.1401
    assert found.budget == "micro, 2000 images of made, 8 epochs"
    assert (found.value_sensitive, found.at_values, found.edges, found.reason) == (None, [], [], "")


@pytest.mark.parametrize(
    ("form", "effect", "spread", "outcome"),
    [
        ("greater", 0.2, 1, "supported"),
        ("greater", -0.2, 1, "contradicted"),
        ("smaller", -0.2, 1, "supported"),
        ("smaller", 0.2, 1, "contradicted"),
        # Six seeds do not exclude that one run in ten fails.
        ("equivalent", 0.001, 1, "no difference if trained"),
        ("equivalent", -0.2, 1, "contradicted"),
        ("greater", 0.001, 1, "no difference if trained"),
        ("greater", 0.1, 10, "inconclusive"),
        # Clearly above 0, clearly below the smallest effect.
        ("greater", 0.03, 0.5, "no difference if trained"),
    ],
)
def test_outcomes_of_a_difference(make_results, form: str, effect: float, spread: float, outcome: str) -> None:
    found = one(make_results, {"form": form}, scores([0.5 + effect + spread * e for e in NOISE], [0.5] * 6))
    assert found.outcome == outcome
    assert found.estimate == pytest.approx(effect)
    assert (found.further_seeds is not None) == (outcome == "inconclusive")
    assert (found.low <= 0 <= found.high) == (found.p_adjusted > 0.05)


def test_smaller_is_better_where_it_is_claimed(make_results) -> None:
    relu, tanh = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [0.2, 0.3, 0.4, 0.4, 0.4, 0.7]
    for form, improvement in (("smaller", 4.5 / 6), ("greater", 1.5 / 6), ("equivalent", 1.5 / 6)):
        assert one(make_results, {"form": form}, scores(relu, tanh)).improvement == pytest.approx(improvement)


def test_a_ratio_is_a_factor(make_results) -> None:
    relu, tanh = [2, 2, 1, 2, 4, 2], [4, 8, 4, 4, 8, 8]
    claim = {"form": "ratio", "direction": "smaller", "metric": "epochs_to/x", "smallest_effect": 2.0}
    found = one(make_results, claim, scores(relu, tanh, "epochs_to/x"))
    # log2 of the ratios: -1, -2, -2, -1, -1, -2.
    interval = mean_effect(np.log(2) * np.array([-1, -2, -2, -1, -1, -2])).interval(0.05)
    assert found.outcome == "supported"
    assert found.estimate == pytest.approx(2**-1.5)
    assert (found.low, found.high) == pytest.approx((math.exp(interval.lower), math.exp(interval.upper)))
    assert found.differences == pytest.approx(np.log(2) * np.array([-1, -2, -2, -1, -1, -2]))
    assert (found.treatment_mean, found.control_mean) == pytest.approx((2 ** (6 / 6), 2 ** (15 / 6)))
    assert 0.25 <= found.bootstrap[0] < found.estimate < found.bootstrap[1] <= 0.5
    assert found.improvement == 1.0
    # The other direction is contradicted, and a larger factor is not reached.
    assert one(make_results, {**claim, "direction": "greater"}, scores(relu, tanh, "epochs_to/x")).outcome == (
        "contradicted"
    )
    assert one(make_results, {**claim, "smallest_effect": 9.0}, scores(relu, tanh, "epochs_to/x")).outcome == (
        "no difference if trained"
    )


def test_a_threshold_never_reached_is_censored(make_results) -> None:
    claim = {"form": "ratio", "direction": "smaller", "metric": "epochs_to/x", "smallest_effect": 1.5}
    found = one(make_results, claim, scores([4] * 6, [None] * 5 + [8], "epochs_to/x"))
    # Every ratio is at most 4 / 8; with 6 pairs the signed ranks reach p = 2 / 64.
    assert found.outcome == "supported"
    assert (found.low, found.high) == pytest.approx((0.0, 0.5))
    assert found.p == pytest.approx(2 / 64)
    assert found.num_seeds == 6
    assert found.differences == pytest.approx([math.log(0.5)])
    assert (found.treatment_mean, found.control_mean) == (pytest.approx(4), None)
    assert found.improvement == 1.0
    assert (found.bootstrap, found.sign_flip_p) == (None, None)


def test_a_trend_by_hand(make_results) -> None:
    levels = {"sigmoid": 0.1, "tanh": 0.2, "relu": 0.4}
    claim = {
        "text": "",
        "form": "trend",
        "direction": "greater",
        "factor": "activation",
        "order": list(levels),
        "smallest_effect": 0.05,
    }
    definition = define({"it": claim}, [{"product": {"activation": ["relu", "tanh", "sigmoid"]}}])
    # Along the line through three equal steps the change is last - first, here with the noise of the last.
    results = make_results(
        definition, lambda axes, s, value: levels[axes["activation"]] + NOISE[s] * (axes["activation"] == "relu")
    )
    (found,) = judge(results)
    assert found.outcome == "supported"
    assert found.estimate == pytest.approx(0.3)
    assert found.differences == pytest.approx([0.3 + e for e in NOISE])
    assert (found.treatment, found.control) == ("activation=relu", "activation=sigmoid")
    assert (found.treatment_mean, found.control_mean) == pytest.approx((0.4, 0.1))


def test_an_interaction_by_hand(make_results) -> None:
    table = {("relu", "batch"): 0.8, ("tanh", "batch"): 0.75, ("relu", "none"): 0.6, ("tanh", "none"): 0.3}
    claim = {
        **MET,
        "form": "interaction",
        "direction": "smaller",
        "factor": "normalization",
        "order": ["none", "batch"],
    }
    grids = [{"product": {"activation": ["relu", "tanh"], "normalization": ["none", "batch"]}}]

    def metrics(axes: dict[str, str], seed: int, value: Any) -> float:
        cell = (axes["activation"], axes["normalization"])
        return table[cell] + NOISE[seed] * (cell == ("relu", "batch"))

    (found,) = judge(make_results(define({"it": claim}, grids), metrics))
    # (0.8 - 0.75) - (0.6 - 0.3).
    assert found.outcome == "supported"
    assert found.estimate == pytest.approx(-0.25)
    assert found.differences == pytest.approx([-0.25 + e for e in NOISE])
    assert (found.treatment, found.control) == ("activation=relu (mean of 2 arms)", "activation=tanh (mean of 2 arms)")
    assert (found.treatment_mean, found.control_mean) == pytest.approx((0.7, 0.525))


def test_what_is_left_open_is_averaged(make_results) -> None:
    table = {("relu", "batch"): 0.8, ("tanh", "batch"): 0.7, ("relu", "none"): 0.6, ("tanh", "none"): 0.3}
    grids = [{"product": {"activation": ["relu", "tanh"], "normalization": ["none", "batch"]}}]
    results = make_results(
        define({"it": MET}, grids),
        lambda axes, s, v: table[axes["activation"], axes["normalization"]] + NOISE[s] * (axes["activation"] == "relu"),
    )
    (found,) = judge(results)
    assert found.estimate == pytest.approx(0.2)
    assert found.differences == pytest.approx([0.2 + e for e in NOISE])
    assert found.treatment == "activation=relu (mean of 2 arms)"


def test_an_identity_holds_in_every_pair_or_not_at_all(make_results) -> None:
    claim = {"form": "identity", "smallest_effect": 0.0, "tolerance": 0.0015}
    close = one(make_results, claim, scores([0.5, 0.501, 0.6], [0.5, 0.5, 0.6]), seeds=3)
    assert (close.outcome, close.p, close.low) == ("supported", None, None)
    assert close.estimate == pytest.approx(0.001)
    assert close.differences == pytest.approx([0, 0.001, 0])
    apart = one(make_results, claim, scores([0.5, 0.498, 0.6], [0.5, 0.5, 0.6]), seeds=3)
    assert apart.outcome == "contradicted"
    assert apart.estimate == pytest.approx(0.002)
    # An unfinished one shows the pairs that it has.
    there = {"relu": [None, 0.5, 0.6], "tanh": [0.5, 0.7, 0.5]}
    unfinished = one(make_results, claim, lambda axes, seed, value: there[axes["activation"]][seed], seeds=3)
    assert (unfinished.outcome, unfinished.estimate) == ("incomplete", pytest.approx(0.2))
    # Differences of matched arms do not cancel.
    grids = [{"product": {"activation": ["relu", "tanh"], "normalization": ["none", "batch"]}}]
    results = make_results(
        define({"it": {**MET, **claim}}, grids),
        lambda axes, s, v: 0.5 + (axes["activation"] == "relu") * (0.1 if axes["normalization"] == "none" else -0.1),
    )
    (found,) = judge(results)
    assert found.outcome == "contradicted"
    assert found.estimate == pytest.approx(0.1)


def test_one_seed_decides_nothing(make_results) -> None:
    found = one(make_results, {}, scores([0.9], [0.1]), seeds=1)
    assert (found.outcome, found.bootstrap, found.p) == ("inconclusive", None, 1.0)
    assert (found.low, found.high) == (-math.inf, math.inf)


def test_two_seeds_are_described(make_results) -> None:
    found = one(make_results, {}, scores([0.9, 0.8], [0.1, 0.1]), seeds=2)
    assert (found.sign_flip_p, found.sign_flip_smallest_p) == (0.5, 0.5)
    assert found.bootstrap is None or 0.7 <= found.bootstrap[0] <= found.bootstrap[1] <= 0.8


def test_a_judgement_can_be_repeated(make_results) -> None:
    results = make_results(
        define({"it": MET}, seeds=25), scores([0.5 + s * 7 % 25 / 100 for s in range(25)], [0.5] * 25)
    )
    assert judge(results) == judge(results)
    (one,), (other,) = judge(results), judge(results, generator_seed=1)
    assert one.bootstrap != other.bootstrap
    assert (one.estimate, one.p, one.low) == (other.estimate, other.p, other.low)


def test_budgets_that_differ_are_all_named(make_results) -> None:
    claim = {**MET, "treatment": {"net": "small"}, "control": {"net": "tiny"}}
    grids = [{"product": {"net": ["small", "tiny"], "trainer.epochs": [1, 4]}}]
    results = make_results(
        define({"it": claim}, grids),
        lambda axes, seed, value: 0.5,
        change=lambda axes, settings: settings["data"].update(train_size=None),
    )
    (found,) = judge(results)
    assert found.budget == "small or tiny, all images of made, 1 or 4 epochs"


def test_a_single_epoch_is_one(make_results) -> None:
    definition = {**define({"it": MET}), "base": ["trainer.epochs=1"]}
    (found,) = judge(make_results(definition, lambda axes, seed, value: 0.5))
    assert found.budget == "micro, 2000 images of made, 1 epoch"


def test_a_claim_about_arms_that_do_not_exist_is_refused(make_results) -> None:
    claim = {**MET, "treatment": {"activation": "gelu"}}
    with pytest.raises(ValueError, match="claim 'it' finds no arm with activation=gelu; the axes are activation: relu"):
        judge(make_results(define({"it": claim}), lambda axes, seed, value: 0.5))


VALUE = {"text": "It is 0.5.", "treatment": {"a": 1}, "value": 0.5}


@pytest.mark.parametrize(
    ("form", "scores", "outcome"),
    [
        ({"form": "greater", "smallest_effect": 0.02}, (0.60, 0.61, 0.62), "supported"),
        ({"form": "smaller", "smallest_effect": 0.02}, (0.60, 0.61, 0.62), "contradicted"),
        ({"form": "equivalent", "smallest_effect": 0.02}, (0.500, 0.501, 0.502), "no difference if trained"),
        ({"form": "identity", "tolerance": 0.01}, (0.500, 0.501, 0.502), "supported"),
        ({"form": "identity", "tolerance": 0.001}, (0.500, 0.501, 0.502), "contradicted"),
    ],
)
def test_a_claim_may_be_about_a_value(make_results, form, scores, outcome):
    definition = {"grids": [{"product": {"a": [1, 2]}}], "seeds": 3, "claims": {"c": {**VALUE, **form}}}
    (found,) = judge(make_results(definition, lambda axes, seed, value: scores[seed] if axes["a"] == 1 else 0.9))
    assert (found.outcome, found.control, found.control_mean) == (outcome, "the value 0.5", 0.5)
    expected = max(abs(s - 0.5) for s in scores) if form["form"] == "identity" else np.mean(scores) - 0.5
    assert found.estimate == pytest.approx(expected)
    assert found.item_interval is None
    assert found.num_seeds == 3


def test_values_at_which_arms_are_fixed_are_no_undeclared_difference(make_results):
    claim = {"text": "A.", "form": "greater", "treatment": {"a": 1}, "control": {"a": 2}, "smallest_effect": 0.01}
    definition = {"grids": [{"product": {"a": [1, 2]}}], "seeds": 3, "claims": {"c": claim}, "base": ["optimizer.lr=3"]}
    fixed = {"key": "optimizer.lr", "values": {"a=1": 1, "a=2": 2}}

    def scored(axes, seed, value):
        return 0.5 - axes["a"] * (0.1 + 0.001 * seed)

    (found,) = judge(make_results({**definition, "fixed": fixed}, scored))
    assert found.outcome == "supported"

    def unequal(axes, settings):
        settings["optimizer"]["lr"] = axes["a"]

    (found,) = judge(make_results(definition, scored, change=unequal))
    assert found.outcome == "not comparable"


def test_what_a_claim_says_at_holds_for_all_its_cells(make_results):
    claim = {"text": "A.", "form": "greater", "treatment": {"a": 1}, "control": {"a": 2}, "at": {"b": 3}}
    definition = {
        "grids": [{"product": {"a": [1, 2], "b": [3, 4]}}],
        "seeds": 3,
        "claims": {"c": {**claim, "smallest_effect": 0.01}},
    }
    scored = make_results(definition, lambda axes, seed, value: 0.5 + 0.01 * seed + 0.1 * axes["a"] * axes["b"])
    (found,) = judge(scored)
    assert found.estimate == pytest.approx(-0.3)
    assert found.treatment == "a=1 b=3"


def test_asking_for_one_claim_makes_no_verdict_easier(make_results):
    claims = {name: {**MET, "metric": "test/accuracy"} for name in "abc"}
    noise = scores([0.7 + n for n in NOISE], [0.5] * 6)
    whole = judge(make_results(define(claims), noise))
    (alone,) = judge(make_results(define(claims, only=["b"]), noise))
    assert alone.claim.name == "b"
    assert min(found.level for found in whole) <= alone.level <= max(found.level for found in whole)
    assert alone.level > 0.95

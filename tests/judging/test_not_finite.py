"""Runs whose outputs are not finite: tuning avoids them, and a claim about their loss names them."""

import pytest

from ablate.judging import judge

CLAIM = {
    "text": "",
    "form": "greater",
    "smallest_effect": 0.05,
    "treatment": {"activation": "relu"},
    "control": {"activation": "tanh"},
}
GRIDS = [{"product": {"activation": ["relu", "tanh"]}}]
TUNED = {
    "grids": GRIDS,
    "seeds": 4,
    "tuning": {"key": "optimizer.lr", "values": [1, 2, 3], "seeds": 3},
    "claims": {"it": CLAIM},
}


def scored(accuracy, non_finite=0.0, loss=1.0):
    splits = {f"{split}/{key}": value for split in ("train_eval", "val", "test") for key, value in
              (("accuracy", accuracy), ("non_finite", non_finite))}  # fmt: skip
    return splits | {"test/loss": loss}


def chosen(results):
    return [arm.chosen.value for arm in results.arms]


def test_the_best_sound_value_is_chosen(make_results):
    results = make_results(TUNED, lambda axes, seed, value: scored({1: 0.5, 2: 0.7, 3: 0.6}[value]))
    assert chosen(results) == [2, 2]
    assert not any(arm.is_untunable for arm in results.arms)


def test_one_run_with_an_output_that_is_not_finite_rules_its_value_out(make_results):
    def metrics(axes, seed, value):
        return scored({1: 0.5, 2: 0.7, 3: 0.9}[value], non_finite=0.1 * (value == 3 and seed == 1_000_001))

    assert chosen(make_results(TUNED, metrics)) == [2, 2]


def test_one_diverged_run_rules_its_value_out(make_results):
    def metrics(axes, seed, value):
        # The fixture's records are diverged where a metric is None.
        return scored({1: 0.5, 2: 0.7, 3: 0.9}[value], loss=None if value == 3 and seed == 1_000_001 else 1.0)

    assert chosen(make_results(TUNED, metrics)) == [2, 2]


def test_where_all_values_have_such_a_run_the_fewest_decide_and_it_is_said(make_results):
    def metrics(axes, seed, value):
        bad = seed - 1_000_000 < {1: 3, 2: 1, 3: 2}[value] and axes["activation"] == "tanh"
        return scored({1: 0.9, 2: 0.5, 3: 0.8}[value], non_finite=float(bad))

    results = make_results(TUNED, metrics)
    assert chosen(results) == [1, 2]
    assert [arm.is_untunable for arm in results.arms] == [False, True]


def test_a_claim_about_a_loss_says_what_it_lacks(make_results):
    definition = {**TUNED, "tuning": None, "claims": {"it": {**CLAIM, "metric": "test/loss"}}}
    results = make_results(definition, lambda axes, seed, value: scored(0.5, 0.2 * (seed == 1), 1.0))
    for arm in results.arms:
        arm.records[1].metrics["test/loss"] = None
    (found,) = judge(results)
    assert found.outcome == "incomplete"
    assert "activation=relu: 1 of 4 runs have no test/loss, 1 not finite at inference" in found.reason


def test_an_accuracy_of_such_runs_is_judged(make_results):
    results = make_results(
        {**TUNED, "tuning": None},
        lambda axes, seed, value: scored(0.0 if axes["activation"] == "tanh" else 0.6 + seed / 1000, 1.0),
    )
    (found,) = judge(results)
    assert (found.outcome, found.control_mean) == ("supported", 0.0)
    assert [arm.num_non_finite for arm in results.arms] == [4, 4]


def test_train_cross_entropy_may_be_claimed(make_results):
    from ablate.judging import check_claims
    from ablate.study.study import parse

    check_claims(parse("toy", {**TUNED, "claims": {"it": {**CLAIM, "metric": "train/cross_entropy"}}}))
    with pytest.raises(ValueError, match="train/cross_entropy"):
        check_claims(parse("toy", {**TUNED, "claims": {"it": {**CLAIM, "metric": "val/cross_entropy/"}}}))

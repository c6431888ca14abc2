"""Paired comparisons of loaded runs, against SciPy."""

import pytest
from pandas import DataFrame
from scipy import stats

import ablate
from ablate.errors import UserError

ROWS = [
    ("relu", 0, 0.50),
    ("relu", 1, 0.56),
    ("relu", 2, 0.52),
    ("tanh", 0, 0.40),
    ("tanh", 1, 0.43),
    ("tanh", 2, 0.44),
]


def table(rows=ROWS, **more):
    found = [
        {
            "arm": f"activation={a}",
            "activation": a,
            "seed": s,
            "state": "finished",
            "role": "report",
            "test/accuracy": x,
        }
        for a, s, x in rows
    ]
    return DataFrame(found).assign(**more)


def test_it_is_the_paired_t_test():
    found = ablate.compare(table(), "activation=relu", {"activation": "tanh"})
    reference = stats.ttest_rel([0.50, 0.56, 0.52], [0.40, 0.43, 0.44])
    low, high = reference.confidence_interval(0.95)
    assert (found.low, found.high, found.p) == pytest.approx((low, high, reference.pvalue))
    assert found.estimate == pytest.approx(0.31 / 3)
    assert (found.num_seeds, found.outcome) == (3, "")
    assert "exploratory" in str(found)


def test_with_a_smallest_effect_there_is_an_outcome():
    assert ablate.compare(table(), "activation=relu", "activation=tanh", smallest_effect=0.02).outcome == "supported"
    assert ablate.compare(table(), "activation=tanh", "activation=relu", smallest_effect=0.02).outcome == "contradicted"


def test_tuning_runs_unfinished_runs_and_unpaired_seeds_do_not_count():
    found = table([*ROWS, ("relu", 3, 0.9)])
    found.loc[len(found)] = ["activation=tanh", "tanh", 3, "failed", "report", 0.1]
    found.loc[len(found)] = ["activation=tanh", "tanh", 1_000_000, "finished", "tuning", 0.1]
    found.loc[len(found)] = ["activation=relu", "relu", 1_000_000, "finished", "tuning", 0.9]
    assert ablate.compare(found, "activation=relu", "activation=tanh").num_seeds == 3


@pytest.mark.parametrize(
    ("sides", "metric", "message"),
    [
        (
            ("activation=gelu", "activation=tanh"),
            "test/accuracy",
            "no finished run has activation=gelu; there are relu",
        ),
        (("norm=none", "activation=tanh"), "test/accuracy", "no column 'norm'"),
        (("relu", "activation=tanh"), "test/accuracy", "must be like 'activation=relu', got 'relu'"),
        (("activation=relu", "activation=tanh"), "accuracy", "did you mean one of test/accuracy"),
        (("activation=relu", "activation=tanh"), "f1", "no column 'f1'; there are arm, activation"),
        (
            ("activation=relu", "activation=tanh"),
            "state",
            "must be a column of numbers, .* got 'state', which holds 'finished'",
        ),
    ],
)
def test_what_is_not_there_is_refused(sides, metric, message):
    with pytest.raises(UserError, match=message):
        ablate.compare(table(), *sides, metric)


def test_a_side_of_several_arms_is_refused():
    with pytest.raises(UserError, match=r"activation=relu fits several arms \(activation=relu\)"):
        ablate.compare(table([*ROWS, ("relu", 0, 0.1)]), "activation=relu", "activation=tanh")

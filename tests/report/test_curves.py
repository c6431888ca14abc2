import math
import warnings

import numpy as np
import pytest
from scipy import stats

from ablate.report.curves import averaged_over, band, history, pair_tables


def test_a_band_is_the_t_interval_of_the_seeds_that_are_there():
    values = np.array([[0.1, 0.5, 0.3, np.nan], [0.2, 0.7, np.nan, np.nan], [0.6, 0.9, np.nan, np.nan]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = band(values)
    for i in (0, 1):
        low, high = stats.t.interval(0.95, 2, values[:, i].mean(), stats.sem(values[:, i]))
        np.testing.assert_allclose([found.mean[i], found.low[i], found.high[i]], [values[:, i].mean(), low, high])
    assert found.mean[2] == 0.3
    assert np.isnan([found.low[2], found.high[2], found.mean[3], found.low[3]]).all()


def test_equal_seeds_have_a_band_of_no_width():
    found = band(np.full((3, 2), 0.25))
    np.testing.assert_array_equal(found.low, found.high)


def test_a_diverged_run_stays_in_the_mean_with_its_score(tuned_study, tmp_path):
    results, _ = tuned_study(tmp_path)
    records = list(results.arms[-1].records.values())
    assert records[4].status == "diverged"
    accuracy = history(records, "val/accuracy")
    assert accuracy.shape == (6, 10)
    np.testing.assert_array_equal(accuracy[4, 2:], records[4].metrics["val/accuracy"])
    assert accuracy[4, 0] == records[4].history[0]["val/accuracy"]
    assert np.isnan(history(records, "val/loss")[4, 2:]).all()
    assert history([], "val/loss").shape == (0, 0)


def test_pairs_of_axes(grid_study, tmp_path):
    results = grid_study(tmp_path)
    (table,) = pair_tables(results)
    assert (table.row_axis, table.column_axis, table.num_arms) == ("activation", "normalization", 1)
    assert (table.rows, table.columns) == (["relu", "tanh", "sigmoid"], ["none", "batch"])
    for arm in results.arms:
        row, column = table.rows.index(arm.axes["activation"]), table.columns.index(arm.axes["normalization"])
        mean = math.fsum(record.metrics["test/accuracy"] for record in arm.records.values()) / 3
        assert table.means[row][column] == pytest.approx(mean, rel=1e-12)


def test_a_cell_without_runs_is_none_and_an_unbalanced_pair_has_no_table(grid_study, tmp_path):
    results = grid_study(tmp_path)
    results.arms[1].records.clear()
    first, second = pair_tables(results)[0].means[0]
    assert first is not None and second is None
    del results.arms[1]
    assert pair_tables(results) == []


@pytest.mark.parametrize(
    ("missing", "sentence"),
    [
        ([], ""),
        ([(0, 3), (0, 4)], "2 of 3 runs from epoch 4"),
        ([(1, e) for e in range(5)], "2 of 3 runs"),
        ([(0, 1), (0, 2), (1, 2)], "epoch 2: 2 of 3 runs; epoch 3: 1 of 3 runs"),
        ([(0, 0), (0, 1), (2, 4)], "epochs 1 to 2: 2 of 3 runs; epoch 5: 2 of 3 runs"),
    ],
)
def test_a_mean_over_fewer_runs_says_in_which_epochs(missing, sentence):
    values = np.zeros((3, 5))
    for place in missing:
        values[place] = np.nan
    assert averaged_over(values, 3) == sentence


def test_a_table_of_pairs_says_how_many_runs_are_missing(grid_study, tmp_path):
    results = grid_study(tmp_path)
    assert pair_tables(results)[0].runs == ""
    del results.arms[0].records[1]
    assert pair_tables(results)[0].runs == " (17 of 18 runs)"

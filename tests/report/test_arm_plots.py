import re

import pytest

from ablate.report.arm_plots import axis_positions, heat_map, ink_on, learning_curves, tuning_curves
from ablate.report.curves import PairTable


@pytest.mark.parametrize(
    ("values", "positions", "is_log"),
    [
        ([0.01, 0.1, 1.0], [0.01, 0.1, 1.0], True),
        ([0.5, 0.6, 0.7], [0.5, 0.6, 0.7], False),
        ([0, 1, 10], [0.0, 1.0, 10.0], False),
        (["a", "b"], [0.0, 1.0], False),
        ([False, True], [0.0, 1.0], False),
    ],
)
def test_where_values_lie(values, positions, is_log):
    assert axis_positions(values) == (positions, is_log)


def words(svg):
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def test_the_legend_has_the_order_of_the_last_epoch(grid_study, tmp_path):
    results = grid_study(tmp_path)
    (svg,) = learning_curves(results)
    found = [word for word in words(svg) if " · " in word]
    assert found[0] == "activation · normalization"
    means = {"relu": 0.61, "tanh": 0.56, "sigmoid": 0.41}
    expected = [f"{a} · {n}" for a in means for n in ("none", "batch")]
    expected.sort(key=lambda name: -means[name.split(" · ")[0]] - 0.1 * name.endswith("batch"))
    assert found[1:] == expected


def test_many_arms_are_spread_evenly_over_figures(grid_study, tmp_path):
    results = grid_study(tmp_path)
    many = [arm for _ in range(3) for arm in results.arms][:14]
    results.arms[:] = many
    svgs = learning_curves(results)
    assert [len([word for word in words(svg) if " · " in word]) - 1 for svg in svgs] == [7, 7]


def test_tuning_curves_mark_the_chosen_value_and_the_edge(tuned_study, undone, tmp_path):
    results, _ = tuned_study(tmp_path)
    shown = words(tuning_curves(results))
    assert shown.count("chosen 0.1") == 5
    assert shown.count("chosen 1.0, on the edge") == 1
    results.arms[0].tuning[2].clear()
    object.__setattr__(results.arms[0], "chosen", None)
    assert words(tuning_curves(results)).count("chosen 0.1") == 4
    assert tuning_curves(undone(results)) == ""


def test_a_heat_map_writes_every_mean():
    table = PairTable(
        row_axis="a",
        column_axis="b",
        rows=["x", "y"],
        columns=["u", "v"],
        means=[[0.5, None], [0.615, 0.7]],
        num_arms=1,
    )
    assert [word for word in words(heat_map(table)) if word not in "abxyuv"] == ["50.0", "–", "61.5", "70.0"]


def test_ink_has_the_greater_contrast():
    assert ink_on((1, 1, 1, 1)) != "white"
    assert ink_on((0.05, 0.2, 0.5, 1)) == "white"


def test_a_learning_curve_names_the_epochs_that_lack_a_run(grid_study, tmp_path):
    results = grid_study(tmp_path)
    (svg,) = learning_curves(results)
    assert "of 3 runs" not in svg
    for entry in results.arms[0].records[1].history[6:]:
        del entry["val/accuracy"]
    (svg,) = learning_curves(results)
    assert svg.count("(2 of 3 runs from epoch 7)") >= 1

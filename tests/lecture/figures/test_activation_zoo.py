"""Functions and slopes of the activations against their formulas."""

import numpy as np
import pytest

from ablate.lecture.figures import activation_zoo
from ablate.report import plotting


def test_values_and_slopes_are_those_of_the_formulas(make_lab):
    a = activation_zoo.compute(make_lab(), activations=["sigmoid", "tanh", "relu"], limit=3.0)
    x = a["x"]
    s = 1 / (1 + np.exp(-x))
    np.testing.assert_allclose(a["values"], [s, np.tanh(x), np.maximum(x, 0)], atol=1e-12)
    np.testing.assert_allclose(a["slopes"], [s * (1 - s), 1 - np.tanh(x) ** 2, x > 0], atol=1e-12)
    assert (x[0], x[-1]) == (-3, 3) and list(a["points"]) == [-10, 0, 10]
    np.testing.assert_allclose(a["slopes_at_points"][2], [0, 0, 1])


def test_it_draws_and_names_every_activation(make_lab):
    arrays = activation_zoo.compute(make_lab(), activations=["relu", "prelu"], limit=1.0)
    with plotting.style():
        titles = [ax.get_title(loc="left") for ax in activation_zoo.draw(arrays).axes]
    assert {"relu", "prelu"} <= set(titles)
    assert activation_zoo.caption(arrays)


@pytest.mark.parametrize(("knobs", "match"), [({"limit": 0.0}, "limit"), ({"activations": ["maxout"]}, "maxout")])
def test_arguments_are_checked(make_lab, knobs, match):
    with pytest.raises(ValueError, match=match):
        activation_zoo.compute(make_lab(), **{"activations": ["relu"], "limit": 1.0} | knobs)

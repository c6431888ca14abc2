import itertools
import math
import re

import matplotlib
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from ablate.report.plotting import (
    fitting_size,
    limits,
    new_figure,
    power_of_ten,
    spaced_factors,
    style,
    to_svg,
    width_of,
    wrapped,
)


def test_limits_leave_room_and_ignore_what_is_not_finite():
    assert limits([0.0, 10.0, float("inf"), None], margin=0.1) == (-1.0, 11.0)
    assert limits([float("nan")]) == (-1.0, 1.0)
    low, high = limits([5.0])
    assert low < 5 < high


def test_an_svg_escapes_its_text_and_loads_nothing():
    with style():
        figure = new_figure(2, 1)
        figure.subplots().set_title("a < b & $c$")
        svg = to_svg(figure, 'an "alternative" & more')
    assert svg.startswith('<svg role="img" aria-label="an &quot;alternative&quot; &amp; more"')
    assert "a &lt; b &amp; $c$" in svg
    assert "<style" not in svg and "<metadata" not in svg and "<!--" not in svg


def test_equal_figures_have_equal_svgs_and_names_differ_between_figures():
    def drawn(alt):
        with style():
            figure = new_figure(2, 1)
            figure.subplots().plot([0, 1], [0, 1])
            return to_svg(figure, alt)

    ids = [set(re.findall(r'id="([^"]+)"', drawn(alt))) for alt in ("a", "b")]
    assert drawn("a") == drawn("a") and ids[0] and not ids[0] & ids[1]


@pytest.mark.parametrize(("exponent", "shown"), [(0, "10⁰"), (-12, "10⁻¹²"), (3, "10³")])
def test_powers_of_ten_are_raised(exponent, shown):
    assert power_of_ten(exponent) == shown


@pytest.mark.parametrize("family", ["DejaVu Sans", "DejaVu Sans Mono", "STIXGeneral"])
def test_wrapped_lines_fill_the_width_and_are_inside_it_in_any_font(family):
    with style():
        matplotlib.rcParams["font.family"] = [family]
        lines = wrapped("Mean over 32 masks against weight scaling, with $ signs. " * 12, 6, 8.5)
        figure = new_figure(8, 4)
        shown = figure.text(0, 0, "\n".join(lines), fontsize=8.5)
        width = shown.get_window_extent(FigureCanvasAgg(figure).get_renderer()).width / figure.dpi
    assert 0.9 * 6 < width < 6


def test_a_label_that_is_too_wide_gets_a_smaller_font():
    size = fitting_size(["xavier_as_printed"], 0.8, 8)
    assert 5 <= size < 8 and width_of("xavier_as_printed", size) <= 0.81
    assert fitting_size(["relu"], 2.0, 8) == 8


@pytest.mark.parametrize(
    ("least", "most"), [(0.9, 1.4), (0.3, 5), (0.5, 4000), (1e-9, 1e12), (1e-200, 1e200), (30, 80)]
)
def test_ticks_of_factors_keep_apart_and_span_the_range(least, most):
    low, high = math.log(least), math.log(most)
    places = [math.log(factor) for factor in spaced_factors(low, high)]
    assert 1 <= len(places) <= 9 and all(low <= place <= high for place in places)
    assert all(b - a >= (high - low) / 8 for a, b in itertools.pairwise(places))
    assert (1 in spaced_factors(low, high)) == (least <= 1 <= most)
    assert high - places[-1] <= (high - low) / 2  # a large effect has ticks beside it

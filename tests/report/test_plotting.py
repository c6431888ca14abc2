import re

import pytest

from ablate.report import plotting
from ablate.report.plotting import limits, new_figure, power_of_ten, style, to_svg


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


@pytest.mark.parametrize("font", ["Liberation Sans", "DejaVu Sans"])
def test_a_caption_is_broken_where_the_font_that_is_there_ends(font):
    import matplotlib

    caption = "Gradients are those of an image's own loss; outermost bins are open. " * 8
    with matplotlib.rc_context({"font.family": [font]}):
        lines = plotting.wrapped(caption, 6.0, 8.5).split("\n")
        widths = [plotting.width_of(line, 8.5) for line in lines]
    assert " ".join(lines) == caption.strip() and len(lines) > 3
    assert max(widths) <= 6.0 and min(widths[:-1]) > 5.0


def test_a_label_that_is_too_wide_gets_a_smaller_font():
    size = plotting.fitting_size(["xavier_as_printed"], 0.8, 8)
    assert 5 <= size < 8 and plotting.width_of("xavier_as_printed", size) <= 0.81
    assert plotting.fitting_size(["relu"], 2.0, 8) == 8
